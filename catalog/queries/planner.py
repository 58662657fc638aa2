"""What a plan is made from: finished cells, failures, attempts, measured times and memory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from catalog.codec import FIELD_TYPES
from catalog.events import CellFailed, CellFinished, Event

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

E = TypeVar("E", bound=Event)

_KEY_PARTS = """
    WITH RECURSIVE wanted AS (
        SELECT key, parent_key FROM recorded.cells WHERE $names IS NULL OR list_contains($names, cell)
        UNION
        SELECT cells.key, cells.parent_key
        FROM wanted JOIN recorded.cells AS cells ON cells.key = wanted.parent_key
    )
    SELECT
        any_value(planned.cell) AS cell, key, list(planned.study ORDER BY planned.time) AS studies,
        any_value(planned.key_parts) AS key_parts, any_value(finished.time) AS finished
    FROM recorded.cells AS planned
    JOIN recorded.finished AS finished USING (key)
    SEMI JOIN wanted USING (key)
    GROUP BY key ORDER BY key
"""
_REDUCED = """
    SELECT key, alone, accumulation FROM recorded.attempts_started
    QUALIFY attempt = max(attempt) OVER (PARTITION BY key)
"""
_EPOCHS = """
    SELECT
        epoch, lr, train_loss, train_top1, seconds AS train_seconds, clips_per_second, top1, top5, val_loss,
        choose_top1, choose_loss
    FROM recorded.epochs WHERE key = $key ORDER BY epoch
"""
_TIMES = """
    SELECT
        finished.key, any_value(planned.module) AS module, any_value(planned.backbone) AS backbone,
        any_value(planned.temporal_pooling) AS temporal_pooling, any_value(planned.frames) AS frames,
        any_value(planned.config) AS config, any_value(finished.hardware) AS hardware,
        any_value(finished.macs) AS macs, any_value(finished.epochs) AS epochs,
        any_value(finished.train_videos) AS train_videos, any_value(finished.eval_videos) AS eval_videos,
        any_value(finished.choose_videos) AS choose_videos,
        any_value(finished.train_seconds) AS train_seconds, any_value(finished.eval_seconds) AS eval_seconds,
        any_value(CASE WHEN finished.attempt = 1 THEN ended.time - started.time END) AS whole
    FROM recorded.finished AS finished
    JOIN recorded.cells AS planned USING (key)
    LEFT JOIN recorded.attempts_started AS started
        ON started.key = finished.key AND started.attempt = finished.attempt
    LEFT JOIN recorded.attempts_ended AS ended
        ON ended.key = finished.key AND ended.attempt = finished.attempt
    GROUP BY finished.key
"""
# A CPU's figure is of the whole process, which no estimate speaks of.
_MEMORY = """
    SELECT
        key, any_value(cell) AS cell, any_value(finished.peak_memory_bytes) AS peak,
        any_value(finished.accumulation) AS accumulation,
        any_value(finished.hardware ->> '$.memory_bytes')::BIGINT AS card,
        any_value(planned.config ->> '$.memory.estimated_bytes')::BIGINT AS estimated,
        any_value(planned.config ->> '$.resources.gpus_per_worker')::DOUBLE AS gpus
    FROM recorded.finished AS finished JOIN recorded.cells AS planned USING (key)
    WHERE finished.hardware ->> '$.device' NOT LIKE 'CPU%' AND finished.peak_memory_bytes > 0
    GROUP BY key
"""


def done_cells(catalog: Catalog) -> Mapping[str, CellFinished]:
    """Return the result of every finished cell by its key."""
    return _by_key(catalog, CellFinished, "FROM recorded.finished")


def failed_cells(catalog: Catalog) -> Mapping[str, CellFailed]:
    """Return the latest failure by key, of the cells that are not finished."""
    latest = """
        FROM recorded.failed ANTI JOIN recorded.finished USING (key)
        QUALIFY row_number() OVER (PARTITION BY key ORDER BY attempt DESC) = 1
    """
    return _by_key(catalog, CellFailed, latest)


def removed_checkpoints(catalog: Catalog) -> Mapping[str, frozenset[int]]:
    """Return the epochs whose checkpoints were removed, by the key of the finished cell."""
    rows = catalog.query("SELECT key, list(epoch) AS epochs FROM recorded.checkpoints_removed GROUP BY key")
    return {row["key"]: frozenset(row["epochs"]) for row in rows.to_pylist()}


def attempts_made(catalog: Catalog) -> Mapping[str, int]:
    """Return the highest attempt number started so far, by key."""
    rows = catalog.query("SELECT key, max(attempt) AS attempts FROM recorded.attempts_started GROUP BY key")
    return {row["key"]: row["attempts"] for row in rows.to_pylist()}


def journalled_epochs(catalog: Catalog, key: str) -> list[dict[str, float]]:
    """Return a metrics row for each of a cell's epochs, with the fields that the journal has of it."""
    rows = catalog.query(_EPOCHS, {"key": key}).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def last_reductions(catalog: Catalog) -> pa.Table:
    """Return `key`, `alone` and `accumulation` of every cell's latest attempt."""
    return catalog.query(_REDUCED)


def finished_key_parts(catalog: Catalog, names: Sequence[str] | None) -> pa.Table:
    """Return the finished cells with one of these names (None: all) and their finished ancestors.

    Columns: `cell`, `key`, `studies` (the first to plan it first), `key_parts` (JSON), `finished` (seconds).
    """
    return catalog.query(_KEY_PARTS, {"names": None if names is None else list(names)})


def finished_times(catalog: Catalog) -> pa.Table:
    """Return a row for each finished cell: its model, size, hardware and seconds.

    `config` and `hardware` are JSON; `whole` is its wall time where one attempt did it all, else None.
    """
    return catalog.query(_TIMES)


def finished_memory(catalog: Catalog) -> pa.Table:
    """Return a row for each cell finished on GPUs: bytes at its `peak`, `estimated` and of the `card`.

    `gpus` is what each of its workers held, `accumulation` in how many parts a batch was summed.
    """
    return catalog.query(_MEMORY)


def _by_key(catalog: Catalog, event_type: type[E], sql: str) -> dict[str, E]:
    nested = [name for name, kind in FIELD_TYPES[event_type].items() if kind.base in (dict, list)]
    found = {}
    for row in catalog.query(sql).to_pylist():
        values = {name: row[name] for name in FIELD_TYPES[event_type]}
        values |= {name: None if row[name] is None else json.loads(row[name]) for name in nested}
        found[row["key"]] = event_type(**values, time=row["time"])
    return found
