"""The driver of one submission: starts cells, journals what they do, and follows their ends. Knows no Ray.

Tune's adapter (`orchestrator.ray_runtime.tune_adapter`) asks and tells; every fact is in the journal before
anything is done about it. What a trial did is read from its cell's run directory; what other drivers did,
from the storage (`orchestrator.coordination.shared_cells`): a cell is started only under its lease.

No thread waits while it holds a lock: during an outage others can look, and end the driver.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from catalog.events import Event, TimeToGoReckoned
from catalog.storage.errors import FailureKind
from catalog.storage.outage import Outage, room_for_a_checkpoint
from catalog.storage.storage import Storage
from orchestrator.coordination.shared_cells import SharedCells
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.running.attempt_files import AttemptStorage
from orchestrator.running.cell_request import SubmissionSettings
from orchestrator.running.cell_run import (
    CHECKPOINT_WAIT_SECONDS,
    CellFailure,
    CellRun,
    CellWork,
    RunningCell,
    may_be_ended,
)
from orchestrator.running.grid import Grid
from orchestrator.running.journal_events import TrialEnd, attempt_outcome, epoch_event
from orchestrator.scheduling.retry import unmarked
from orchestrator.scheduling.schedule import Free, too_large

POLL_SECONDS = 1.0
REFRESH_SECONDS = 2.0


class Driver:
    """One submission at work. Tune's thread drives it, the terminal's looks, and Ray's watch may end it.

    `stop`, once set, asks the driver to leave its cells as soon as no checkpoint is being written.
    """

    def __init__(
        self,
        work: Sequence[CellWork],
        storage: Storage,
        append: Callable[[Event], Event],
        shared: SharedCells,
        settings: SubmissionSettings,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._shared = shared
        self._retries = settings.retries
        self._stop = stop or threading.Event()
        room = room_for_a_checkpoint(item.params for item in work)
        self.outage = Outage(storage, room, self._stop, clock)
        self._storage = AttemptStorage(storage, append, shared, settings, self.outage, clock)
        self._grid = Grid(work)
        # For the grid's records; held for moments only: nothing is read or written under it.
        self._lock = threading.Lock()
        self._leave_by: float | None = None
        self._next_poll = 0.0
        self._next_refresh = 0.0
        self._time_to_go: TimeToGoReckoned | None = None

    @property
    def cells(self) -> Mapping[str, CellRun]:
        """What is known of every cell of this submission now, by name."""
        with self._lock:
            return self._grid.snapshot()

    @property
    def is_finished(self) -> bool:
        """Nothing runs and nothing can start any more, here or elsewhere."""
        with self._lock:
            return self._grid.is_finished

    @property
    def is_stopping(self) -> bool:
        """Whether the driver was asked to stop."""
        return self._stop.is_set()

    @property
    def yields_to_priority(self) -> bool:
        """Whether nothing starts here because a study of higher priority has cells ready."""
        return self._shared.yields_to_priority

    @property
    def leave_now(self) -> bool:
        """Whether the driver was asked to stop, and no cell is writing a checkpoint (or for too long)."""
        if not self._stop.is_set():
            return False
        if self._leave_by is None:
            self._leave_by = self._clock() + CHECKPOINT_WAIT_SECONDS
        return self._clock() >= self._leave_by or not any(map(self._storage.is_writing, self._training()))

    @property
    def has_work(self) -> bool:
        """Whether some cell could be started here, as far as other drivers and commands go."""
        with self._lock:
            return bool(self._grid.occupying or self._grid.startable(self._clock()))

    @property
    def running(self) -> tuple[RunningCell, ...]:
        """The cells in training, as the terminal shows them."""
        return tuple(run.as_running for run in self._training())

    @property
    def failures(self) -> tuple[CellFailure, ...]:
        """The cells that were given up, with what they block, the first one first."""
        failed = sorted(self._select(lambda run: run.failure is not None), key=lambda run: run.ended)
        return tuple(run.failure for run in failed if run.failure is not None)

    def _select(self, wanted: Callable[[CellRun], bool]) -> tuple[CellRun, ...]:
        with self._lock:
            return self._grid.select(wanted)

    def _training(self) -> tuple[CellRun, ...]:
        with self._lock:
            return tuple(run for run in self._grid.occupying if run.is_training)

    def next_trial(self, total: Free) -> TrialRequest | None:
        """Start the ready cell with the longest remaining chain that fits; journal it, return its trial."""
        self.poll()
        if self._stop.is_set() or not self.outage.is_over():
            return None
        self._give_up_too_large(total)
        return self.outage.try_write(lambda: self._start_next(total))

    def _start_next(self, total: Free) -> TrialRequest | None:
        left = self._shared.resources_left(total)
        while left is not None:
            with self._lock:
                run = self._grid.next_to_start(left, self._clock())
                if run is None:
                    return None
                self._grid.start(run.name)
            trial = self._start(run)
            if trial is not None:
                self._publish()
                return trial
        return None

    def _start(self, run: CellRun) -> TrialRequest | None:
        """The cell's next attempt, or None where another driver has the cell."""
        found: TrialRequest | str = ""
        try:
            found = self._storage.start(run.work)
        finally:
            with self._lock:
                self._grid.started(run.name, found, time.time(), self._clock())
        return None if isinstance(found, str) else found

    def _give_up_too_large(self, total: Free) -> None:
        with self._lock:
            large = self._grid.never_fitting(total)
        for run in large:
            error = too_large(run.work.cell.resources, total)
            self._storage.give_up(run, error)
            with self._lock:
                self._grid.fail(run.name, error=error, log="", ended=time.time())

    def poll(self) -> None:
        """Journal the epochs that stand by now, and refresh what others did; at most once a second."""
        now = self._clock()
        if now < self._next_poll:
            return
        self._next_poll = now + POLL_SECONDS
        self.outage.try_write(self._journal_epochs)
        self.outage.try_write(self._journal_time_to_go)
        if now >= self._next_refresh:
            self._next_refresh = now + REFRESH_SECONDS
            self.outage.try_write(self._refresh)

    def tell_time_to_go(self, study: str, seconds: float, factors: tuple[float, float]) -> None:
        """Have it journalled at the next look that `study` takes `seconds` more, times one of the factors."""
        self._time_to_go = TimeToGoReckoned(study, seconds, *factors, time=time.time())

    def _journal_time_to_go(self) -> None:
        told, self._time_to_go = self._time_to_go, None
        if told is not None:
            self._storage.append(told)

    def refresh_leases(self) -> None:
        """See which of the ready cells other drivers hold, before anything is started here."""
        with self._lock:
            ready = self._grid.ready()
        holders = self._storage.holders(ready)
        with self._lock:
            self._grid.held_elsewhere(holders)
        self._refresh()

    def _refresh(self) -> None:
        """Take in what other drivers finished, gave up or hold, and what people commanded."""
        holders = self._storage.holders(self._select(lambda run: bool(run.holder)))
        update = self._storage.read_update()
        with self._lock:
            self._grid.retry(update.commands, update.failed)
            finished = self._grid.take_in(update, time.time())
            self._grid.held_elsewhere(holders)
            self._grid.ask_to_stop(update.commands, self._clock())
        for key in finished:
            self._storage.release(key)
        self._publish()

    @property
    def to_kill(self) -> frozenset[str]:
        """The names of trials that have to end now: cancelled, or paused and at the end of an epoch."""
        due = (run for run in self._training() if may_be_ended(run, self._clock(), self._storage.is_writing))
        return frozenset(run.trial.name for run in due if run.trial is not None)

    def _journal_epochs(self) -> None:
        """Also those that came to stand after their cells were stopped."""
        for run in self._select(lambda run: run.trial is not None):
            self._journal_epochs_of(run.name)

    def _journal_epochs_of(self, name: str) -> None:
        run = self._grid[name]
        for row in self._storage.new_epochs(run):
            assert run.trial is not None
            if not self._storage.is_of_earlier_attempt(run.key, row):
                self._storage.append(epoch_event(run.key, run.trial.attempt, row))
            with self._lock:
                self._grid.update(name, epoch=int(row["epoch"]), metrics=dict(row))

    def trial_ended(self, request: TrialRequest, error: str | None) -> None:
        """Journal the end of an attempt: done if a result stands, else stopped, retried or given up."""
        error = error or "the trial ended without a result; report this as a bug"
        result = self._storage.result(request)
        self.outage.retry_until_available(lambda: self._journal_epochs_of(request.cell))
        end = self._storage.trial_end(request, result, error)
        run = self._grid[request.cell]
        if run.is_training:  # else `interrupted` has said what there is to say
            self._journal_end(run, end)

    def _journal_end(self, run: CellRun, end: TrialEnd) -> None:
        clocks = self._clock(), time.time()
        outcome = attempt_outcome(run, end, self._storage.storage, self._retries, *clocks)
        for event in outcome.events:
            self._storage.append(event)
        if outcome.failure is FailureKind.STORAGE:
            self.outage.begins(unmarked(end.error))
        if not outcome.keeps_lease:
            self._storage.release(run.key)
        with self._lock:
            self._grid.follow(run.name, outcome)
        self._publish()

    def _publish(self) -> None:
        with self._lock:
            amounts = self._grid.amounts(self._clock())
        self._storage.publish(amounts)

    def interrupted(self) -> None:
        """Journal that what still runs was stopped on purpose; it goes on from its last epoch next time.

        To be called when its workers are gone: another driver may start the cells at once. Any thread may.
        """
        self.outage.try_write(self._journal_epochs)
        with self._lock:
            left = self._grid.occupying
        for run in left:
            self._storage.journal_interrupted(run)
        with self._lock:
            self._grid.interrupt(left)
        self._storage.release_all()
