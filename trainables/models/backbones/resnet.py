"""ResNets (He et al., 2016) in torchvision's "v1" layout, of any module (docs/protocol.md §2)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.framework import Backbone, BackboneStyle, Depth, SpatioTemporalModule
from trainables.models.recompute import RecomputableBlock

STYLE = BackboneStyle()

# torchvision numbers a block's convolutions and norms side by side; here a norm belongs to its convolution.
RENAMES = (
    (r"\bconv(\d)\.", r"conv\1.conv."),
    (r"\bbn(\d)\.", r"conv\1.bn."),
    (r"\bdownsample\.0\.", "downsample.conv."),
    (r"\bdownsample\.1\.", "downsample.bn."),
)


class ResidualBlock(RecomputableBlock):
    """ReLU(main path + shortcut). The shortcut takes the block's input before any aggregation.

    Without `relu` the sum is the block's output.
    """

    def __init__(
        self,
        aggregate: nn.Module,
        main: Sequence[nn.Module],
        recalibration: nn.Module,
        shortcut: nn.Module | None,
        after: nn.Module,
        *,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.aggregate = aggregate
        for number, unit in enumerate(main, start=1):
            self.add_module(f"conv{number}", unit)
        self.recalibration = recalibration
        self.downsample = shortcut
        self.after = after
        self._depth = len(main)
        self._relu = relu

    def block(self, x: Tensor) -> Tensor:
        """Map the module's layout to the same layout, strided as the block was built."""
        out: Tensor = self.aggregate(x)
        for number in range(1, self._depth + 1):
            out = getattr(self, f"conv{number}")(out)
        out = self.recalibration(out)
        out += x if self.downsample is None else self.downsample(x)
        mixed: Tensor = self.after(F.relu(out, inplace=True) if self._relu else out)
        return mixed


def residual_block(
    module: SpatioTemporalModule,
    cin: int,
    width: int,
    *,
    stride: int = 1,
    time_stride: int = 1,
    depth: Depth,
    bottleneck: bool = False,
) -> ResidualBlock:
    """One basic or bottleneck block; `stride` is spatial."""
    aggregate = module.aggregate(cin, depth)
    strided = partial(module.conv, stride=stride, time_stride=time_stride)
    cout = 4 * width if bottleneck else width
    if bottleneck:
        main = [module.conv(cin, width, 1), strided(width, width, 3), module.conv(width, cout, 1, relu=False)]
    else:
        main = [strided(cin, width, 3), module.conv(width, width, 3, relu=False)]
    projects = stride > 1 or time_stride > 1 or cin != cout
    shortcut = strided(cin, cout, 1, relu=False) if projects else None
    return ResidualBlock(aggregate, main, module.recalibrate(cout), shortcut, module.after_block(cout, depth))


def build_resnet(module: SpatioTemporalModule, *, depths: tuple[int, ...], bottleneck: bool) -> nn.Module:
    """The trunk: stem, max-pool and four stages, with halving points between the stages."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = module.stem(3, 64, 7, 2)
    layers["maxpool"] = module.stem_pool()
    channels = 64
    for level, count in enumerate(depths):
        width = 64 * 2**level
        blocks = []
        for index in range(count):
            first = level > 0 and index == 0
            block = residual_block(
                module,
                channels,
                width,
                stride=2 if first else 1,
                time_stride=module.stage_time_stride if first else 1,
                depth=Depth(level, sum(depths[:level]) + index, sum(depths), index, count),
                bottleneck=bottleneck,
            )
            blocks.append(block)
            channels = 4 * width if bottleneck else width
        layers[f"layer{level + 1}"] = nn.Sequential(*blocks)
        if level < len(depths) - 1:
            layers[f"pool{level + 1}"] = module.stage_pool(level)
    return nn.Sequential(layers)


def _resnet(depths: tuple[int, ...], *, bottleneck: bool) -> Backbone:
    build = partial(build_resnet, depths=depths, bottleneck=bottleneck)
    return Backbone(2048 if bottleneck else 512, STYLE, build, RENAMES)


RESNET18 = _resnet((2, 2, 2, 2), bottleneck=False)
RESNET50 = _resnet((3, 4, 6, 3), bottleneck=True)
RESNET101 = _resnet((3, 4, 23, 3), bottleneck=True)
