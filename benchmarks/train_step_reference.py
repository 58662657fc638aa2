"""The reference's graph of TAM, for comparison only: as the paper's code computes it (docs/protocol.md §3).

Three depthwise 1x1 convolutions of all frames, one for each tap; the outputs of two of them shifted by a
frame with zeros where the clip ends; all three stacked, summed over the stack and rectified. The model's own
form is one depthwise convolution over time, or sums and products where a compiler runs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.modules.tam import TemporalAggregation


class ReferenceAggregation(nn.Module):
    """The weights of a `TemporalAggregation`, computed the long way."""

    def __init__(self, own: TemporalAggregation) -> None:
        super().__init__()
        self.frames = own.frames
        channels = own.taps.out_channels
        self.taps = nn.ModuleList(
            nn.Conv2d(channels, channels, 1, groups=channels, bias=False) for _ in range(3)
        )
        with torch.no_grad():
            for tap, conv in enumerate(self.taps):
                conv.weight.copy_(own.taps.weight[:, :, tap : tap + 1])

    def forward(self, x: Tensor) -> Tensor:
        """Map (N*T, C, H, W) to the same shape; clips never mix."""
        before, now, after = (conv(x).view(-1, self.frames, *x.shape[1:]) for conv in self.taps)
        # Along time, the second dimension: a frame of zeros in front of all but the last, or behind.
        earlier = F.pad(before, (0, 0, 0, 0, 0, 0, 1, 0))[:, :-1]
        later = F.pad(after, (0, 0, 0, 0, 0, 0, 0, 1))[:, 1:]
        return F.relu(torch.stack((earlier, now, later)).sum(dim=0)).flatten(0, 1)


def as_reference(model: nn.Module) -> nn.Module:
    """Put the reference's form in place of every temporal aggregation, with the same weights."""
    for name, child in model.named_children():
        if isinstance(child, TemporalAggregation):
            setattr(model, name, ReferenceAggregation(child))
        else:
            as_reference(child)
    return model
