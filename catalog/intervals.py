"""Intervals of time as seconds: neither files nor people know months, days and nanoseconds in one value."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

_DAY = 86_400.0
_MONTH = 30 * _DAY
"""As DuckDB's `epoch` and its comparisons count a month."""


def in_seconds(table: pa.Table) -> pa.Table:
    """Return the table with every interval and duration, also inside lists and structs, in seconds."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        kind = _seconds_type(field.type)
        if kind != field.type:
            chunks = [_converted(chunk, kind) for chunk in table.column(place).chunks]
            table = table.set_column(place, pa.field(field.name, kind), pa.chunked_array(chunks, kind))
    return table


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
