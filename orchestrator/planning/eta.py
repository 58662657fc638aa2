"""How long the rest takes: the plan's own model of time, calibrated by what trained here so far (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.planning.cost import START_UP_SECONDS
from orchestrator.planning.forecast import cell_seconds, held_units
from orchestrator.planning.rates import Rates, Sample, mean_device
from orchestrator.scheduling.makespan import simulate
from orchestrator.scheduling.schedule import Free, GridState, Task
from orchestrator.study.cells import Cell

_HERE = "here"


@dataclass(frozen=True)
class TrainedCell:
    """What a cell has shown of its pace: `flops` of its work took `seconds` of wall time since its start."""

    cell: Cell
    flops: float
    seconds: float


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
            max(one.seconds - START_UP_SECONDS, 0.1 * one.seconds)
            * held_units(one.cell.resources, gpus=gpus),
        )
        for one in trained
        if one.flops > 0 and one.seconds > 0
    )
    if not samples:
        return None
    return Rates(mean_device(_HERE, samples), samples, _HERE, START_UP_SECONDS)


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
