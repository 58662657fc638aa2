"""Channel-separated convolutions (Tran et al., 2019), the form that preserves interactions: ip-CSN."""

from __future__ import annotations

from torch import Tensor, nn

from trainables.models.layers import ConvUnit, depthwise_volume
from trainables.models.volumetric import VolumetricModule


class SeparatedUnit(nn.Module):
    """A 1x1x1 convolution that mixes channels + BN, then a k x k x k one of each alone + BN (+ ReLU)."""

    def __init__(self, mixing: ConvUnit, kernel: int, stride: tuple[int, int, int], *, relu: bool) -> None:
        super().__init__()
        channels = mixing.bn.num_features
        depthwise = depthwise_volume(channels, (kernel, kernel, kernel), stride)
        self.mixing = mixing
        self.depthwise = ConvUnit(depthwise, mixing.bn.eps, relu=relu)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, Cin, T, H, W) to (N, Cout, T', H', W')."""
        out: Tensor = self.depthwise(self.mixing(x))
        return out


class CSN(VolumetricModule):
    """Every 3 x 3 x 3 convolution separated; the stem is a full one over 3 frames.

    With temporal pooling it is the published network, whose stages 2 to 4 halve the clip.
    """

    def conv(
        self, cin: int, cout: int, kernel: int, *, stride: int = 1, time_stride: int = 1, relu: bool = True
    ) -> nn.Module:
        """Strided by the depthwise convolution; 1x1 stays pointwise."""
        if kernel == 1:
            return super().conv(cin, cout, kernel, stride=stride, time_stride=time_stride, relu=relu)
        mixing = self.unit(cin, cout, (1, 1, 1), relu=False)
        return SeparatedUnit(mixing, kernel, (time_stride, stride, stride), relu=relu)
