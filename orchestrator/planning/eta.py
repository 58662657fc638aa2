"""How long the rest takes: the plan's own model of time, calibrated by what trained here so far (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from types import MappingProxyType

from orchestrator.planning.cost import START_UP_SECONDS
from orchestrator.planning.forecast import cell_seconds, held_units
from orchestrator.planning.rates import Rates, Sample, mean_device
from orchestrator.scheduling.makespan import simulate
from orchestrator.scheduling.schedule import Free, GridState, Task
from orchestrator.study.cells import Cell

_HERE = "here"


@dataclass(frozen=True)
class TrainedCell:
    """What a cell has shown of its pace: `flops` of its work took `seconds` of wall time since its start.

    `start_up` are those of the seconds that passed before its first epoch, where they are known.
    """

    cell: Cell
    flops: float
    seconds: float
    start_up: float | None = None

    @property
    def working_seconds(self) -> float:
        """The seconds without the start-up: at least a tenth where that is only estimated."""
        if self.start_up is not None:
            return max(self.seconds - self.start_up, 1e-3)
        return max(self.seconds - START_UP_SECONDS, 0.1 * self.seconds)


@dataclass(frozen=True)
class OpenCell:
    """A cell that is not done: its work in FLOPs, which cell it waits for, how long it has run already."""

    cell: Cell
    flops: float
    waits_for: str | None = None
    running_for: float | None = None


def rates_so_far(trained: Sequence[TrainedCell]) -> Rates | None:
    """The rates of this submission's cells, start-up taken off; None before the first has shown its pace.

    Cells on another backbone than any of these are taken to run as these do on average.
    """
    gpus = any(one.cell.resources.gpus > 0 for one in trained)
    samples = tuple(
        Sample(
            _HERE,
            one.cell.module,
            one.cell.backbone,
            one.cell.temporal_pooling,
            one.cell.frames,
            one.flops,
            one.working_seconds * held_units(one.cell.resources, gpus=gpus),
        )
        for one in trained
        if one.flops > 0 and one.seconds > 0
    )
    if not samples:
        return None
    known = [one.start_up for one in trained if one.start_up is not None]
    return Rates(mean_device(_HERE, samples), samples, _HERE, median(known) if known else START_UP_SECONDS)


# How far off the time to go may be, as factors, by what its rates come from: assumed for such a machine,
# measured on this storage before, seen in cells that still train, and in some that have finished.
SPREADS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {"assumed": (0.5, 4.0), "measured": (0.7, 1.5), "training": (0.8, 1.3), "finished": (1.0, 1.0)}
)
ENOUGH_FINISHED = 3


def eta_seconds(left: Sequence[OpenCell], rates: Rates | None, room: Free) -> float | None:
    """Seconds until all of `left` is done in this room, the longest remaining chain first.

    None while nothing is known of this machine's pace. A cell that is larger than the room is given as much
    as it asks for.
    """
    if not left:
        return 0.0
    if rates is None:
        return None
    gpus = any(one.cell.resources.gpus > 0 for one in left)
    seconds = {
        one.cell.name: cell_seconds(
            one.flops,
            rates.of(one.cell),
            held_units(one.cell.resources, gpus=gpus),
            rates.start_up_seconds,
        )
        or 0.0
        for one in left
    }
    tasks = [
        Task(
            one.cell.name,
            one.waits_for if one.waits_for in seconds and one.running_for is None else None,
            seconds[one.cell.name],
            one.cell.resources,
        )
        for one in left
    ]
    running = {
        one.cell.name: max(seconds[one.cell.name] - one.running_for, 1.0)
        for one in left
        if one.running_for is not None
    }
    return simulate(GridState(tasks), seconds, _large_enough(room, tasks), running)


def _large_enough(room: Free, tasks: Sequence[Task]) -> Free:
    return Free(
        cpus=max(room.cpus, *(task.demand.cpus for task in tasks)),
        gpus=max(room.gpus, *(task.demand.gpus for task in tasks)),
    )
