"""Puts a module, a backbone and the head together."""

from __future__ import annotations

from typing import cast, get_args

from trainables.models.framework import Backbone, ClipSettings, PoolingMethod, SpatioTemporalModule
from trainables.models.registry import backbone_info, load_target, module_info
from trainables.models.video_model import VideoModel


def load_backbone(name: str) -> Backbone:
    """Import the backbone registered under `name`; ValueError if there is none."""
    return cast(Backbone, load_target(backbone_info(name)))


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
    module_type, skeleton = load_module(module), load_backbone(backbone)
    check_settings(frames, num_classes, dropout, pooling_method)
    settings = ClipSettings(frames, temporal_pooling, pooling_method)
    layers = module_type(settings, skeleton.style)
    return VideoModel(
        skeleton.build(layers),
        channels=skeleton.channels,
        num_classes=num_classes,
        frames=frames,
        frames_left=layers.frames_at(3),
        volumetric=layers.volumetric,
        dropout=dropout,
        fresh_parts=layers.fresh_parts,
    )


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
