"""Events → rows of the `recorded` tables: pure, and independent of the order in which journals are read.

Of two events that state the same fact (type and identity), the one with the greater (time, writer, position)
holds; of a fenced type first the one with the greater attempt, so that a driver that lost its cell cannot
undo what the next one wrote. The rule is commutative, associative and idempotent: any number of replays, in
any order, and any mixture of old and new rows end in the same table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from catalog.codec import FIELD_TYPES, Columns, FieldType
from catalog.events import Event

if TYPE_CHECKING:
    import pyarrow as pa

ORIGIN = ("time", "writer", "position")
"""The columns that say where a row comes from."""
LINES_AT_ONCE = 2_000
"""Lines that are Python's objects at a time while journals are read."""
ROWS_AT_ONCE = 100_000
"""Rows that one transaction takes in."""


def batch(event_type: type[Event], columns: Columns) -> pa.Table:
    """Return an Arrow table with the events' fields and the columns of `ORIGIN`."""
    import pyarrow as pa

    values = {
        name: pa.array(_values(columns.fields[name], kind), type=_arrow_type(kind))
        for name, kind in FIELD_TYPES[event_type].items()
    }
    values["time"] = pa.array(columns.fields["time"], type=pa.float64())
    values["writer"] = pa.array([writer for writer, _ in columns.origins], type=pa.string())
    values["position"] = pa.array([position for _, position in columns.origins], type=pa.int64())
    return pa.table(values)


def gathered(
    chunks: Iterable[Mapping[type[Event], Columns]], rows: int
) -> Iterator[Mapping[type[Event], pa.Table]]:
    """Yield the tables of chunks of lines, of many together: no more chunks once there are so many rows."""
    import pyarrow as pa

    tables: dict[type[Event], list[pa.Table]] = defaultdict(list)
    count = 0
    for chunk in chunks:
        for event_type, columns in chunk.items():
            tables[event_type].append(batch(event_type, columns))
            count += len(columns.origins)
        if count >= rows:
            yield {one: pa.concat_tables(tables[one]) for one in tables}
            tables, count = defaultdict(list), 0
    if count:
        yield {one: pa.concat_tables(tables[one]) for one in tables}


def upsert_sql(event_type: type[Event], batch: str) -> str:
    """Return the statement that merges the relation `batch` into the event type's table."""
    table, keys = f"recorded.{event_type.table}", ", ".join(event_type.identity)
    fence = "attempt DESC, " if event_type.fenced else ""
    return f"""
        INSERT OR REPLACE INTO {table} BY NAME
        SELECT * FROM (
            SELECT * FROM {batch}
            UNION ALL BY NAME
            SELECT * FROM {table} SEMI JOIN {batch} USING ({keys})
        )
        QUALIFY row_number() OVER (
            PARTITION BY {keys} ORDER BY {fence}time DESC, writer DESC, position DESC
        ) = 1
    """


def attempt_epochs_sql(batch: str) -> str:
    """Return the statement that merges a relation of epochs into `materialised.attempt_epochs`.

    Least and greatest need no order either, and epochs that are read twice change nothing.
    """
    return f"""
        INSERT INTO materialised.attempt_epochs
        SELECT key, attempt, min(epoch), max(epoch), min(time), max(time) FROM {batch} GROUP BY key, attempt
        ON CONFLICT DO UPDATE SET
            first_epoch = least(first_epoch, excluded.first_epoch),
            last_epoch = greatest(last_epoch, excluded.last_epoch),
            first_time = least(first_time, excluded.first_time),
            last_time = greatest(last_time, excluded.last_time)
    """


def _values(column: Sequence[object], kind: FieldType) -> Sequence[object]:
    return [msgspec.json.encode(value).decode() for value in column] if kind.base in (dict, list) else column


def _arrow_type(kind: FieldType) -> Any:  # noqa: ANN401  (pyarrow is untyped here)
    import pyarrow as pa

    types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    return types.get(kind.base, pa.string())
