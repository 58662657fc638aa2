"""A ResNet of four basic blocks for smoke runs on a CPU: 0.1 to 0.3 M parameters, small pictures."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from trainables.models.backbones.resnet import STYLE, residual_block
from trainables.models.framework import Backbone, Depth, SpatioTemporalModule

STEM_CHANNELS = 16
WIDTHS = (16, 32, 40, 56)
STRIDES = (2, 2, 2, 1)  # the last stage would see single pixels of a 32 x 32 picture otherwise


def build_tiny(module: SpatioTemporalModule) -> nn.Module:
    """The trunk: a 3x3 stride-2 stem and four blocks, with halving points between the blocks."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = module.stem(3, STEM_CHANNELS, 3, 2)
    channels = STEM_CHANNELS
    for level, (width, stride) in enumerate(zip(WIDTHS, STRIDES, strict=True)):
        if level > 0:
            layers[f"pool{level}"] = module.stage_pool(level - 1)
        layers[f"layer{level + 1}"] = residual_block(
            module,
            channels,
            width,
            stride=stride,
            time_stride=module.stage_time_stride if level > 0 else 1,
            depth=Depth(level, level, len(WIDTHS)),
        )
        channels = width
    return nn.Sequential(layers)


TINY = Backbone(WIDTHS[-1], STYLE, build_tiny)
