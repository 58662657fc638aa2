"""Shapes, colours and backgrounds of the toy datasets, in numpy."""

from __future__ import annotations

import colorsys
from typing import cast

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

_STRIPES = 2  # periods of a pattern across its patch


def background(size: int, rng: np.random.Generator) -> Pixels:
    """A dark greyish texture of low contrast, uint8 (size, size, 3)."""
    coarse = rng.normal(0, 6, (7, 7, 3)) + rng.uniform(40, 80)
    places = np.linspace(0, 6, size)
    low = np.minimum(places.astype(np.int64), 5)
    part = (places - low)[:, None, None]
    down = coarse[low] * (1 - part) + coarse[low + 1] * part
    part = part.reshape(1, size, 1)
    texture = down[:, low] * (1 - part) + down[:, low + 1] * part
    return cast("Pixels", np.clip(texture, 0, 255).astype(np.uint8))


def colours(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A bright RGB colour in 0..255, and a dark one of the opposite hue; both stand out."""
    hue = float(rng.random())
    bright = colorsys.hsv_to_rgb(hue, float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.9, 1)))
    dark = colorsys.hsv_to_rgb((hue + 0.5) % 1, 0.8, 0.2)
    return np.array(bright) * 255, np.array(dark) * 255


def shape_mask(shape: str, size: int, x: Floats, y: Floats, radius: float) -> Floats:
    """Coverage 0..1 of each pixel by the shape centred at (x[t], y[t]), (T, size, size); edges are smooth."""
    grid = np.arange(size) + 0.5
    dx = grid[None, None, :] - x[:, None, None]
    dy = grid[None, :, None] - y[:, None, None]
    return cast("Floats", np.clip(0.5 - _distance(shape, dx, dy, radius), 0, 1))


def _distance(shape: str, dx: Floats, dy: Floats, radius: float) -> Floats:
    """Signed distance in pixels to the shape's edge, negative inside."""
    across, down = np.abs(dx), np.abs(dy)
    square: Floats = np.maximum(across, down) - radius
    if shape == "disc":
        return np.hypot(dx, dy) - radius
    if shape == "diamond":
        return cast("Floats", (across + down) / np.sqrt(2) - radius)
    if shape == "cross":
        return np.maximum(square, np.minimum(across, down) - radius / 3)
    period = 2 * radius / _STRIPES
    if shape == "stripes":
        return np.maximum(square, _wave(dy, period))
    if shape == "checker":
        # inside where both waves have one sign: the product's sign with the nearer edge's distance
        first, second = _wave(dx, period), _wave(dy, period)
        cells: Floats = np.sign(first * second) * np.minimum(np.abs(first), np.abs(second))
        return np.maximum(square, cells)
    return square


def _wave(offset: Floats, period: float) -> Floats:
    """Signed distance to the nearer edge of bands half a period wide."""
    return np.abs(offset / period % 1 - 0.5) * period - period / 4


def paint(scene: Pixels, masks: Floats, colour: Floats) -> Pixels:
    """The colour laid over the scene, (H,W,3) or (T,H,W,3), where the masks (T,H,W) cover it."""
    cover = masks[..., None].astype(np.float32)  # in 32 bits: half the time
    colour = colour.astype(np.float32)
    return cast("Pixels", np.rint(scene * (1 - cover) + colour * cover).astype(np.uint8))
