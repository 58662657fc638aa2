"""A plain vision transformer over tubelets (Tong et al., 2022, VideoMAE's encoder as it is finetuned).

Every token attends to all others of the clip. Names of parameters are those of VideoMAE's published files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from trainables.models.framework import ClipSettings, WholeNetwork

MLP_RATIO = 4
EPS = 1e-6


@dataclass(frozen=True)
class Size:
    """Width, blocks, heads, and (frames, height, width) of a tubelet."""

    width: int
    blocks: int
    heads: int
    tubelet: tuple[int, int, int] = (2, 16, 16)


SIZES: Mapping[str, Size] = MappingProxyType(
    {"vit_b": Size(768, 12, 12), "tiny": Size(64, 2, 4, tubelet=(2, 8, 8))}
)


class Attention(nn.Module):
    """Multi-head self-attention; queries and values have a bias, keys have none."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.zeros(width)), nn.Parameter(torch.zeros(width))
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, L, D) to the same shape."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        joined = F.linear(tokens, self.qkv.weight, bias)
        parts = joined.view(*joined.shape[:2], 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


class Mlp(nn.Module):
    """Two linear layers with GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, MLP_RATIO * width)
        self.fc2 = nn.Linear(MLP_RATIO * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, L, D) to the same shape."""
        out: Tensor = self.fc2(F.gelu(self.fc1(tokens)))
        return out


class Block(nn.Module):
    """Attention and MLP, each after a layer norm and added to its input; training may leave either out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, EPS), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, EPS), Mlp(width)
        self.drop_path = StochasticDepth(0.0, "row")

    def forward(self, tokens: Tensor) -> Tensor:
        """Map (N, L, D) to the same shape."""
        seen = tokens + cast(Tensor, self.drop_path(self.attn(self.norm1(tokens))))
        return seen + cast(Tensor, self.drop_path(self.mlp(self.norm2(seen))))


class Tubelets(nn.Module):
    """Non-overlapping tubelets to tokens."""

    def __init__(self, width: int, tubelet: tuple[int, int, int]) -> None:
        super().__init__()
        self.proj = nn.Conv3d(3, width, tubelet, stride=tubelet)

    def forward(self, clip: Tensor) -> Tensor:
        """(N, 3, T, H, W) to (N, L, D), frame by frame."""
        volume: Tensor = self.proj(clip)
        return volume.flatten(2).transpose(1, 2)


def positions(length: int, width: int) -> Tensor:
    """Fixed sinusoids (length, width) of a token's number (Vaswani et al., 2017)."""
    number = torch.arange(length, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10_000.0) / width))
    angles = number * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


class VisionTransformer(nn.Module):
    """The trunk: (N, 3, T, H, W) to (N, D, 1, 1, 1), the normalised mean of all tokens."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.patch_embed = Tubelets(size.width, size.tubelet)
        self.blocks = nn.Sequential(*(Block(size.width, size.heads) for _ in range(size.blocks)))
        self.fc_norm = nn.LayerNorm(size.width, EPS)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_uniform_(part.weight)
                if part.bias is not None:
                    nn.init.zeros_(part.bias)

    def forward(self, clip: Tensor) -> Tensor:
        """Features of the whole clip."""
        tokens = self.patch_embed(clip)
        places = positions(tokens.shape[1], tokens.shape[2]).to(tokens)
        mean: Tensor = self.fc_norm(self.blocks(tokens + places).mean(dim=1))
        return mean[:, :, None, None, None]


class ViT:
    """The registered module."""

    @classmethod
    def network(cls, backbone: str, settings: ClipSettings) -> WholeNetwork:
        """The network of a size, with random weights; it has the same tensors for every clip length."""
        return WholeNetwork(VisionTransformer(SIZES[backbone]), SIZES[backbone].width)
