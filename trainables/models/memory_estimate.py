"""What one worker needs of a GPU's memory to train: counted on the model without weights, before any run.

The tensors that autograd saves for the backward pass are counted exactly, by a forward pass on torch's `meta`
device, where tensors have shapes and no memory; the rest is reckoned. In eager mode a real forward pass on a
CPU saves the same (of TAM a tenth to a fifth less: there the two choose other layouts).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.batchnorm import _BatchNorm

from trainables.models.macs import build_bare
from trainables.models.registry import module_info
from trainables.models.video_model import VideoModel

BYTES_OF_STATE = 4


@dataclass(frozen=True)
class Saved:
    """Bytes that a forward pass leaves for the backward pass, and the largest of its tensors."""

    all: int
    largest: int


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes of one worker. `state`: weights, gradients, the optimiser's moments. A clip adds `saved_by_clip`.

    `passing` by clip is what comes and goes beside them: the gradients of the largest activation's input and
    output while it is passed backward.
    """

    state: int
    saved_fixed: int
    saved_by_clip: int
    passing_by_clip: int

    def peak(self, clips: int) -> int:
        """The most that torch allocates at once with so many clips at a time."""
        return self.state + self.saved_fixed + clips * (self.saved_by_clip + self.passing_by_clip)


def training_memory(
    module: str,
    backbone: str,
    temporal_pooling: bool,
    frames: int,
    num_classes: int,
    size: int,
    *,
    moments: int,
    bf16: bool,
) -> TrainingMemory:
    """The memory that training one architecture takes on pictures of `size` x `size` pixels.

    All of it is affine in the number of frames (of TAM with temporal pooling within 0.2 %), so two counts
    serve all clip lengths; a transformer is counted at its own. bf16 halves what is saved, and adds a copy of
    the weights in it (autocast's).

    Raises:
        ValueError: the pictures are too small for the backbone.
    """
    info = module_info(module)
    lengths = (frames, frames) if info.transformer else (info.fewest_frames, info.fewest_frames + 8)
    short, long = (_counted(module, backbone, temporal_pooling, n, size, bf16) for n in lengths)
    steps = (frames - lengths[0]) // 8
    fixed, by_clip, passing = (
        at_short + (at_long - at_short) * steps for at_short, at_long in zip(short[2:], long[2:], strict=True)
    )
    numbers = short[0] + num_classes * (short[1] + 1)
    state = BYTES_OF_STATE * numbers * (2 + moments) + (2 * numbers if bf16 else 0)
    return TrainingMemory(state, fixed, by_clip, passing)


@lru_cache(maxsize=512)
def _counted(
    module: str, backbone: str, temporal_pooling: bool, frames: int, size: int, bf16: bool
) -> tuple[int, int, int, int, int]:
    """The trunk's parameters and channels; saved bytes once, saved and passing bytes by clip."""
    model = bare_for_training(module, backbone, temporal_pooling, frames, num_classes=1)
    numbers = sum(parameter.numel() for parameter in model.trunk.parameters())
    dtype = torch.bfloat16 if bf16 else torch.float32
    model = model.to(dtype).to(memory_format=model.memory_format)
    try:
        # Not from one clip on: where N is 1 some layouts are contiguous that are not otherwise.
        two, three = (saved_of_meta(model, clips, size, dtype) for clips in (2, 3))
    except RuntimeError as error:
        what = f"pictures of {size}x{size} pixels are too small for {backbone}"
        raise ValueError(f"{what} ({error}); choose a larger size") from error
    by_clip = three.all - two.all
    return numbers, model.fc.in_features, two.all - 2 * by_clip, by_clip, two.largest


def bare_for_training(
    module: str, backbone: str, temporal_pooling: bool, frames: int, num_classes: int
) -> VideoModel:
    """The model on the meta device, in training mode."""
    model = build_bare(module, backbone, temporal_pooling, frames, num_classes).train()
    for part in model.modules():
        if isinstance(part, _BatchNorm):
            # Only a count, and the one thing of BN's that a tensor without memory cannot do.
            part.num_batches_tracked = None
    return model


def saved_of_meta(model: VideoModel, clips: int, size: int, dtype: torch.dtype) -> Saved:
    """What a forward pass of `clips` clips saves."""
    with torch.device("meta"):
        pixels = torch.empty((clips, 3, model.frames, size, size), dtype=dtype)
        labels = torch.zeros(clips, dtype=torch.int64)
    return saved_for_backward(model, pixels, labels)


def saved_for_backward(model: nn.Module, clips: Tensor, labels: Tensor) -> Saved:
    """Count what the loss of `clips` (N, 3, T, H, W) keeps alive: every storage once, weights left out."""
    own = {tensor.untyped_storage()._cdata for tensor in (*model.parameters(), *model.buffers())}
    held: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            held[storage._cdata] = storage
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = F.cross_entropy(model(clips), labels, reduction="sum")
    sizes = [storage.nbytes() for storage in held.values()]
    del loss
    return Saved(sum(sizes), max(sizes, default=0))
