"""Cutting a view out of decoded frames with torch: bilinear and antialiased, as PIL resizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from trainables.data.augment import View


def cut_into(target: torch.Tensor, frames: NDArray[np.uint8], view: View, crop_size: int) -> None:
    """Cut `view` out of `frames`, uint8 (T,H,W,3), into `target`, uint8 (3,T,S,S)."""
    height, width = frames.shape[1:3]
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)
    if view.scaled != (width, height):
        pixels = _resize(pixels, view.scaled[1], view.scaled[0])
    box = view.box
    pixels = pixels[:, :, box.top : box.top + box.height, box.left : box.left + box.width]
    if (box.height, box.width) != (crop_size, crop_size):
        pixels = _resize(pixels, crop_size, crop_size)
    if view.flip:
        pixels = pixels.flip(-1)
    target.copy_(pixels.permute(1, 0, 2, 3))


def _resize(pixels: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return interpolate(pixels, size=(height, width), mode="bilinear", antialias=True)
