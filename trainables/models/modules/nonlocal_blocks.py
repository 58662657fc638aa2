"""NLN: non-local blocks (Wang et al., 2018) behind some residual blocks of a 2D backbone (paper §6.3)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.framework import Depth
from trainables.models.planar import PlanarModule

# Stage 2 and stage 3 (paper §6.3); Wang et al. put two in the first and three in the second of them.
BLOCKS_OF_STAGE = {2: 3, 3: 2}


class NonLocalBlock(nn.Module):
    """x + BN(W softmax(theta(x) phi(x)) g(x)) over all places of all frames: embedded Gaussian, eq. 4 to 6.

    Half of the channels inside; phi and g are max-pooled over 2 x 2 pixels ("sub-sampled"). The BN's scale
    starts at 0, so that the block starts as the identity.
    """

    def __init__(self, channels: int, frames: int, eps: float) -> None:
        super().__init__()
        inner = channels // 2
        self.frames = frames
        self.theta, self.phi, self.g = (nn.Conv2d(channels, inner, 1) for _ in range(3))
        self.out = nn.Conv2d(inner, channels, 1)
        for conv in (self.theta, self.phi, self.g, self.out):
            nn.init.normal_(conv.weight, std=0.01)
        for conv in (self.theta, self.phi, self.g, self.out):
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.bn = nn.BatchNorm2d(channels, eps=eps)
        nn.init.zeros_(self.bn.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N*T, C, H, W) to the same shape; clips never mix."""
        query = self.theta(x)
        found = F.scaled_dot_product_attention(
            self._places(query),
            self._places(self.phi(self.pool(x))),
            self._places(self.g(self.pool(x))),
            scale=1.0,
        )
        features = found.transpose(1, 2).reshape(-1, query.shape[1], self.frames, *query.shape[2:])
        mixed: Tensor = self.bn(self.out(features.transpose(1, 2).flatten(0, 1)))
        return x + mixed

    def _places(self, features: Tensor) -> Tensor:
        """(N*T, C, H, W) as (N, T*H*W, C)."""
        clips = features.view(-1, self.frames, *features.shape[1:])
        return clips.transpose(1, 2).flatten(2).transpose(1, 2)


class NonLocal(PlanarModule):
    """TSN with non-local blocks in stages 2 and 3, spread evenly over each stage's residual blocks."""

    fresh_parts = (".after.",)

    def after_block(self, channels: int, depth: Depth) -> nn.Module:
        """A non-local block, or identity."""
        wanted = BLOCKS_OF_STAGE.get(depth.level + 1, 0)
        if depth.block not in spread(wanted, depth.blocks):
            return nn.Identity()
        return NonLocalBlock(channels, self.frames_at(depth.level), self.style.bn_eps)


def spread(wanted: int, blocks: int) -> frozenset[int]:
    """Which of `blocks` residual blocks, from 0, `wanted` others follow: evenly, the last one among them."""
    number = min(wanted, blocks)
    return frozenset((one + 1) * blocks // number - 1 for one in range(number))
