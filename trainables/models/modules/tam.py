"""TAM (Fan et al., 2019): a depthwise temporal aggregation over three frames inside a 2D backbone."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.framework import Depth
from trainables.models.layers import frames_to_rows, rows_to_frames
from trainables.models.planar import PlanarModule


class TemporalAggregation(nn.Module):
    """out[t] = ReLU(a_c x[t-1] + b_c x[t] + d_c x[t+1]) per channel c, zeros outside (docs/protocol.md §3).

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
        if torch.compiler.is_compiling():
            return self.pointwise(x)
        out = self.taps(frames_to_rows(x, self.frames))
        return rows_to_frames(F.relu(out, inplace=True), x)

    def pointwise(self, x: Tensor) -> Tensor:
        """The same as sums and products alone, in the precision of `x`.

        A compiler makes one pass over memory of it, ReLU included; a convolution is a call of its own to it.
        """
        clips = x.view(-1, self.frames, *x.shape[1:])
        before, now, after = self.taps.weight.to(x.dtype).view(-1, 3).unbind(1)
        summed = (
            F.pad(clips[:, :-1], _ONE_FRAME_BEFORE) * _by_channel(before)
            + clips * _by_channel(now)
            + F.pad(clips[:, 1:], _ONE_FRAME_AFTER) * _by_channel(after)
        )
        return F.relu(summed).flatten(0, 1)


def _by_channel(weights: Tensor) -> Tensor:
    return weights.view(1, 1, -1, 1, 1)


# As F.pad wants it: pairs of (before, after), from the last dimension of (N, T, C, H, W) to the second.
_ONE_FRAME_BEFORE = (0, 0, 0, 0, 0, 0, 1, 0)
_ONE_FRAME_AFTER = (0, 0, 0, 0, 0, 0, 0, 1)


class TAM(PlanarModule):
    """Aggregation at the start of every residual main path; in Inception after each conv and block."""

    fresh_parts = (".taps.",)

    def aggregates_at(self, depth: Depth) -> bool:
        """Whether there is an aggregation at this point; at all of them by default."""
        return True

    def aggregate(self, channels: int, depth: Depth) -> nn.Module:
        """A temporal aggregation over the clip's length at this depth, or identity."""
        if not self.aggregates_at(depth):
            return nn.Identity()
        return TemporalAggregation(channels, self.frames_at(depth.level), kaiming=self.style.kaiming)


class TopHalfTAM(TAM):
    """Only in the half of the points that is nearest to the classifier (paper Table 6)."""

    def aggregates_at(self, depth: Depth) -> bool:
        """Whether at least half of the points come before."""
        return 2 * depth.index >= depth.count


class BottomHalfTAM(TAM):
    """Only in the half of the points that is nearest to the pixels (paper Table 6)."""

    def aggregates_at(self, depth: Depth) -> bool:
        """Whether less than half of the points come before."""
        return 2 * depth.index < depth.count


class UniformHalfTAM(TAM):
    """At every other point, from the first on (paper Table 6; which of the two halves it does not say)."""

    def aggregates_at(self, depth: Depth) -> bool:
        """Whether an even number of points comes before."""
        return depth.index % 2 == 0
