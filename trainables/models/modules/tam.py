"""TAM (Fan et al., 2019): a depthwise temporal aggregation over three frames inside a 2D backbone."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.layers import frames_to_rows, rows_to_frames
from trainables.models.planar import PlanarModule


class TemporalAggregation(nn.Module):
    """out[t] = ReLU(a_c x[t-1] + b_c x[t] + d_c x[t+1]) per channel c, zeros outside the clip (reference §3).

    `taps.weight` (C, 1, 3, 1) holds a, b, d. They start as the reference's three 1x1 depthwise convolutions
    do: Kaiming-normal fan-out, std sqrt(2/C), or PyTorch's default, U(-1, 1) (§6).
    """

    def __init__(self, channels: int, frames: int, *, kaiming: bool) -> None:
        super().__init__()
        self.frames = frames
        self.taps = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0), groups=channels, bias=False)
        if kaiming:
            nn.init.normal_(self.taps.weight, std=math.sqrt(2 / channels))
        else:
            nn.init.uniform_(self.taps.weight, -1.0, 1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N*T, C, H, W) to the same shape; clips never mix."""
        out = self.taps(frames_to_rows(x, self.frames))
        return rows_to_frames(F.relu(out, inplace=True), x)


class TAM(PlanarModule):
    """Aggregation at the start of every residual main path; in Inception after each conv and block."""

    fresh_parts = (".taps.",)

    def aggregate(self, channels: int, level: int) -> nn.Module:
        """A temporal aggregation over the clip's length at this depth."""
        return TemporalAggregation(channels, self.frames_at(level), kaiming=self.style.kaiming)
