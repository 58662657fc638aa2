"""How long a grid takes on so many GPUs: its own scheduler driven through simulated time (pure)."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orchestrator.scheduling.schedule import Free, GridState, Task, remaining_chain_cost

# More GPUs are said to help no more once they save less than this share of the time.
WORTH = 0.01
_LARGEST = 4096  # GPUs


class Queue(Protocol):
    """Which task starts next: `orchestrator.scheduling.schedule.GridState`, and what it is compared with."""

    def next(self, total: Free) -> str | None:
        """The task to start now on a cluster of this size, or None."""

    def started(self, name: str) -> object:
        """A task runs now."""

    def finished(self, name: str) -> object:
        """A running task is done."""


def simulate(
    queue: Queue, seconds: Mapping[str, float], total: Free, head_start: Mapping[str, float] | None = None
) -> float:
    """Seconds until nothing runs and nothing can start any more.

    Args:
        queue: the policy, with its tasks.
        seconds: how long each task takes, by name.
        total: the cluster.
        head_start: tasks that run already, with the seconds that they have left.
    """
    clock = 0.0
    running: list[tuple[float, str]] = []
    for early, left in (head_start or {}).items():
        queue.started(early)
        heapq.heappush(running, (left, early))
    while True:
        while (name := queue.next(total)) is not None:
            queue.started(name)
            heapq.heappush(running, (clock + seconds[name], name))
        if not running:
            return clock
        clock, ended = heapq.heappop(running)
        queue.finished(ended)


def makespan(tasks: Sequence[Task], seconds: Mapping[str, float], total: Free) -> float | None:
    """Seconds that `tasks` take, the longest remaining chain first; None where one of them never fits."""
    grid = GridState([Task(one.name, one.parent, seconds[one.name], one.demand) for one in tasks])
    return None if grid.never_fits(total) else simulate(grid, seconds, total)


def longest_chain(tasks: Sequence[Task], seconds: Mapping[str, float]) -> float:
    """Seconds of the longest line of tasks that wait for each other: no cluster is quicker."""
    timed = [Task(one.name, one.parent, seconds[one.name], one.demand) for one in tasks]
    return max(remaining_chain_cost(timed).values(), default=0.0)


@dataclass(frozen=True)
class GpuCount:
    """What so many GPUs (or CPUs, where nothing uses a GPU) make of a grid; None: some cell does not fit."""

    count: int
    seconds: float | None


def doubling_table(
    tasks: Sequence[Task], seconds: Mapping[str, float], *, on_cpus: bool
) -> tuple[tuple[GpuCount, ...], int | None]:
    """Makespans on 1, 2, 4, … GPUs until more do not help, and the smallest number that is as good.

    That number saves all but `WORTH` of what any larger one could; None where there is nothing to run. It is
    in the table too.
    """
    if not tasks:
        return (), None

    def at(count: int) -> GpuCount:
        return GpuCount(count, makespan(tasks, seconds, _cluster(count, on_cpus)))

    goal = longest_chain(tasks, seconds) * (1 + WORTH)
    rows = [at(1)]
    while not _reaches(rows[-1], goal) and rows[-1].count < _LARGEST:
        rows.append(at(rows[-1].count * 2))
    if not _reaches(rows[-1], goal):
        return tuple(rows), None
    low, best = rows[-1].count // 2, rows[-1]
    while best.count - low > 1:
        middle = at((low + best.count) // 2)
        if _reaches(middle, goal):
            best = middle
        else:
            low = middle.count
    table = {row.count: row for row in (*rows, best)}
    return tuple(table[count] for count in sorted(table)), best.count


def _reaches(row: GpuCount, goal: float) -> bool:
    return row.seconds is not None and row.seconds <= goal


def _cluster(count: int, on_cpus: bool) -> Free:
    # CPUs are no limit where GPUs are counted: a plan is made before anybody knows the machines.
    return Free(cpus=count) if on_cpus else Free(cpus=float("inf"), gpus=count)
