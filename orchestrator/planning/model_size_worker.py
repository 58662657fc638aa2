"""Models' sizes for a driver, counted in a process of its own: torch's libraries would stay with it for days.

They are half a gigabyte, more than all that a driver of 1,000 cells holds.

    python -m orchestrator.planning.model_size_worker < QUESTIONS > SIZES
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import astuple
from functools import lru_cache

from orchestrator.planning.cost import Size, SizeOf, model_size
from orchestrator.study.cells import Cell

Question = tuple[str, str, bool, int, int, int]
"""Module, backbone, temporal pooling, frames, classes, crop in pixels."""


def counted_apart(cells: Iterable[Cell], classes: Iterable[int]) -> SizeOf:
    """Sizes of the cells' models with these numbers of classes; here where torch is loaded anyway."""
    numbers = frozenset(classes)
    questions = frozenset(
        _question(cell, number, crop)
        for cell in cells
        for number in numbers
        for crop in (cell.recipe.crop_size, cell.evaluation.crop_size)
    )

    def size_of(cell: Cell, num_classes: int, crop: int) -> Size:
        known = {} if "torch" in sys.modules else _counted(questions)
        # What cannot be counted is told by the one that says why.
        return known.get(_question(cell, num_classes, crop)) or model_size(cell, num_classes, crop)

    return size_of


def _question(cell: Cell, num_classes: int, crop: int) -> Question:
    return cell.module, cell.backbone, cell.temporal_pooling, cell.frames, num_classes, crop


@lru_cache(maxsize=8)
def _counted(questions: frozenset[Question]) -> dict[Question, Size]:
    asked = sorted(questions)
    command = [sys.executable, "-m", __name__]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False)
    try:
        sizes = json.loads(done.stdout)
    except ValueError:
        return {}
    found = zip(asked, sizes, strict=True)
    return {question: Size(*size) for question, size in found if size is not None}


def _main() -> None:
    import torch

    from trainables.models.macs import model_cost

    # Thousands of tiny operations: threads would only wait for each other.
    torch.set_num_threads(1)
    sizes: list[tuple[int, int] | None] = []
    for question in json.load(sys.stdin):
        try:
            sizes.append(astuple(model_cost(*question)))
        except ValueError:
            sizes.append(None)
    json.dump(sizes, sys.stdout)


if __name__ == "__main__":
    _main()
