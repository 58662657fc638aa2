"""Parameters and MACs of an architecture, counted without building its weights (docs/protocol.md §5).

MACs are those of convolutions only, for one clip, as in the published tables: bias, BN, pooling and the
classifier are left out, so that they do not depend on the number of classes. Of transformers, and of
backbones that say so, the products of matrices count, too: linear layers and attention.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from trainables.models import build_model
from trainables.models.registry import BACKBONES, MODULES, backbone_info, module_info
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

    MACs are affine in the number of frames, so two counts serve all clip lengths; but not a transformer's.

    Raises:
        ValueError: A name or number cannot be built, or the pictures are too small for the backbone.
    """
    check_settings(frames, num_classes, dropout=0.0, pooling_method="max")
    info = module_info(module)
    if info.transformer:
        one = _count(module, backbone, temporal_pooling, frames, size)
        return ModelCost(one.params + num_classes * (one.channels + 1), one.macs)
    fewest = info.fewest_frames
    short, long = (_count(module, backbone, temporal_pooling, n, size) for n in (fewest, fewest + 8))
    macs = short.macs + (long.macs - short.macs) * (frames - fewest) // 8
    return ModelCost(short.params + num_classes * (short.channels + 1), macs)


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


def count_products(model: VideoModel, size: int, *, matrices: bool = True) -> int:
    """Count the MACs of a bare model's trunk by a pass of one clip; with `matrices` all products count."""
    from torch.utils.flop_counter import FlopCounterMode

    shape = (1, 3, model.frames, size, size) if model.volumetric else (model.frames, 3, size, size)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.trunk.eval().requires_grad_(requires_grad=False)(torch.zeros(shape, device="meta"))
    counted: Mapping[object, int] = counter.get_flop_counts()["Global"]
    return sum(flops for one, flops in counted.items() if matrices or "convolution" in str(one)) // 2


@dataclass(frozen=True)
class _TrunkCost:
    params: int
    channels: int
    macs: int


@lru_cache(maxsize=2048)
def _count(module: str, backbone: str, temporal_pooling: bool, frames: int, size: int) -> _TrunkCost:
    """Count one trunk at one clip length."""
    model = build_bare(module, backbone, temporal_pooling, frames, num_classes=1)
    params = sum(parameter.numel() for parameter in model.trunk.parameters())
    count = _counter(module, backbone)
    try:
        return _TrunkCost(params, model.fc.in_features, count(model, size))
    except Exception as error:
        if not _is_ours(module, backbone):
            what = f"pictures of {size}x{size} pixels do not fit {module} with {backbone}"
            raise ValueError(f"{what} ({type(error).__name__}: {error})") from error
        if not isinstance(error, RuntimeError):
            raise
        raise ValueError(
            f"pictures of {size}x{size} pixels are too small for {backbone}; choose a larger size"
        ) from error


def _counter(module: str, backbone: str) -> Callable[[VideoModel, int], int]:
    if module_info(module).transformer or backbone_info(backbone).products:
        return count_products
    # Layers of others may need all their channels, which probes take away.
    return count_macs if _is_ours(module, backbone) else partial(count_products, matrices=False)


def _is_ours(module: str, backbone: str) -> bool:
    return module in MODULES and backbone in BACKBONES


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
