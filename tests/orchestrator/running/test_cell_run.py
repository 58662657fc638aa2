"""One cell's states: which may follow which, and that no order of events leads out of them."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.queries.drivers import MeasuredTop1
from orchestrator.coordination.requests import Command, StopRequest
from orchestrator.coordination.shared_cells import Failure, JournalUpdate
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.running.cell_run import (
    ENDED,
    OCCUPYING,
    RESTING,
    CellRun,
    CellState,
    CellWork,
    StopPoint,
    check_transition,
    may_be_ended,
    next_stop_point,
    resting_state,
)
from orchestrator.running.grid import Grid
from orchestrator.running.journal_events import AttemptOutcome
from orchestrator.scheduling.schedule import Free
from orchestrator.study.cells import expand
from orchestrator.study.load import parse_study

STUDY = """
name: toy
axes: {module: [tsn, tam, s3d], backbone: [tiny], frames: [8, 16, 32], dataset: [synthetic-motion]}
datasets: {synthetic-motion: {kind: synthetic-motion}}
recipe:
  base: {init: random, epochs: 3, batch_size: 8, crop_size: 32}
"""
ALLOWED = """
waiting: held elsewhere, starting, paused, cancelled, done, failed, blocked
held elsewhere: waiting, paused, cancelled, done, failed
starting: running, waiting, held elsewhere, paused, cancelled
running: stopping, waiting, held elsewhere, done, failed
stopping: running, paused, cancelled, done
paused: waiting, held elsewhere, cancelled, done, failed, blocked
cancelled: waiting, paused, done, failed, blocked
done:
failed: waiting, held elsewhere, paused, cancelled
blocked: waiting, held elsewhere, paused, cancelled
"""
PAIRS = {
    (before, after.strip())
    for line in ALLOWED.strip().splitlines()
    for before, _, states in [line.partition(":")]
    for after in states.split(",")
    if after.strip()
}


def all_work() -> list[CellWork]:
    cells = expand(parse_study(STUDY, "toy.yaml"))
    return [
        CellWork(cell, f"key of {cell.name}", None, cell.parent, float(cell.frames), 1, 1, "m", 4, 40, "e")
        for cell in cells
    ]


WORK = all_work()


def trial(name: str, attempt: int = 1) -> TrialRequest:
    return TrialRequest(
        f"{name}-a{attempt}", name, "key", attempt, "{}", 1, 1, 0, "train", "log", True, "storage"
    )


@pytest.mark.parametrize(("before", "after"), product(CellState, CellState))
def test_only_the_transitions_of_the_table_are_allowed(before: CellState, after: CellState) -> None:
    run = CellRun(WORK[0], before)
    if (str(before), str(after)) in PAIRS:
        check_transition(run, after)
    else:
        with pytest.raises(ValueError, match=f"cannot become {after}; {run.name} is {before}"):
            check_transition(run, after)


def test_a_grid_refuses_what_the_table_forbids() -> None:
    grid = Grid(WORK)
    parent = WORK[0].cell.name
    with pytest.raises(ValueError, match="cannot become done"):
        grid.start(parent)
        grid.finish(parent)
    grid.started(parent, trial(parent), 1.0, now=0.0)
    with pytest.raises(ValueError, match="cannot become starting"):
        grid.start(parent)
    with pytest.raises(ValueError, match="call the method for it"):
        grid.update(parent, state=CellState.DONE)
    assert grid[parent].state is CellState.RUNNING


def test_what_people_asked_goes_before_what_others_do() -> None:
    run = CellRun(WORK[0], holder="someone")
    assert resting_state(run, parent_cancelled=False) is CellState.HELD_ELSEWHERE
    paused = replace(run, stop_request=StopRequest.PAUSED)
    assert resting_state(paused, parent_cancelled=False) is CellState.PAUSED
    assert resting_state(paused, parent_cancelled=True) is CellState.CANCELLED
    assert resting_state(replace(run, holder=""), parent_cancelled=False) is CellState.WAITING


def test_a_pause_counts_from_when_it_was_given_and_a_cancellation_ends_soon() -> None:
    run = CellRun(WORK[0], CellState.RUNNING, epoch=1, trial=trial("x"))
    paused = replace(run, stop_request=StopRequest.PAUSED)
    paused = replace(paused, stop_point=next_stop_point(paused, 5.0))
    assert paused.stop_point == StopPoint(after_epoch=1)
    assert not may_be_ended(paused, 5.0, lambda _: False)
    later = replace(paused, epoch=2)
    assert next_stop_point(later, 9.0) == StopPoint(after_epoch=1)
    assert may_be_ended(later, 9.0, lambda _: True)
    assert not may_be_ended(replace(paused, epoch=3), 9.0, lambda _: False), "only its result is to come"
    cancelled = replace(later, stop_request=StopRequest.CANCELLED)
    cancelled = replace(cancelled, stop_point=next_stop_point(cancelled, 9.0))
    assert not may_be_ended(cancelled, 9.0, lambda _: True)
    assert may_be_ended(cancelled, 9.0, lambda _: False)
    assert may_be_ended(cancelled, 19.0, lambda _: True)
    assert next_stop_point(cancelled, 30.0) == cancelled.stop_point
    assert next_stop_point(replace(cancelled, stop_request=None), 30.0) is None


def test_a_cancelled_cells_child_goes_on_where_another_driver_finished_the_cell() -> None:
    grid = Grid(WORK)
    parent, child = next(
        (one.waits_for, one.cell.name) for one in WORK if one.waits_for and one.cell.frames == 16
    )
    grid.ask_to_stop([Command("1", "cancel", parent)], 0.0)
    assert grid[parent].state is grid[child].state is CellState.CANCELLED
    finished = JournalUpdate({grid[parent].key: MeasuredTop1(50.0)}, {}, ())
    assert grid.take_in(finished, 1.0) == (grid[parent].key,)
    assert grid[parent].state is CellState.DONE and grid[parent].measured == MeasuredTop1(50.0)
    assert grid[child].state is CellState.WAITING
    assert child in grid.startable(0.0)


class Play:
    """Plays events on a grid: whatever comes, each in a moment when a driver could send it."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.grid = Grid(WORK)
        self.commands: list[Command] = []
        self.finished: dict[str, MeasuredTop1] = {}
        self.failed: dict[str, Failure] = {}

    def some(self, states: frozenset[CellState]) -> list[CellRun]:
        found = list(self.grid.select(lambda run: run.state in states))
        return [self.draw.choice(found)] if found else []

    def start(self) -> None:
        run = self.grid.next_to_start(Free(cpus=3), now=0.0)
        if run is not None:
            self.grid.start(run.name)

    def started(self) -> None:
        for run in self.some(frozenset({CellState.STARTING})):
            found = self.draw.choice([trial(run.name, run.ends.ends + 1), "another driver", ""])
            self.grid.started(run.name, found, 1.0, now=0.0)

    def ended(self) -> None:
        for run in self.some(frozenset({CellState.RUNNING, CellState.STOPPING})):
            stopped = run.state is CellState.STOPPING
            ends = [CellState.DONE, CellState.WAITING, *([] if stopped else [CellState.FAILED])]
            state = self.draw.choice(ends)
            changes = {
                CellState.DONE: {"measured": MeasuredTop1(1.0, 8), "ended": 2.0},
                CellState.FAILED: {"error": "e", "log": "l", "ended": 2.0},
            }
            # Without a request it is tried again, or was taken over.
            left = {"holder": self.draw.choice(["", "another driver"]), "stop_point": None}
            self.grid.follow(run.name, AttemptOutcome(state, (), changes.get(state, left)))

    def command(self) -> None:
        action = self.draw.choice(["pause", "resume", "pause", "resume", "cancel", "retry"])
        cells = self.draw.choice(WORK).cell.name if action == "cancel" else self.draw.choice(["*", "*f8*"])
        self.commands.append(Command(str(len(self.commands)), action, cells))
        self.grid.retry(self.commands, self.failed)
        self.grid.ask_to_stop(self.commands, 0.0)

    def others(self) -> None:
        for run in self.some(RESTING):
            if self.draw.random() < 0.5:
                self.finished[run.key] = MeasuredTop1(1.0)
            else:
                self.failed[run.key] = Failure(1, "theirs", "")
        ready = self.grid.ready()
        self.grid.take_in(JournalUpdate(self.finished, self.failed, ()), 2.0)
        holders = {run.name: self.draw.choice([None, "another driver"]) for run in ready}
        self.grid.held_elsewhere(holders)

    def interrupt(self) -> None:
        self.grid.interrupt(self.grid.occupying)

    def step(self) -> None:
        events = [self.start, self.start, self.started, self.ended, self.command, self.others]
        self.draw.choice([*events, *events, self.interrupt])()


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 120))
def test_whatever_happens_every_cell_is_in_a_state_that_fits_the_others(seed: int, steps: int) -> None:
    play = Play(seed)
    for _ in range(steps):
        before, given = play.grid.snapshot(), len(play.commands)
        play.step()
        after = play.grid.snapshot()
        # Only a command to try again leads out of what failed.
        retried = any(command.action == "retry" for command in play.commands[given:])
        over = frozenset({CellState.DONE}) if retried else ENDED
        assert all(after[name].state is run.state for name, run in before.items() if run.state in over)
        check(play.grid)


def check(grid: Grid) -> None:
    runs = grid.snapshot()
    for run in runs.values():
        parent = runs[run.work.waits_for] if run.work.waits_for else None
        ready = parent is None or parent.state is CellState.DONE
        if run.state in (*OCCUPYING, CellState.DONE, CellState.FAILED, CellState.HELD_ELSEWHERE):
            assert ready, "never before its parent"
        if run.state in RESTING:
            cancelled = parent is not None and parent.state is CellState.CANCELLED
            assert run.state is resting_state(run, parent_cancelled=cancelled)
        assert (run.state is CellState.STOPPING) == (run.is_training and run.stop_point is not None)
        assert (run.state is CellState.FAILED) == (run.failure is not None)
        over = parent is not None and parent.state in (CellState.FAILED, CellState.BLOCKED)
        assert (run.state is CellState.BLOCKED) == over
        assert (run.name in grid._queue.ready) == (run.state is CellState.WAITING and ready)
    assert {run.name for run in grid.occupying} == {
        run.name for run in runs.values() if run.state in OCCUPYING
    }
    over_states = ENDED | {CellState.CANCELLED}
    assert grid.is_finished == all(run.state in over_states for run in runs.values())
