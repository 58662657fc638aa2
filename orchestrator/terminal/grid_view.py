"""What the terminal shows of a submission at one moment (pure)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestrator.planning.cost import START_UP_SECONDS
from orchestrator.planning.eta import (
    ENOUGH_FINISHED,
    SPREADS,
    OpenCell,
    TrainedCell,
    eta_seconds,
    rates_so_far,
)
from orchestrator.planning.plan_model import Plan, State
from orchestrator.planning.rates import Rates
from orchestrator.running.cell_run import ENDED, CellRun, CellState, RunningCell, finished_seconds
from orchestrator.running.driver import Driver
from orchestrator.scheduling.schedule import Free
from orchestrator.terminal.live_view import GridView
from trainables.recipe.cell_spec import Which

# The rest of the grid is simulated for it: a tenth of a second with 1,000 cells to go.
_SHARE_FOR_ETA = 0.02
# Seconds between two reckonings, each of which is journalled, unless a cell starts, ends or shows its pace; a
# hundredth of the time to go between these.
_RECKON_SECONDS = (10.0, 60.0)

_SHOWN = {
    CellState.HELD_ELSEWHERE: "elsewhere",
    CellState.STARTING: "waiting",
    CellState.STOPPING: "running",
}


def _shown(state: State) -> str:
    return "waiting" if state is State.TO_RUN else str(state)


def shown_states(plan: Plan, cells: Mapping[str, CellRun]) -> dict[str, str]:
    """The state of every cell of a study, as people read it, by name; `cells` are those of its driver."""
    states = {planned.cell.name: _shown(planned.state) for planned in plan.cells}
    return states | {name: _SHOWN.get(run.state, str(run.state)) for name, run in cells.items()}


@dataclass(frozen=True)
class Seed:
    """What the time to go is reckoned with before a cell has shown its pace: the plan's own rates.

    `room` are the CPUs and GPUs that the cells may hold at once, as far as they are known.
    """

    rates: Rates | None = None
    room: Free = field(default_factory=lambda: Free(cpus=1))


class GridViewer:
    """Takes views of a driver; remembers what its cells held side by side, for the time to go.

    `resume` is the command that lets paused cells go on.
    """

    def __init__(
        self,
        plan: Plan,
        driver: Driver,
        report: Which = "last",
        seed: Seed | None = None,
        resume: str = "",
    ) -> None:
        self._plan = plan
        self._driver = driver
        self._report = report
        self._seed = seed or Seed()
        self._resume = resume or f"actiongrid resume {plan.study}"
        self._started = time.monotonic()
        self._room = self._seed.room
        self._start_ups: dict[str, float] = {}
        self._origin = "assumed"
        self._reckoned: float | None = None
        self._reckoned_at = self._reckoned_ago = 0.0
        self._reckon_at = self._reckon_if_news_at = 0.0
        self._known: frozenset[tuple[str, CellState, bool]] = frozenset()

    def view(self) -> GridView:
        """The state of every cell of the study now."""
        cells = self._driver.cells
        states = shown_states(self._plan, cells)
        return GridView(
            study=self._plan.study,
            states=states,
            running=self._driver.running,
            failures=self._driver.failures,
            measured={name: run.measured for name, run in cells.items() if run.measured is not None},
            eta_seconds=self._eta(),
            spread=SPREADS[self._origin],
            reckoned_ago=self._reckoned_ago,
            elapsed_seconds=time.monotonic() - self._started,
            holders={name: run.holder for name, run in cells.items() if run.holder},
            notice=self._notice(states),
            report=self._report,
        )

    def _notice(self, states: Mapping[str, str]) -> str:
        """What keeps the driver waiting or makes it leave, where nothing else says so."""
        if self._driver.outage.notice:
            return self._driver.outage.notice
        if self._driver.is_stopping:
            return "stopping: running cells go on from their last epoch the next time; again to stop at once"
        if self._driver.yields_to_priority:
            return "waiting: the cells of a study of higher priority go first"
        if self._driver.running or self._driver.has_work or self._driver.is_finished:
            return ""
        if "elsewhere" in states.values():
            return "waiting for cells that other drivers train"
        return f"paused; go on with: {self._resume}" if "paused" in states.values() else ""

    def _eta(self) -> float | None:
        """Seconds to go: the last reckoning, which the driver journals, less what has passed since."""
        begun = time.monotonic()
        if begun >= self._reckon_at or (begun >= self._reckon_if_news_at and self._news() != self._known):
            self._known = self._news()
            self._reckoned, self._reckoned_at = self._reckon(), begun
            if self._reckoned is not None:
                self._driver.tell_time_to_go(self._plan.study, self._reckoned, SPREADS[self._origin])
            shortest, longest = _RECKON_SECONDS
            pause = min(max(0.01 * (self._reckoned or 0.0), shortest), longest)
            self._reckon_if_news_at = begun + (time.monotonic() - begun) / _SHARE_FOR_ETA
            self._reckon_at = max(begun + pause, self._reckon_if_news_at)
        self._reckoned_ago = begun - self._reckoned_at
        return None if self._reckoned is None else self._reckoned - self._reckoned_ago

    def _news(self) -> frozenset[tuple[str, CellState, bool]]:
        """What a new reckoning has to follow: the state of every cell, and whether it has shown its pace."""
        return frozenset((name, run.state, bool(run.metrics)) for name, run in self._driver.cells.items())

    def _reckon(self) -> float | None:
        cells, now = self._driver.cells, time.time()
        running = {name: run.as_running for name, run in cells.items() if run.is_training}
        held = [cells[name].work.cell.resources for name in running]
        self._room = Free(
            cpus=max(self._room.cpus, sum(one.cpus for one in held)),
            gpus=max(self._room.gpus, sum(one.gpus for one in held)),
        )
        rates = self._rates(running, now)
        start_up = START_UP_SECONDS if rates is None else rates.start_up_seconds
        left = [open_cell(run, now, start_up) for run in cells.values() if run.state not in ENDED]
        return eta_seconds(left, rates, self._room)

    def _rates(self, running: Mapping[str, RunningCell], now: float) -> Rates | None:
        """By what has finished here, and by the epochs of what trains; before any, the plan's."""
        cells = self._driver.cells
        for name, one in running.items():
            if one.metrics:
                here = one.metrics["epoch"] - cells[name].work.begun
                passed = now - one.started - here * _epoch_seconds(one.metrics)
                self._start_ups[name] = max(min(passed, self._start_ups.get(name, passed)), 0.0)
        took = finished_seconds(cells)
        finished = [self._finished(cells[name], took[name]) for name in took if share_here(cells[name]) > 0]
        begun = [self._begun(cells[name]) for name, one in running.items() if one.metrics]
        self._origin = "finished" if len(finished) >= ENOUGH_FINISHED else "training"
        rates = rates_so_far([*finished, *begun])
        if rates is None:
            rates = self._seed.rates
            self._origin = "measured" if rates is not None and rates.samples else "assumed"
        # A start that is not over yet takes at least as long as it has taken.
        starting = max((now - one.started for one in running.values() if not one.metrics), default=0.0)
        if rates is not None and starting > rates.start_up_seconds:
            rates = replace(rates, start_up_seconds=starting)
        return rates

    def _finished(self, run: CellRun, seconds: float) -> TrainedCell:
        work = run.work.flops * share_here(run)
        return TrainedCell(run.work.cell, work, seconds, self._start_ups.get(run.name))

    def _begun(self, run: CellRun) -> TrainedCell:
        """A cell in training by its newest epoch: the first one is slower, and says nothing of the next."""
        start_up = self._start_ups.get(run.name, 0.0)
        work = run.work.flops / run.work.cell.recipe.epochs
        return TrainedCell(run.work.cell, work, start_up + _epoch_seconds(run.metrics), start_up)


def share_here(run: CellRun) -> float:
    """The share of a cell's epochs that was left to this driver."""
    return 1.0 - min(run.work.begun / run.work.cell.recipe.epochs, 1.0)


def open_cell(run: CellRun, now: float, start_up: float) -> OpenCell:
    """A cell that is not done. One in training has its start behind it, and the epochs that it has told of.

    One that starts has all that is left of its work before it, however long that takes.
    """
    work = run.work
    left = work.flops * (1.0 - min(run.begun / work.cell.recipe.epochs, 1.0))
    if not run.is_training:
        return OpenCell(work.cell, left, work.waits_for)
    epoch = run.metrics.get("epoch", 0.0)
    return OpenCell(work.cell, left, None, start_up if epoch else min(now - run.started, start_up))


def _epoch_seconds(metrics: Mapping[str, float]) -> float:
    """Seconds of training and evaluation of one epoch."""
    return metrics.get("train_seconds", 0.0) + metrics.get("eval_seconds", 0.0)
