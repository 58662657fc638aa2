"""Results as people print them: models down, lengths across. Pure functions of rows.

How sure the fields are, and which is best, is put in by `dashboards/render/tables.py`: it needs statistics.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from catalog.export import (
    NEEDS_BOOKTABS,
    all_even,
    interval_legend,
    interval_text,
    latex_interval,
    latex_legend,
    latex_text,
)
from catalog.names import axis_name, axis_text, count_text, dataset_label, label
from catalog.storage.errors import BAD_INPUT, ActionGridError

if TYPE_CHECKING:
    import pyarrow as pa

AXES = ("dataset", "module", "backbone", "temporal_pooling", "frames", "seed")
OTHER_AXES = "other_axes"
"""The column with the names and values of axes beside `AXES`."""
EXPERIMENT = "experiment"
"""The column that tells experiments of one model apart: they are not averaged, so that each has its lines."""
DECIMALS = 2
_LABELS: Mapping[str, Callable[[str], str]] = {
    "dataset": dataset_label,
    "module": label,
    "backbone": label,
    "frames": lambda name: f"{name.removeprefix('f')} frames",
}

Row = Mapping[str, Any]

_CROSS = re.compile(r"\s*[×x*]\s*")


class PivotError(ActionGridError):
    """A pivot that names no axes, or unknown ones."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class Mean:
    """A field of the pivot: mean, sample standard deviation (None for one result), number of results.

    `values` and `keys` are those of the results, `videos` what each was measured on. `low` and `high` are the
    95 % interval of the mean; None where nobody can tell.
    """

    mean: float
    std: float | None
    count: int
    values: tuple[float, ...] = ()
    keys: tuple[str, ...] = ()
    videos: int | None = None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Pivot:
    """A printed table. `fields[row][column]` is None where there is no result.

    `best` holds the (row, column) of those that are significantly better than all others of their block and
    column.

    `row_axes` are the axes asked for and, before them, every other axis that has several values: results of
    different datasets or models are never averaged. Seeds are, unless they are asked for.
    """

    row_axes: tuple[str, ...]
    column_axes: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[str, ...], ...]
    fields: tuple[tuple[Mean | None, ...], ...]
    blocks: tuple[int, ...]
    best: frozenset[tuple[int, int]] = frozenset()


def parse_pivot(text: str, other: Sequence[str] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the axes of `module×frames` (or `module,backbone x dataset,frames`): rows and columns.

    `other` are the axes that there are beside `AXES`.

    Raises:
        PivotError: not two groups of axes, an unknown axis or one that is named twice.
    """
    parts = _CROSS.split(text.strip()) if _CROSS.search(text) else []
    groups = [tuple(name.strip() for name in part.split(",") if name.strip()) for part in parts]
    named = [name for group in groups for name in group]
    unknown = sorted(set(named) - {*AXES, *other})
    if len(groups) != 2 or not all(groups) or unknown or len(set(named)) < len(named):
        what = f"unknown axis {', '.join(unknown)}" if unknown else "no pivot"
        allowed = ", ".join([*AXES, *other])
        raise PivotError(what, f"{text!r}", f"write rows×columns with axes from {allowed}")
    return groups[0], groups[1]


def pivot(rows: Sequence[Row], text: str, value: str = "top1") -> Pivot:
    """Arrange results by axes; a block of rows is of one dataset.

    Args:
        rows: results with the columns `AXES` and `value`; empty values are left out. Where they have `key`
            and `eval_videos`, the fields have them too; where they have `EXPERIMENT`, it tells lines apart,
            and what `OTHER_AXES` holds are axes like the others.
        text: the axes, as for `parse_pivot`.
        value: the column that is shown.

    Raises:
        PivotError: see `parse_pivot`.
    """
    other = sorted({axis for row in rows for axis, _ in row.get(OTHER_AXES) or ()})
    row_axes, column_axes = parse_pivot(text, other)
    found = [_flat(row, other) for row in rows if row[value] is not None and row[value] == row[value]]
    named = {*row_axes, *column_axes}
    spread = tuple(
        axis
        for axis in (*AXES, *other)
        if axis not in named and axis != "seed" and len({row[axis] for row in found}) > 1
    )
    lines = (*spread, *_apart(found, other), *row_axes)
    groups: dict[tuple[Any, ...], dict[tuple[Any, ...], list[Row]]] = {}
    for row in found:
        place = groups.setdefault(tuple(row[axis] for axis in lines), {})
        place.setdefault(tuple(row[axis] for axis in column_axes), []).append(row)
    row_keys = sorted(groups, key=_in_order)
    column_keys = sorted({column for line in groups.values() for column in line}, key=_in_order)
    fields = tuple(
        tuple(_mean(groups[line].get(column), value) for column in column_keys) for line in row_keys
    )
    dataset = lines.index("dataset") if "dataset" in lines else None
    blocks = tuple(_block(line, dataset, row_keys) for line in row_keys)
    return Pivot(
        row_axes=lines,
        column_axes=column_axes,
        rows=tuple(
            tuple(axis_text(axis, one) for axis, one in zip(lines, key, strict=True)) for key in row_keys
        ),
        columns=tuple(
            tuple(axis_text(axis, one) for axis, one in zip(column_axes, key, strict=True))
            for key in column_keys
        ),
        fields=fields,
        blocks=blocks,
    )


def _flat(row: Row, other: Sequence[str]) -> dict[str, Any]:
    """The row with a column for each of the other axes; empty where its study does not have the axis."""
    values = dict(row.get(OTHER_AXES) or ())
    return {EXPERIMENT: "", **row, **{axis: values.get(axis, "") for axis in other}}


def _apart(rows: Sequence[Row], other: Sequence[str]) -> tuple[str, ...]:
    """The column `EXPERIMENT`, where it tells rows apart that other axes do not."""
    names: dict[tuple[Any, ...], set[str]] = {}
    for row in rows:
        place = tuple(row[axis] for axis in (*AXES, *other) if axis != "seed") if other else ()
        names.setdefault(place, set()).add(row[EXPERIMENT])
    return (EXPERIMENT,) if any(len(found) > 1 for found in names.values()) else ()


def _in_order(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A sort key: texts that are numbers come by their size, before others."""
    return tuple(_number_first(value) if isinstance(value, str) else value for value in values)


def _number_first(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def pivot_latex(table: Pivot, decimals: int = DECIMALS) -> bytes:
    """Return a LaTeX tabular (booktabs): means ± their intervals, the best in bold, and a legend.

    n stands in the legend where it is the same for all, else in each field.
    """
    head = [" & ".join([*(latex_text(axis_name(axis)) for axis in table.row_axes), *_heads(table)]) + r" \\"]
    body: list[str] = []
    form = _form(table, decimals)
    for place, (names, line) in enumerate(zip(table.rows, table.fields, strict=True)):
        if place and table.blocks[place] != table.blocks[place - 1]:
            body.append(r"\midrule")
        texts = [
            _latex_field(field, form, bold=(place, column) in table.best) for column, field in enumerate(line)
        ]
        body.append(" & ".join([*_printed(table.row_axes, names), *texts]) + r" \\")
    columns = "l" * len(table.row_axes) + "r" * len(table.columns)
    top = [NEEDS_BOOKTABS, rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines = [
        *top,
        *head,
        r"\midrule",
        *body,
        r"\bottomrule",
        *latex_legend(pivot_legend(table), len(table.row_axes) + len(table.columns)),
        r"\end{tabular}",
    ]
    return ("\n".join(lines) + "\n").encode()


_BOLD = (
    "Bold: better than all others of its column and dataset (5 %, paired by video where predictions are "
    "known, Holm over the table)."
)


def pivot_legend(table: Pivot) -> tuple[str, ...]:
    """Return what the signs of a pivot mean: those that are in it."""
    fields = _known(table)
    if not fields:
        return ()
    n = _common_n(table)
    counted = "seeds × videos" if any(field.videos is not None for field in fields) else "seeds"
    said = [f"n: {counted}" if n is None else f"n = {n}"]
    if any(field.low is not None for field in fields):
        said = [f"{interval_legend(even=_even(table))} {_from(fields)}", *said]
    return ("; ".join(said) + ".", *([_BOLD] if table.best else []))


def _from(fields: Sequence[Mean]) -> str:
    """What the intervals count: one seed says nothing of others."""
    if all(field.count == 1 for field in fields):
        return "from videos"
    alone = any(field.count == 1 for field in fields)
    return f"from videos and seeds{', of one seed from videos alone' if alone else ''}"


def _common_n(table: Pivot) -> str | None:
    """How many seeds and videos every field of a pivot is of, in words; None where they differ."""
    found = {(field.count, field.videos) for field in _known(table)}
    if len(found) != 1:
        return None
    ((seeds, videos),) = found
    beside = "" if videos is None else f" × {count_text(videos, 'video')}"
    return f"{count_text(seeds, 'seed')}{beside}"


def _known(table: Pivot) -> list[Mean]:
    return [field for line in table.fields for field in line if field is not None]


def _even(table: Pivot) -> bool:
    return all_even((field.mean, field.low, field.high) for field in _known(table))


def pivot_table(table: Pivot, decimals: int = DECIMALS, strong: str = "*{}*") -> pa.Table:
    """Return the pivot as a table for people: a mean, its interval and n as text; `strong` marks the best."""
    import pyarrow as pa

    columns = _axes_of(table)
    form = _form(table, decimals)
    for place, heads in enumerate(table.columns):
        texts = [
            _field_text(line[place], form, strong if (row, place) in table.best else "{}")
            for row, line in enumerate(table.fields)
        ]
        columns[" ".join(heads)] = texts
    return pa.table(columns)


def pivot_columns(table: Pivot) -> pa.Table:
    """Return the pivot as numbers for programs: of each column mean, `_low`, `_high` and `_seeds`."""
    import pyarrow as pa

    columns = _axes_of(table)
    for place, heads in enumerate(table.columns):
        name, line = " ".join(heads), [fields[place] for fields in table.fields]
        columns[name] = pa.array([one and one.mean for one in line], pa.float64())
        columns[f"{name}_low"] = pa.array([one and one.low for one in line], pa.float64())
        columns[f"{name}_high"] = pa.array([one and one.high for one in line], pa.float64())
        columns[f"{name}_seeds"] = pa.array([one and one.count for one in line], pa.int64())
    return pa.table(columns)


def _axes_of(table: Pivot) -> dict[str, Any]:
    names = [axis_name(axis) for axis in table.row_axes]
    return {name: [row[place] for row in table.rows] for place, name in enumerate(names)}


@dataclass(frozen=True)
class _Form:
    """How the fields of a table are written: `even` intervals as ±, and whether each says its n."""

    even: bool
    decimals: int
    counted: bool


def _form(table: Pivot, decimals: int) -> _Form:
    return _Form(_even(table), decimals, _common_n(table) is None)


def _field_text(field: Mean | None, form: _Form, marked: str) -> str | None:
    if field is None:
        return None
    return " ".join([marked.format(f"{field.mean:.{form.decimals}f}"), *_beside(field, form)])


def _beside(field: Mean, form: _Form) -> list[str]:
    """What stands beside a mean: its interval, if it has one, and n, where fields differ in it."""
    interval = interval_text((field.mean, field.low, field.high), form.decimals, even=form.even)
    return [*([interval] if interval else []), *([f"({_n(field)})"] if form.counted else [])]


def _n(field: Mean) -> str:
    return f"n={field.count}" if field.videos is None else f"n={field.count}×{field.videos}"


def _mean(rows: Sequence[Row] | None, value: str) -> Mean | None:
    if not rows:
        return None
    values = tuple(float(row[value]) for row in rows)
    videos = [row["eval_videos"] for row in rows if row.get("eval_videos")]
    return Mean(
        fmean(values),
        stdev(values) if len(values) > 1 else None,
        len(values),
        values,
        tuple(str(row["key"]) for row in rows if row.get("key")),
        min(videos) if len(videos) == len(rows) else None,
    )


def _block(line: tuple[Any, ...], dataset: int | None, lines: Sequence[tuple[Any, ...]]) -> int:
    if dataset is None:
        return 0
    names = sorted({one[dataset] for one in lines})
    return names.index(line[dataset])


def _heads(table: Pivot) -> list[str]:
    return [" ".join(_printed(table.column_axes, names)) for names in table.columns]


def _printed(axes: Sequence[str], names: Sequence[str]) -> list[str]:
    pairs = zip(axes, names, strict=True)
    return [latex_text(_LABELS[axis](name) if axis in _LABELS else name) for axis, name in pairs]


def _latex_field(field: Mean | None, form: _Form, *, bold: bool) -> str:
    if field is None:
        return "--"
    mean = f"{field.mean:.{form.decimals}f}"
    beside = " ".join(latex_interval(text) for text in _beside(field, form))
    text = rf"\textbf{{{mean}}}" if bold else mean
    return rf"{text} {{\scriptsize {beside}}}" if beside else text
