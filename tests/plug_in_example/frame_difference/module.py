"""A temporal module: what changed since the frame before is added, as far as training finds it of use."""

import torch
from torch import Tensor, nn

from trainables.models.framework import Depth
from trainables.models.planar import PlanarModule


class Difference(nn.Module):
    """out[t] = x[t] + w_c (x[t] - x[t-1]) per channel c; w starts at 0, the first frame stays as it is."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (N*T, C, H, W) to the same shape; clips never mix."""
        clips = x.view(-1, self.frames, *x.shape[1:])
        change = clips - torch.cat([clips[:, :1], clips[:, :-1]], dim=1)
        return x + self.weight.view(1, -1, 1, 1) * change.flatten(0, 1)


class FrameDifference(PlanarModule):
    """Where TAM aggregates: first on the main path of every residual block."""

    fresh_parts = (".aggregate.weight",)

    def aggregate(self, channels: int, depth: Depth) -> nn.Module:
        """The differences over the clip's length at this depth."""
        return Difference(channels, self.frames_at(depth.level))
