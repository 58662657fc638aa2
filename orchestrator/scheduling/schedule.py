"""Which ready cell starts next: the longest remaining chain first, whatever fits (pure, no Ray).

Simulated on the 288 cells with 8–32 GPUs this stays within 4 % of the lower bound (docs/decisions.md).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.study.model import Resources

SLACK = 1e-9  # shares of a GPU such as 0.1 do not add up exactly


class Progress(StrEnum):
    """How far a task is."""

    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"


_ENDED = (Progress.DONE, Progress.FAILED, Progress.BLOCKED)


@dataclass(frozen=True)
class Free:
    """CPUs and GPUs that nothing occupies (or, as a total, that the cluster can have at most)."""

    cpus: float
    gpus: float = 0.0

    def fits(self, demand: Resources) -> bool:
        """Whether a cell with this demand can start."""
        return demand.cpus <= self.cpus + SLACK and demand.gpus <= self.gpus + SLACK

    def less(self, taken: Mapping[Resources, int]) -> Free:
        """What is left when so many cells of each demand run."""
        cpus = self.cpus - sum(demand.cpus * count for demand, count in taken.items())
        return Free(cpus, self.gpus - sum(demand.gpus * count for demand, count in taken.items()))


@dataclass(frozen=True)
class Task:
    """One cell to run. `parent` names another task, or is None where nothing has to finish first.

    `cost` is in FLOPs or any other unit that is the same for all tasks. `alone`: nothing else may use its
    GPUs, or, without GPUs, run beside it (`orchestrator.scheduling.retry`).
    """

    name: str
    parent: str | None
    cost: float
    demand: Resources
    alone: bool = False


def remaining_chain_cost(tasks: Sequence[Task]) -> dict[str, float]:
    """Each task's own cost plus that of the costliest line of descendants, by name."""
    children = _children(tasks)
    costs: dict[str, float] = {}
    for task in reversed(_parents_first(tasks, children)):
        below = max((costs[child] for child in children.get(task.name, ())), default=0.0)
        costs[task.name] = task.cost + below
    return costs


class StartQueue:
    """Which tasks could start now, the longest remaining chain first, and which of them occupy resources.

    Only an index: how far a task is, its owner knows, who says with `place` where it belongs.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Start with no task placed.

        Raises:
            ValueError: two tasks with one name, an unknown parent, or tasks that wait for each other.
        """
        if len({task.name for task in tasks}) != len(tasks):
            raise ValueError("two tasks have the same name; name each cell once")
        self._tasks = {task.name: task for task in tasks}
        unknown = sorted({task.parent for task in tasks if task.parent is not None} - set(self._tasks))
        if unknown:
            raise ValueError(f"unknown parents {', '.join(unknown)}; a parent is another task or None")
        self._children = _children(tasks)
        costs = remaining_chain_cost(tasks)
        self.order = tuple(sorted(self._tasks, key=lambda name: -costs[name]))
        # What is asked for each start is kept at hand: a grid of thousands must not be walked for every cell.
        self._rank = {name: rank for rank, name in enumerate(self.order)}
        self._demands = frozenset(task.demand for task in tasks)
        self._ready: list[int] = []
        self._running: dict[str, Resources] = {}  # in the order of their starts
        self._taken: Counter[Resources] = Counter()

    @property
    def ready(self) -> tuple[str, ...]:
        """The tasks that could start, in the order in which they are to."""
        return tuple(self.order[rank] for rank in self._ready)

    @property
    def running(self) -> tuple[str, ...]:
        """The tasks that occupy their resources."""
        return tuple(self._running)

    def children(self, name: str) -> tuple[str, ...]:
        """The tasks that wait for this one alone."""
        return self._children.get(name, ())

    def descendants(self, name: str) -> tuple[str, ...]:
        """The tasks that wait for this one, directly or not, nearest first."""
        found = list(self.children(name))
        for one in found:  # grows while it is walked
            found.extend(self.children(one))
        return tuple(found)

    def place(self, name: str, *, ready: bool = False, running: bool = False) -> None:
        """Say that a task could start, or that it occupies its resources, or (by default) neither."""
        rank = self._rank[name]
        position = bisect_left(self._ready, rank)
        was_ready = position < len(self._ready) and self._ready[position] == rank
        if ready and not was_ready:
            self._ready.insert(position, rank)
        elif was_ready and not ready:
            del self._ready[position]
        if running and name not in self._running:
            self._running[name] = self._tasks[name].demand
            self._taken[self._running[name]] += 1
        elif not running and name in self._running:
            self._taken[self._running.pop(name)] -= 1

    def fitting(self, total: Free) -> Iterator[str]:
        """The ready tasks that fit beside those that run; `total` is all that the cluster can have."""
        free = total.less(self._taken)
        if not any(free.fits(demand) for demand in self._demands):
            return iter(())
        names = (self.order[rank] for rank in self._ready)
        return (name for name in names if free.fits(self._tasks[name].demand))

    def replace(self, task: Task) -> None:
        """A task needs something else than was said, from its next start on."""
        self._tasks[task.name] = task
        self._demands |= {task.demand}

    def larger_than(self, total: Free) -> tuple[str, ...]:
        """The tasks, whether over or not, that ask for more than the whole cluster."""
        if all(total.fits(demand) for demand in self._demands):
            return ()
        return tuple(name for name in self.order if not total.fits(self._tasks[name].demand))


class GridState:
    """Tasks that only wait, run and end, such as those of a simulation; every change of state is a method.

    The cells of a driver can be in more states: `orchestrator.running.cell_run`.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Start with every task waiting or ready.

        Raises:
            ValueError: as `StartQueue`.
        """
        self._queue = StartQueue(tasks)
        self._progress = dict.fromkeys((task.name for task in tasks), Progress.WAITING)
        self._open = len(tasks)
        for task in tasks:
            if task.parent is None:
                self._move(task.name, Progress.WAITING, Progress.READY)

    @property
    def progress(self) -> Mapping[str, Progress]:
        """Every task's progress, by name."""
        return dict(self._progress)

    def names(self, progress: Progress) -> tuple[str, ...]:
        """The tasks that are this far, the longest remaining chain first."""
        return tuple(name for name in self._queue.order if self._progress[name] is progress)

    @property
    def is_finished(self) -> bool:
        """Whether nothing runs and nothing can start any more."""
        return self._open == 0

    def next(self, total: Free, skip: Container[str] = ()) -> str | None:
        """The task to start now, or None; `total` is all that the cluster can have, busy or not.

        Tasks in `skip` keep their place.
        """
        return next((name for name in self._queue.fitting(total) if name not in skip), None)

    def never_fits(self, total: Free) -> tuple[str, ...]:
        """The unfinished tasks that ask for more than the whole cluster: they would wait for ever."""
        open_states = (Progress.WAITING, Progress.READY)
        return tuple(name for name in self._queue.larger_than(total) if self._progress[name] in open_states)

    def started(self, name: str) -> None:
        """A ready task runs now."""
        self._move(name, Progress.READY, Progress.RUNNING)

    def requeued(self, name: str) -> None:
        """A running task stopped and is to be tried again."""
        self._move(name, Progress.RUNNING, Progress.READY)

    def finished(self, name: str) -> tuple[str, ...]:
        """A running task is done; returns the tasks that are ready through it."""
        self._move(name, Progress.RUNNING, Progress.DONE)
        released = self._queue.children(name)
        for child in released:
            self._move(child, Progress.WAITING, Progress.READY)
        return released

    def failed(self, name: str) -> tuple[str, ...]:
        """A ready or running task failed for good; returns its descendants, which are blocked now."""
        if self._progress[name] not in (Progress.READY, Progress.RUNNING):
            raise ValueError(f"cannot fail; {name} is {self._progress[name]}; fail ready or running cells")
        self._move(name, self._progress[name], Progress.FAILED)
        blocked = self._queue.descendants(name)
        for child in blocked:
            self._move(child, Progress.WAITING, Progress.BLOCKED)
        return blocked

    def _move(self, name: str, before: Progress, after: Progress) -> None:
        if self._progress[name] is not before:
            raise ValueError(f"cannot become {after}; {name} is {self._progress[name]}; it must be {before}")
        self._progress[name] = after
        self._queue.place(name, ready=after is Progress.READY, running=after is Progress.RUNNING)
        self._open -= after in _ENDED


def _children(tasks: Iterable[Task]) -> dict[str, tuple[str, ...]]:
    children: dict[str, tuple[str, ...]] = {}
    for task in tasks:
        if task.parent is not None:
            children[task.parent] = (*children.get(task.parent, ()), task.name)
    return children


def _parents_first(tasks: Sequence[Task], children: Mapping[str, tuple[str, ...]]) -> list[Task]:
    by_name = {task.name: task for task in tasks}
    order = [task for task in tasks if task.parent is None]
    for task in order:  # grows while it is walked: breadth first
        order.extend(by_name[child] for child in children.get(task.name, ()))
    if len(order) != len(tasks):
        raise ValueError("some tasks wait for each other; a chain must start with a task without parent")
    return order


def too_large(demand: Resources, total: Free) -> str:
    """The error of a cell that asks for more than the whole cluster has."""
    return (
        f"asks for {demand.cpus} CPUs and {demand.gpus:g} GPUs, the cluster has {total.cpus:g} "
        f"and {total.gpus:g}; resources; lower the study's resources or use a larger cluster"
    )
