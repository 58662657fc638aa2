"""What is tried when a cell ran out of memory: alone, then fewer clips at a time (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.scheduling.schedule import Task
from orchestrator.study.cells import Cell
from orchestrator.study.model import Resources


@dataclass(frozen=True)
class MemoryReduction:
    """How a cell is trained where memory is short: `alone` on whole GPUs, its batch in `accumulation` parts.

    The default is what its study asks for.
    """

    alone: bool = False
    accumulation: int = 1

    def __str__(self) -> str:
        parts = f", with gradients summed over {self.accumulation} parts" if self.accumulation > 1 else ""
        return f"alone{parts}"


def reduced_resources(resources: Resources, reduction: MemoryReduction) -> Resources:
    """What a cell asks for under this reduction: whole GPUs where it is alone."""
    if not reduction.alone:
        return resources
    return resources.model_copy(update={"gpus_per_worker": float(math.ceil(resources.gpus_per_worker))})


def next_reduction(cell: Cell, now: MemoryReduction) -> MemoryReduction | None:
    """The next thing to try after `cell` ran out of memory under `now`, or None: not even single clips fit.

    The batch that the optimiser sees stays the same; batch normalisation counts its statistics over fewer
    clips, which is why the accumulation is recorded with the result.
    """
    if not now.alone:
        return MemoryReduction(alone=True, accumulation=now.accumulation)
    clips = clips_at_once(cell)
    if -(-clips // now.accumulation) <= 1:
        return None
    return MemoryReduction(alone=True, accumulation=min(2 * now.accumulation, clips))


def clips_at_once(cell: Cell) -> int:
    """Clips that one worker's GPU takes at a time before the batch is reduced."""
    return max(1, cell.recipe.batch_size // (cell.resources.workers * cell.recipe.accumulate))


def deferred(ready: Iterable[Task], running: Iterable[Task]) -> frozenset[str]:
    """The ready tasks that must not start now, so that a task that is to run alone gets its turn, and is.

    Shares of GPUs wait for one that needs a whole GPU. Without GPUs nothing tells one task's memory from
    another's, so that a task alone is the only one that this driver runs.
    """
    waiting, busy = tuple(ready), tuple(running)
    names = [task.name for task in waiting]
    if any(task.alone and not _on_gpus(task.demand) for task in busy):
        return frozenset(names)
    alone = [task for task in waiting if task.alone]
    without_gpus = [task.name for task in alone if not _on_gpus(task.demand)]
    if without_gpus:
        return frozenset(names) if busy else frozenset(names) - {without_gpus[0]}
    if alone:
        return frozenset(task.name for task in waiting if _is_fraction(task.demand))
    return frozenset()


def _on_gpus(resources: Resources) -> bool:
    return resources.gpus_per_worker > 0


def _is_fraction(resources: Resources) -> bool:
    return 0 < resources.gpus_per_worker < 1
