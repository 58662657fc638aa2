"""TSM (Lin et al., 2019): channels shifted along time inside a 2D backbone; no parameters, no MACs."""

from __future__ import annotations

from torch import Tensor, nn

from trainables.models.framework import Depth
from trainables.models.planar import PlanarModule

SHARE = 8


class TemporalShift(nn.Module):
    """An eighth of the channels comes from the next frame, an eighth from the one before; zeros outside."""

    def __init__(self, frames: int) -> None:
        super().__init__()
        self.frames = frames

    def forward(self, x: Tensor) -> Tensor:
        """Map (N*T, C, H, W) to the same shape; clips never mix."""
        fold = x.shape[1] // SHARE
        shifted = x.clone()
        clips, out = (one.view(-1, self.frames, *x.shape[1:]) for one in (x, shifted))
        later, earlier = slice(fold), slice(fold, 2 * fold)
        out[:, :-1, later] = clips[:, 1:, later]
        out[:, -1, later] = 0
        out[:, 1:, earlier] = clips[:, :-1, earlier]
        out[:, 0, earlier] = 0
        return shifted


class TSM(PlanarModule):
    """Residual placement: first on the main path of every block, so that a shortcut keeps all channels.

    Inception has no shortcuts; there channels are shifted where TAM aggregates (paper §6.3).
    """

    def aggregate(self, channels: int, depth: Depth) -> nn.Module:
        """A shift over the clip's length at this depth."""
        return TemporalShift(self.frames_at(depth.level))
