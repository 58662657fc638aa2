"""Which of several cells is better on the same videos, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.predictions import counts_by_class, counts_on_same_videos
from dashboards.figures.figure import Figure
from dashboards.figures.panels import Row, differences_on_lines, hover, name_lines, note
from dashboards.render.plain_figure import PlainFigure
from dashboards.render.theme import AUTO, Theme, empty_figure, styled
from dashboards.render.uncertainty import Accuracy, in_words, with_intervals
from dashboards.statistics import holm
from dashboards.statistics.same_videos import PairedCounts, mcnemar, paired_difference

if TYPE_CHECKING:
    import pyarrow as pa

_OF_PAIRS = ("first_key", "second_key", "first", "second", "problem")
_FIRST, _SECOND = Accuracy("first_top1", "videos"), Accuracy("second_top1", "videos")


def paired_data(catalog: Catalog, keys: Sequence[str], evaluation: str | None = None) -> pa.Table:
    """Return one row a pair of cells whose predictions on the same videos are known.

    The difference is first - second, in points of top-1, with Bonett and Price's interval; `exact` and
    `mid_p` are McNemar's, `holm` the mid-p one corrected for the number of pairs. Pairs that were not
    measured on the same videos have empty figures and say so in `problem`.
    """
    import pyarrow as pa

    rows = counts_on_same_videos(catalog, keys, evaluation).to_pylist()
    compared = [_compared(row) for row in rows]
    corrected = iter(holm([row["mid_p"] for row in compared if row["mid_p"] is not None]))
    found = [
        {**row, "holm": None if row["mid_p"] is None else next(corrected)}
        for row in [*compared, *_unknown(keys, rows)]
    ]
    return with_intervals(pa.Table.from_pylist(found, schema=_schema()), _FIRST, _SECOND)


def draw_paired(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw a line a pair: the difference with its interval; filled where it is significant, corrected."""
    rows = [row for row in table.to_pylist() if row["difference"] is not None]
    if not rows:
        problems = sorted({row["problem"] for row in table.to_pylist() if row["problem"]})
        return empty_figure(problems[0] if problems else "Choose at least two cells to compare.", theme)
    about = [_about(row) for row in rows]
    figure = PlainFigure(differences_on_lines(rows, range(len(rows)), about, theme))
    styled(figure, 150 + 44 * len(rows), theme)
    figure.add_vline(x=0, line={"color": theme.line, "width": 1.5})
    figure.update_xaxes(title={"text": "difference in top-1 (points), 95 % interval", "standoff": 4})
    name_lines(figure, [f"{row['first']}<br>− {row['second']}" for row in rows])
    note(figure, "filled: p < 0.05 (McNemar, mid-p, Holm's correction)")
    return figure.drawn()


def _compared(row: Row) -> Row:
    same = row["first_videos"] == row["second_videos"] == row["shared"]
    names = {name: row[name] for name in ("first_key", "second_key", "first", "second")}
    if not same:
        return {**_empty(names), "problem": "These cells were not measured on the same videos."}
    return {**names, **_tested(row), "problem": None}


def class_differences(catalog: Catalog, keys: tuple[str, str]) -> pa.Table:
    """Return one row a class of the videos that two cells share: both accuracies and how sure they differ.

    Columns as in `paired_data`; `holm` is corrected for the number of classes. Those that are told apart
    best come first.
    """
    import pyarrow as pa

    rows = [{**row, **_tested(row)} for row in counts_by_class(catalog, keys).to_pylist()]
    corrected = holm([row["mid_p"] for row in rows])
    found = [{**row, "holm": one} for row, one in zip(rows, corrected, strict=True)]
    found.sort(key=lambda row: (row["mid_p"], -abs(row["difference"]), row["label"]))
    fields = [field for field in _schema() if field.name not in _OF_PAIRS]
    schema = pa.schema([("label", pa.int64()), ("class", pa.string()), *fields])
    return with_intervals(pa.Table.from_pylist(found, schema=schema), _FIRST, _SECOND)


def _tested(row: Row) -> Row:
    """What the counts of a row say: accuracies, their difference (points), McNemar's tests."""
    counts = PairedCounts(row["both"], row["only_first"], row["only_second"], row["neither"])
    interval, test = paired_difference(counts), mcnemar(counts)
    return {
        "videos": counts.videos,
        "only_first": counts.only_first,
        "only_second": counts.only_second,
        "first_top1": 100 * (counts.both + counts.only_first) / counts.videos,
        "second_top1": 100 * (counts.both + counts.only_second) / counts.videos,
        "difference": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "exact": test.exact,
        "mid_p": test.mid_p,
    }


def _unknown(keys: Sequence[str], rows: list[Row]) -> list[Row]:
    known = {(row["first_key"], row["second_key"]) for row in rows}
    pairs = [pair for pair in combinations(dict.fromkeys(keys), 2) if pair not in known]
    text = "No common predictions of these cells are known."
    return [
        {**_empty({"first_key": one, "second_key": other, "first": one, "second": other}), "problem": text}
        for one, other in pairs
    ]


def _empty(names: dict[str, Any]) -> Row:
    return {**{field.name: None for field in _schema()}, **names}


def _schema() -> Any:  # noqa: ANN401  (pyarrow is untyped here)
    import pyarrow as pa

    counts = ("videos", "only_first", "only_second")
    numbers = ("first_top1", "second_top1", "difference", "low", "high", "exact", "mid_p", "holm")
    return pa.schema(
        [
            *((name, pa.string()) for name in _OF_PAIRS),
            *((name, pa.int64()) for name in counts),
            *((name, pa.float64()) for name in numbers),
        ]
    )


def _about(row: Row) -> str:
    return hover(
        row["first"],
        hover(row["second"], beside=f" {in_words(row, _SECOND)}"),
        f"difference {row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f}), "
        f"{row['videos']} videos",
        f"only one right: {row['only_first']} against {row['only_second']}",
        f"McNemar exact p = {row['exact']:.2g}, mid-p = {row['mid_p']:.2g}, Holm {row['holm']:.2g}",
        beside=f" {in_words(row, _FIRST)}",
    )


FIGURE = Figure(
    name="paired",
    title="Paired significance",
    data=lambda catalog, scope: paired_data(catalog, scope.keys, scope.evaluation),
    draw=draw_paired,
)
