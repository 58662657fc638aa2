"""Inception v1 (Szegedy et al., 2015), batch-normalised as torchvision's GoogLeNet (docs/protocol.md §2)."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import astuple, dataclass

import torch
from torch import Tensor, nn

from trainables.models.framework import Backbone, BackboneStyle, Depth, SpatioTemporalModule
from trainables.models.recompute import RecomputableBlock

STYLE = BackboneStyle(bn_eps=1e-3, cubic_stem=True, temporal_bias=True, kaiming=False)


@dataclass(frozen=True)
class BlockWidths:
    """Channels of the four branches; `mid2`, `mid3` are those of the 1x1 convolutions before the 3x3 ones."""

    b1: int
    mid2: int
    b2: int
    mid3: int
    b3: int
    b4: int


BLOCKS: tuple[tuple[str, BlockWidths], ...] = (
    ("3a", BlockWidths(64, 96, 128, 16, 32, 32)),
    ("3b", BlockWidths(128, 128, 192, 32, 96, 64)),
    ("4a", BlockWidths(192, 96, 208, 16, 48, 64)),
    ("4b", BlockWidths(160, 112, 224, 24, 64, 64)),
    ("4c", BlockWidths(128, 128, 256, 24, 64, 64)),
    ("4d", BlockWidths(112, 144, 288, 32, 64, 64)),
    ("4e", BlockWidths(256, 160, 320, 32, 128, 128)),
    ("5a", BlockWidths(256, 160, 320, 32, 128, 128)),
    ("5b", BlockWidths(384, 192, 384, 48, 128, 128)),
)


class InceptionBlock(RecomputableBlock):
    """Four parallel branches, concatenated. The "5x5" branch is a 3x3 one, as in torchvision."""

    def __init__(self, module: SpatioTemporalModule, cin: int, widths: BlockWidths) -> None:
        super().__init__()
        b1, mid2, b2, mid3, b3, b4 = astuple(widths)
        self.branch1 = module.conv(cin, b1, 1)
        self.branch2 = nn.Sequential(module.conv(cin, mid2, 1), module.conv(mid2, b2, 3))
        self.branch3 = nn.Sequential(module.conv(cin, mid3, 1), module.conv(mid3, b3, 3))
        self.branch4 = nn.Sequential(module.branch_pool(), module.conv(cin, b4, 1))
        self.out_channels: int = b1 + b2 + b3 + b4

    def block(self, x: Tensor) -> Tensor:
        """Map (…, Cin, …) to (…, b1 + b2 + b3 + b4, …)."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], dim=1)


def build_inception_v1(module: SpatioTemporalModule) -> nn.Module:
    """The trunk: three convolutions and nine blocks, halving points at pools 2, 3 and 4."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    points = 3 + len(BLOCKS)
    layers["conv1"] = module.stem(3, 64, 7, 2)
    layers["aggregate1"] = module.aggregate(64, Depth(0, 0, points))
    layers["maxpool1"] = module.trunk_pool(3, None)
    layers["conv2"] = module.conv(64, 64, 1)
    layers["aggregate2"] = module.aggregate(64, Depth(0, 1, points))
    layers["conv3"] = module.conv(64, 192, 3)
    layers["aggregate3"] = module.aggregate(192, Depth(0, 2, points))
    channels, level = 192, 0
    for index, (name, widths) in enumerate(BLOCKS, start=3):
        if name.endswith("a"):
            layers[f"maxpool{level + 2}"] = module.trunk_pool(2 if name == "5a" else 3, level)
            level += 1
        block = InceptionBlock(module, channels, widths)
        channels = block.out_channels
        layers[f"inception{name}"] = block
        layers[f"aggregate{name}"] = module.aggregate(channels, Depth(level, index, points))
    return nn.Sequential(layers)


INCEPTION_V1 = Backbone(1024, STYLE, build_inception_v1, unused_weights=("fc.", "aux1.", "aux2."))
