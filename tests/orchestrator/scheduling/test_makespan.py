from __future__ import annotations

from itertools import permutations
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from benchmarks.schedule import lower_bound
from orchestrator.scheduling.makespan import doubling_table, longest_chain, makespan, simulate
from orchestrator.scheduling.schedule import Free, GridState, Task
from orchestrator.study.model import Resources

ENDLESS = float("inf")


def gpus(count: int, workers: int = 1) -> Resources:
    return Resources(workers=workers, gpus_per_worker=count)


ONE = gpus(1)


def chains(*costs: tuple[float, ...], demand: Resources = ONE) -> list[Task]:
    return [
        Task(f"{row}.{place}", f"{row}.{place - 1}" if place else None, cost, demand)
        for row, line in enumerate(costs)
        for place, cost in enumerate(line)
    ]


def seconds(tasks: list[Task]) -> dict[str, float]:
    return {task.name: task.cost for task in tasks}


def on(tasks: list[Task], count: int) -> float | None:
    return makespan(tasks, seconds(tasks), Free(ENDLESS, count))


def test_one_gpu_takes_the_sum_and_many_take_the_longest_chain() -> None:
    tasks = chains((1, 2, 4), (3,), (2, 2))
    assert on(tasks, 1) == 14
    assert on(tasks, 99) == 7 == longest_chain(tasks, seconds(tasks))
    # By hand: the chain of 7 on one GPU, 2 + 2 + 3 on the other.
    assert on(tasks, 2) == 7


def test_a_child_waits_for_its_parent() -> None:
    assert on(chains((5, 1), (1, 1)), 2) == 6


def test_what_never_fits_has_no_makespan() -> None:
    wide = [*chains((1,)), Task("wide", None, 1.0, gpus(1, workers=4))]
    assert on(wide, 2) is None
    assert on(wide, 4) == 2  # the wide one needs all four: one after the other


def test_wide_cells_count_as_much_work_as_they_hold_gpus() -> None:
    tasks = chains((3.0,), (3.0,), demand=gpus(1, workers=2))
    assert lower_bound(tasks, seconds(tasks), 4) == 3
    assert lower_bound(tasks, seconds(tasks), 2) == 6


def test_cells_that_run_already_need_only_what_is_left() -> None:
    tasks = chains((10, 4), (3,))
    state = GridState(tasks)
    assert simulate(state, seconds(tasks), Free(ENDLESS, 2), {"0.0": 2.5}) == 6.5


def test_the_table_ends_where_more_gpus_do_not_help() -> None:
    tasks = chains((2, 2), (2,), (2,), (1,), (1,))
    table, enough = doubling_table(tasks, seconds(tasks), on_cpus=False)
    assert enough == 3  # 10 seconds of work on 3 GPUs: the chain of 4 is longer
    assert [(row.count, row.seconds) for row in table] == [(1, 10), (2, 5), (3, 4), (4, 4)]


def test_without_gpus_cpus_are_counted() -> None:
    tasks = chains((2,), (2,), demand=Resources(cpus_per_worker=2))
    table, enough = doubling_table(tasks, seconds(tasks), on_cpus=True)
    assert [(row.count, row.seconds) for row in table] == [(1, None), (2, 4), (4, 2)]
    assert enough == 4


def test_nothing_to_run_needs_no_gpu() -> None:
    assert doubling_table([], {}, on_cpus=False) == ((), None)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=4), min_size=1, max_size=12),
    st.integers(1, 9),
)
def test_no_schedule_beats_the_bound_and_ours_is_below_twice_it(costs: list[list[int]], count: int) -> None:
    tasks = chains(*(tuple(float(cost) for cost in line) for line in costs))
    time = on(tasks, count)
    assert time is not None
    bound = lower_bound(tasks, seconds(tasks), count)
    assert bound - 1e-9 <= time <= 2 * bound + 1e-9


DEMANDS = (ONE, gpus(1, workers=2), Resources(gpus_per_worker=0.3333), Resources(cpus_per_worker=2))


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(DEMANDS), st.lists(st.sampled_from((1.0, 1.5, 2.0, 0.1)), max_size=4)),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 6),
    st.booleans(),
)
def test_tasks_as_numbers_take_what_the_scheduler_itself_takes(
    lines: list[tuple[Resources, list[float]]], count: int, alike: bool
) -> None:
    """To the bit, and where many tasks end at once: the plan's table is of the real order of starts."""
    tasks = [
        Task(f"{row}.{place}", f"{row}.{place - 1}" if place else None, cost, ONE if alike else demand)
        for row, (demand, line) in enumerate(lines)
        for place, cost in enumerate(line)
    ]
    total = Free(4 * count, count)
    grid = GridState(tasks)
    expected = None if grid.never_fits(total) else simulate(grid, seconds(tasks), total)
    assert makespan(tasks, seconds(tasks), total) == expected


def test_tasks_of_no_length_may_stand_behind_their_children() -> None:
    listed = [
        Task("short", "b", 1, ONE),
        Task("long", "a", 2, ONE),
        Task("then", "short", 1, ONE),
        Task("too", "short", 1, ONE),
        Task("a", None, 0, ONE),
        Task("b", None, 0, ONE),
    ]
    assert on(listed, 1) == 5


SHAPES = ((None,), (None, 0), (None, 0, 1), (None, 0, 0), (None, 0, 0, 1))  # each task's parent
LENGTHS = st.tuples(*[st.sampled_from((1.0, 2.0, 3.0, 0.1, 0.0))] * 4)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(SHAPES), LENGTHS), min_size=1, max_size=4),
    st.integers(1, 6),
    st.integers(1, 9),
    st.sampled_from(("{line}.{place}#{seed}", "{seed}.{line}.{place}", "{place}.{seed}.{line}")),
    st.randoms(use_true_random=False),
)
@example(  # seeds whose ends alternate with those of other forks
    [((None, 0), (1.0, 1.0, 0.0, 0.0)), ((None, 0, 0), (2.0, 3.0, 2.0, 0.0))],
    2,
    3,
    "{place}.{seed}.{line}",
    Random(0),
)
def test_seeds_that_are_counted_together_take_what_each_by_itself_takes(
    lines: list[tuple[tuple[int | None, ...], tuple[float, ...]]],
    seeds: int,
    count: int,
    named: str,
    order: Random,
) -> None:
    """To the bit; whatever their names, so that seeds end in turn with others, and whatever stands first."""
    tasks = _seeds(lines, seeds, named)
    if order.random() < 0.5:
        order.shuffle(tasks)
    assert on(tasks, count) == simulate(GridState(tasks), seconds(tasks), Free(ENDLESS, count))


def _seeds(
    lines: list[tuple[tuple[int | None, ...], tuple[float, ...]]], seeds: int, named: str
) -> list[Task]:
    def name(line: int, place: int | None, seed: int) -> str | None:
        return None if place is None else named.format(line=line, place=place, seed=seed)

    return [
        Task(str(name(line, place, seed)), name(line, parent, seed), lengths[place], ONE)
        for line, (parents, lengths) in enumerate(lines)
        for seed in range(seeds)
        for place, parent in enumerate(parents)
    ]


def test_forks_and_chains_share_a_cluster() -> None:
    forked = [Task("a", None, 2, ONE), Task("b", "a", 1, ONE), Task("c", "a", 3, gpus(2)), *chains((4,))]
    for count in (2, 3, 4):
        expected = simulate(GridState(forked), seconds(forked), Free(ENDLESS, count))
        assert on(forked, count) == expected


@pytest.mark.parametrize("order", permutations(range(3)))
def test_the_order_of_the_study_makes_no_difference(order: tuple[int, ...]) -> None:
    lines = [(1.0, 2.0, 4.0), (3.0,), (2.0, 2.5)]
    assert on(chains(*(lines[place] for place in order)), 2) == 7.5
