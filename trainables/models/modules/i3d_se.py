"""I3D with squeeze-excitation (Hu et al., 2018) in its residual blocks (paper Figure 7)."""

from __future__ import annotations

from torch import Tensor, nn

from trainables.models.modules.i3d import I3D

REDUCTION = 16


class SqueezeExcitation(nn.Module):
    """x * sigmoid(W2 ReLU(W1 mean(x))): a weight for each channel, from its mean over T, H and W."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv3d(channels, max(channels // REDUCTION, 1), 1)
        self.excite = nn.Conv3d(max(channels // REDUCTION, 1), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, T, H, W) to the same shape."""
        weights: Tensor = self.excite(self.squeeze(x.mean(dim=(2, 3, 4), keepdim=True)).relu())
        return x * weights.sigmoid()


class I3DSE(I3D):
    """A squeeze-excitation at the end of the main path of every residual block, before the sum."""

    fresh_parts = (".recalibration.",)

    def recalibrate(self, channels: int) -> nn.Module:
        """A squeeze-excitation with a sixteenth of the channels inside."""
        return SqueezeExcitation(channels)
