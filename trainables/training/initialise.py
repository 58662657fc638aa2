"""The weights that a cell starts from: random, ImageNet, or its parent's checkpoint (paper section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from trainables.models import build_model
from trainables.training.execution.device import Normalisation

if TYPE_CHECKING:
    from trainables.data.frames.manifest import Manifest
    from trainables.models.video_model import VideoModel
    from trainables.recipe.cell_spec import CellSpec, ParentCheckpoint
    from trainables.training.execution.device import Compute


@dataclass(frozen=True)
class InitialModel:
    """A model on the CPU, and the parent's re-measured top-1 (percent) where it was measured."""

    model: VideoModel
    parent_top1: float | None


def initial_model(spec: CellSpec, manifest: Manifest | None, compute: Compute, rank: int) -> InitialModel:
    """Build the cell's model with its starting weights.

    `manifest` is None for a resumed cell, whose weights come from its own checkpoint afterwards.

    Raises:
        ParentMismatchError: The parent cannot be used.
        MissingWeightsError: ImageNet weights are called for and not to be had.
    """
    torch.manual_seed(spec.seed)
    model = _build(spec, spec.frames)
    if manifest is None:
        return InitialModel(model, None)
    if spec.parent is not None:
        return InitialModel(model, _inherit(model, spec, spec.parent, manifest, compute, rank))
    if spec.recipe.init == "imagenet":
        from trainables.models.weights import initialise_from_imagenet

        initialise_from_imagenet(model, spec.backbone, spec.weights_dir, spec.recipe.inflation)
    return InitialModel(model, None)


def _build(spec: CellSpec, frames: int) -> VideoModel:
    return build_model(
        module=spec.module,
        backbone=spec.backbone,
        temporal_pooling=spec.temporal_pooling,
        frames=frames,
        num_classes=spec.num_classes,
        dropout=spec.recipe.dropout,
        pooling_method=spec.recipe.pooling_method,
    )


def _inherit(
    model: VideoModel,
    spec: CellSpec,
    parent: ParentCheckpoint,
    manifest: Manifest,
    compute: Compute,
    rank: int,
) -> float | None:
    from trainables.data.frames.open_reader import open_reader
    from trainables.training.parent import load_parent, load_strictly, recheck

    tensors = load_parent(parent)
    load_strictly(model, tensors, parent.cell)
    if rank != 0 or parent.recheck_videos == 0:
        return None
    twin = _build(spec, parent.frames)
    load_strictly(twin, tensors, parent.cell)
    compute.place(twin)
    reader = open_reader(manifest, Path(spec.manifest), spec.frames_on_local_disk, memory_bytes=0)
    return recheck(
        twin, parent, manifest.split("val"), reader, compute, Normalisation.of(spec.backbone), spec.threads
    )
