"""The cells of one submission: each one's record, and the queue of those that could start; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.coordination.drivers import Amount
from orchestrator.coordination.requests import Command, retried, stop_requests
from orchestrator.coordination.shared_cells import Failure, JournalUpdate
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.running.cell_run import (
    ENDED,
    OCCUPYING,
    RESTING,
    CellFailure,
    CellRun,
    CellState,
    CellWork,
    check_transition,
    next_stop_point,
    resting_state,
)
from orchestrator.running.journal_events import AttemptOutcome
from orchestrator.scheduling.retry import Attempts, deferred
from orchestrator.scheduling.schedule import Free, StartQueue


class Grid:
    """Records by cell. A state changes in `_move` alone, which keeps the queue in step with it."""

    def __init__(self, work: Sequence[CellWork]) -> None:
        """Start with every cell waiting.

        Raises:
            ValueError: The cells do not make chains (`StartQueue`).
        """
        self._runs = {item.cell.name: CellRun(item) for item in work}
        self._queue = StartQueue([item.task for item in work])
        self._some_alone = any(item.reduction.alone for item in work)
        self._obeyed: frozenset[str] = frozenset()
        for run in self._runs.values():
            self._place(run)

    def __getitem__(self, name: str) -> CellRun:
        return self._runs[name]

    def snapshot(self) -> Mapping[str, CellRun]:
        """All records as they are now, by name."""
        return dict(self._runs)

    def select(self, wanted: Callable[[CellRun], bool]) -> tuple[CellRun, ...]:
        """The records for which `wanted` says so."""
        return tuple(filter(wanted, self._runs.values()))

    @property
    def is_finished(self) -> bool:
        """Whether nothing runs and nothing can start any more, here or elsewhere."""
        over = ENDED | {CellState.CANCELLED}
        return not self._queue.running and all(run.state in over for run in self._runs.values())

    @property
    def occupying(self) -> tuple[CellRun, ...]:
        """The cells whose resources are taken."""
        return tuple(self._runs[name] for name in self._queue.running)

    def startable(self, now: float) -> tuple[str, ...]:
        """The cells that could start if there was room, the longest remaining chain first."""
        names = tuple(name for name in self._queue.ready if self._runs[name].not_before <= now)
        later = self._deferred(names)
        return tuple(name for name in names if name not in later)

    def amounts(self, now: float) -> tuple[Amount, list[Amount]]:
        """(CPUs, GPUs) that are taken, and what each kind of cell that could start asks for."""
        taken = [run.work.cell.resources for run in self.occupying]
        kinds = {self._runs[name].work.cell.resources for name in self.startable(now)}
        return (
            (float(sum(one.cpus for one in taken)), float(sum(one.gpus for one in taken))),
            sorted((float(one.cpus), float(one.gpus)) for one in kinds),
        )

    def next_to_start(self, total: Free, now: float) -> CellRun | None:
        """The first of the startable cells that fits beside those that run."""
        startable = self.startable(now) if self._some_alone else None
        for name in self._queue.fitting(total):
            run = self._runs[name]
            if run.not_before <= now and (startable is None or name in startable):
                return run
        return None

    def _deferred(self, names: Iterable[str]) -> frozenset[str]:
        if not self._some_alone:
            return frozenset()
        ready = (self._runs[name].work.task for name in names)
        return deferred(ready, (run.work.task for run in self.occupying))

    def never_fitting(self, total: Free) -> tuple[CellRun, ...]:
        """The cells whose turn it would be, but for which the whole cluster is too small."""
        large = (self._runs[name] for name in self._queue.larger_than(total))
        return tuple(run for run in large if run.state in RESTING and not run.holder and self._is_ready(run))

    def ready(self) -> tuple[CellRun, ...]:
        """The cells that wait for no parent and neither run nor are over."""
        return tuple(run for run in self._runs.values() if run.state in RESTING and self._is_ready(run))

    def _is_ready(self, run: CellRun) -> bool:
        parent = run.work.waits_for
        return parent is None or self._runs[parent].state is CellState.DONE

    def update(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - any field of the record but `state`
        """Change what is known of a cell, but not its state."""
        if "state" in changes:
            raise ValueError(f"a state is not changed like this; {name}; call the method for it")
        self._runs[name] = replace(self._runs[name], **changes)

    def start(self, name: str) -> None:
        """A waiting cell is about to start."""
        self._move(name, CellState.STARTING)

    def started(self, name: str, found: TrialRequest | str, started: float, now: float) -> None:
        """What came of a start: a trial, or, in words, who holds the cell (nobody: it did not succeed).

        `started` in seconds since 1970, `now` on the driver's clock.
        """
        if self._runs[name].state is not CellState.STARTING:
            return  # it was interrupted meanwhile
        if isinstance(found, str):
            self.rest(name, holder=found)
            return
        new = {"trial": found, "started": started, "metrics": {}, "stop_point": None}
        self._move(name, CellState.RUNNING, **new)
        self._set_stop_point(name, now)

    def rest(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - any field of the record but `state`
        """A cell neither runs nor is over: its state follows from what people asked and others do."""
        run = replace(self._runs[name], **changes)
        state = resting_state(run, parent_cancelled=self._parent_is_cancelled(run))
        if run.work is not self._runs[name].work:
            self._queue.replace(run.work.task)
            self._some_alone |= run.work.reduction.alone
        if state is run.state:
            self._runs[name] = run
            return
        self._move(name, state, **changes)
        for child in self._queue.children(name):
            if self._runs[child].state in RESTING:
                self.rest(child)

    def _parent_is_cancelled(self, run: CellRun) -> bool:
        parent = run.work.waits_for
        return parent is not None and self._runs[parent].state is CellState.CANCELLED

    def finish(self, name: str, **changes: Any) -> None:  # noqa: ANN401 - any field of the record but `state`
        """A cell is done, here or elsewhere; its children can start."""
        self._move(name, CellState.DONE, holder="", trial=None, stop_point=None, **changes)
        for child in self._queue.children(name):
            self.rest(child)
            self._place(self._runs[child])

    def fail(self, name: str, error: str, log: str, ended: float, **changes: Any) -> None:  # noqa: ANN401
        """A cell is given up, with all that wait for it."""
        blocked = self._queue.descendants(name)
        failure = CellFailure(name, error, log, blocked)
        self._move(name, CellState.FAILED, holder="", trial=None, failure=failure, ended=ended, **changes)
        for child in blocked:
            self._move(child, CellState.BLOCKED)

    def follow(self, name: str, outcome: AttemptOutcome) -> None:
        """An attempt is over, with this outcome."""
        if outcome.state is CellState.DONE:
            self.finish(name, **outcome.changes)
        elif outcome.state is CellState.FAILED:
            self.fail(name, **outcome.changes)
        else:
            self.rest(name, **outcome.changes)

    def interrupt(self, runs: Iterable[CellRun]) -> None:
        """Nothing of these cells runs any more, nor was it to end."""
        for run in runs:
            if self._runs[run.name].state in OCCUPYING:
                self.rest(run.name, trial=None, stop_point=None)

    def held_elsewhere(self, holders: Mapping[str, str | None]) -> None:
        """Who else holds these cells, in words, by name; None: nobody (any more)."""
        for name, holder in holders.items():
            if self._runs[name].state in RESTING:
                self.rest(name, holder=holder or "")

    def take_in(self, update: JournalUpdate, ended: float) -> tuple[str, ...]:
        """Take in what others finished or gave up by now (`ended`, seconds since 1970).

        Returns:
            The keys of the cells that are finished.
        """
        finished = []
        runs = list(self.ready())
        for run in runs:  # grows: a cell that was finished elsewhere makes its child ready
            failure = update.failed.get(run.key)
            if run.key in update.finished:
                finished.append(run.key)
                self.finish(run.name, measured=update.finished[run.key])
                runs.extend(self._runs[child] for child in self._queue.children(run.name))
            elif failure is not None and run.holder and failure.attempt > run.retried_after:
                self.fail(run.name, f"{failure.error} ({run.holder})", failure.log, ended)
        return tuple(finished)

    def ask_to_stop(self, commands: Sequence[Command], now: float) -> None:
        """What holds for the cells after all commands so far; `now`: the driver's clock."""
        requests = stop_requests(self._runs, commands)
        changed = [run for run in self._runs.values() if run.stop_request is not requests.get(run.name)]
        for run in changed:
            self.update(run.name, stop_request=requests.get(run.name))
            if run.state in RESTING:
                self.rest(run.name)
            elif run.is_training:
                self._set_stop_point(run.name, now)

    def retry(self, commands: Sequence[Command], failures: Mapping[str, Failure]) -> None:
        """Let failed cells that people ask to try again wait for their next attempt, with what they block.

        Each command counts once: a cell that fails again after it stays so. `failures`: the latest, by key.
        """
        new = [command for command in commands if command.id not in self._obeyed]
        self._obeyed |= {command.id for command in new}
        for name in retried(self._runs, new):
            if self._runs[name].state is CellState.FAILED:
                self._try_again(name, failures.get(self._runs[name].key))

    def _try_again(self, name: str, failure: Failure | None) -> None:
        after = failure.attempt if failure is not None else 0
        fresh = {"ends": Attempts(), "not_before": 0.0, "ended": 0.0, "failure": None}
        self.rest(name, retried_after=after, **fresh)
        for child in self._queue.descendants(name):
            self.rest(child)

    def _set_stop_point(self, name: str, now: float) -> None:
        """Bring a cell in training, and where it is to end, in line with what people ask."""
        point = next_stop_point(self._runs[name], now)
        state = CellState.RUNNING if point is None else CellState.STOPPING
        self.update(name, stop_point=point)
        if state is not self._runs[name].state:
            self._move(name, state)

    def _move(self, name: str, state: CellState, **changes: Any) -> None:  # noqa: ANN401 - fields of the record
        before = self._runs[name]
        check_transition(before, state)
        self._runs[name] = replace(before, state=state, **changes)
        self._place(self._runs[name])

    def _place(self, run: CellRun) -> None:
        ready = run.state is CellState.WAITING and self._is_ready(run)
        self._queue.place(run.name, ready=ready, running=run.state in OCCUPYING)
