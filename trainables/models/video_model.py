"""A trunk with the head that all architectures share (docs/protocol.md §1), and putting one together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast, get_args

import torch
from torch import Tensor, nn

from trainables.models.framework import (
    Backbone,
    ClipSettings,
    PoolingMethod,
    SpatioTemporalModule,
    WholeNetwork,
)
from trainables.models.registry import TIMM, backbone_info, load_target, module_info, why_not


@dataclass(frozen=True)
class Trunk:
    """A network without its head: (N, 3, T, H, W), or (N*T, 3, H, W) for 2D modules, to maps of `channels`.

    `frames_left` is T' of a 2D one. `fresh_parts` are the parts of parameter names that no ImageNet weights
    exist for.
    """

    network: nn.Module
    channels: int
    frames_left: int
    volumetric: bool
    fresh_parts: tuple[str, ...] = ()


class VideoModel(nn.Module):
    """Clip in, logits out: trunk, average over H and W, dropout, fc, then the mean over the frames left.

    Attributes:
        frames: Clip length T that the model was built for.
        volumetric: True for 3D modules; decides the layout inside and `memory_format`.
        fresh_parts: Parts of parameter names that no ImageNet weights exist for.
    """

    def __init__(self, trunk: Trunk, *, num_classes: int, frames: int, dropout: float) -> None:
        super().__init__()
        self.trunk = trunk.network
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(trunk.channels, num_classes)
        self.frames = frames
        self.volumetric = trunk.volumetric
        self.fresh_parts = trunk.fresh_parts
        self._frames_left = trunk.frames_left
        if trunk.volumetric:
            nn.init.normal_(self.fc.weight, 0.0, 0.001)
            nn.init.zeros_(self.fc.bias)

    @property
    def memory_format(self) -> torch.memory_format:
        """The channels-last format of this model's weights, for `model.to(memory_format=…)`."""
        return torch.channels_last_3d if self.volumetric else torch.channels_last

    def features(self, clip: Tensor) -> Tensor:
        """Per-frame features (N, T', D) of a clip (N, 3, T, H, W)."""
        if self.volumetric:
            volume: Tensor = self.trunk(clip)
            return volume.mean(dim=(3, 4)).transpose(1, 2)
        images: Tensor = self.trunk(clip.transpose(1, 2).flatten(0, 1))
        vectors = images.mean(dim=(2, 3))
        return vectors.view(-1, self._frames_left, vectors.shape[1])

    def forward(self, clip: Tensor) -> Tensor:
        """Logits (N, K), no softmax, of a normalised float clip (N, 3, T, H, W).

        Raises:
            ValueError: The clip has another shape, or another length than the model was built for.
        """
        if clip.dim() != 5 or clip.shape[1] != 3 or clip.shape[2] != self.frames:
            raise ValueError(
                f"wrong clip shape {tuple(clip.shape)}; this model takes (N, 3, {self.frames}, H, W)"
            )
        logits: Tensor = self.fc(self.dropout(self.features(clip)))
        return logits.mean(dim=1)


def load_backbone(name: str) -> Backbone:
    """Import the backbone registered under `name`; ValueError if there is none."""
    target = load_target(backbone_info(name))
    if name.startswith(TIMM):
        return cast(Callable[[str], Backbone], target)(name)
    return cast(Backbone, target)


def load_module(name: str) -> type[SpatioTemporalModule]:
    """Import the temporal module registered under `name`; ValueError if there is none."""
    return cast(type[SpatioTemporalModule], load_target(module_info(name)))


def build(
    *,
    module: str,
    backbone: str,
    temporal_pooling: bool,
    frames: int,
    num_classes: int,
    dropout: float,
    pooling_method: PoolingMethod,
) -> VideoModel:
    """See `trainables.models.build_model`."""
    check_settings(frames, num_classes, dropout, pooling_method)
    if (reason := why_not(module, backbone, temporal_pooling, frames)) is not None:
        raise ValueError(reason)
    settings = ClipSettings(frames, temporal_pooling, pooling_method)
    make = _whole_network if module_info(module).whole else _stack_of_layers
    trunk = make(module, backbone, settings)
    return VideoModel(trunk, num_classes=num_classes, frames=frames, dropout=dropout)


def _whole_network(module: str, backbone: str, settings: ClipSettings) -> Trunk:
    network: WholeNetwork = cast(Any, load_target(module_info(module))).network(backbone, settings)
    return Trunk(network.trunk, network.channels, frames_left=1, volumetric=True)


def _stack_of_layers(module: str, backbone: str, settings: ClipSettings) -> Trunk:
    skeleton = load_backbone(backbone)
    layers = load_module(module)(settings, skeleton.style)
    trunk = skeleton.build(layers)
    fresh_parts = layers.fresh_parts + skeleton.fresh_parts
    return Trunk(trunk, skeleton.channels, layers.frames_at(3), layers.volumetric, fresh_parts)


def check_settings(frames: int, num_classes: int, dropout: float, pooling_method: str) -> None:
    """Raise ValueError, naming what is allowed, for a setting that no architecture can be built with."""
    if frames < 8 or frames % 8:
        raise ValueError(f"wrong frames {frames}; allowed: positive multiples of 8, such as 8, 16, 32, 64")
    if num_classes < 1:
        raise ValueError(f"wrong num_classes {num_classes}; allowed: 1 or more")
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"wrong dropout {dropout}; allowed: from 0 up to, but not including, 1")
    methods = get_args(PoolingMethod)
    if pooling_method not in methods:
        raise ValueError(f"wrong pooling_method '{pooling_method}'; allowed: {', '.join(methods)}")
