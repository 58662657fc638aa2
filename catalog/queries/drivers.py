"""What a driver asks the journals of all drivers: commands, attempts, failures, checkpoints nobody needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog


class MeasuredTop1(NamedTuple):
    """The top-1 (percent) of a finished cell's last and best epoch, and on how many videos, where known."""

    top1: float
    eval_videos: int | None = None
    best_top1: float | None = None

    def of(self, checkpoint: str) -> float | None:
        """Return the top-1 of the `last` or the `best` checkpoint."""
        return self.best_top1 if checkpoint == "best" else self.top1


_COMMANDS = "SELECT * FROM recorded.controls WHERE study = ? ORDER BY time, command"
_LAST_WORD = """
    SELECT max(time) AS last
    FROM (SELECT study, time FROM recorded.studies UNION ALL SELECT study, time FROM recorded.controls)
    WHERE study = ?
"""
_LATER = 1e-3  # seconds
_IN_FORCE = "SELECT study, action, cells, who FROM controls WHERE in_force ORDER BY given"
# Failed cells, each with every command to try cells of its study again that came after it had failed.
_RETRIES_AWAITED = """
    WITH failed AS (SELECT key, max(time) AS time FROM recorded.failed GROUP BY key)
    SELECT controls.study, study_cells.cell, controls.cells
    FROM failures JOIN failed USING (key) JOIN study_cells USING (key)
    JOIN controls ON controls.study = study_cells.study
    WHERE study_cells.current AND failures.state = 'failed' AND controls.action = 'retry'
        AND controls.in_force AND controls.given > make_timestamp((failed.time * 1e6)::BIGINT)
"""
_FAILURES = """
    SELECT key, attempt, error, log FROM recorded.failed
    QUALIFY attempt = max(attempt) OVER (PARTITION BY key)
"""
_DRIVER = "SELECT driver, state FROM attempts WHERE key = $key AND attempt = $attempt"
_PROGRESS = """
    SELECT
        coalesce(max(attempt), 0) AS attempts,
        coalesce((SELECT attempt FROM recorded.finished WHERE key = $key), 0) AS finished
    FROM recorded.attempts_started WHERE key = $key
"""
# `awaited`: how the children that are not done start, each way once.
_KEPT = """
    WITH configs AS (
        SELECT study, arg_max(config, (time, submission)) ->> '$.keep' AS keep
        FROM recorded.studies GROUP BY study
    ),
    wishes AS (
        SELECT key, any_value(cell) AS cell, list(DISTINCT keep) AS keep, bool_or(keep IS NULL) AS by_default
        FROM recorded.cells LEFT JOIN configs USING (study) GROUP BY key
    ),
    awaited AS (
        SELECT cells.parent_key AS key, list(DISTINCT cells.config ->> '$.recipe.inherit') AS awaited
        FROM recorded.cells AS cells ANTI JOIN recorded.finished AS finished USING (key)
        WHERE cells.parent_key IS NOT NULL GROUP BY cells.parent_key
    )
    SELECT key, cell, epochs, best_epoch, keep, by_default, awaited
    FROM recorded.finished JOIN wishes USING (key) LEFT JOIN awaited USING (key)
    WHERE list_contains($keys, key)
"""

_RUNNING = """
    SELECT
        attempts.key, attempts.cell, attempts.attempt, attempts.driver,
        coalesce(max(epochs.last_epoch), 0) AS epoch,
        coalesce(
            max(epochs.last_time) FILTER (epochs.attempt = attempts.attempt),
            any_value(epoch_us(started) / 1e6)
        ) AS last_time
    FROM attempts LEFT JOIN materialised.attempt_epochs AS epochs ON epochs.key = attempts.key
    WHERE state = 'running' GROUP BY ALL
"""
_EPOCHS = "SELECT epoch, train_loss, val_loss, top1 FROM recorded.epochs WHERE key = $key"


def study_commands(catalog: Catalog, study: str) -> pa.Table:
    """Return all commands to a study's drivers, in the order in which they were given."""
    return catalog.query(_COMMANDS, [study])


def next_time(catalog: Catalog, study: str, now: float) -> float:
    """The time (seconds since 1970) of a study's next submission or command: `now`, or just after the last.

    Their order decides what holds, and a clock that was ahead is set back one day.
    """
    (row,) = catalog.query(_LAST_WORD, [study]).to_pylist()
    return max(now, (row["last"] or 0.0) + _LATER)


def commands_in_force(catalog: Catalog) -> pa.Table:
    """Return `study`, `action`, `cells` and `who` of the commands that hold now, the oldest first."""
    return catalog.query(_IN_FORCE)


def retries_awaited(catalog: Catalog) -> pa.Table:
    """Return `study` and `cell` of failed cells, and the pattern `cells` of a command to try some again.

    Each cell stands beside each such command that its study was given since it failed.
    """
    return catalog.query(_RETRIES_AWAITED)


def latest_failures(catalog: Catalog) -> pa.Table:
    """Return `key`, `attempt`, `error` and `log` of every cell's latest failure."""
    return catalog.query(_FAILURES)


def running_attempts(catalog: Catalog) -> pa.Table:
    """Return the attempts that were started and not ended, with the last that is known of them.

    Columns: `key`, `cell`, `attempt`, `driver`, `epoch` (the cell's last one that was journalled, of any
    attempt; 0: none) and `last_time` (seconds since 1970: the start, or the attempt's last epoch).
    """
    return catalog.query(_RUNNING)


def journalled_epochs(catalog: Catalog, key: str) -> dict[int, tuple[float | None, ...]]:
    """Return training loss, validation loss and top-1 (percent) of a cell's epochs that were journalled."""
    rows = catalog.query(_EPOCHS, {"key": key}).to_pylist()
    return {row["epoch"]: (row["train_loss"], row["val_loss"], row["top1"]) for row in rows}


def driver_of_attempt(catalog: Catalog, key: str, attempt: int) -> str | None:
    """Return the driver that makes this attempt at a cell, where the attempt was started and not ended."""
    rows = catalog.query(_DRIVER, {"key": key, "attempt": attempt}).to_pylist()
    return next((row["driver"] for row in rows if row["state"] == "running"), None)


def finished_accuracies(catalog: Catalog) -> pa.Table:
    """Return `key`, `attempt`, `top1` (the last epoch's, percent), `best_top1`, `eval_videos` where done."""
    return catalog.query("SELECT key, attempt, top1, best_top1, eval_videos FROM recorded.finished")


def attempts_of_key(catalog: Catalog, key: str) -> tuple[int, int]:
    """Return the highest attempt of a cell so far and the one that finished it (0: none)."""
    (row,) = catalog.query(_PROGRESS, {"key": key}).to_pylist()
    return int(row["attempts"]), int(row["finished"])


def checkpoint_needs(catalog: Catalog, keys: Iterable[str]) -> pa.Table:
    """Return what the finished ones of these cells have to keep for their studies and children.

    Columns: `key`, `cell`, `epochs`, `best_epoch`, `keep` (its studies' own settings), `by_default` (a study
    says nothing), `awaited` (how children that are not done start: `best`, `last` or None; None: no child).
    """
    return catalog.query(_KEPT, {"keys": list(keys)})
