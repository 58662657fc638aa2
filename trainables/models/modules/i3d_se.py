"""I3D with squeeze-excitation (Hu et al., 2018) in its residual blocks (paper Figure 7)."""

from __future__ import annotations

from torch import nn

from trainables.models.layers import SqueezeExcitation
from trainables.models.modules.i3d import I3D

REDUCTION = 16


class I3DSE(I3D):
    """A squeeze-excitation at the end of the main path of every residual block, before the sum."""

    fresh_parts = (".recalibration.",)

    def recalibrate(self, channels: int) -> nn.Module:
        """A squeeze-excitation with a sixteenth of the channels inside."""
        return SqueezeExcitation(channels, max(channels // REDUCTION, 1))
