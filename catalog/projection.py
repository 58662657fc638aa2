"""Events → rows of the `recorded` tables: pure, and independent of the order in which journals are read.

Of two events that state the same fact (type and identity), the one with the greater (time, writer, position)
holds; of a fenced type first the one with the greater attempt, so that a driver that lost its cell cannot
undo what the next one wrote. The rule is commutative, associative and idempotent: any number of replays, in
any order, and any mixture of old and new rows end in the same table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from catalog.codec import FIELD_TYPES, Columns, FieldType
from catalog.events import Event

if TYPE_CHECKING:
    import pyarrow as pa

ORIGIN = ("time", "writer", "position")
"""The columns that say where a row comes from."""
LINES_AT_ONCE = 2_000
"""Lines that are Python's objects at a time while journals are read."""
ROWS_AT_ONCE = 300_000
"""Rows that one transaction takes in.

DuckDB writes whole groups of 122,880 rows of a table into its file at once, and others twice: into its log,
then into the file. Of many events two in three are epochs, so that fewer than 200,000 hold no such group.
"""


def batch(event_type: type[Event], columns: Columns) -> pa.Table:
    """Return an Arrow table with the events' fields and the columns of `ORIGIN`."""
    import pyarrow as pa

    values = {
        name: pa.array(columns.fields[name], type=_arrow_type(kind))
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
    rank = ("attempt", *ORIGIN) if event_type.fenced else ORIGIN
    # No table has an index: for many rows it would take longer than everything else, and memory for ever.
    return f"""
        MERGE INTO {table} AS known
        USING (
            FROM {batch} QUALIFY row_number() OVER (
                PARTITION BY {keys} ORDER BY {", ".join(f"{one} DESC" for one in rank)}
            ) = 1
        ) AS said USING ({keys})
        WHEN MATCHED AND {_row("said", rank)} > {_row("known", rank)} THEN UPDATE BY NAME
        WHEN NOT MATCHED THEN INSERT BY NAME
    """


def attempt_epochs_sql(batch: str) -> str:
    """Return the statement that merges a relation of epochs into `materialised.attempt_epochs`.

    Least and greatest need no order either, and epochs that are read twice change nothing.
    """
    return f"""
        MERGE INTO materialised.attempt_epochs AS known
        USING (
            SELECT key, attempt, min(epoch) AS first_epoch, max(epoch) AS last_epoch,
                min(time) AS first_time, max(time) AS last_time
            FROM {batch} GROUP BY key, attempt
        ) AS said USING (key, attempt)
        WHEN MATCHED THEN UPDATE SET
            first_epoch = least(known.first_epoch, said.first_epoch),
            last_epoch = greatest(known.last_epoch, said.last_epoch),
            first_time = least(known.first_time, said.first_time),
            last_time = greatest(known.last_time, said.last_time)
        WHEN NOT MATCHED THEN INSERT BY NAME
    """


def _row(relation: str, columns: Iterable[str]) -> str:
    return f"({', '.join(f'{relation}.{column}' for column in columns)})"


def _arrow_type(kind: FieldType) -> Any:  # noqa: ANN401  (pyarrow is untyped here)
    import pyarrow as pa

    types = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    return types.get(kind.base, pa.string())
