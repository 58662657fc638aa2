"""RandAugment (Cubuk et al., 2020): some operations on a clip's pictures, drawn anew for every clip.

Every frame of a clip is changed alike. Colours are changed by what the whole clip shows: its mean, its
histogram.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from trainables.data.clips.augment import Cut

Operation = tuple[str, float]
"""An operation and its strength from -1 to 1; the sign is a direction."""

LARGEST = 10.0
"""The magnitude that gives full strength, as in timm, by which transformers' recipes are stated."""

_ONE_WAY = ("identity", "posterize", "solarize", "auto_contrast", "equalize")
_BOTH_WAYS = (
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "colour",
    "contrast",
    "sharpness",
)
OPERATIONS = (*_ONE_WAY, *_BOTH_WAYS)
# At full strength: slope, share of the picture, degrees, change of a factor, bits taken away.
_SHEAR, _SHIFT, _TURN, _FACTOR, _BITS = 0.3, 0.45, 30.0, 0.9, 4
_WHITE = 255


def drawn(count: int, magnitude: float, rng: np.random.Generator) -> tuple[Operation, ...]:
    """Draw `count` operations of a magnitude from 0 to 10, the direction of each by itself."""
    chosen = [OPERATIONS[int(rng.integers(len(OPERATIONS)))] for _ in range(count)]
    signs = [-1.0 if rng.random() < 0.5 else 1.0 for _ in chosen]
    strength = magnitude / LARGEST
    return tuple(
        (name, strength * sign if name in _BOTH_WAYS else strength)
        for name, sign in zip(chosen, signs, strict=True)
    )


def with_operations(views: torch.Tensor, cuts: Sequence[Cut]) -> torch.Tensor:
    """Apply each view's operations to its clip of grey levels, in place; `views` is (N, C*V, 3, T, S, S)."""
    for clips, cut in zip(views, cuts, strict=True):
        for place, clip in enumerate(clips):
            operations = cut.views[place % len(cut.views)].operations
            if operations:
                clip.copy_(applied(clip, operations))
    return views


def applied(clip: torch.Tensor, operations: Sequence[Operation]) -> torch.Tensor:
    """Apply operations one after another to a clip (3, T, S, S) of grey levels 0 to 255; returns bytes."""
    frames = clip.round().clamp(0, 255).to(torch.uint8) if clip.is_floating_point() else clip
    frames = frames.permute(1, 0, 2, 3)
    for name, strength in operations:
        frames = _SHAPES[name](frames, strength) if name in _SHAPES else _recoloured(frames, name, strength)
    return frames.permute(1, 0, 2, 3)


def _recoloured(frames: torch.Tensor, name: str, strength: float) -> torch.Tensor:
    """Change the colours of frames (T, 3, S, S) as if they were one tall picture."""
    import torchvision.transforms.v2.functional as pictures

    count, _, height, width = frames.shape
    tall = frames.permute(1, 0, 2, 3).reshape(3, count * height, width)
    factor = 1.0 + _FACTOR * strength
    changed: dict[str, Callable[[], Any]] = {
        "identity": lambda: tall,
        "posterize": lambda: pictures.posterize(tall, 8 - round(_BITS * strength)),
        "solarize": lambda: pictures.solarize(tall, _WHITE * (1.0 - strength)),
        "auto_contrast": lambda: pictures.autocontrast(tall),
        "equalize": lambda: pictures.equalize(tall),
        "brightness": lambda: pictures.adjust_brightness(tall, factor),
        "colour": lambda: pictures.adjust_saturation(tall, factor),
        "contrast": lambda: pictures.adjust_contrast(tall, factor),
    }
    made: torch.Tensor = changed[name]()
    return made.reshape(3, count, height, width).permute(1, 0, 2, 3)


def _moved(
    frames: torch.Tensor,
    turn: float = 0.0,
    shift: tuple[int, int] = (0, 0),
    slope: tuple[float, float] = (0, 0),
) -> torch.Tensor:
    """Turn (degrees), shift (pixels) or shear (slopes) frames (T, 3, S, S); what comes in is black."""
    import torchvision.transforms.v2.functional as pictures
    from torchvision.transforms import InterpolationMode

    shear = [float(np.degrees(np.arctan(one))) for one in slope]
    made: torch.Tensor = pictures.affine(
        frames, turn, [*shift], 1.0, shear, interpolation=InterpolationMode.BILINEAR
    )
    return made


def _sharpened(frames: torch.Tensor, strength: float) -> torch.Tensor:
    import torchvision.transforms.v2.functional as pictures

    made: torch.Tensor = pictures.adjust_sharpness(frames, 1.0 + _FACTOR * strength)
    return made


def _pixels(frames: torch.Tensor, strength: float) -> int:
    return round(_SHIFT * strength * frames.shape[-1])


_SHAPES: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "shear_x": lambda frames, strength: _moved(frames, slope=(_SHEAR * strength, 0.0)),
    "shear_y": lambda frames, strength: _moved(frames, slope=(0.0, _SHEAR * strength)),
    "translate_x": lambda frames, strength: _moved(frames, shift=(_pixels(frames, strength), 0)),
    "translate_y": lambda frames, strength: _moved(frames, shift=(0, _pixels(frames, strength))),
    "rotate": lambda frames, strength: _moved(frames, turn=_TURN * strength),
    "sharpness": _sharpened,
}
