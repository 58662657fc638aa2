"""A cell that ran out of memory is tried again more easily: alone, then fewer clips at a time (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from orchestrator.running.work import CellWork
from orchestrator.study.model import Resources


@dataclass(frozen=True)
class Easing:
    """What a cell is given where memory is short: whole GPUs `alone`, its batch in more pieces."""

    alone: bool = True
    accumulation: int = 1

    def __str__(self) -> str:
        parts = f", with gradients summed over {self.accumulation} parts" if self.accumulation > 1 else ""
        return f"alone{parts}"


def eased(item: CellWork, easing: Easing) -> CellWork:
    """The same cell under this easing."""
    resources = item.cell.resources
    if easing.alone:
        whole = float(math.ceil(resources.gpus_per_worker))
        resources = resources.model_copy(update={"gpus_per_worker": whole})
    cell = replace(item.cell, resources=resources)
    return replace(item, cell=cell, alone=easing.alone, accumulation=easing.accumulation)


def easier(item: CellWork) -> Easing | None:
    """The next thing to try after `item` ran out of memory, or None: not even single clips fit.

    The batch that the optimiser sees stays the same; batch normalisation counts its statistics over fewer
    clips, which is why the accumulation is recorded with the result.
    """
    if not item.alone:
        return Easing(accumulation=item.accumulation)
    pieces = clips_of_a_piece(item)
    if -(-pieces // item.accumulation) <= 1:
        return None
    return Easing(accumulation=min(2 * item.accumulation, pieces))


def clips_of_a_piece(item: CellWork) -> int:
    """Clips that one worker's GPU takes at a time without accumulation of ours."""
    recipe = item.cell.recipe
    return max(1, recipe.batch_size // (item.cell.resources.workers * recipe.accumulate))


def held_back(ready: Iterable[CellWork], running: Iterable[CellWork]) -> frozenset[str]:
    """The ready cells that must not start now, so that a cell that is to run alone gets its turn, and is.

    Shares of GPUs wait for one that needs a whole GPU. Without GPUs nothing tells one cell's memory from
    another's, so that a cell alone is the only one that this driver trains.
    """
    waiting, busy = tuple(ready), tuple(running)
    names = [item.cell.name for item in waiting]
    if any(item.alone and not _on_gpus(item.cell.resources) for item in busy):
        return frozenset(names)
    alone = [item for item in waiting if item.alone]
    without_gpus = [item.cell.name for item in alone if not _on_gpus(item.cell.resources)]
    if without_gpus:
        return frozenset(names) if busy else frozenset(names) - {without_gpus[0]}
    if alone:
        return frozenset(item.cell.name for item in waiting if _is_share(item.cell.resources))
    return frozenset()


def _on_gpus(resources: Resources) -> bool:
    return resources.gpus_per_worker > 0


def _is_share(resources: Resources) -> bool:
    return 0 < resources.gpus_per_worker < 1
