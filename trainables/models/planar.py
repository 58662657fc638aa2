"""What all 2D modules share: frames pass through 2D layers as separate images, (N*T, C, H, W)."""

from __future__ import annotations

from torch import nn

from trainables.models.framework import SpatioTemporalModule
from trainables.models.layers import ConvUnit, TemporalPool, kaiming_


class PlanarModule(SpatioTemporalModule):
    """2D convolutions and pools; temporal pooling is a layer of its own (docs/protocol.md §3)."""

    volumetric = False

    def stem(self, cin: int, cout: int, kernel: int, stride: int) -> nn.Module:
        """The 2D stem: `kernel` x `kernel`."""
        return self.conv(cin, cout, kernel, stride=stride)

    def conv(
        self, cin: int, cout: int, kernel: int, *, stride: int = 1, time_stride: int = 1, relu: bool = True
    ) -> nn.Module:
        """A 2D convolution; `time_stride` is always 1 here."""
        conv = nn.Conv2d(cin, cout, kernel, stride=stride, padding=kernel // 2, bias=False)
        if self.style.kaiming:
            kaiming_(conv)
        return ConvUnit(conv, self.style.bn_eps, relu=relu)

    def stage_pool(self, level: int) -> nn.Module:
        """A temporal pool where temporal pooling is on, otherwise nothing."""
        if not self.settings.temporal_pooling:
            return nn.Identity()
        return TemporalPool(self.frames_at(level), self.settings.pooling_method)

    def stem_pool(self) -> nn.Module:
        """3x3 stride 2, padding 1."""
        return nn.MaxPool2d(3, stride=2, padding=1)

    def trunk_pool(self, kernel: int, halving: int | None) -> nn.Module:
        """Unpadded stride-2 max-pool (ceil mode), followed by the temporal pool at a halving point."""
        spatial = nn.MaxPool2d(kernel, stride=2, ceil_mode=True)
        return spatial if halving is None else nn.Sequential(spatial, self.stage_pool(halving))

    def branch_pool(self) -> nn.Module:
        """3x3 stride 1, padding 1."""
        return nn.MaxPool2d(3, stride=1, padding=1)
