from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.scheduling.schedule import (
    Free,
    GridState,
    Progress,
    StartQueue,
    Task,
    remaining_chain_cost,
)
from orchestrator.study.model import Resources

ONE = Resources()


def gpus(count: float) -> Resources:
    return Resources(gpus_per_worker=count)


def chain(name: str, *costs: float, demand: Resources = ONE) -> list[Task]:
    tasks: list[Task] = []
    for index, cost in enumerate(costs):
        tasks.append(Task(f"{name}{index}", f"{name}{index - 1}" if index else None, cost, demand))
    return tasks


def test_priority_is_the_longest_line_of_descendants() -> None:
    forest = [*chain("a", 1, 2, 3), Task("fork", "a0", 10, ONE), Task("leaf", "fork", 1, ONE)]
    assert remaining_chain_cost(forest) == {"a0": 12, "a1": 5, "a2": 3, "fork": 11, "leaf": 1}


def test_a_task_is_placed_nowhere_unless_it_is_said() -> None:
    task = Task("a", None, 1, ONE)
    assert not task.alone
    queue = StartQueue([task])
    queue.place("a", ready=True)
    assert (queue.ready, queue.running) == (("a",), ())
    queue.place("a", running=True)
    assert (queue.ready, queue.running) == ((), ("a",))
    queue.place("a")
    assert (queue.ready, queue.running) == ((), ())


def test_the_longest_remaining_chain_starts_first() -> None:
    grid = GridState([*chain("short", 5), *chain("long", 1, 1, 9), *chain("middle", 4, 4)])
    started = []
    while not grid.is_finished:
        name = grid.next(Free(cpus=1))
        assert name is not None
        started.append(name)
        grid.started(name)
        grid.finished(name)
    assert started == ["long0", "long1", "long2", "middle0", "short0", "middle1"]


def test_a_cell_that_does_not_fit_lets_the_next_one_pass() -> None:
    large, small = Task("large", None, 9, gpus(2)), Task("small", None, 1, gpus(1))
    busy = Task("busy", None, 99, gpus(1))
    grid = GridState([large, small, busy])
    total = Free(cpus=8, gpus=2)
    grid.started("busy")
    assert grid.next(total) == "small"
    grid.started("small")
    assert grid.next(total) is None
    grid.finished("busy")
    assert grid.next(total) is None
    grid.finished("small")
    assert grid.next(total) == "large"


def test_what_can_never_fit_is_named() -> None:
    grid = GridState([*chain("a", 1, 1), Task("huge", None, 1, gpus(4)), Task("child", "a1", 1, gpus(4))])
    assert set(grid.never_fits(Free(cpus=8, gpus=2))) == {"huge", "child"}
    assert grid.never_fits(Free(cpus=8, gpus=4)) == ()


def test_shares_of_a_gpu_add_up() -> None:
    """In floating point 1 - (0.1 + 0.8) is less than 0.1."""
    shares = enumerate((0.1, 0.8, 0.1, 0.1))
    grid = GridState([Task(f"t{index}", None, 9 - index, gpus(share)) for index, share in shares])
    started = []
    while (name := grid.next(Free(cpus=99, gpus=1))) is not None:
        grid.started(name)
        started.append(name)
    assert started == ["t0", "t1", "t2"]


def test_skipped_cells_keep_their_place() -> None:
    grid = GridState([*chain("a", 9), *chain("b", 1)])
    assert grid.next(Free(1), skip={"a0"}) == "b0"
    assert grid.next(Free(1), skip={"a0", "b0"}) is None
    assert grid.next(Free(1)) == "a0"


def test_a_failed_cell_blocks_exactly_its_descendants() -> None:
    grid = GridState([*chain("a", 1, 1, 1), Task("fork", "a0", 1, ONE), *chain("b", 1, 1)])
    grid.started("a0")
    assert grid.finished("a0") == ("a1", "fork")
    grid.started("a1")
    assert grid.failed("a1") == ("a2",)
    assert grid.progress == {
        "a0": Progress.DONE,
        "a1": Progress.FAILED,
        "a2": Progress.BLOCKED,
        "fork": Progress.READY,
        "b0": Progress.READY,
        "b1": Progress.WAITING,
    }


def test_a_requeued_cell_runs_again_before_shorter_chains() -> None:
    grid = GridState([*chain("a", 2, 2), *chain("b", 1)])
    grid.started("a0")
    grid.requeued("a0")
    assert grid.next(Free(1)) == "a0"


def test_transitions_that_make_no_sense_raise() -> None:
    grid = GridState(chain("a", 1, 1))
    for wrong in (lambda: grid.started("a1"), lambda: grid.finished("a0"), lambda: grid.requeued("a0")):
        with pytest.raises(ValueError, match="cannot become"):
            wrong()
    with pytest.raises(ValueError, match="cannot fail; a1 is waiting"):
        grid.failed("a1")
    assert grid.progress == {"a0": Progress.READY, "a1": Progress.WAITING}


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([Task("a", None, 1, ONE), Task("a", None, 1, ONE)], "same name"),
        ([Task("a", "gone", 1, ONE)], "unknown parents gone"),
        ([Task("a", "b", 1, ONE), Task("b", "a", 1, ONE)], "wait for each other"),
    ],
)
def test_impossible_grids_are_refused(tasks: list[Task], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GridState(tasks)


@st.composite
def forests(draw: st.DrawFn) -> list[Task]:
    """Random forests with random costs and demands; every demand fits into 4 GPUs."""
    tasks: list[Task] = []
    for index in range(draw(st.integers(1, 24))):
        parents = [None, *(task.name for task in tasks)]
        parent = draw(st.sampled_from(parents[-4:]))
        demand = gpus(draw(st.sampled_from([0, 0.5, 1, 2, 4])))
        tasks.append(Task(f"t{index}", parent, draw(st.floats(0, 100)), demand))
    return draw(st.permutations(tasks))


def _descendants(tasks: list[Task], name: str) -> set[str]:
    below = {task.name for task in tasks if task.parent == name}
    return below.union(*(_descendants(tasks, child) for child in below)) if below else below


@settings(max_examples=150, deadline=None)
@given(tasks=forests(), seed=st.integers(0, 2**32))
def test_any_grid_ends_whatever_fails(tasks: list[Task], seed: int) -> None:
    """Never a child before its parent, never more than the cluster, no stall, exact blocking."""
    draw = random.Random(seed)
    by_name = {task.name: task for task in tasks}
    total = Free(cpus=6, gpus=4)
    grid = GridState(tasks)
    done: set[str] = set()
    failed: set[str] = set()
    blocked: set[str] = set()
    running: list[str] = []
    for _ in range(20 * len(tasks)):
        while (name := grid.next(total)) is not None:
            task = by_name[name]
            assert task.parent is None or task.parent in done
            grid.started(name)
            running.append(name)
            assert sum(by_name[one].demand.gpus for one in running) <= total.gpus
            assert sum(by_name[one].demand.cpus for one in running) <= total.cpus
        if grid.is_finished:
            break
        assert running, "nothing runs and nothing can start: a stall"
        ended = running.pop(draw.randrange(len(running)))
        outcome = draw.random()
        if outcome < 0.15:
            now_blocked = grid.failed(ended)
            assert set(now_blocked) == _descendants(tasks, ended)
            failed.add(ended)
            blocked.update(now_blocked)
        elif outcome < 0.3:
            grid.requeued(ended)
        else:
            grid.finished(ended)
            done.add(ended)
    assert grid.is_finished
    assert done | failed | blocked == set(by_name)
    assert len(done) + len(failed) + len(blocked) == len(tasks)
    assert set(grid.names(Progress.BLOCKED)) == blocked


@settings(max_examples=50, deadline=None)
@given(tasks=forests())
def test_remaining_cost_never_grows_along_a_chain(tasks: list[Task]) -> None:
    costs = remaining_chain_cost(tasks)
    for task in tasks:
        assert costs[task.name] >= task.cost
        if task.parent is not None:
            assert costs[task.parent] >= costs[task.name]
