"""Printed results with their uncertainty: intervals, ± and n, and in bold what is significantly best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import stdev
from typing import TYPE_CHECKING

from catalog.export import all_even, interval_legend, interval_text, latex_interval, to_latex
from catalog.pivot import Mean, Pivot
from dashboards.render.comparison import (
    NO_OUTCOMES,
    Outcomes,
    Result,
    Row,
    significantly_best,
    within_of,
)
from dashboards.render.uncertainty import (
    Accuracy,
    top5_tells,
    with_difference_to_published,
    with_intervals,
)
from dashboards.statistics import (
    LEVEL,
    interval_in_words,
    mean_over_seeds,
    student_quantile,
)

if TYPE_CHECKING:
    import pyarrow as pa

ACCURACIES = ("top1", "top5", "top1_last", "top1_best", "top5_last", "top5_best", "best_top1", "best_top5")
"""The columns of `results` that are percentages of right videos."""
SMALLER_IS_BETTER = frozenset(
    {"loss", "val_loss", "loss_last", "loss_best", "best_loss", "train_seconds", "eval_seconds"}
)
PREDICTED = {
    **dict.fromkeys(("top1", "top1_last", "top1_best", "best_top1"), "top1"),
    **dict.fromkeys(("top5", "top5_last", "top5_best", "best_top5"), "top5"),
    **dict.fromkeys(("loss", "val_loss", "loss_last", "loss_best", "best_loss"), "loss"),
}
"""The columns of `results` that predictions give video by video, and as which of their measures."""


_OWN = Accuracy("own", seeds="seeds", std="own_std")
_PRINTED = Accuracy("published", "published_videos")
_UNPRINTED = ("key", "num_classes", "published_videos")
_TITLES = {"eval_videos": "n videos"}
_BOLD = (
    "Bold: better than all others of its dataset (5 %, paired by video where predictions are known, Holm)."
)


def pivot_with_uncertainty(table: Pivot, value: str, outcomes: Outcomes = NO_OUTCOMES) -> Pivot:
    """Return a pivot of a column of `results` with intervals in its fields, and what is best of each column.

    `outcomes` are the predictions of its cells, where they are known: differences are then by video.
    """
    results = [[None if one is None else _result(one, value) for one in line] for line in table.fields]
    fields = tuple(
        tuple(_with_interval(one, result, value, outcomes) for one, result in zip(*pair, strict=True))
        for pair in zip(table.fields, results, strict=True)
    )
    return replace(table, fields=fields, best=_best(table, results, value, outcomes))


def best_rows(
    rows: Sequence[Row], values: Sequence[str], outcomes: Outcomes = NO_OUTCOMES
) -> frozenset[tuple[int, str]]:
    """Return as (row, column) which results are significantly better than all others of their dataset.

    Args:
        rows: results of single trainings with the columns `values`, `dataset`, and where known `eval_videos`
            and `key`.
        values: the columns of `results` that are judged; each is a family of its own.
        outcomes: the predictions of their cells for the measure of the first of `values`.
    """
    marks: set[tuple[int, str]] = set()
    datasets = sorted({str(row.get("dataset")) for row in rows})
    for value in values:
        groups = [
            [_of_row(row, value) if str(row.get("dataset")) == dataset else None for row in rows]
            for dataset in datasets
        ]
        known = outcomes if value == values[0] else NO_OUTCOMES
        found = significantly_best(groups, known, largest=value not in SMALLER_IS_BETTER)
        marks |= {(place, value) for place in found if place is not None}
    return frozenset(marks)


def results_with_uncertainty(table: pa.Table) -> pa.Table:
    """Return rows of `results` with `_low` and `_high` behind each accuracy and behind `difference`.

    Top-5 is empty where there are so few classes that it says nothing.
    """
    accuracies = [Accuracy(name) for name in ACCURACIES if name in table.column_names]
    for one in accuracies:
        if one.name.startswith("top5") or one.name.endswith("top5"):
            table = _without_few_classes(table, one.name)
    return with_difference_to_published(with_intervals(table, *accuracies), Accuracy())


def printed_with_uncertainty(table: pa.Table) -> pa.Table:
    """Return one of the paper's tables (`printed_table`) with the intervals of its accuracies."""
    return with_difference_to_published(with_intervals(table, _OWN), _OWN, _PRINTED)


def _without_few_classes(table: pa.Table, name: str) -> pa.Table:
    import pyarrow as pa

    pairs = zip(table.column(name).to_pylist(), table.column("num_classes").to_pylist(), strict=True)
    values = [value if top5_tells(classes) else None for value, classes in pairs]
    return table.set_column(table.column_names.index(name), name, pa.array(values, pa.float64()))


def results_for_people(table: pa.Table) -> pa.Table:
    """Return `results_with_uncertainty` with one column of text for each interval, and without keys.

    Columns of which nothing is known are left out: top-5 of few classes, what is not published.
    """
    import pyarrow as pa

    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    for name in table.column_names:
        column = table.column(name)
        if name in _UNPRINTED or name.endswith("_high") or column.null_count == len(column) > 0:
            continue
        if name.endswith("_low"):
            title = name.removesuffix("_low")
            bounds = zip(column.to_pylist(), table.column(f"{title}_high").to_pylist(), strict=True)
            signed = title == "difference"
            columns[f"{title} 95 %"] = pa.array([interval_in_words(*pair, signed=signed) for pair in bounds])
        else:
            columns[_TITLES.get(name, name)] = column
    return pa.table(columns)


def results_in_latex(table: pa.Table, outcomes: Outcomes = NO_OUTCOMES) -> bytes:
    """Return `results_with_uncertainty` as LaTeX: accuracies with ±, n videos, what is best in bold."""
    rows = table.to_pylist()
    printed = results_for_people(table)
    printed = printed.drop_columns([name for name in printed.column_names if name.endswith(" 95 %")])
    printed = printed.drop_columns([name for name in ("dataset",) if name in printed.column_names])
    judged = [name for name in ("top1", "top5", "val_loss") if name in printed.column_names]
    spans = {
        (place, name): (row[name], row[f"{name}_low"], row[f"{name}_high"])
        for place, row in enumerate(rows)
        for name in printed.column_names
        if row.get(f"{name}_low") is not None
    }
    even = all_even(spans.values())
    beside = {at: latex_interval(interval_text(span, even=even)) for at, span in spans.items()}
    small = {at: rf" {{\scriptsize {text}}}" for at, text in beside.items()}
    best = best_rows(rows, judged, outcomes)
    source = f"{interval_legend(even=even)} from the number of videos; one training each."
    return to_latex(printed, best, small, [source] * bool(spans) + [_BOLD] * bool(best))


def interval_of(result: Result, outcomes: Outcomes = NO_OUTCOMES) -> tuple[float, float] | None:
    """Return the 95 % interval of a result's mean; None where neither videos nor seeds tell anything."""
    if result.accuracy:
        if not result.videos:
            return None
        span = mean_over_seeds(result.values, result.videos, within=within_of(result, outcomes))
        return span.low, span.high
    seeds = len(result.values)
    if seeds < 2:
        return None
    half = student_quantile(LEVEL, seeds - 1) * stdev(result.values) / math.sqrt(seeds)
    return result.mean - half, result.mean + half


def _with_interval(field: Mean | None, result: Result | None, value: str, outcomes: Outcomes) -> Mean | None:
    if field is None or result is None:
        return None
    span = interval_of(result, outcomes)
    # Only what predictions give is measured on videos.
    shown = field if value in PREDICTED else replace(field, videos=None)
    return shown if span is None else replace(shown, low=span[0], high=span[1])


def _best(
    table: Pivot, results: Sequence[Sequence[Result | None]], value: str, outcomes: Outcomes
) -> frozenset[tuple[int, int]]:
    places = [(block, column) for block in sorted(set(table.blocks)) for column in range(len(table.columns))]
    groups = [
        [line[column] if table.blocks[row] == block else None for row, line in enumerate(results)]
        for block, column in places
    ]
    found = significantly_best(groups, outcomes, largest=value not in SMALLER_IS_BETTER)
    return frozenset((row, column) for row, (_, column) in zip(found, places, strict=True) if row is not None)


def _result(field: Mean, value: str) -> Result:
    return Result(field.values, field.videos, field.keys, accuracy=value in ACCURACIES)


def _of_row(row: Row, value: str) -> Result | None:
    number = row[value]
    if number is None or not math.isfinite(number):
        return None
    keys = (str(row["key"]),) if row.get("key") else ()
    return Result((float(number),), row.get("eval_videos"), keys, accuracy=value in ACCURACIES)
