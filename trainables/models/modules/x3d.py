"""X3D (Feichtenhofer, 2020): a thin network of depthwise 3D convolutions, expanded axis by axis.

A network of its own, from scratch, without temporal pooling. M and L differ in depth alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from torch import Tensor, nn

from trainables.models.framework import ClipSettings, WholeNetwork
from trainables.models.layers import ConvUnit, SqueezeExcitation, depthwise_volume, kaiming_, volume_unit
from trainables.models.recompute import RecomputableBlock

EXPANSION = 2.25
"""A block's inner channels, of its output's."""
SE_RATIO = 1 / 16
unit = partial(volume_unit, eps=1e-5)


@dataclass(frozen=True)
class Size:
    """Depths of the four stages, channels of the first, and features before the classifier."""

    depths: tuple[int, int, int, int]
    channels: int = 24
    features: int = 2048
    last_stride: int = 2


SIZES: Mapping[str, Size] = MappingProxyType(
    {
        "x3d_m": Size((3, 5, 11, 7)),
        "x3d_l": Size((5, 10, 25, 15)),
        # The last stage would see single pixels of a 32 x 32 picture otherwise.
        "tiny": Size((1, 1, 1, 1), channels=16, features=256, last_stride=1),
    }
)


def rounded(width: float) -> int:
    """The nearest multiple of 8, at least 8 and at least nine tenths of `width`."""
    found = max(8, int(width + 4) // 8 * 8)
    return found + 8 if found < 0.9 * width else found


class Block(RecomputableBlock):
    """ReLU(1x1x1, depthwise 3x3x3, squeeze-excitation in every other block, Swish, 1x1x1, plus shortcut)."""

    def __init__(self, cin: int, cout: int, stride: int, *, gated: bool) -> None:
        super().__init__()
        inner = int(EXPANSION * cout)
        self.expand = unit(cin, inner, (1, 1, 1))
        self.spread = ConvUnit(depthwise_volume(inner, (3, 3, 3), (1, stride, stride)), 1e-5, relu=False)
        self.gate = SqueezeExcitation(inner, rounded(inner * SE_RATIO)) if gated else nn.Identity()
        self.reduce = unit(inner, cout, (1, 1, 1), relu=False)
        self.shortcut = shortcut(cin, cout, stride)

    def block(self, x: Tensor) -> Tensor:
        """Map (N, Cin, T, H, W) to (N, Cout, T, H', W')."""
        inner = nn.functional.silu(self.gate(self.spread(self.expand(x))))
        out: Tensor = self.reduce(inner) + self.shortcut(x)
        return out.relu()


def shortcut(cin: int, cout: int, stride: int) -> nn.Module:
    """A strided 1x1x1 convolution where the shape changes, with BN where the channels do."""
    if cin == cout and stride == 1:
        return nn.Identity()
    if cin != cout:
        return unit(cin, cout, (1, 1, 1), (1, stride, stride), relu=False)
    conv = nn.Conv3d(cin, cout, 1, stride=(1, stride, stride), bias=False)
    kaiming_(conv)
    return conv


class ExpandedNetwork(nn.Module):
    """The trunk: (N, 3, T, H, W) to (N, D, 1, 1, 1); its first linear layer comes after the mean over T."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        channels = size.channels
        spatial = nn.Conv3d(3, channels, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False)
        kaiming_(spatial)
        temporal = depthwise_volume(channels, (5, 1, 1), (1, 1, 1))
        self.stem = nn.Sequential(spatial, ConvUnit(temporal, 1e-5, relu=True))
        stages = []
        for number, depth in enumerate(size.depths):
            cout = size.channels * 2**number
            stride = 2 if number < 3 else size.last_stride
            for index in range(depth):
                first = index == 0
                stages.append(Block(channels, cout, stride if first else 1, gated=index % 2 == 0))
                channels = cout
        self.blocks = nn.Sequential(*stages)
        self.last = unit(channels, int(EXPANSION * channels), (1, 1, 1))
        self.features = nn.Conv3d(int(EXPANSION * channels), size.features, 1, bias=False)

    def forward(self, clip: Tensor) -> Tensor:
        """Features of the whole clip."""
        volume: Tensor = self.last(self.blocks(self.stem(clip)))
        features: Tensor = self.features(volume.mean(dim=(2, 3, 4), keepdim=True))
        return features.relu()


class X3D:
    """The registered module."""

    @classmethod
    def network(cls, backbone: str, settings: ClipSettings) -> WholeNetwork:
        """The network of a size, with random weights; it is the same for every clip length."""
        size = SIZES[backbone]
        return WholeNetwork(ExpandedNetwork(size), size.features)
