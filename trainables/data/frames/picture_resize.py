"""Reducing a decoded picture to the size in which a dataset keeps its frames."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


def reduced(picture: Picture, width: int, height: int) -> Picture:
    """The picture, uint8 (H,W,3), as (height,width,3): bilinear, antialiased where it gets smaller.

    Pillow's own integer arithmetic: the same pixels on every processor. The picture itself where it fits.
    """
    if picture.shape[:2] == (height, width):
        return picture
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
