"""How long a grid takes on so many GPUs: its own scheduler driven through simulated time (pure)."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from operator import mul
from typing import Protocol

from orchestrator.scheduling.schedule import SLACK, Free, Task, remaining_chain_cost

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


@dataclass(frozen=True)
class _Group:
    """Tasks that nothing tells apart. `children` are the groups of the tasks that wait for one of them."""

    seconds: float
    turn: int
    children: tuple[int, ...]


class TimedTasks:
    """Tasks whose seconds are known, for one simulation after another: `simulate` without names and states.

    A plan of 50,000 cells asks for the time on twenty clusters: what these have in common is made once, and
    tasks are numbers, in the order in which ready ones start.
    """

    def __init__(self, tasks: Sequence[Task], seconds: Mapping[str, float]) -> None:
        """Index the tasks.

        Raises:
            ValueError: some of them wait for each other.
        """
        costs = remaining_chain_cost([replace(one, cost=seconds[one.name]) for one in tasks])
        self.longest_chain = max(costs.values(), default=0.0)
        ordered = sorted(tasks, key=lambda one: -costs[one.name])
        rank = {one.name: place for place, one in enumerate(ordered)}
        self._demands = tuple(dict.fromkeys(one.demand for one in tasks))
        self._cpus = [demand.cpus for demand in self._demands]
        self._gpus = [demand.gpus for demand in self._demands]
        kinds = {demand: place for place, demand in enumerate(self._demands)}
        self._kinds = [kinds[one.demand] for one in ordered]
        self._seconds = [seconds[one.name] for one in ordered]
        self._roots = [place for place, one in enumerate(ordered) if one.parent is None]
        self._children: list[list[int]] = [[] for _ in ordered]
        for one in tasks:
            if one.parent is not None:
                self._children[rank[one.parent]].append(rank[one.name])
        # Of tasks that end at the same moment the one with the first name ends first, as in `simulate`.
        self._turns = [0] * len(ordered)
        for turn, name in enumerate(sorted(rank)):
            self._turns[rank[name]] = turn
        self._groups, group_of = self._grouped()
        roots = Counter(group_of[root] for root in self._roots)
        self._ready_at_first = [roots[place] for place in range(len(self._groups))]

    def _grouped(self) -> tuple[list[_Group], list[int]]:
        """Tasks that differ in nothing, such as seeds of a cell, as one group; and the group of each task.

        Those of a group stand together in both orders, so that it does not matter which of them is which.
        """
        groups = self._alike(range(len(self._seconds)))
        turns: list[list[int]] = [[] for _ in range(max(groups, default=-1) + 1)]
        for place, group in enumerate(groups):
            turns[group].append(self._turns[place])
        if any(max(some) - min(some) >= len(some) for some in turns):
            groups = [*range(len(self._seconds))]
            turns = [[turn] for turn in self._turns]
        first = {group: place for place, group in reversed([*enumerate(groups)])}
        return [
            _Group(
                self._seconds[place], min(turns[group]), tuple(groups[one] for one in self._children[place])
            )
            for group, place in sorted(first.items())
        ], groups

    def _alike(self, places: range) -> list[int]:
        """The group of each task by its place: neighbours of equal length whose children are alike, too."""
        if any(child < place for place in places for child in self._children[place]):
            return [*places]  # tasks of no length may stand behind their children
        from_last, sign_behind = [-1] * (len(places) + 1), None
        for place in reversed(places):
            children = sorted(from_last[child] for child in self._children[place])
            sign = (self._seconds[place], self._kinds[place], children)
            from_last[place] = from_last[place + 1] + (sign != sign_behind)
            sign_behind = sign
        return [from_last[0] - one for one in from_last[:-1]]

    def makespan(self, total: Free) -> float | None:
        """Seconds that they take on this cluster; None where one of them never fits."""
        if not all(total.fits(demand) for demand in self._demands):
            return None
        return self._of_one_kind(total) if len(self._demands) == 1 else self._of_many_kinds(total)

    def _of_one_kind(self, total: Free) -> float:
        """Seconds where all need the same, so that a cluster is a number of tasks at once."""
        room = next((count for count in range(len(self._kinds)) if not self._fits([count], total, 0)), None)
        free = len(self._kinds) if room is None else room
        groups, ready = self._groups, [*self._ready_at_first]
        waiting, clock = [place for place, count in enumerate(ready) if count], 0.0
        running: list[tuple[float, int, int, int]] = []
        while True:
            while free and waiting:
                first = waiting[0]
                count = min(free, ready[first])
                heapq.heappush(running, (clock + groups[first].seconds, groups[first].turn, first, count))
                free -= count
                ready[first] -= count
                if not ready[first]:
                    heapq.heappop(waiting)
            if not running:
                return clock
            clock, _, ended, count = heapq.heappop(running)
            free += count
            for child in groups[ended].children:
                if not ready[child]:
                    heapq.heappush(waiting, child)
                ready[child] += count

    def _of_many_kinds(self, total: Free) -> float:
        waiting: list[list[int]] = [[] for _ in self._demands]  # heaps: the ready ones by what they need
        for root in self._roots:
            waiting[self._kinds[root]].append(root)
        taken = [0] * len(self._demands)
        running: list[tuple[float, int, int]] = []
        clock = 0.0
        while True:
            while (kind := self._next_kind(waiting, taken, total)) is not None:
                started = heapq.heappop(waiting[kind])
                taken[kind] += 1
                heapq.heappush(running, (clock + self._seconds[started], self._turns[started], started))
            if not running:
                return clock
            clock, _, ended = heapq.heappop(running)
            taken[self._kinds[ended]] -= 1
            for child in self._children[ended]:
                heapq.heappush(waiting[self._kinds[child]], child)

    def _next_kind(self, waiting: Sequence[list[int]], taken: Sequence[int], total: Free) -> int | None:
        """What the task needs that starts now: the first in the order of those that fit."""
        open_kinds = [(line[0], kind) for kind, line in enumerate(waiting) if line]
        fitting = (kind for _, kind in sorted(open_kinds) if self._fits(taken, total, kind))
        return next(fitting, None)

    def _fits(self, taken: Sequence[int], total: Free, kind: int) -> bool:
        """Whether one more of a kind fits beside those that run (`Free.fits`)."""
        cpus = total.cpus - sum(map(mul, self._cpus, taken)) + SLACK
        gpus = total.gpus - sum(map(mul, self._gpus, taken)) + SLACK
        return bool(self._cpus[kind] <= cpus and self._gpus[kind] <= gpus)


def makespan(tasks: Sequence[Task], seconds: Mapping[str, float], total: Free) -> float | None:
    """Seconds that `tasks` take, the longest remaining chain first; None where one of them never fits."""
    return TimedTasks(tasks, seconds).makespan(total)


def longest_chain(tasks: Sequence[Task], seconds: Mapping[str, float]) -> float:
    """Seconds of the longest line of tasks that wait for each other: no cluster is quicker."""
    return TimedTasks(tasks, seconds).longest_chain


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

    timed = TimedTasks(tasks, seconds)

    def at(count: int) -> GpuCount:
        return GpuCount(count, timed.makespan(_cluster(count, on_cpus)))

    goal = timed.longest_chain * (1 + WORTH)
    rows = [at(1)]
    while not _reaches(rows[-1], goal) and rows[-1].count < _LARGEST:
        rows.append(at(rows[-1].count * 2))
    if not _reaches(rows[-1], goal):
        return tuple(rows), None
    # Fewer than all work divided by the goal cannot be enough, and need not be tried.
    work = sum(seconds[one.name] * (one.demand.cpus if on_cpus else one.demand.gpus) for one in tasks)
    low, best = max(rows[-1].count // 2, ceil(work / goal) - 1 if goal else 0), rows[-1]
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
