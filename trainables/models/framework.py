"""The general framework (paper Figure 3): a backbone stacks layers that a spatio-temporal module builds.

The backbone knows the spatial skeleton and where the clip may be halved in time; the module knows how each
layer reaches across frames. Neither knows the other's kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

PoolingMethod = Literal["max", "avg"]


@dataclass(frozen=True)
class ClipSettings:
    """What a model is built for. `frames` is T at the input; `pooling_method` concerns pools over time."""

    frames: int
    temporal_pooling: bool
    pooling_method: PoolingMethod = "max"


@dataclass(frozen=True)
class BackboneStyle:
    """Conventions of a backbone family that its layers follow, whatever the module.

    `cubic_stem`: a fully 3D stem is as long in time as it is wide (7 frames), instead of 3 frames.
    `temporal_bias`: factorised temporal convolutions have a bias.
    `kaiming`: 2D convolutions start Kaiming-normal (fan-out) instead of at PyTorch's default.
    """

    bn_eps: float = 1e-5
    cubic_stem: bool = False
    temporal_bias: bool = False
    kaiming: bool = True


@dataclass(frozen=True)
class Depth:
    """Where in a trunk a layer stands.

    `level` counts the halving points before it: with temporal pooling T there is frames / 2**level. `index`
    is its number, from 0, among the `count` points where features of neighbouring frames may be mixed.
    `block` is that of its residual block among the `blocks` of its stage; a ResNet's halving points lie
    between stages.
    """

    level: int
    index: int
    count: int
    block: int = 0
    blocks: int = 1


class SpatioTemporalModule(ABC):
    """Builds every layer of a backbone that may look across frames.

    Layers map (N*T, C, H, W) for 2D modules, frame-major, and (N, C, T, H, W) for 3D ones (`volumetric`).
    `fresh_parts` are the parts of parameter names that no ImageNet weights exist for.
    """

    volumetric: ClassVar[bool]
    fresh_parts: ClassVar[tuple[str, ...]] = ()

    def __init__(self, settings: ClipSettings, style: BackboneStyle) -> None:
        self.settings = settings
        self.style = style

    def frames_at(self, level: int) -> int:
        """Clip length after `level` halving points."""
        return self.settings.frames // 2**level if self.settings.temporal_pooling else self.settings.frames

    @property
    def stage_time_stride(self) -> int:
        """Temporal stride of the first residual block after a halving point."""
        return 1

    def aggregate(self, channels: int, depth: Depth) -> nn.Module:
        """The layer at a point where features of neighbouring frames may be mixed; identity by default.

        First on the main path of every residual block; in Inception after the stem's convolutions and every
        block. It keeps the shape and must not change its input, which a shortcut may use too.
        """
        return nn.Identity()

    def recalibrate(self, channels: int) -> nn.Module:
        """The layer that ends the main path of a residual block, before the sum; identity by default."""
        return nn.Identity()

    def after_block(self, channels: int, depth: Depth) -> nn.Module:
        """The layer after a residual block's last ReLU; it keeps the shape, identity by default."""
        return nn.Identity()

    def stage_pool(self, level: int) -> nn.Module:
        """The layer between two residual stages that takes the clip from `level` to `level + 1`."""
        return nn.Identity()

    @abstractmethod
    def stem(self, cin: int, cout: int, kernel: int, stride: int) -> nn.Module:
        """The first convolution + BN + ReLU; `kernel` and `stride` are spatial."""

    @abstractmethod
    def conv(
        self, cin: int, cout: int, kernel: int, *, stride: int = 1, time_stride: int = 1, relu: bool = True
    ) -> nn.Module:
        """Same-padded convolution(s) + BN (+ ReLU) in the place of a 2D one of `kernel` x `kernel`."""

    @abstractmethod
    def stem_pool(self) -> nn.Module:
        """The purely spatial 3x3 stride-2 max-pool after a ResNet's stem."""

    @abstractmethod
    def trunk_pool(self, kernel: int, halving: int | None) -> nn.Module:
        """A stride-2 pool of Inception's trunk, at halving point `halving` (None: purely spatial)."""

    @abstractmethod
    def branch_pool(self) -> nn.Module:
        """The 3x3 stride-1 max-pool of an Inception block's fourth branch."""


@dataclass(frozen=True)
class Backbone:
    """A spatial skeleton: `build` stacks a module's layers into a trunk with `channels` outputs.

    `renames` are the regular-expression substitutions, applied in order, that turn torchvision's parameter
    names into the trunk's; `unused_weights` are prefixes in torchvision's file that the trunk has no use for.
    `fresh_parts` are parts of parameter names that no weights exist for, whatever the module.
    """

    channels: int
    style: BackboneStyle
    build: Callable[[SpatioTemporalModule], nn.Module]
    renames: tuple[tuple[str, str], ...] = ()
    unused_weights: tuple[str, ...] = ("fc.",)
    fresh_parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class WholeNetwork:
    """A network that is no stack of a module's layers: its trunk maps (N, 3, T, H, W) to (N, D, T', H', W').

    `channels` is D. A module that is one has a class method `network(backbone, settings)` instead of layers.
    """

    trunk: nn.Module
    channels: int
