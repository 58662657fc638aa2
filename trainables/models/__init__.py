"""The models: temporal modules on shared backbones, under one framework (paper Figure 3).

Importing this package or its registry imports no torch; building a model does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from trainables.models.video_model import VideoModel

__all__ = ["build_model"]


def build_model(
    *,
    module: str,
    backbone: str,
    temporal_pooling: bool,
    frames: int,
    num_classes: int,
    dropout: float = 0.5,
    pooling_method: Literal["max", "avg"] = "max",
) -> VideoModel:
    """Build one architecture with random weights, drawn from torch's current RNG.

    Args:
        module: Temporal module, a name of `registry.MODULES`.
        backbone: Spatial skeleton, a name of `registry.BACKBONES`.
        temporal_pooling: Halve the clip's length three times on the way through the network.
        frames: Clip length T, a positive multiple of 8.
        num_classes: K, the number of logits.
        dropout: Probability of dropping a feature before the classifier.
        pooling_method: How pools over time pool: 2D modules' temporal pools and 3D Inception's trunk pools.

    Returns:
        A model that takes a normalised float clip (N, 3, T, H, W) and returns logits (N, K).

    Raises:
        ValueError: A name is unknown or a setting cannot be built; the message lists what is allowed.
    """
    from trainables.models.video_model import build

    return build(
        module=module,
        backbone=backbone,
        temporal_pooling=temporal_pooling,
        frames=frames,
        num_classes=num_classes,
        dropout=dropout,
        pooling_method=pooling_method,
    )
