"""What attempts leave in their cells' run directories, also where their workers are on other machines.

The run directory is the truth: a checkpoint's record is written before its epoch is reported. Reports that
travel through Ray are neither exactly- nor at-least-once, so nothing else is asked.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from catalog.events import AttemptEnded, AttemptStarted, CellFailed, Event
from catalog.storage.layout import RESULT_FILE, epoch_files
from catalog.storage.outage import Outage
from catalog.storage.storage import Storage
from orchestrator.coordination.drivers import Amount
from orchestrator.coordination.shared_cells import JournalUpdate, SharedCells
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.running.cell_request import SubmissionSettings, cell_request
from orchestrator.running.cell_run import CellRun, CellWork
from orchestrator.running.journal_events import TrialEnd, is_journalled
from trainables.recipe.local_files import fetch_records
from trainables.training.result import CellResult, read_history, read_result

if TYPE_CHECKING:
    from trainables.training.checkpoint import Metrics

Given = TypeVar("Given")
Asked = ParamSpec("Asked")

LOOK_SECONDS = 5.0


def fetch_results(storage: Storage) -> None:
    """Bring the results of all finished cells that are not here.

    Raises:
        OSError: The storage does not answer.
    """
    runs = storage.layout.runs

    def wanted(name: str) -> bool:
        return name.endswith(f"/{RESULT_FILE}") and not (runs / name).exists()

    storage.fetch(runs, wanted)


class RunReader:
    """What running cells have left in their run directories, also where their workers are elsewhere.

    `together`: workers and driver are on one machine, and share its mirror.
    """

    def __init__(
        self, storage: Storage, *, together: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._storage = storage
        self._together = together or not storage.mirrored
        self._clock = clock
        self._looked: dict[str, float] = {}

    def history(self, request: TrialRequest) -> tuple[Metrics, ...]:
        """Metric rows of all epochs that stand; from other machines as of a few seconds ago.

        Raises:
            OSError: The storage does not answer.
        """
        run_dir = self._storage.layout.run_dir(request.cell, request.key)
        now = self._clock()
        if not self._together and now - self._looked.get(request.key, float("-inf")) >= LOOK_SECONDS:
            self._looked[request.key] = now
            fetch_records(self._storage, run_dir)
        return read_history(run_dir, request.key)

    def result(self, request: TrialRequest) -> CellResult | None:
        """The result, if there is one by now.

        Raises:
            OSError: The storage does not answer.
        """
        run_dir = self._storage.layout.run_dir(request.cell, request.key)
        if not self._together:
            fetch_records(self._storage, run_dir)
        return read_result(run_dir, request.key)


_TICK_SECONDS = 0.1
"""The times of files come from a clock that ticks: they lag behind a process' by some hundredths."""


def is_writing_checkpoint(run_dir: Path, since: float) -> bool:
    """Whether an epoch's files are being written: its predictions stand, its record, which is last, not yet.

    What an attempt before `since` (seconds since 1970) left half written does not count.
    """
    since -= _TICK_SECONDS
    for predictions in epoch_files(run_dir, ".parquet"):
        try:
            if not predictions.with_suffix(".json").exists() and predictions.stat().st_mtime >= since:
                return True
        except FileNotFoundError:
            continue
    return False


class AttemptStorage:
    """All that one driver reads from its storage and writes into it. Threads may share it.

    Its lock is held for a single try, never while somebody waits for a storage that takes nothing.

    Raises, of every method: OSError, where the storage refuses; those that say that they wait only for a
    reason that waiting does not mend, or once the driver is to stop.
    """

    def __init__(
        self,
        storage: Storage,
        append: Callable[[Event], Event],
        shared: SharedCells,
        settings: SubmissionSettings,
        outage: Outage,
        clock: Callable[[], float],
    ) -> None:
        self.storage = storage
        self._journal = append
        self._shared = shared
        self._settings = settings
        self._outage = outage
        self._files = RunReader(storage, together=settings.local, clock=clock)
        self._lock = threading.Lock()
        self._earlier: dict[str, tuple[Metrics, ...]] = {}

    def once(self, action: Callable[Asked, Given], *args: Asked.args, **named: Asked.kwargs) -> Given:
        """One try at something."""
        with self._lock:
            return action(*args, **named)

    def until_available(
        self, action: Callable[Asked, Given], *args: Asked.args, **named: Asked.kwargs
    ) -> Given:
        """As many tries as it takes: waits."""
        return self._outage.retry_until_available(lambda: self.once(action, *args, **named))

    def append(self, event: Event) -> None:
        """Journal an event; waits."""
        self.until_available(self._journal, event)

    def release(self, key: str) -> None:
        """Give a cell's lease back; waits."""
        self.until_available(self._shared.release, key)

    def release_all(self) -> None:
        """Give all leases back; waits."""
        self.until_available(self._shared.release_all)

    def start(self, work: CellWork) -> TrialRequest | str:
        """Claim a cell and journal its next attempt (waits); in words who holds it, where that is another."""
        claim = self.once(self._shared.claim, work.key, self._run_dir(work))
        if claim.attempt is None:
            return claim.holder
        try:
            trial = self.once(cell_request, work, claim.attempt, self.storage, self._settings)
            self._earlier[work.key] = self.once(self._journalled, trial) if claim.attempt > 1 else ()
            named = self.storage.named(self._run_dir(work))
            driver, host, reduction = self._settings.writer, platform.node(), work.reduction
            event = AttemptStarted(work.key, claim.attempt, driver, host, named)
            self.append(replace(event, accumulation=reduction.accumulation, alone=reduction.alone))
        except BaseException:
            self.release(work.key)
            raise
        return trial

    def new_epochs(self, run: CellRun) -> tuple[Metrics, ...]:
        """The epochs of a cell's trial that this driver has still to journal, and may."""
        if run.trial is None:
            return ()
        rows = self.once(self._files.history, run.trial)[run.epoch :]
        owned = bool(rows) and self.once(self._owns_attempt, run, run.trial)
        return rows if owned else ()

    def _journalled(self, trial: TrialRequest) -> tuple[Metrics, ...]:
        """The epochs that stand before an attempt begins and that the journals have."""
        known = self._shared.journalled_epochs(trial.key)
        return tuple(row for row in self._files.history(trial) if is_journalled(row, known))

    def is_of_earlier_attempt(self, key: str, row: Metrics) -> bool:
        """Whether an epoch was trained and journalled by an attempt before this driver's own."""
        return row in self._earlier.get(key, ())

    def _owns_attempt(self, run: CellRun, trial: TrialRequest) -> bool:
        """Whether the cell is ours, or was until it was stopped here, and nobody else's since."""
        left = not run.is_training and self._shared.is_last(trial.key, trial.attempt)
        return left or self._shared.owns(trial.key)

    def result(self, trial: TrialRequest) -> CellResult | None:
        """The result, if there is one; waits. It also brings the last epochs from a bucket."""
        return self.until_available(self._files.result, trial)

    def trial_end(self, trial: TrialRequest, result: CellResult | None, error: str) -> TrialEnd:
        """How a trial ended, and whose the cell is by now; waits."""
        if self.until_available(self._shared.owns, trial.key):
            return TrialEnd(True, "", result, error)
        return TrialEnd(False, self.until_available(self._shared.holder, trial.key) or "", result, error)

    def journal_interrupted(self, run: CellRun) -> None:
        """Journal that an attempt of ours was stopped on purpose; waits."""
        if run.trial is not None and self.until_available(self._shared.owns, run.key):
            self.append(AttemptEnded(run.key, run.trial.attempt, "interrupted"))

    def give_up(self, run: CellRun, error: str) -> None:
        """Journal that a cell is not even tried; waits."""
        self.append(CellFailed(run.key, self.once(self._shared.attempts, run.key), error, ""))
        self.release(run.key)

    def is_writing(self, run: CellRun) -> bool:
        """Whether a cell in training is writing a checkpoint."""
        return is_writing_checkpoint(self._run_dir(run.work), run.started)

    def holders(self, runs: Iterable[CellRun]) -> Mapping[str, str | None]:
        """By name, who else holds these cells, in words."""
        return {run.name: self.once(self._shared.holder, run.key) for run in runs}

    def read_update(self) -> JournalUpdate:
        """What was journalled by others."""
        return self.once(self._shared.read_update)

    def publish(self, amounts: tuple[Amount, list[Amount]]) -> None:
        """Tell others what this driver occupies, and what it could start."""
        self.once(self._shared.publish, *amounts)

    def _run_dir(self, work: CellWork) -> Path:
        return self.storage.layout.run_dir(work.cell.name, work.key)
