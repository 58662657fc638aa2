"""What the figures of the paper's tables share: a bar a model, one's own beside the printed ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.names import label
from catalog.queries.accuracies import accuracies_of_models
from catalog.queries.overview import planned_datasets
from catalog.queries.published import printed_table
from dashboards.figures.axes import room_for_numbers
from dashboards.figures.figure import Data, Draw, Export, Figure, Finding, Scope, Section
from dashboards.figures.measurements import Measurements
from dashboards.figures.panels import (
    LEGEND,
    Row,
    bar_source_keys,
    beside_own,
    dataset_panels,
    hover,
    hovering,
    interval_bars,
    interval_key,
    interval_source,
    numbers_beyond,
    protocol_text,
)
from dashboards.render.markup import Column
from dashboards.render.plain_figure import PlainFigure, Trace, bar
from dashboards.render.theme import AUTO, NEUTRAL, Theme, empty_figure, module_colour, styled
from dashboards.render.uncertainty import MEAN, in_words, with_intervals, with_within

if TYPE_CHECKING:
    import pyarrow as pa

Choose = Callable[[list[Row]], list[Row]]
"""Which of one's own rows of `accuracies_of_models` belong into a table."""

_OWN = ("study", "dataset", "module", "cell", "variant", "top1", "top1_std", "seeds", "eval_videos")
_COLUMNS = (
    Column("source", "source"),
    Column("dataset", "dataset", label),
    Column("model", "model"),
    Column("top1", "top-1", number=True),
    Column("top1_low", "from", number=True),
    Column("top1_high", "to", number=True),
    Column("how", "measured with", wrap=True),
    Column("cell", "cell"),
    Column("variant", "experiment", wrap=True),
)


def table_figure(
    number: int,
    name: str,
    title: str,
    caption: str,
    choose: Choose,
    empty: str,
    order: int,
    *,
    across: bool = False,
) -> Figure:
    """Return the figure of one of the paper's tables; `choose` says which own rows belong into it.

    `order` is its place among findings, sections and exports, `empty` what is said where there is nothing;
    `across` as of a `Section`.
    """
    source_table = f"Table {number}"
    said = f"{caption} ({source_table}). Hatched bars are printed."
    return Figure(
        name=name,
        title=title,
        data=table_data(source_table, choose),
        draw=table_drawing(empty),
        finding=Finding(question=name, link=title.lower(), order=order, caption=said),
        section=Section(
            order=order, title=title, caption=said, columns=_COLUMNS, rows=beside_own, across=across
        ),
        exports=(Export(f"table{number}", title.lower(), order=order, gap=170),),
    )


def table_data(source_table: str, choose: Choose) -> Data:
    """Return the query of a table: rows of one's own models, then the printed ones of the same datasets."""

    def data(catalog: Catalog, scope: Scope) -> pa.Table:
        own, within = list[Row](), list[float | None]()
        if scope.source != "published":
            chosen = choose(accuracies_of_models(catalog, scope.filters).to_pylist())
            within = Measurements(catalog, scope.filters).within(chosen, MEAN, scope.answers)
            own = _apart([_own(row) for row in chosen], ("study",))
        printed: list[Row] = []
        if scope.source != "own":
            found = printed_table(catalog, source_table, scope.filters, "published").to_pylist()
            here = planned_datasets(catalog, scope.filters) if scope.source == "both" else ()
            printed = _printed([row for row in found if not here or row["dataset"] in here])
        table = with_within(_table([*own, *printed]), MEAN, [*within, *[None] * len(printed)])
        return with_intervals(table, MEAN)

    return data


def _own(row: Row) -> Row:
    pooling = "-tp" if row["temporal_pooling"] else ""
    model = f"{label(row['module'])}-{label(row['backbone'])}{pooling}-f{row['frames']}"
    beside = f" {row['variant']}" if row["variant"] else ""
    how = protocol_text(row)
    return {"source": "own", "model": model + beside, "how": how, **{name: row[name] for name in _OWN}}


def _printed(rows: list[Row]) -> list[Row]:
    """The printed numbers by model; where a name repeats, with its row, and its column if need be."""
    return [
        {
            **{"source": "published", "study": row["paper"], "dataset": row["dataset"], "module": None},
            **{"model": row["model"], "top1": row["published"], "top1_std": None, "seeds": 1, "cell": None},
            **{"eval_videos": row["published_videos"], "variant": None},
            "how": f"{row['source_table']}, {row['source_row']}, {row['source_column']}",
        }
        for row in _apart(rows, ("source_row", "source_column"))
    ]


def _apart(rows: list[Row], parts: Sequence[str]) -> list[Row]:
    """The rows with names of models that are told apart, where one repeats in a dataset, by these columns."""
    for part in parts:
        counts = Counter((row["dataset"], row["model"]) for row in rows)
        rows = [
            {**row, "model": f"{row['model']} ({row[part]})"}
            if counts[row["dataset"], row["model"]] > 1
            else row
            for row in rows
        ]
    return rows


def _table(rows: list[Row]) -> pa.Table:
    import pyarrow as pa

    texts = ("source", "study", "dataset", "module", "model", "cell", "variant", "how")
    numbers = {"top1": pa.float64(), "top1_std": pa.float64(), "seeds": pa.int64(), "eval_videos": pa.int64()}
    schema = pa.schema({**dict.fromkeys(texts, pa.string()), **numbers}.items())
    return pa.Table.from_pylist(rows, schema=schema)


_MOST_LEVEL_NUMBERS = 16
"""Of more bars than these, the numbers stand upright: side by side they would overlap."""


def table_drawing(empty: str) -> Draw:
    """Return the drawing of a table: one panel a dataset, a bar a model; printed ones are hatched."""

    def draw(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
        rows = table.to_pylist()
        if not rows:
            return empty_figure(empty, theme)
        datasets = sorted({row["dataset"] for row in rows})
        figure = dataset_panels(datasets)
        angle = -90 if len(rows) > _MOST_LEVEL_NUMBERS else 0
        for column, dataset in enumerate(datasets, start=1):
            _draw_panel(figure, column, [row for row in rows if row["dataset"] == dataset], angle)
        bar_source_keys(figure, {row["source"] for row in rows})
        interval_key(figure, interval_source(rows))
        styled(figure, 460, theme)
        figure.update_yaxes(title="top-1 (%)", col=1)
        figure.update_xaxes(tickangle=-35, tickfont={"size": 11}, type="category")
        figure.update_layout(
            bargap=0.25, legend={**LEGEND, "y": 1.18, "yanchor": "bottom"}, margin={"t": 110}
        )
        return figure.drawn()

    return draw


def _draw_panel(figure: PlainFigure, column: int, rows: list[Row], angle: int) -> None:
    before = len(figure.traces)
    for source in ("own", "published"):
        if here := [row for row in rows if row["source"] == source]:
            bars, numbers = _bars(here), [f"{row['top1']:.1f}" for row in here]
            text = {"textangle": angle, "textfont": {"size": 11}}
            figure.add_trace(bars, row=1, col=column)
            figure.add_trace(numbers_beyond(bars, numbers, **text), row=1, col=column)
    ends = room_for_numbers(figure.traces[before:], 0.2 if angle else 0.1)
    figure.update_yaxes(range=ends, row=1, col=column)


def _bars(rows: list[Row]) -> Trace:
    published = rows[0]["source"] == "published"
    colours = [NEUTRAL if published else module_colour(row["module"]) for row in rows]
    return bar(
        x=[row["model"] for row in rows],
        y=[row["top1"] for row in rows],
        error_y=interval_bars(rows),
        marker={"color": colours, "pattern": {"shape": "/" if published else ""}},
        offsetgroup=rows[0]["source"],
        **hovering([_about(row) for row in rows]),
        showlegend=False,
    )


def _about(row: Row) -> str:
    name = f"{row['model']}@{label(row['dataset'])}"
    return hover(name, in_words(row, MEAN), str(row["how"]), str(row["study"]))


def most_views(rows: list[Row]) -> list[Row]:
    """Return of each training the measurement with the most views."""
    best: dict[tuple[object, ...], Row] = {}
    for row in rows:
        names = ("study", "dataset", "module", "backbone", "temporal_pooling", "frames", "variant")
        model = (*(row[name] for name in names), row["trained_sampling"])
        if model not in best or row["views"] > best[model]["views"]:
            best[model] = row
    return [*best.values()]


def fewest_views(rows: list[Row]) -> list[Row]:
    """Return the clip-level measurements: one view, made in training where there is one."""
    return [row for row in rows if row["views"] == 1 and row["measured_by"] == "training"]
