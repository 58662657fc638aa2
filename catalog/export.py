"""Tables of results in the forms that people use: plain text, CSV, JSON, Parquet, Markdown and LaTeX."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_LATEX = str.maketrans(
    {
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "\\": r"\textbackslash{}",
    }
)

_FORMULA = re.compile(r"'*[=+\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]\d[\d.]*([eE][+-]?\d+)?( ± [\d.]+)?( \(n=\d+(×\d+)?\))?")

_ROWS_AT_ONCE = 5_000
"""Rows that are Python's objects at a time."""

_DAY = 86_400.0
_MONTH = 30 * _DAY
"""In seconds, as DuckDB's `epoch` and its comparisons count a month."""


def export(table: pa.Table, form: str) -> bytes:
    """Return a table as a file's content; `form` is one of `FORMATS`. Intervals of time are seconds.

    Raises:
        ValueError: the format is not known.
    """
    if form not in FORMATS:
        raise ValueError(f"unknown format; {form!r}; use one of {', '.join(FORMATS)}")
    return FORMATS[form](in_seconds(table))


def in_seconds(table: pa.Table) -> pa.Table:
    """Return the table with every interval and duration, also inside lists and structs, in seconds.

    A column with a time beyond Python's own (years 1 to 9999, no infinity), which DuckDB has, becomes text.
    """
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        kind = _seconds_type(field.type)
        if kind != field.type:
            chunks = [_converted(chunk, kind) for chunk in table.column(place).chunks]
            table = table.set_column(place, pa.field(field.name, kind), pa.chunked_array(chunks, kind))
        if _has_times(kind) and not _is_pythons(table.column(place)):
            table = table.set_column(place, field.name, _as_text(table.column(place)))
    return table


def _has_times(kind: pa.DataType) -> bool:
    from pyarrow import types

    if types.is_nested(kind):
        return any(_has_times(kind.field(place).type) for place in range(kind.num_fields))
    return bool(types.is_date(kind) or types.is_timestamp(kind))


def _is_pythons(values: pa.ChunkedArray) -> bool:
    """Whether Python's own types can hold every value; of plain ones the first and the last time tell."""
    import pyarrow.compute as pc
    from pyarrow import types

    try:
        _ = values.to_pylist() if types.is_nested(values.type) else pc.min_max(values).as_py()
    except (OverflowError, ValueError):
        return False
    return True


def _as_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    from pyarrow import types

    if not types.is_nested(values.type):
        return values.cast(pa.string())

    def text(value: pa.Scalar) -> str | None:
        try:
            return None if value.as_py() is None else str(value.as_py())
        except (OverflowError, ValueError):
            return "<value out of range>"

    return pa.chunked_array([[text(value) for value in values]], pa.string())


def _seconds_type(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa
    from pyarrow import types

    if types.is_interval(kind) or types.is_duration(kind):
        return pa.float64()
    if types.is_map(kind):
        return pa.map_(_seconds_type(kind.key_type), _seconds_type(kind.item_type))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _seconds_type(kind.value_type)
        return kind if inner == kind.value_type else pa.list_(inner)
    if types.is_struct(kind):
        return pa.struct([(field.name, _seconds_type(field.type)) for field in kind])
    return kind


def _converted(values: pa.Array, kind: pa.DataType) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    if values.type != pa.month_day_nano_interval():
        return pa.array([_seconds(value) for value in values.to_pylist()], kind)
    parts = np.frombuffer(values.buffers()[1], [("months", "<i4"), ("days", "<i4"), ("nanos", "<i8")])
    parts = parts[values.offset : values.offset + len(values)]
    seconds = parts["months"] * _MONTH + parts["days"] * _DAY + parts["nanos"] / 1e9
    return pa.array(seconds, mask=values.is_null().to_numpy(zero_copy_only=False))


def _seconds(value: Any) -> Any:  # noqa: ANN401  (whatever a column holds)
    import pyarrow as pa

    if isinstance(value, pa.MonthDayNano):
        return value.months * _MONTH + value.days * _DAY + value.nanoseconds / 1e9
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, dict):
        return {name: _seconds(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_seconds(one) for one in value)
    return value


def to_text(table: pa.Table) -> bytes:
    """Return plain columns, numbers to the right."""
    names, rows = table.column_names, _texts(table)
    widths = [max([len(name), *(len(row[i]) for row in rows)]) for i, name in enumerate(names)]
    right = _numeric(table)
    lines = [
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in [names, ["-" * width for width in widths], *rows]
    ]
    return _lines(lines)


def to_csv(table: pa.Table) -> bytes:
    """Return CSV with a header; empty fields are missing values, no text is a formula (`not_a_formula`)."""
    content, lines = io.BytesIO(), list[str]()
    # Its own line ends are \r\n: else it would not quote a text with \r in it.
    writer = csv.writer(SimpleNamespace(write=lines.append))
    writer.writerow(map(not_a_formula, table.column_names))
    for start in range(0, max(table.num_rows, 1), _ROWS_AT_ONCE):
        part = table.slice(start, _ROWS_AT_ONCE)
        writer.writerows(zip(*map(_without_formulas, part.columns), strict=True))
        content.write(_lines([line.removesuffix("\r\n") for line in lines]))
        lines.clear()
    return content.getvalue()


def _without_formulas(column: pa.ChunkedArray) -> list[object]:
    """The values of a column, each different text looked at once."""
    values: list[object] = column.to_pylist()
    safe = {text: not_a_formula(text) for text in {value for value in values if isinstance(value, str)}}
    return [safe[value] if isinstance(value, str) else value for value in values] if safe else values


def not_a_formula(value: object) -> object:
    """Return a text that a spreadsheet would take for a formula with an apostrophe before it; else as it is.

    Formulas begin with =, +, -, @, a tab or a line break (OWASP, "CSV Injection"); numbers with a sign are
    none. To read a field back, take one apostrophe away where such a character follows the apostrophes.
    """
    if isinstance(value, str) and _FORMULA.match(value) and not _NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def to_json(table: pa.Table) -> bytes:
    """Return a list of objects; NaN and infinity, which JSON does not know, become null."""
    rows = [{name: _json_value(value) for name, value in row.items()} for row in table.to_pylist()]
    return (json.dumps(rows, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def to_parquet(table: pa.Table) -> bytes:
    """Return a Parquet file."""
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(table, out)
    return out.getvalue()


def to_markdown(table: pa.Table) -> bytes:
    """Return a Markdown table, numbers to the right."""
    rules = ["---:" if right else "---" for right in _numeric(table)]
    rows = [table.column_names, rules, *_texts(table)]
    return _lines(["| " + " | ".join(_markdown(cell) for cell in row) + " |" for row in rows])


def to_latex(
    table: pa.Table,
    best: Collection[tuple[int, str]] = (),
    beside: Mapping[tuple[int, str], str] | None = None,
    legend: Sequence[str] = (),
) -> bytes:
    """Return a LaTeX tabular; needs the booktabs package.

    Args:
        table: the rows.
        best: the (row, column) in bold.
        beside: LaTeX that follows the text of a (row, column).
        legend: lines of text below the table.
    """
    beside = beside or {}
    columns = "".join("r" if right else "l" for right in _numeric(table))
    rows = []
    for place, row in enumerate(_texts(table)):
        cells = zip(table.column_names, map(latex_text, row), strict=True)
        marked = [
            (rf"\textbf{{{cell}}}" if (place, name) in best else cell) + beside.get((place, name), "")
            for name, cell in cells
        ]
        rows.append(" & ".join(marked) + r" \\")
    head = " & ".join(map(latex_text, table.column_names)) + r" \\"
    top, bottom = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
    below = latex_legend(legend, len(table.column_names))
    above = [NEEDS_BOOKTABS, top, r"\toprule", head, r"\midrule"]
    return _lines([*above, *rows, r"\bottomrule", *below, bottom])


def latex_legend(lines: Sequence[str], columns: int) -> list[str]:
    """Return rows below a LaTeX tabular that say what its signs mean: whoever prints it prints them too."""
    texts = [latex_symbols(latex_text(line)) for line in lines]
    return [rf"\multicolumn{{{columns}}}{{l}}{{\scriptsize {text}}} \\" for text in texts]


FORMATS: dict[str, Callable[[pa.Table], bytes]] = {
    "table": to_text,
    "csv": to_csv,
    "json": to_json,
    "parquet": to_parquet,
    "markdown": to_markdown,
    "latex": to_latex,
}


def latex_text(text: str) -> str:
    """Return text with LaTeX's special characters escaped."""
    return text.translate(_LATEX)


def latex_symbols(text: str) -> str:
    """Return text with the signs of statistics as LaTeX's commands: ±, ×, n= and n:."""
    text = text.replace("±", r"$\pm$").replace("×", r"$\times$")
    return re.sub(r"\bn(?= ?[=:])", "$n$", text)


def latex_interval(text: str) -> str:
    """Return `interval_text` for LaTeX."""
    return latex_symbols(text.replace("± ", "±"))


NEEDS_BOOKTABS = r"% needs \usepackage{booktabs}"
"""The first line of every LaTeX table."""
Span = tuple[float, float | None, float | None]
"""A value with the ends of its interval, which nobody may know."""
_EVEN = 0.9
"""An interval is printed with ± where its nearer end is at least this part as far as its farther one."""


def all_even(spans: Iterable[Span]) -> bool:
    """Whether ± says the intervals of a table: none is lopsided or would reach beyond 0…100."""
    return all(_even(value, low, high) for value, low, high in spans if low is not None and high is not None)


def _even(value: float, low: float, high: float) -> bool:
    near, far = sorted((value - low, high - value))
    same = math.isclose(near, far, rel_tol=1e-6)
    return same or (near >= _EVEN * far and value - far >= 0 and value + far <= 100)


def interval_text(span: Span, decimals: int = 2, *, even: bool) -> str:
    """Return what stands behind a value: `± 1.25`, or `[2.60, 98.93]` where intervals are not `all_even`.

    Empty where nobody knows it.
    """
    value, low, high = span
    if low is None or high is None:
        return ""
    if even:
        return f"± {max(value - low, high - value):.{decimals}f}"
    return f"[{low:.{decimals}f}, {high:.{decimals}f}]"


def interval_legend(*, even: bool) -> str:
    """Return what stands behind the values of a table, in words."""
    return "±: the farther end of the 95 % interval" if even else "[low, high]: the 95 % interval"


def display(value: object) -> str:
    """Return a value as people read it: fractions with two decimals, missing ones empty."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return (
            f"{value:.2f}" if value == 0 or abs(value) >= 0.01 or not math.isfinite(value) else f"{value:.2g}"
        )
    return str(value)


def _texts(table: pa.Table) -> list[list[str]]:
    return [[" ".join(display(value).split()) for value in row.values()] for row in table.to_pylist()]


def _numeric(table: pa.Table) -> list[bool]:
    import pyarrow.types as kinds

    return [kinds.is_integer(field.type) or kinds.is_floating(field.type) for field in table.schema]


def _json_value(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list | tuple):
        return [_json_value(item) for item in value]
    if isinstance(value, dict):
        return {name: _json_value(item) for name, item in value.items()}
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _markdown(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|")


def _lines(lines: Sequence[str]) -> bytes:
    return ("\n".join(lines) + "\n").encode()
