"""Which ready cell starts next: the longest remaining chain first, whatever fits (pure, no Ray).

Simulated on the 288 cells with 8–32 GPUs this stays within 4 % of the lower bound (docs/decisions.md).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from orchestrator.study.model import Resources

_SLACK = 1e-9  # shares of a GPU such as 0.1 do not add up exactly


class Progress(StrEnum):
    """Where a cell is in this submission."""

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
        return demand.cpus <= self.cpus + _SLACK and demand.gpus <= self.gpus + _SLACK

    def less(self, demands: Iterable[Resources]) -> Free:
        """What is left when cells with these demands run."""
        taken = tuple(demands)
        cpus = self.cpus - sum(demand.cpus for demand in taken)
        return Free(cpus, self.gpus - sum(demand.gpus for demand in taken))


@dataclass(frozen=True)
class Task:
    """One cell to run. `parent` names another task, or is None where nothing has to finish first.

    `cost` is in FLOPs or any other unit that is the same for all tasks.
    """

    name: str
    parent: str | None
    cost: float
    demand: Resources


def remaining_chain_cost(tasks: Sequence[Task]) -> dict[str, float]:
    """Each task's own cost plus that of the costliest line of descendants, by name."""
    children = _children(tasks)
    costs: dict[str, float] = {}
    for task in reversed(_parents_first(tasks, children)):
        below = max((costs[child] for child in children.get(task.name, ())), default=0.0)
        costs[task.name] = task.cost + below
    return costs


class GridState:
    """The cells of one submission and how far each is: waiting → ready → running → done, failed or blocked.

    The only mutable part of the schedule; every transition is a method, and one that makes no sense raises.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Start with every task waiting or ready.

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
        self._order = tuple(sorted(self._tasks, key=lambda name: -costs[name]))
        self._progress = dict.fromkeys((task.name for task in tasks), Progress.WAITING)
        # What is asked for each start is kept at hand: a grid of thousands must not be walked for every cell.
        self._rank = {name: rank for rank, name in enumerate(self._order)}
        self._demands = frozenset(task.demand for task in tasks)
        self._ready: list[int] = []
        self._running: set[str] = set()
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
        return tuple(name for name in self._order if self._progress[name] is progress)

    @property
    def is_finished(self) -> bool:
        """Whether nothing runs and nothing can start any more."""
        return self._open == 0

    def next(self, total: Free, skip: Container[str] = ()) -> str | None:
        """The cell to start now, or None; `total` is all that the cluster can have, busy or not.

        Cells in `skip` (such as those that wait a moment before they are tried again) keep their place.
        """
        free = total.less(self._tasks[name].demand for name in self._running)
        ready = (name for name in (self._order[rank] for rank in self._ready) if name not in skip)
        fitting = (name for name in ready if free.fits(self._tasks[name].demand))
        return next(fitting, None)

    def ask_otherwise(self, name: str, demand: Resources) -> None:
        """A cell needs something else than was said, from its next start on."""
        self._tasks[name] = replace(self._tasks[name], demand=demand)
        self._demands |= {demand}

    def never_fits(self, total: Free) -> tuple[str, ...]:
        """The unfinished cells that ask for more than the whole cluster: they would wait for ever."""
        if all(total.fits(demand) for demand in self._demands):
            return ()
        open_states = (Progress.WAITING, Progress.READY)
        return tuple(
            name
            for name in self._order
            if self._progress[name] in open_states and not total.fits(self._tasks[name].demand)
        )

    def started(self, name: str) -> None:
        """A ready cell runs now."""
        self._move(name, Progress.READY, Progress.RUNNING)

    def requeued(self, name: str) -> None:
        """A running cell stopped and is to be tried again."""
        self._move(name, Progress.RUNNING, Progress.READY)

    def finished(self, name: str) -> tuple[str, ...]:
        """A running cell is done; returns the cells that are ready through it."""
        self._move(name, Progress.RUNNING, Progress.DONE)
        released = self._children.get(name, ())
        for child in released:
            self._move(child, Progress.WAITING, Progress.READY)
        return released

    def failed(self, name: str) -> tuple[str, ...]:
        """A ready or running cell failed for good; returns its descendants, which are blocked now."""
        if self._progress[name] not in (Progress.READY, Progress.RUNNING):
            raise ValueError(f"cannot fail; {name} is {self._progress[name]}; fail ready or running cells")
        self._move(name, self._progress[name], Progress.FAILED)
        blocked: list[str] = []
        open_names = list(self._children.get(name, ()))
        while open_names:
            child = open_names.pop(0)
            self._move(child, Progress.WAITING, Progress.BLOCKED)
            blocked.append(child)
            open_names.extend(self._children.get(child, ()))
        return tuple(blocked)

    def _move(self, name: str, before: Progress, after: Progress) -> None:
        if self._progress[name] is not before:
            raise ValueError(f"cannot become {after}; {name} is {self._progress[name]}; it must be {before}")
        self._progress[name] = after
        if before is Progress.READY:
            self._ready.remove(self._rank[name])
        if after is Progress.READY:
            insort(self._ready, self._rank[name])
        if before is Progress.RUNNING:
            self._running.remove(name)
        if after is Progress.RUNNING:
            self._running.add(name)
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
