"""Mixup (Zhang et al., 2018): each clip is blended with another of its share, and so is its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Targets:
    """Classes (n,) of the clips, those of what is blended in, and the clips' own share of both."""

    labels: Tensor
    others: Tensor
    own: float

    def loss(self, logits: Tensor, label_smoothing: float) -> Tensor:
        """Summed cross-entropy of logits (n, K): of both classes, each by its share."""
        first = F.cross_entropy(logits, self.labels, reduction="sum", label_smoothing=label_smoothing)
        if self.own == 1.0:
            return first
        second = F.cross_entropy(logits, self.others, reduction="sum", label_smoothing=label_smoothing)
        return self.own * first + (1.0 - self.own) * second


def mixed(clips: Tensor, labels: Tensor, alpha: float) -> tuple[Tensor, Targets]:
    """Blend clips (n, 3, T, H, W) with themselves in reverse order; as they are where `alpha` is 0.

    Their own share is drawn from Beta(alpha, alpha) by torch's generator on the CPU.
    """
    if alpha == 0.0:
        return clips, Targets(labels, labels, 1.0)
    own = float(torch.distributions.Beta(alpha, alpha).sample())
    return clips.lerp(clips.flip(0), 1.0 - own), Targets(labels, labels.flip(0), own)
