"""SlowFast (Feichtenhofer et al., 2019): a pathway that sees few frames and a thin one that sees all of them.

It does not stand on the framework of paper Figure 3: a network of its own on the depths of a ResNet, from
scratch, without temporal pooling. The clip of T frames is the fast pathway's; the slow one sees every
`ALPHA`-th frame. `SlowFast-ResNet50` at 32 frames is the paper's 8×8, at 64 frames 16×8; with
`SlowFast4x16` 32 frames are 4×16.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from trainables.models.backbones.resnet import STYLE, ResidualBlock
from trainables.models.framework import ClipSettings, WholeNetwork
from trainables.models.layers import volume_unit
from trainables.models.recompute import RecomputableBlock

DEPTHS: Mapping[str, tuple[int, ...]] = {
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "tiny": (1, 1, 1, 1),
}
STEM_CHANNELS: Mapping[str, int] = {"resnet50": 64, "resnet101": 64, "tiny": 16}
STRIDES: Mapping[str, tuple[int, ...]] = {
    "resnet50": (1, 2, 2, 2),
    "resnet101": (1, 2, 2, 2),
    "tiny": (1, 2, 2, 1),  # the last stage would see single pixels of a 32 x 32 picture otherwise
}
BETA = 8
"""The slow pathway has so many times the fast one's channels (the paper's beta is 1/8)."""
SLOW_TAPS = (1, 1, 3, 3)
"""Frames under the first convolution of a slow block, by stage: res2 to res5 (Table 1)."""
FAST_TAPS = (3, 3, 3, 3)
unit = partial(volume_unit, eps=STYLE.bn_eps)


def bottleneck(cin: int, width: int, taps: int, stride: int) -> RecomputableBlock:
    """(taps,1,1), (1,3,3) and (1,1,1) convolutions; `stride` is spatial, on the middle one."""
    cout = 4 * width
    main = [
        unit(cin, width, (taps, 1, 1)),
        unit(width, width, (1, 3, 3), (1, stride, stride)),
        unit(width, cout, (1, 1, 1), relu=False),
    ]
    projects = stride > 1 or cin != cout
    shortcut = unit(cin, cout, (1, 1, 1), (1, stride, stride), relu=False) if projects else None
    return ResidualBlock(nn.Identity(), main, nn.Identity(), shortcut, nn.Identity())


def stage(cin: int, width: int, depth: int, taps: int, stride: int) -> nn.Sequential:
    """A stage of bottlenecks, the first of them strided."""
    blocks = [bottleneck(cin, width, taps, stride)]
    blocks += [bottleneck(4 * width, width, taps, 1) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


class TwoPathways(nn.Module):
    """The trunk: (N, 3, T, H, W) to (N, D, 1, 1, 1), both pathways' means side by side."""

    def __init__(self, backbone: str, *, alpha: int, lateral_taps: int) -> None:
        super().__init__()
        channels = STEM_CHANNELS[backbone]
        fast = channels // BETA
        self.alpha = alpha
        self.slow_stem = unit(3, channels, (1, 7, 7), (1, 2, 2))
        self.fast_stem = unit(3, fast, (5, 7, 7), (1, 2, 2))
        self.pool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        self.slow, self.fast, self.lateral = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        slow_in, fast_in = channels, fast
        for number, (depth, stride) in enumerate(zip(DEPTHS[backbone], STRIDES[backbone], strict=True)):
            self.lateral.append(unit(fast_in, 2 * fast_in, (lateral_taps, 1, 1), (alpha, 1, 1)))
            width = channels * 2**number
            self.slow.append(stage(slow_in + 2 * fast_in, width, depth, SLOW_TAPS[number], stride))
            self.fast.append(stage(fast_in, width // BETA, depth, FAST_TAPS[number], stride))
            slow_in, fast_in = 4 * width, 4 * width // BETA

    def forward(self, clip: Tensor) -> Tensor:
        """Join the fast pathway's features to the slow one's before every stage."""
        slow = self.pool(self.slow_stem(clip[:, :, :: self.alpha]))
        fast = self.pool(self.fast_stem(clip))
        for lateral, slow_stage, fast_stage in zip(self.lateral, self.slow, self.fast, strict=True):
            slow = slow_stage(torch.cat([slow, lateral(fast)], dim=1))
            fast = fast_stage(fast)
        return torch.cat([one.mean(dim=(2, 3, 4), keepdim=True) for one in (slow, fast)], dim=1)


class SlowFast:
    """alpha 4. Lateral convolutions over 7 frames (ResNet101: 5), as in the authors' published models."""

    alpha: ClassVar[int] = 4
    lateral_taps: ClassVar[Mapping[str, int]] = {"resnet50": 7, "resnet101": 5, "tiny": 7}

    @classmethod
    def network(cls, backbone: str, settings: ClipSettings) -> WholeNetwork:
        """The network on a ResNet's depths."""
        trunk = TwoPathways(backbone, alpha=cls.alpha, lateral_taps=cls.lateral_taps[backbone])
        channels = 32 * STEM_CHANNELS[backbone]
        return WholeNetwork(trunk, channels + channels // BETA)


class SlowFast4x16(SlowFast):
    """alpha 8, lateral convolutions over 5 frames."""

    alpha = 8
    lateral_taps: ClassVar[Mapping[str, int]] = {"resnet50": 5, "resnet101": 5, "tiny": 5}
