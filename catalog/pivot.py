"""Results as people print them: models down, lengths across, the best in bold. Pure functions of rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from catalog.export import latex_text
from catalog.names import dataset_label, label
from catalog.storage.errors import BAD_INPUT, ActionGridError

if TYPE_CHECKING:
    import pyarrow as pa

AXES = ("dataset", "module", "backbone", "temporal_pooling", "frames", "seed")
DECIMALS = 2
_LABELS = {"dataset": dataset_label, "module": label, "backbone": label}

Row = Mapping[str, Any]

_CROSS = re.compile(r"\s*[×x*]\s*")


class PivotError(ActionGridError):
    """A pivot that names no axes, or unknown ones."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class Mean:
    """A field of the pivot: mean, sample standard deviation (None for one result), number of results."""

    mean: float
    std: float | None
    count: int


@dataclass(frozen=True)
class Pivot:
    """A printed table. `fields[row][column]` is None where there is no result; `best` holds (row, column).

    `row_axes` are the axes asked for and, before them, every other axis that has several values: results of
    different datasets or models are never averaged. Seeds are, unless they are asked for.
    """

    row_axes: tuple[str, ...]
    column_axes: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[tuple[str, ...], ...]
    fields: tuple[tuple[Mean | None, ...], ...]
    best: frozenset[tuple[int, int]]
    blocks: tuple[int, ...]


def parse_pivot(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the axes of `module×frames` (or `module,backbone x dataset,frames`): rows and columns.

    Raises:
        PivotError: not two groups of axes, an unknown axis or one that is named twice.
    """
    parts = _CROSS.split(text.strip()) if _CROSS.search(text) else []
    groups = [tuple(name.strip() for name in part.split(",") if name.strip()) for part in parts]
    named = [name for group in groups for name in group]
    unknown = sorted(set(named) - set(AXES))
    if len(groups) != 2 or not all(groups) or unknown or len(set(named)) < len(named):
        what = f"unknown axis {', '.join(unknown)}" if unknown else "no pivot"
        raise PivotError(what, f"{text!r}", f"write rows×columns with axes from {', '.join(AXES)}")
    return groups[0], groups[1]


def pivot(rows: Sequence[Row], text: str, value: str = "top1", *, largest: bool = True) -> Pivot:
    """Arrange results by axes; the best mean of every column is marked, within one dataset.

    Args:
        rows: results with the columns `AXES` and `value`; empty values are left out.
        text: the axes, as for `parse_pivot`.
        value: the column that is shown.
        largest: whether more is better.

    Raises:
        PivotError: see `parse_pivot`.
    """
    row_axes, column_axes = parse_pivot(text)
    found = [row for row in rows if row[value] is not None and row[value] == row[value]]
    named = {*row_axes, *column_axes}
    spread = tuple(
        axis
        for axis in AXES
        if axis not in named and axis != "seed" and len({row[axis] for row in found}) > 1
    )
    lines = (*spread, *row_axes)
    groups: dict[tuple[Any, ...], dict[tuple[Any, ...], list[float]]] = {}
    for row in found:
        place = groups.setdefault(tuple(row[axis] for axis in lines), {})
        place.setdefault(tuple(row[axis] for axis in column_axes), []).append(float(row[value]))
    row_keys = sorted(groups)
    column_keys = sorted({column for line in groups.values() for column in line})
    fields = tuple(tuple(_mean(groups[line].get(column)) for column in column_keys) for line in row_keys)
    dataset = lines.index("dataset") if "dataset" in lines else None
    blocks = tuple(_block(line, dataset, row_keys) for line in row_keys)
    return Pivot(
        row_axes=lines,
        column_axes=column_axes,
        rows=tuple(tuple(_text(axis, one) for axis, one in zip(lines, key, strict=True)) for key in row_keys),
        columns=tuple(
            tuple(_text(axis, one) for axis, one in zip(column_axes, key, strict=True)) for key in column_keys
        ),
        fields=fields,
        best=_best(fields, blocks, largest),
        blocks=blocks,
    )


def pivot_latex(table: Pivot, decimals: int = DECIMALS) -> bytes:
    """Return a LaTeX tabular (booktabs) with the best in bold; several seeds print as mean ± std."""
    head = [
        " & ".join([*(latex_text(axis.replace("_", " ")) for axis in table.row_axes), *_heads(table)])
        + r" \\"
    ]
    body: list[str] = []
    for place, (names, line) in enumerate(zip(table.rows, table.fields, strict=True)):
        if place and table.blocks[place] != table.blocks[place - 1]:
            body.append(r"\midrule")
        texts = [
            _latex_field(field, decimals, bold=(place, column) in table.best)
            for column, field in enumerate(line)
        ]
        body.append(" & ".join([*_printed(table.row_axes, names), *texts]) + r" \\")
    columns = "l" * len(table.row_axes) + "r" * len(table.columns)
    top = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
    lines = [*top, *head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    return ("\n".join(lines) + "\n").encode()


def pivot_table(table: Pivot, decimals: int = DECIMALS) -> pa.Table:
    """Return the pivot as a plain table: axes as text, means as numbers, or text where seeds are averaged."""
    import pyarrow as pa

    names = [axis.replace("_", " ") for axis in table.row_axes]
    columns: dict[str, list[Any]] = {
        name: [row[place] for row in table.rows] for place, name in enumerate(names)
    }
    several = any(field is not None and field.std is not None for line in table.fields for field in line)
    for place, heads in enumerate(table.columns):
        line = [fields[place] for fields in table.fields]
        columns[" ".join(heads)] = [_field_value(field, decimals, several) for field in line]
    return pa.table(columns)


def _field_value(field: Mean | None, decimals: int, several: bool) -> float | str | None:
    if field is None:
        return None
    if not several:
        return field.mean
    spread = "" if field.std is None else f" ± {field.std:.{decimals}f} ({field.count})"
    return f"{field.mean:.{decimals}f}{spread}"


def best_rows(rows: Sequence[Row], values: Sequence[str] = ("top1", "top5")) -> frozenset[tuple[int, str]]:
    """Return the best of every dataset as (row, column): the largest of each column of `values`."""
    marks: set[tuple[int, str]] = set()
    for value in values:
        known = [
            (place, row)
            for place, row in enumerate(rows)
            if row[value] is not None and row[value] == row[value]
        ]
        for dataset in {row.get("dataset") for _, row in known}:
            here = [(place, row) for place, row in known if row.get("dataset") == dataset]
            top = max(row[value] for _, row in here)
            marks |= {(place, value) for place, row in here if row[value] == top}
    return frozenset(marks)


def _mean(values: list[float] | None) -> Mean | None:
    if not values:
        return None
    return Mean(fmean(values), stdev(values) if len(values) > 1 else None, len(values))


def _block(line: tuple[Any, ...], dataset: int | None, lines: Sequence[tuple[Any, ...]]) -> int:
    if dataset is None:
        return 0
    names = sorted({one[dataset] for one in lines})
    return names.index(line[dataset])


def _best(
    fields: tuple[tuple[Mean | None, ...], ...], blocks: tuple[int, ...], largest: bool
) -> frozenset[tuple[int, int]]:
    best: set[tuple[int, int]] = set()
    for block in set(blocks):
        for column in range(len(fields[0])):
            means = {
                place: round(field.mean, DECIMALS)
                for place, line in enumerate(fields)
                if blocks[place] == block and (field := line[column]) is not None
            }
            # One result alone is no best one; equal ones, as printed, all are.
            if len(means) > 1:
                top = max(means.values()) if largest else min(means.values())
                best |= {(place, column) for place, mean in means.items() if mean == top}
    return frozenset(best)


def _heads(table: Pivot) -> list[str]:
    return [" ".join(_printed(table.column_axes, names)) for names in table.columns]


def _printed(axes: Sequence[str], names: Sequence[str]) -> list[str]:
    pairs = zip(axes, names, strict=True)
    return [latex_text(_LABELS[axis](name) if axis in _LABELS else name) for axis, name in pairs]


def _latex_field(field: Mean | None, decimals: int, *, bold: bool) -> str:
    if field is None:
        return "--"
    text = f"{field.mean:.{decimals}f}"
    text = rf"\textbf{{{text}}}" if bold else text
    return text if field.std is None else rf"{text} {{\scriptsize$\pm${field.std:.{decimals}f}}}"


def _text(axis: str, value: object) -> str:
    if axis == "temporal_pooling":
        return "tp" if value else "no tp"
    return f"f{value}" if axis == "frames" else str(value)
