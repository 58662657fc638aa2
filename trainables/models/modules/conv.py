"""Conv. (paper Table 5): a dense 1D convolution over time inside a 2D backbone, where TAM's is depthwise."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.framework import Depth
from trainables.models.layers import frames_to_rows, kaiming_, rows_to_frames
from trainables.models.planar import PlanarModule


class TemporalConvolution(nn.Module):
    """ReLU of a convolution over 3 frames and all channels, zeros outside the clip; no bias, no BN.

    `taps.weight` (C, C, 3, 1) starts Kaiming-normal (fan-out) or at PyTorch's default, as the backbone does.
    """

    def __init__(self, channels: int, frames: int, *, kaiming: bool) -> None:
        super().__init__()
        self.frames = frames
        self.taps = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0), bias=False)
        if kaiming:
            kaiming_(self.taps)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N*T, C, H, W) to the same shape; clips never mix."""
        out = self.taps(frames_to_rows(x, self.frames))
        return rows_to_frames(F.relu(out, inplace=True), x)


class Conv(PlanarModule):
    """Dense temporal convolutions at TAM's places.

    The paper describes it as "1D convolution on top of the 2D architecture", and prints neither its
    parameters nor its MACs; its accuracies are not those of the mini results' S3D (docs/protocol.md §10).
    """

    fresh_parts = (".taps.",)

    def aggregate(self, channels: int, depth: Depth) -> nn.Module:
        """A temporal convolution over the clip's length at this depth."""
        return TemporalConvolution(channels, self.frames_at(depth.level), kaiming=self.style.kaiming)
