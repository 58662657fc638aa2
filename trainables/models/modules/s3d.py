"""S3D without gating (Xie et al., 2018): each 3D convolution factorised into a spatial and a temporal one.

On ResNets it resembles R(2+1)D, but the width between the two is not expanded (docs/protocol.md §4).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.layers import ConvUnit, kaiming_
from trainables.models.volumetric import VolumetricModule


class FactorisedUnit(ConvUnit):
    """(1,k,k) convolution + BN + ReLU, then (3,1,1) convolution + BN (+ ReLU)."""

    def __init__(
        self, spatial: nn.Conv3d, eps: float, *, time_stride: int, temporal_bias: bool, relu: bool
    ) -> None:
        super().__init__(spatial, eps, relu=True)
        channels = spatial.out_channels
        self.temporal_conv = nn.Conv3d(
            channels, channels, (3, 1, 1), stride=(time_stride, 1, 1), padding=(1, 0, 0), bias=temporal_bias
        )
        kaiming_(self.temporal_conv)
        self.temporal_bn = nn.BatchNorm3d(channels, eps=eps)
        self.last_relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, Cin, T, H, W) to (N, Cout, T', H', W')."""
        out: Tensor = self.temporal_bn(self.temporal_conv(super().forward(x)))
        return F.relu(out, inplace=True) if self.last_relu else out


class S3D(VolumetricModule):
    """Factorised in place of every k > 1 convolution but the stem; 1x1 stays pointwise."""

    fresh_parts = (".temporal_conv.", ".temporal_bn.")

    def conv(
        self, cin: int, cout: int, kernel: int, *, stride: int = 1, time_stride: int = 1, relu: bool = True
    ) -> nn.Module:
        """Strided in space by the spatial convolution, in time by the temporal one."""
        if kernel == 1:
            return super().conv(cin, cout, kernel, stride=stride, time_stride=time_stride, relu=relu)
        pad = kernel // 2
        spatial = nn.Conv3d(
            cin, cout, (1, kernel, kernel), stride=(1, stride, stride), padding=(0, pad, pad), bias=False
        )
        kaiming_(spatial)
        return FactorisedUnit(
            spatial,
            self.style.bn_eps,
            time_stride=time_stride,
            temporal_bias=self.style.temporal_bias,
            relu=relu,
        )
