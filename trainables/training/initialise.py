"""The weights that a cell starts from: random, pretrained, or its parent's checkpoint (paper section 5).

A parent is loaded strictly, and used only if it still measures as recorded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.outage import retry_reading
from trainables.data.clips.loader import eval_batches
from trainables.models import build_model
from trainables.recipe.cell_spec import require_plug_ins
from trainables.training.checkpoint import WAY_OUT, CheckpointError, load_state
from trainables.training.evaluate import predict
from trainables.training.execution.device import Normalisation
from trainables.training.predictions import read_predictions

if TYPE_CHECKING:
    from torch import nn

    from trainables.data.frames.manifest import Manifest, Video
    from trainables.data.frames.reader import FrameReader
    from trainables.models.video_model import VideoModel
    from trainables.recipe.cell_spec import CellSpec, ParentCheckpoint
    from trainables.training.execution.device import Compute
    from trainables.training.predictions import Predictions


HEAD = ("fc.bias", "fc.weight")
"""What a child on other classes does not inherit."""

_NOT_CHECKED = (
    "say parent_check: false in the study, or run it with another --storage, where all is trained anew"
)


class ParentMismatchError(ActionGridError):
    """The parent's checkpoint does not fit the child or does not measure as recorded."""

    failure_kind = FailureKind.MISMATCH


class ParentLostError(ParentMismatchError):
    """The parent's weights are gone or damaged."""

    failure_kind = FailureKind.PARENT


def load_parent(parent: ParentCheckpoint) -> dict[str, torch.Tensor]:
    """The parent's model tensors, after its checksum.

    Raises:
        ParentLostError: The file is missing or damaged.
    """
    try:
        state: dict[str, torch.Tensor] = load_state(Path(parent.path), parent.sha256)["model"]
    except CheckpointError as error:
        what = f"parent {parent.cell} cannot be used: {error.what}"
        raise ParentLostError(what, error.where, error.what_to_do) from error
    except KeyError as error:
        what = f"parent {parent.cell} cannot be used: its checkpoint has no {error}"
        raise ParentLostError(what, parent.path, WAY_OUT) from error
    return state


def load_strictly(
    model: nn.Module, tensors: dict[str, torch.Tensor], origin: str, fresh: tuple[str, ...] = ()
) -> None:
    """Load `tensors` into `model`; every name and shape must match, but for those that stay `fresh`.

    Raises:
        ParentMismatchError: Names the tensors that are missing, left over or of another shape.
    """
    own = {name: tensor for name, tensor in model.state_dict().items() if name not in fresh}
    tensors = {name: tensor for name, tensor in tensors.items() if name not in fresh}
    missing = sorted(own.keys() - tensors.keys())
    left_over = sorted(tensors.keys() - own.keys())
    reshaped = sorted(
        f"{name} {tuple(tensors[name].shape)} → {tuple(own[name].shape)}"
        for name in own.keys() & tensors.keys()
        if own[name].shape != tensors[name].shape
    )
    problems = [
        f"{label}: {', '.join(names)}"
        for label, names in (("missing", missing), ("left over", left_over), ("other shape", reshaped))
        if names
    ]
    if problems:
        raise ParentMismatchError(
            f"checkpoint of {origin} does not fit this model",
            "; ".join(problems),
            "parent and child must be the same architecture on the same classes",
        )
    model.load_state_dict(tensors, strict=not fresh)


def recheck(
    model: VideoModel,
    parent: ParentCheckpoint,
    videos: tuple[Video, ...],
    reader: FrameReader,
    compute: Compute,
    norm: Normalisation,
    threads: int,
) -> float | None:
    """Measure the loaded parent again, with its own protocol, on evenly spaced evaluation videos.

    `model` holds the parent's weights at the parent's clip length. Returns its top-1 in percent on these
    videos, or None where `recheck_videos` is 0.

    Raises:
        ParentMismatchError: More than max(1, 1 %) of the top-1 predictions differ from the recorded ones.
    """
    count = min(parent.recheck_videos, len(videos))
    if count == 0:
        return None
    chosen = np.unique(np.linspace(0, len(videos) - 1, count).astype(np.int64))
    subset = tuple(videos[int(i)] for i in chosen)
    batches = eval_batches(subset, parent.evaluation, parent.frames, reader, rank=0, world=1, threads=threads)
    measured = predict(model, batches, compute, norm)
    recorded = _recorded(parent)
    lookup = {int(index): row for row, index in enumerate(recorded.index)}
    rows = [lookup.get(int(i)) for i in chosen]
    if any(row is None for row in rows):
        raise ParentMismatchError(
            f"parent {parent.cell} has no recorded prediction for some evaluation videos",
            parent.predictions_path,
            f"the evaluation set changed since: {_NOT_CHECKED}",
        )
    expected = recorded.top[np.array(rows, dtype=np.int64), 0]
    changed = int((measured.top[:, 0] != expected).sum())
    # A different device or library may flip a near tie; a wrong checkpoint flips far more.
    allowed = max(1, math.ceil(0.01 * len(chosen)))
    if changed > allowed:
        before = replace(measured, top=expected[:, None]).accuracy(1)
        raise ParentMismatchError(
            f"parent {parent.cell} measures {measured.accuracy(1):.2f} % top-1 on "
            f"{len(chosen)} videos, recorded were {before:.2f} % ({changed} predictions "
            f"differ, {allowed} allowed)",
            parent.path,
            f"checkpoint, videos or code changed: {_NOT_CHECKED}",
        )
    return measured.accuracy(1)


def _recorded(parent: ParentCheckpoint) -> Predictions:
    path = Path(parent.predictions_path)
    try:
        return retry_reading(lambda: read_predictions(path, parent.key), path)
    except (OSError, ValueError, KeyError) as error:
        raise ParentMismatchError(
            f"parent {parent.cell} cannot be measured again: its predictions cannot be read ({error})",
            path,
            "restore the file, or say parent_check: false",
        ) from error


@dataclass(frozen=True)
class InitialModel:
    """A model on the CPU, and the parent's re-measured top-1 (percent) where it was measured.

    `fresh`: the sorted names of the tensors that were not inherited; None where all are random, or resumed.
    """

    model: VideoModel
    parent_top1: float | None
    fresh: tuple[str, ...] | None = None


def initial_model(spec: CellSpec, manifest: Manifest | None, compute: Compute, rank: int) -> InitialModel:
    """Build the cell's model with its starting weights, and import the plug-ins that it needs.

    `manifest` is None for a resumed cell, whose weights come from its own checkpoint afterwards.

    Raises:
        ParentMismatchError: The parent cannot be used.
        MissingWeightsError: Pretrained weights are called for and not to be had.
        PlugInError: A plug-in is not here, or another version of it.
    """
    require_plug_ins(spec)
    torch.manual_seed(spec.seed)
    model = _build(spec, spec.frames)
    if manifest is None:
        return InitialModel(model, None)
    if spec.parent is not None:
        measured = _inherit(model, spec, spec.parent, manifest, compute, rank)
        return InitialModel(model, measured, _fresh(spec.parent))
    if spec.recipe.init != "random":
        from trainables.models.weights import initialise_from

        network = (spec.module, spec.backbone)
        given = (spec.weights_dir, spec.recipe.inflation)
        return InitialModel(model, None, initialise_from(spec.recipe.init, model, network, *given))
    return InitialModel(model, None)


def _fresh(parent: ParentCheckpoint) -> tuple[str, ...]:
    """What a child does not inherit: nothing, or its head where the parent's classes are others."""
    return () if parent.manifest is None else HEAD


def _build(spec: CellSpec, frames: int) -> VideoModel:
    model = build_model(
        module=spec.module,
        backbone=spec.backbone,
        temporal_pooling=spec.temporal_pooling,
        frames=frames,
        num_classes=spec.num_classes,
        dropout=spec.recipe.dropout,
        pooling_method=spec.recipe.pooling_method,
    )
    if spec.recipe.drop_path > 0:
        set_drop_path(model, spec.recipe.drop_path)
    return model


def set_drop_path(model: nn.Module, last: float) -> None:
    """Leave blocks out in training: the first never, the last with a chance of `last`, in between evenly."""
    from torchvision.ops import StochasticDepth

    parts = [part for part in model.modules() if isinstance(part, StochasticDepth)]
    for number, part in enumerate(parts):
        part.p = last * number / max(len(parts) - 1, 1)


def _inherit(
    model: VideoModel,
    spec: CellSpec,
    parent: ParentCheckpoint,
    manifest: Manifest,
    compute: Compute,
    rank: int,
) -> float | None:
    from trainables.data.frames.manifest import read_manifest
    from trainables.data.frames.store_reader import open_reader

    tensors = load_parent(parent)
    load_strictly(model, tensors, parent.cell, _fresh(parent))
    if rank != 0 or parent.recheck_videos == 0:
        return None
    classes = parent.num_classes or spec.num_classes
    twin = _build(spec.model_copy(update={"num_classes": classes}), parent.frames)
    load_strictly(twin, tensors, parent.cell)
    compute.place(twin)
    path = Path(parent.manifest or spec.manifest)
    manifest = read_manifest(path) if parent.manifest else manifest
    reader = open_reader(manifest, path, spec.frames_on_local_disk, memory_bytes=0)
    return recheck(
        twin,
        parent,
        manifest.split("val"),
        reader,
        compute,
        Normalisation.of(spec.module, spec.backbone),
        spec.threads,
    )
