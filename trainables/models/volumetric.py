"""What all 3D modules share: layers over (N, C, T, H, W); temporal pooling is a stride in time."""

from __future__ import annotations

from torch import nn

from trainables.models.framework import SpatioTemporalModule
from trainables.models.layers import ConvUnit, check_average, volume_unit


class VolumetricModule(SpatioTemporalModule):
    """3D convolutions and pools with temporal stride 2 at the halving points (docs/protocol.md §4)."""

    volumetric = True

    @property
    def stage_time_stride(self) -> int:
        """2 with temporal pooling, otherwise 1 (`ts` in the reference)."""
        return 2 if self.settings.temporal_pooling else 1

    def unit(
        self,
        cin: int,
        cout: int,
        kernel: tuple[int, int, int],
        *,
        stride: tuple[int, int, int] = (1, 1, 1),
        relu: bool = True,
    ) -> ConvUnit:
        """Same-padded 3D convolution without bias + BN (+ ReLU); `kernel` and `stride` are (t, h, w)."""
        return volume_unit(cin, cout, kernel, stride, eps=self.style.bn_eps, relu=relu)

    def conv(
        self, cin: int, cout: int, kernel: int, *, stride: int = 1, time_stride: int = 1, relu: bool = True
    ) -> nn.Module:
        """One convolution with as many temporal taps as spatial ones."""
        strides = (time_stride, stride, stride)
        return self.unit(cin, cout, (kernel, kernel, kernel), stride=strides, relu=relu)

    def stem(self, cin: int, cout: int, kernel: int, stride: int) -> nn.Module:
        """A full 3D stem over 3 frames, not strided in time."""
        return self.unit(cin, cout, (3, kernel, kernel), stride=(1, stride, stride))

    def stem_pool(self) -> nn.Module:
        """(1,3,3), stride (1,2,2), padding (0,1,1)."""
        return nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))

    def trunk_pool(self, kernel: int, halving: int | None) -> nn.Module:
        """As long in time as it is wide at a halving point, otherwise one frame long; floor mode."""
        pool = nn.MaxPool3d if self.settings.pooling_method == "max" else nn.AvgPool3d
        pad = (kernel - 1) // 2
        if halving is None:
            return pool((1, kernel, kernel), stride=(1, 2, 2), padding=(0, pad, pad))
        check_average(self.settings.pooling_method, kernel=kernel, frames=self.frames_at(halving))
        return pool(kernel, stride=(self.stage_time_stride, 2, 2), padding=pad)

    def branch_pool(self) -> nn.Module:
        """(3,3,3) stride 1, padding 1."""
        return nn.MaxPool3d(3, stride=1, padding=1)
