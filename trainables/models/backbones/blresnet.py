"""Big-little ResNet-50 (Chen et al., 2019), of any 2D module: alpha 2, beta 4 (paper Table 1).

In stages 1 to 3 a branch with all blocks sees half of the resolution; one with few blocks and half of the
channels sees all of it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.backbones.resnet import STYLE, ResidualBlock
from trainables.models.framework import Backbone, Depth, SpatioTemporalModule

ALPHA = 2
"""How many times fewer channels the little branch has."""
BETA = 4
"""How many times fewer blocks it has; the block that joins the two counts among the big branch's."""


def later(depth: Depth, blocks: int) -> Depth:
    """The place `blocks` further on in the same stage."""
    return replace(depth, index=depth.index + blocks, block=depth.block + blocks)


def block(
    module: SpatioTemporalModule, cin: int, cout: int, stride: int, depth: Depth, *, relu: bool = True
) -> ResidualBlock:
    """A bottleneck; where it is strided, the shortcut is averaged before it is projected."""
    width = cout // 4
    main = [
        module.conv(cin, width, 1),
        module.conv(width, width, 3, stride=stride),
        module.conv(width, cout, 1, relu=False),
    ]
    shortcut: list[nn.Module] = [nn.AvgPool2d(3, stride=2, padding=1)] if stride > 1 else []
    if cin != cout:
        shortcut.append(module.conv(cin, cout, 1, relu=False))
    return ResidualBlock(
        module.aggregate(cin, depth),
        main,
        module.recalibrate(cout),
        nn.Sequential(*shortcut) if shortcut else None,
        module.after_block(cout, depth),
        relu=relu,
    )


def blocks(
    module: SpatioTemporalModule,
    cin: int,
    cout: int,
    count: int,
    stride: int,
    depth: Depth,
    *,
    last_relu: bool = True,
) -> nn.Sequential:
    """`count` bottlenecks, the first of them strided; of several the last may go without its ReLU."""
    made = []
    for index in range(count):
        first, last = index == 0, index == count - 1 and count > 1
        strided = stride if first else 1
        made.append(
            block(
                module, cin if first else cout, cout, strided, later(depth, index), relu=last_relu or not last
            )
        )
    return nn.Sequential(*made)


class BigLittleStem(nn.Module):
    """From (N, 64, H, W) to half of the size: one wide convolution beside three thin ones."""

    def __init__(self, module: SpatioTemporalModule, channels: int) -> None:
        super().__init__()
        thin = channels // ALPHA
        self.big = module.conv(channels, channels, 3, stride=2, relu=False)
        self.little = nn.Sequential(
            module.conv(channels, thin, 3),
            module.conv(thin, thin, 3, stride=2),
            module.conv(thin, channels, 1, relu=False),
        )
        self.join = module.conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Sum of the two, ReLU, and a pointwise convolution."""
        joined: Tensor = self.join(F.relu(self.big(x) + self.little(x)))
        return joined


class BigLittleStage(nn.Module):
    """Both branches, their sum at full resolution, and a block that joins and strides."""

    def __init__(
        self, module: SpatioTemporalModule, cin: int, cout: int, count: int, stride: int, depth: Depth
    ) -> None:
        super().__init__()
        few = max(1, count // BETA - 1)
        self.big = blocks(module, cin, cout, count - 1, 2, depth, last_relu=False)
        self.little = blocks(module, cin, cout // ALPHA, few, 1, depth)
        self.widen = module.conv(cout // ALPHA, cout, 1, relu=False)
        self.join = blocks(module, cout, cout, 1, stride, later(depth, count - 1))

    def forward(self, x: Tensor) -> Tensor:
        """The big branch's map is enlarged to the little one's by its nearest values."""
        little: Tensor = self.widen(self.little(x))
        big = F.interpolate(self.big(x), little.shape[2:])
        joined: Tensor = self.join(F.relu(big + little))
        return joined


def build_blresnet(module: SpatioTemporalModule, *, depths: tuple[int, int, int, int]) -> nn.Module:
    """The trunk: stem, three big-little stages and a plain one, with halving points between the stages."""
    count = sum(depths)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = module.stem(3, 64, 7, 2)
    layers["stem"] = BigLittleStem(module, 64)
    cin = 64
    for level, (depth, stride) in enumerate(zip(depths, (2, 2, 1, 2), strict=True)):
        place, cout = Depth(level, sum(depths[:level]), count, 0, depth), 256 * 2**level
        make = BigLittleStage if level < 3 else blocks
        layers[f"layer{level + 1}"] = make(module, cin, cout, depth, stride, place)
        if level < 3:
            layers[f"pool{level + 1}"] = module.stage_pool(level)
        cin = cout
    return nn.Sequential(layers)


BLRESNET50 = Backbone(2048, STYLE, partial(build_blresnet, depths=(3, 4, 6, 3)))
