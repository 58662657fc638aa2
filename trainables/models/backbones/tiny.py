"""A ResNet of three basic blocks for smoke runs on a CPU: 0.1 to 0.3 M parameters, small pictures."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from trainables.models.backbones.resnet import STYLE, residual_block
from trainables.models.framework import Backbone, SpatioTemporalModule

STEM_CHANNELS = 16
WIDTHS = (16, 32, 80)


def build_tiny(module: SpatioTemporalModule) -> nn.Module:
    """The trunk: a 3x3 stride-2 stem, then per stage a halving point and one block of spatial stride 2."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = module.stem(3, STEM_CHANNELS, 3, 2)
    channels = STEM_CHANNELS
    for level, width in enumerate(WIDTHS):
        layers[f"pool{level + 1}"] = module.stage_pool(level)
        layers[f"layer{level + 1}"] = residual_block(
            module, channels, width, stride=2, level=level + 1, bottleneck=False
        )
        channels = width
    return nn.Sequential(layers)


TINY = Backbone(WIDTHS[-1], STYLE, build_tiny)
