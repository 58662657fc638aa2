"""What a cell costs, in floating-point operations (2 per multiply-accumulate)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator.study.cells import Cell
from trainables.recipe.keep import KeepPolicy

FLOPS_PER_MAC = 2
# A step is one pass forward and two passes' worth backward (towards inputs and towards weights).
PASSES_PER_STEP = 3
SECONDS_PER_HOUR = 3600
BYTES_PER_NUMBER = 4
# What a cell takes beside training and evaluation, before any was measured: its processes start.
START_UP_SECONDS = 12.0


@dataclass(frozen=True)
class Size:
    """A model's size: parameters, and MACs (convolutions only, §5) of one clip at the given crop."""

    params: int
    macs: int


SizeOf = Callable[[Cell, int, int], Size]
"""(cell, num_classes, crop in pixels) → the size of the cell's model."""


def not_counted(_cell: Cell, _num_classes: int, _crop: int) -> Size:
    """No size: of cells that are planned for their keys and states alone."""
    return Size(0, 0)


def model_size(cell: Cell, num_classes: int, crop: int) -> Size:
    """The size of a cell's model, counted on the model itself (imports torch)."""
    from trainables.models.macs import model_cost

    with _one_thread():
        cost = model_cost(cell.module, cell.backbone, cell.temporal_pooling, cell.frames, num_classes, crop)
    return Size(cost.params, cost.macs)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Counting is thousands of tiny operations: on a busy machine threads would wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def training_flops(macs: int, videos: int, epochs: int) -> int:
    """6 · MACs · videos · epochs; one clip of a video per epoch."""
    return FLOPS_PER_MAC * PASSES_PER_STEP * macs * videos * epochs


def evaluation_flops(macs: int, videos: int, epochs: int, views: int = 1) -> int:
    """2 · MACs · videos · views · epochs; every epoch ends with one evaluation of all videos."""
    return FLOPS_PER_MAC * macs * videos * views * epochs


def cell_flops(cell: Cell, *, train_macs: int, eval_macs: int, train_videos: int, val_videos: int) -> int:
    """FLOPs of training the cell and evaluating it after each epoch.

    Args:
        cell: gives the epochs and the views (clips × crops) per evaluated video.
        train_macs: MACs of one clip at the recipe's crop size.
        eval_macs: MACs of one clip at the evaluation's crop size.
        train_videos: videos that are trained on.
        val_videos: videos that are evaluated, those held out of training to choose epochs on included.
    """
    epochs, views = cell.recipe.epochs, cell.evaluation.clips * cell.evaluation.crops
    trained = training_flops(train_macs, train_videos, epochs)
    return trained + evaluation_flops(eval_macs, val_videos, epochs, views)


def checkpoint_bytes(params: int, epochs: int, moments: int, keep: KeepPolicy) -> int:
    """Bytes of the checkpoints that a cell leaves, weights in fp32.

    An optimiser keeps `moments` more numbers for each weight. BN's running statistics and the file format are
    left out: about 1 % of a ResNet-50.
    """
    numbers = 1 + moments
    return BYTES_PER_NUMBER * params * numbers * keep.most(epochs)
