"""The largest batch that fits: found once for a model and a card, by training steps that do or do not.

What was found is remembered in a file of the user's cache (`XDG_CACHE_HOME`), under everything that it
depends on; delete the file to have it found again.
"""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from catalog.storage.atomic import replaced_atomically
from trainables.models import build_model
from trainables.recipe.cell_spec import Recipe
from trainables.training.execution.device import Compute, Normalisation, is_out_of_memory
from trainables.training.step import TrainingStep

Fits = Callable[[int], bool]
Rebuild = Callable[[nn.Module], object]
LIMIT = 4096
# A larger batch by less than this part is not worth the steps that it takes to find it.
CLOSE_ENOUGH = 1 / 16


@dataclass(frozen=True)
class TrainedModel:
    """What is trained, as far as its memory depends on it; pictures of `size` x `size` pixels."""

    module: str
    backbone: str
    temporal_pooling: bool
    frames: int
    num_classes: int
    size: int


def largest(fits: Fits, limit: int = LIMIT, close_enough: float = CLOSE_ENOUGH) -> int:
    """The largest number up to `limit` that fits, within a `close_enough` part below it; 0: not even 1.

    `fits` is asked for doubled numbers until one does not, then for halves between.
    """
    good, bad = 0, limit + 1
    while bad - good > max(1.0, good * close_enough):
        doubled = max(1, 2 * good)
        size = min(doubled, limit) if bad > limit else (good + bad) // 2
        good, bad = (size, bad) if fits(size) else (good, size)
    return good


def largest_batch(
    model: TrainedModel, recipe: Recipe, compute: Compute, memory: Path | None = None, limit: int = LIMIT
) -> int:
    """The most clips that `model` trains on at a time on the device of `compute`, measured or remembered.

    The found number is kept in `memory` (default: `memory_file()`). 0 where not even one clip fits.
    """
    file = memory or memory_file()
    place = _place(model, recipe, compute, limit)
    known = recalled(file, place)
    if known is not None:
        return known
    found = largest(lambda clips: step_fits(model, recipe, compute, clips), limit)
    remember(file, place, found)
    return found


def step_fits(model: TrainedModel, recipe: Recipe, compute: Compute, clips: int) -> bool:
    """Whether two training steps of so many clips find the memory that they need.

    The second one has what the first one leaves: gradients and moments.
    """
    try:
        _two_steps(model, recipe, compute, clips)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        gc.collect()
        if compute.device.type == "cuda":
            torch.cuda.empty_cache()
    return True


def memory_file() -> Path:
    """Where what was found is kept."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "actiongrid" / "largest-batch.json"


def recalled(file: Path, place: Mapping[str, Any]) -> int | None:
    """The number that was found there before, if any; a file that cannot be read is as none."""
    found = _read(file).get(_name(place))
    return found if isinstance(found, int) else None


def remember(file: Path, place: Mapping[str, Any], clips: int) -> None:
    """Keep a number for the next time. Of two processes that write at once one may be forgotten."""
    content = _read(file) | {_name(place): clips}
    with replaced_atomically(file) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True))


def synthetic_clips(model: TrainedModel, compute: Compute, clips: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalised noise (clips, 3, T, S, S) as `Compute.inputs` would leave it, and labels, on the device."""
    dtype = torch.bfloat16 if compute.bf16 and compute.device.type == "cuda" else torch.float32
    shape = (clips, 3, model.frames, model.size, model.size)
    generator = torch.Generator(compute.device).manual_seed(0)
    pixels = torch.randn(shape, dtype=dtype, device=compute.device, generator=generator)
    labels = torch.randint(model.num_classes, (clips,), device=compute.device, generator=generator)
    return pixels, labels


def build_step(
    model: TrainedModel, recipe: Recipe, compute: Compute, rebuilt: Rebuild | None = None
) -> TrainingStep:
    """The training step of one worker on a freshly drawn model, in training mode.

    `rebuilt` may put another form of the same model in its place before anything is done with it.
    """
    built = build_model(
        module=model.module,
        backbone=model.backbone,
        temporal_pooling=model.temporal_pooling,
        frames=model.frames,
        num_classes=model.num_classes,
        dropout=recipe.dropout,
        pooling_method=recipe.pooling_method,
    )
    if rebuilt is not None:
        rebuilt(built)
    placed = compute.place(built).train()
    return TrainingStep.alone(placed, recipe, compute, Normalisation.of(model.module, model.backbone))


def _two_steps(model: TrainedModel, recipe: Recipe, compute: Compute, clips: int) -> None:
    with compute.backends():
        step = build_step(model, recipe, compute)
        share = synthetic_clips(model, compute, clips)
        for _ in range(2):
            loss, _ = step.learn([share], clips)
        float(loss)  # waits for the device: only now every allocation has been made


def _place(model: TrainedModel, recipe: Recipe, compute: Compute, limit: int) -> dict[str, Any]:
    """Everything that the number depends on."""
    device: dict[str, Any] = {"device": "cpu"}
    if compute.device.type == "cuda":
        properties = torch.cuda.get_device_properties(compute.device)
        device = {"device": properties.name, "bytes": properties.total_memory}
    return {
        **asdict(model),
        **device,
        "torch": torch.__version__,
        "bf16": compute.bf16,
        "switches": asdict(compute.switches),
        "moments": recipe.moments,
        "pooling_method": recipe.pooling_method,
        "limit": limit,
    }


def _name(place: Mapping[str, Any]) -> str:
    return json.dumps(place, sort_keys=True)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
