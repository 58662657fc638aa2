"""Parameters and MACs of an architecture, counted without building its weights (docs/protocol.md §5).

MACs are those of convolutions only, for one clip, as in the published tables: bias, BN, pooling and the
classifier are left out, so that they do not depend on the number of classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from trainables.models import build_model
from trainables.models.video_model import VideoModel, check_settings


@dataclass(frozen=True)
class ModelCost:
    """`params` are trainable numbers; `macs` multiply-accumulates of one clip's forward pass."""

    params: int
    macs: int


@lru_cache(maxsize=4096)
def model_cost(
    module: str, backbone: str, temporal_pooling: bool, frames: int, num_classes: int, size: int = 224
) -> ModelCost:
    """Cost of one architecture for a clip of `frames` pictures of `size` x `size` pixels.

    MACs are affine in the number of frames, so two counts serve all clip lengths.

    Raises:
        ValueError: A name or number cannot be built, or the pictures are too small for the backbone.
    """
    check_settings(frames, num_classes, dropout=0.0, pooling_method="max")
    trunk, channels, at8, at16 = _two_counts(module, backbone, temporal_pooling, size)
    return ModelCost(trunk + num_classes * (channels + 1), at8 + (at16 - at8) * (frames - 8) // 8)


def build_bare(
    module: str, backbone: str, temporal_pooling: bool, frames: int, num_classes: int
) -> VideoModel:
    """Build the model's structure with weights that have shapes but no memory and no values."""
    with torch.device("meta"), _NoInitialisation():
        return build_model(
            module=module,
            backbone=backbone,
            temporal_pooling=temporal_pooling,
            frames=frames,
            num_classes=num_classes,
        )


def count_macs(model: VideoModel, size: int) -> int:
    """Count the MACs of a bare model's trunk by a pass of one clip; the model is of no use afterwards.

    Every convolution is replaced by a probe that computes output sizes only.
    """
    probes: list[_Probe] = []
    _insert_probes(model.trunk, probes)
    shape = (1, 1, model.frames, size, size) if model.volumetric else (model.frames, 1, size, size)
    with torch.no_grad():
        model.trunk(torch.zeros(shape))
    return sum(probe.macs for probe in probes)


@lru_cache(maxsize=1024)
def _two_counts(module: str, backbone: str, temporal_pooling: bool, size: int) -> tuple[int, int, int, int]:
    """The trunk's parameters and channels, its MACs at 8 and its MACs at 16 frames."""
    counts = []
    params, channels = 0, 0
    for frames in (8, 16):
        model = build_bare(module, backbone, temporal_pooling, frames, num_classes=1)
        params = sum(parameter.numel() for parameter in model.trunk.parameters())
        channels = model.fc.in_features
        try:
            counts.append(count_macs(model, size))
        except RuntimeError as error:
            raise ValueError(
                f"pictures of {size}x{size} pixels are too small for {backbone}; choose a larger size"
            ) from error
    return params, channels, counts[0], counts[1]


class _NoInitialisation(TorchFunctionMode):
    """Skip in-place tensor methods, which is how weights are drawn.

    On the meta device they compute nothing, but the first one imports the whole of torch's compiler.
    """

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        name = getattr(func, "__name__", "")
        keywords = kwargs or {}
        first = args[0] if args else keywords.get("tensor")
        if isinstance(first, Tensor) and name.endswith("_") and not name.endswith("__"):
            return first
        return func(*args, **keywords)


class _Probe(nn.Module):
    """Stands for a convolution: takes any number of channels, returns one, and counts MACs."""

    def __init__(self, conv: nn.Conv2d | nn.Conv3d) -> None:
        super().__init__()
        self.conv = conv
        self.macs = 0

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, any, *sizes) to (N, 1, *output sizes)."""
        conv = self.conv
        if isinstance(conv.padding, str):
            raise TypeError(f"cannot count a convolution with padding '{conv.padding}'; give it numbers")
        windows = zip(x.shape[2:], conv.kernel_size, conv.stride, conv.padding, conv.dilation, strict=True)
        sizes = [
            (length + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for length, kernel, stride, pad, dilation in windows
        ]
        self.macs += x.shape[0] * math.prod(sizes) * conv.weight.numel()
        return x.new_zeros((x.shape[0], 1, *sizes))


def _insert_probes(parent: nn.Module, probes: list[_Probe]) -> None:
    for name, child in parent.named_children():
        if isinstance(child, (nn.Conv2d, nn.Conv3d)):
            probes.append(_Probe(child))
            setattr(parent, name, probes[-1])
        elif isinstance(child, (nn.BatchNorm2d, nn.BatchNorm3d)):
            setattr(parent, name, nn.Identity())
        else:
            _insert_probes(child, probes)
