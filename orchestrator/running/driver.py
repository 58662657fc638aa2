"""The driver of one submission: which cell next, what is journalled, what is retried. Knows no Ray.

Tune's adapter (`orchestrator.ray_runtime.tune_adapter`) asks and tells; every fact is in the journal before
anything is done about it. What a trial did is read from its cell's run directory; what other drivers did,
from the storage (`orchestrator.coordination.shared_cells`): a cell is started only under its lease.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from catalog.events import AttemptEnded, AttemptStarted, CellFailed, Event
from catalog.storage.layout import Layout
from catalog.storage.outage import Outage, room_for_a_checkpoint
from orchestrator.coordination.requests import Standing, cancelled, standings
from orchestrator.coordination.shared_cells import News, SharedCells
from orchestrator.ray_runtime.train_run import TrialRequest
from orchestrator.running.attempt_files import RunReader
from orchestrator.running.cell_request import cell_request
from orchestrator.running.epochs_on_disk import EpochsOnDisk
from orchestrator.running.journal_events import finished_event
from orchestrator.running.stopping import CHECKPOINT_WAIT_SECONDS, Stops, checkpoint_in_writing
from orchestrator.running.work import CellFailure, CellWork, RunningCell, Terms
from orchestrator.scheduling.memory_reduction import eased, easier, held_back
from orchestrator.scheduling.retry import Attempts, FailureKind, back_off_seconds, classify, decide
from orchestrator.scheduling.schedule import Free, GridState, Progress, Task, too_large

POLL_SECONDS = 1.0
HEAR_SECONDS = 2.0


class Driver:
    """State of one submission. Tune's thread changes it, the terminal's reads it; both hold the lock.

    `stop`, once set, asks the driver to leave its cells as soon as no checkpoint is being written.
    """

    def __init__(
        self,
        work: Sequence[CellWork],
        layout: Layout,
        append: Callable[[Event], Event],
        shared: SharedCells,
        terms: Terms,
        stop: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._work = {item.cell.name: item for item in work}
        self._layout = layout
        self._stop = stop or threading.Event()
        self.outage = Outage(
            layout.root, room_for_a_checkpoint(item.params for item in work), self._stop, clock
        )
        self._journal = append
        self._shared = shared
        self._terms = terms
        self._leave_by: float | None = None
        self._counts: dict[str, Attempts] = {}
        self._not_before: dict[str, float] = {}
        self._running: dict[str, RunningCell] = {}
        self._requests: dict[str, TrialRequest] = {}
        self._elsewhere: dict[str, str] = {}
        self._standing: dict[str, Standing] = {}
        self._stops = Stops(clock)
        self._runs = RunReader(layout, together=terms.local, clock=clock)
        self._epochs = EpochsOnDisk(self._runs, self._append, shared)
        shared.retry_with(self.outage.retry_until_available)
        self._next_poll = 0.0
        self._next_hearing = 0.0
        self._failures: list[CellFailure] = []
        self._seconds: dict[str, float] = {}
        self._top1: dict[str, float] = {}
        self._lock = threading.RLock()
        self._grid = GridState(
            [Task(item.cell.name, item.waits_for, max(item.flops, 1.0), item.cell.resources) for item in work]
        )

    def _append(self, event: Event) -> None:
        self.outage.retry_until_available(lambda: self._journal(event))

    @property
    def is_finished(self) -> bool:
        """Nothing runs and nothing can start any more, here or elsewhere."""
        with self._lock:
            return self._grid.is_finished or (not self._running and not self._left())

    @property
    def is_stopping(self) -> bool:
        """Whether the driver was asked to stop."""
        return self._stop.is_set()

    @property
    def gives_way(self) -> bool:
        """Whether nothing starts here because a study of higher priority has cells ready."""
        return self._shared.gives_way

    @property
    def leave_now(self) -> bool:
        """Whether the driver was asked to stop, and no cell is writing a checkpoint (or for too long)."""
        if not self._stop.is_set():
            return False
        with self._lock:
            if self._leave_by is None:
                self._leave_by = self._clock() + CHECKPOINT_WAIT_SECONDS
            return self._clock() >= self._leave_by or not any(map(self._writes, self._running.values()))

    @property
    def has_work(self) -> bool:
        """Whether some cell could be started here, as far as other drivers and commands go."""
        with self._lock:
            skip = self._skip()
            return bool(self._running) or any(name not in skip for name in self._grid.names(Progress.READY))

    @property
    def progress(self) -> Mapping[str, Progress]:
        """How far every cell of this submission is, by name."""
        with self._lock:
            return self._grid.progress

    @property
    def running(self) -> tuple[RunningCell, ...]:
        """The cells in training."""
        with self._lock:
            return tuple(self._running.values())

    @property
    def holders(self) -> Mapping[str, str]:
        """The cells that other drivers hold, by name, and who that is."""
        with self._lock:
            return dict(self._elsewhere)

    @property
    def standing(self) -> Mapping[str, Standing]:
        """The cells that do not run and are paused, or cancelled by themselves or through a parent."""
        with self._lock:
            open_names = self._open_names()
            paused = {name: self._standing[name] for name in open_names if name in self._standing}
            return paused | dict.fromkeys(self._cancelled(open_names), Standing.CANCELLED)

    @property
    def failures(self) -> tuple[CellFailure, ...]:
        """The cells that were given up, with what they block."""
        with self._lock:
            return tuple(self._failures)

    @property
    def finished_seconds(self) -> Mapping[str, float]:
        """Wall seconds from start to end of the cells that this submission finished, by name."""
        with self._lock:
            return dict(self._seconds)

    @property
    def top1(self) -> Mapping[str, float]:
        """Top-1 in percent of the cells that were finished meanwhile, here or elsewhere, by name."""
        with self._lock:
            return dict(self._top1)

    @property
    def work(self) -> Mapping[str, CellWork]:
        """The cells of this submission, by name."""
        return self._work

    def next_trial(self, total: Free) -> TrialRequest | None:
        """Start the ready cell with the longest remaining chain that fits; journal it, return its trial."""
        with self._lock:
            self.poll()
            if self._stop.is_set() or not self.outage.is_over():
                return None
            self._give_up_what_never_fits(total)
            return self.outage.try_write(lambda: self._next_that_fits(self._shared.room(total)))

    def _next_that_fits(self, room: Free | None) -> TrialRequest | None:
        while room is not None and (name := self._grid.next(room, skip=self._skip())) is not None:
            request = self._start(self._work[name])
            if request is not None:
                self._grid.started(name)
                self._publish()
                return request
        return None

    def _skip(self) -> frozenset[str]:
        now = self._clock()
        backing_off = (name for name, moment in self._not_before.items() if moment > now)
        skip = frozenset((*backing_off, *self._elsewhere, *self._standing))
        if not any(item.alone for item in self._work.values()):
            return skip
        ready = (self._work[name] for name in self._grid.names(Progress.READY) if name not in skip)
        return skip | held_back(ready, (self._work[name] for name in self._running))

    def _give_up_what_never_fits(self, total: Free) -> None:
        for name in self._grid.never_fits(total):
            if self._grid.progress[name] is Progress.READY and name not in self._elsewhere:
                item = self._work[name]
                error = too_large(item.cell.resources, total)
                self._give_up(item, self._shared.attempts(item.key), error, "")

    def _start(self, item: CellWork) -> TrialRequest | None:
        """The cell's next attempt, or None where another driver has the cell."""
        name = item.cell.name
        run_dir = self._layout.run_dir(name, item.key)
        claim = self._shared.claim(item.key, run_dir)
        if claim.attempt is None:
            self._elsewhere[name] = claim.holder
            return None
        try:
            request = cell_request(item, claim.attempt, self._layout, self._terms)
            driver, host, named = self._terms.writer, platform.node(), self._layout.named(run_dir)
            started = AttemptStarted(item.key, claim.attempt, driver, host, named)
            self._append(replace(started, accumulation=item.accumulation, alone=item.alone))
        except BaseException:
            self._shared.release(item.key)
            raise
        self._requests[name] = request
        self._epochs.started(request)
        self._running[name] = RunningCell(name, claim.attempt, time.time(), item.cell.recipe.epochs, {})
        return request

    def poll(self) -> None:
        """Journal the epochs that stand on disk by now, and hear of others; looks at most once a second."""
        with self._lock:
            now = self._clock()
            if now < self._next_poll:
                return
            self._next_poll = now + POLL_SECONDS
            self.outage.try_write(self._journal_epochs)
            if now >= self._next_hearing:
                self._next_hearing = now + HEAR_SECONDS
                self.outage.try_write(lambda: self._hear(self._shared.news()))

    def look_around(self) -> None:
        """See which of the ready cells other drivers hold, before anything is started here."""
        with self._lock:
            for name in self._grid.names(Progress.READY):
                holder = self._shared.holder(self._work[name].key)
                if holder is not None:
                    self._elsewhere[name] = holder
            self._hear(self._shared.news())

    def _hear(self, news: News) -> None:
        """Take in what other drivers finished or gave up, who holds what, and what people commanded."""
        ready = self._grid.names(Progress.READY)
        while ready:  # a cell that was finished elsewhere makes its child ready, which may be finished too
            known = [name for name in ready if self._take_in(name, news)]
            ready = self._grid.names(Progress.READY) if known else ()
        for name in tuple(self._elsewhere):
            holder = self._shared.holder(self._work[name].key)
            if holder is None:
                del self._elsewhere[name]
            else:
                self._elsewhere[name] = holder
        self._standing = standings(self._work, news.commands)
        for name, cell in self._running.items():
            self._stops.ask(name, self._standing.get(name), self._epoch(cell))
        self._publish()

    def _take_in(self, name: str, news: News) -> bool:
        """Whether a ready cell turned out to be finished or given up elsewhere."""
        item = self._work[name]
        if item.key in news.finished:
            self._elsewhere.pop(name, None)
            self._shared.release(item.key)
            self._top1[name] = news.finished[item.key]
            self._grid.started(name)
            self._grid.finished(name)
            return True
        failure = news.failed.get(item.key)
        if failure is None or name not in self._elsewhere:
            return False
        holder = self._elsewhere.pop(name)
        blocked = self._grid.failed(name)
        self._failures.append(CellFailure(name, f"{failure.error} ({holder})", failure.log, blocked))
        return True

    def _epoch(self, cell: RunningCell) -> int:
        return self._epochs.last(self._work[cell.name].key)

    @property
    def to_kill(self) -> frozenset[str]:
        """The names of trials that have to end now: cancelled, or paused and at the end of an epoch."""
        with self._lock:
            cells = self._running.values()
            due = (cell for cell in cells if self._stops.is_due(cell, self._epoch(cell), self._writes))
            return frozenset(self._requests[cell.name].name for cell in due)

    def _writes(self, cell: RunningCell) -> bool:
        run_dir = self._layout.run_dir(cell.name, self._work[cell.name].key)
        return checkpoint_in_writing(run_dir, cell.started)

    def _journal_epochs(self) -> None:
        for request in self._requests.values():
            metrics = self._epochs.journal(request)
            if metrics is not None:
                self._running[request.cell] = replace(self._running[request.cell], metrics=metrics)
        self._epochs.journal_stopped()

    def trial_ended(self, request: TrialRequest, error: str | None) -> None:
        """Journal the end of an attempt: done if a result stands, else stopped, retried or given up."""
        with self._lock:
            # The result first: asking for it brings the last epochs, where they are in a bucket.
            result = self.outage.retry_until_available(lambda: self._runs.result(request))
            self.outage.retry_until_available(lambda: self._epochs.journal(request))
            running = self._running.pop(request.cell)
            del self._requests[request.cell]
            stopped = self._stops.pop(request.cell)
            item = self._work[request.cell]
            if not self._shared.is_ours(request.key):
                self._stopped(item, request, "another driver took the cell over")
                self._elsewhere[request.cell] = self._shared.holder(request.key) or "another driver"
            elif result is not None:
                self._append(AttemptEnded(request.key, request.attempt, "done"))
                self._append(finished_event(item, request.attempt, result, self._layout))
                self._shared.release(request.key)
                self._seconds[request.cell] = time.time() - running.started
                self._top1[request.cell] = result.history[-1]["top1"]
                self._grid.finished(request.cell)
            elif stopped:
                self._stopped(item, request, "stopped by command")
            else:
                self._failed(item, request, error or "the trial ended without a result; report this as a bug")
            self._publish()

    def _stopped(self, item: CellWork, request: TrialRequest, why: str) -> None:
        self._append(AttemptEnded(request.key, request.attempt, "interrupted", why))
        self._epochs.stopped(request)
        self._shared.release(item.key)
        self._grid.requeued(item.cell.name)

    def _failed(self, item: CellWork, request: TrialRequest, error: str) -> None:
        log = self._layout.named(request.log)
        self._append(AttemptEnded(request.key, request.attempt, "failed", error, log))
        kind = classify(error)
        counts = self._counts.get(request.cell, Attempts()).after(kind)
        self._counts[request.cell] = counts
        if kind is FailureKind.STORAGE:
            self.outage.begins(error)
        easing = easier(item) if kind is FailureKind.MEMORY else None
        decision = decide(kind, counts, retries=self._terms.retries, way_out=str(easing or ""))
        if decision.retry:
            if easing is not None:
                self._work[request.cell] = eased(item, easing)
                self._grid.ask_otherwise(request.cell, self._work[request.cell].cell.resources)
            self._grid.requeued(request.cell)
            self._not_before[request.cell] = self._clock() + back_off_seconds(counts.ends)
            return
        self._give_up(item, request.attempt, f"{error} ({decision.reason})", log)

    def _give_up(self, item: CellWork, attempt: int, error: str, log: str) -> None:
        self._append(CellFailed(item.key, attempt, error, log))
        self._shared.release(item.key)
        blocked = self._grid.failed(item.cell.name)
        self._failures.append(CellFailure(item.cell.name, error, log, blocked))

    def _open_names(self) -> tuple[str, ...]:
        """The cells that are neither over nor running."""
        waiting = (Progress.READY, Progress.WAITING)
        return tuple(name for name, progress in self._grid.progress.items() if progress in waiting)

    def _cancelled(self, open_names: Sequence[str]) -> frozenset[str]:
        """Of these the cancelled ones, and those that wait for one."""
        return cancelled(self._standing, {name: self._work[name].waits_for for name in open_names})

    def _left(self) -> bool:
        open_names = self._open_names()
        return len(self._cancelled(open_names)) < len(open_names)

    def _publish(self) -> None:
        demands = [self._work[name].cell.resources for name in self._running]
        skip = self._skip()
        ready = {
            self._work[name].cell.resources for name in self._grid.names(Progress.READY) if name not in skip
        }
        running = (float(sum(one.cpus for one in demands)), float(sum(one.gpus for one in demands)))
        self._shared.publish(running, sorted((float(one.cpus), float(one.gpus)) for one in ready))

    def interrupted(self) -> None:
        """Journal that what still runs was stopped on purpose; it goes on from its last epoch next time.

        To be called when its workers are gone: another driver may start the cells at once.
        """
        with self._lock:
            self._journal_epochs()
            for cell in self._running.values():
                item = self._work[cell.name]
                if self._shared.is_ours(item.key):
                    self._append(AttemptEnded(item.key, cell.attempt, "interrupted"))
                self._grid.requeued(cell.name)
            self._running.clear()
            self._requests.clear()
            self._shared.release_all()
