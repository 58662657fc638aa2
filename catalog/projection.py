"""Events → rows of the `recorded` tables: pure, and independent of the order in which journals are read.

Of two events that state the same fact (type and identity), the one with the greater (time, writer, position)
holds; of a fenced type first the one with the greater attempt, so that a driver that lost its cell cannot
undo what the next one wrote. The rule is commutative, associative and idempotent: any number of replays, in
any order, and any mixture of old and new rows end in the same table.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from catalog.codec import FIELD_TYPES, FieldType
from catalog.events import EVENT_TYPES, Event
from catalog.journal import Line

if TYPE_CHECKING:
    import pyarrow as pa

ORIGIN = ("time", "writer", "position")
"""The columns that say where a row comes from."""


def batches(lines: Iterable[Line]) -> dict[type[Event], pa.Table]:
    """Return one Arrow table an event type, with the event's fields and the columns of `ORIGIN`."""
    groups: dict[type[Event], list[Line]] = defaultdict(list)
    for line in lines:
        groups[type(line.event)].append(line)
    return {
        event_type: _batch(event_type, groups[event_type])
        for event_type in EVENT_TYPES
        if event_type in groups
    }


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


def _batch(event_type: type[Event], lines: list[Line]) -> pa.Table:
    import pyarrow as pa

    events = [line.event for line in lines]
    columns = {
        name: pa.array(_values(events, name, kind), type=_arrow_type(kind))
        for name, kind in FIELD_TYPES[event_type].items()
    }
    columns["time"] = pa.array([event.time for event in events], type=pa.float64())
    columns["writer"] = pa.array([line.writer for line in lines], type=pa.string())
    columns["position"] = pa.array([line.offset for line in lines], type=pa.int64())
    return pa.table(columns)


def _values(events: list[Event], name: str, kind: FieldType) -> list[object]:
    values = [getattr(event, name) for event in events]
    if kind.base in (dict, list):
        return [json.dumps(value, ensure_ascii=False) for value in values]
    return values


def _arrow_type(kind: FieldType) -> Any:  # noqa: ANN401  (pyarrow is untyped here)
    import pyarrow as pa

    types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    return types.get(kind.base, pa.string())
