"""What the terminal shows of a submission at one moment (pure)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from orchestrator.planning.eta import OpenCell, TrainedCell, eta_seconds, rates_so_far
from orchestrator.planning.plan_model import Plan, State
from orchestrator.running.cell_run import ENDED, CellRun, CellState, finished_seconds
from orchestrator.running.driver import Driver
from orchestrator.scheduling.schedule import Free
from orchestrator.terminal.live_view import GridView
from trainables.recipe.cell_spec import Which

# The rest of the grid is simulated for it: a tenth of a second with 1,000 cells to go.
_SHARE_FOR_ETA = 0.02

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


class GridViewer:
    """Takes views of a driver; remembers what its cells held side by side, for the time to go."""

    def __init__(self, plan: Plan, driver: Driver, report: Which = "last") -> None:
        """`report`: the checkpoint whose top-1 the study reports."""
        self._plan = plan
        self._report: Which = report
        self._driver = driver
        self._started = time.monotonic()
        self._room = Free(cpus=1)
        self._reckoned: float | None = None
        self._reckoned_at = 0.0
        self._reckon_at = 0.0

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
        return "paused; go on with: actiongrid resume" if "paused" in states.values() else ""

    def _eta(self) -> float | None:
        """Seconds to go; of a large grid the last reckoning, less what has passed since."""
        begun = time.monotonic()
        if begun >= self._reckon_at:
            self._reckoned, self._reckoned_at = self._reckon(), begun
            self._reckon_at = begun + (time.monotonic() - begun) / _SHARE_FOR_ETA
        passed = begun - self._reckoned_at
        return None if self._reckoned is None else max(self._reckoned - passed, 0.0)

    def _reckon(self) -> float | None:
        cells, now = self._driver.cells, time.time()
        running = {name: run.as_running for name, run in cells.items() if run.is_training}
        held = [cells[name].work.cell.resources for name in running]
        self._room = Free(
            cpus=max(self._room.cpus, sum(one.cpus for one in held)),
            gpus=max(self._room.gpus, sum(one.gpus for one in held)),
        )
        finished = [_trained(cells[name], 1.0, took) for name, took in finished_seconds(cells).items()]
        # An epoch is half over on average; better than nothing until the first cell has finished.
        begun = [
            _trained(cells[name], min((one.metrics["epoch"] + 0.5) / one.epochs, 1.0), now - one.started)
            for name, one in running.items()
            if "epoch" in one.metrics
        ]
        left = [
            OpenCell(
                run.work.cell,
                run.work.flops,
                run.work.waits_for,
                now - run.started if run.is_training else None,
            )
            for run in cells.values()
            if run.state not in ENDED
        ]
        return eta_seconds(left, rates_so_far(finished or begun), self._room)


def _trained(run: CellRun, part: float, seconds: float) -> TrainedCell:
    return TrainedCell(run.work.cell, run.work.flops * part, seconds)
