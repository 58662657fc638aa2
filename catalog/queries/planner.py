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
        SELECT key, parent_key FROM recorded.cells
        WHERE $names IS NULL OR cell IN (SELECT unnest($names::VARCHAR[]))
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
_EPOCHS_SO_FAR = """
    SELECT key, max(last_epoch) AS epoch
    FROM materialised.attempt_epochs ANTI JOIN recorded.finished USING (key) GROUP BY key
"""
_BEGUN = f"""
    SELECT DISTINCT planned.cell, begun.key, begun.epoch
    FROM ({_EPOCHS_SO_FAR}) AS begun JOIN recorded.cells AS planned USING (key)
    WHERE planned.study = $study ORDER BY begun.epoch, planned.cell, begun.key
"""
_FINISHED_NAMES = """
    SELECT DISTINCT cell FROM recorded.cells SEMI JOIN recorded.finished USING (key) WHERE study = $study
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
# Results of plans of before, by study and by what makes them differ from the cells in their place today: one
# pair of keys' parts speaks for all pairs with the same recipes and training videos.
_SUPERSEDED = """
    WITH older AS MATERIALIZED (
        SELECT planned.study, planned.cell, planned.dataset, planned.key, planned.key_parts
        FROM recorded.cells AS planned
        SEMI JOIN (SELECT key FROM materialised.planned_keys WHERE NOT current) AS superseded
            ON superseded.key = planned.key
        SEMI JOIN recorded.finished AS finished ON finished.key = planned.key
        WHERE $study IS NULL OR planned.study = $study
        QUALIFY row_number() OVER (PARTITION BY planned.study, planned.key ORDER BY planned.time) = 1
    ),
    today AS (
        SELECT planned.study, planned.cell, any_value(planned.key) AS key,
            any_value(planned.key_parts) AS key_parts
        FROM recorded.cells AS planned SEMI JOIN (SELECT study, key FROM study_cells WHERE current) AS own
            ON own.study = planned.study AND own.key = planned.key
        SEMI JOIN older ON older.study = planned.study AND older.cell = planned.cell
        GROUP BY planned.study, planned.cell
    ),
    videos AS (
        SELECT train_hash, arg_max((videos ->> '$.train')::BIGINT, time) AS videos
        FROM recorded.datasets_built GROUP BY train_hash
    ),
    pairs AS (
        SELECT
            older.*, today.key_parts AS new_key_parts, today.key IS NOT NULL AS planned,
            finished.key IS NOT NULL AS replaced, older.key_parts ->> '$.data.train' AS train,
            today.key_parts ->> '$.data.train' AS new_train
        FROM older LEFT JOIN today ON today.study = older.study AND today.cell = older.cell
        LEFT JOIN recorded.finished AS finished ON finished.key = today.key
    )
    SELECT
        pairs.study, pairs.dataset, pairs.planned, pairs.replaced, count(*) AS results,
        arg_min(pairs.key_parts, pairs.key) AS key_parts,
        arg_min(pairs.new_key_parts, pairs.key) AS new_key_parts,
        any_value(before.videos) AS train_videos, any_value(now.videos) AS new_train_videos
    FROM pairs
    LEFT JOIN videos AS before ON before.train_hash = pairs.train
    LEFT JOIN videos AS now ON now.train_hash = pairs.new_train
    GROUP BY
        pairs.study, pairs.dataset, pairs.planned, pairs.replaced, pairs.train, pairs.new_train,
        pairs.key_parts ->> '$.recipe', pairs.new_key_parts ->> '$.recipe'
    ORDER BY pairs.study, pairs.dataset, results DESC, key_parts
"""


def superseded_results(catalog: Catalog, study: str | None = None) -> pa.Table:
    """Return how many finished `results` are of plans of before, by study and by what has changed since.

    `planned` says that the study has such a cell today, `replaced` that this one is finished too. `key_parts`
    and `new_key_parts` (JSON) are those of one pair that speaks for all; `train_videos` and
    `new_train_videos` count their training videos, where the builds of their datasets are known.
    """
    return catalog.query(_SUPERSEDED, {"study": study})


def epochs_so_far(catalog: Catalog) -> Mapping[str, int]:
    """Return the last epoch that was trained by key, of the cells that have begun and are not finished."""
    rows = catalog.query(_EPOCHS_SO_FAR).to_pylist()
    return {row["key"]: row["epoch"] for row in rows}


def begun_cells(catalog: Catalog, study: str) -> pa.Table:
    """Return `cell`, `key` and last `epoch` of what a study ever planned that is begun and not finished."""
    return catalog.query(_BEGUN, {"study": study})


def finished_names(catalog: Catalog, study: str) -> frozenset[str]:
    """Return the names of a study's finished cells, whatever plan of it they were trained for."""
    return frozenset(catalog.query(_FINISHED_NAMES, {"study": study})["cell"].to_pylist())


def finished_epochs(catalog: Catalog) -> pa.Table:
    """Return `key`, `evaluation`, `epochs` and `best_epoch` of every finished cell."""
    return catalog.query("SELECT key, evaluation, epochs, best_epoch FROM recorded.finished")


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
