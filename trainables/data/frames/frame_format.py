"""How a dataset's frames are kept: as JPEGs in a frame store or only in the originals, and in which size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from trainables.recipe.fields import Frozen, PositiveInt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

Decoder = Literal["decord", "pyav"]
"""Whose pictures of a video are kept."""

VERSION = "1"  # of the pixels that a format gives: of `reduced` and of how JPEGs are written


class FrameFormat(Frozen):
    """`store`: all frames as JPEG, decoded once; `direct`: the original is decoded at each access.

    Pictures whose shorter side exceeds `short_side` pixels are reduced to it (None: kept as they are); none
    is enlarged, which would cost space and add nothing. `shard_mb` (MiB) bounds one file of the store.
    """

    mode: Literal["store", "direct"] = "store"
    short_side: Annotated[int, Field(ge=16)] | None = 256
    quality: Annotated[int, Field(ge=1, le=100)] = 85
    subsampling: Literal["420", "422", "444"] = "420"
    shard_mb: PositiveInt = 256

    @property
    def identity(self) -> str:
        """What decides the pixels, e.g. `jpeg-q85-420-s256-v1`; part of the manifest's hash."""
        side = "as-is" if self.short_side is None else f"s{self.short_side}"
        if self.mode == "direct":
            return f"direct-{side}-v{VERSION}"
        return f"jpeg-q{self.quality}-{self.subsampling}-{side}-v{VERSION}"

    def size_of(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) in which a (width, height) video is kept."""
        short = min(width, height)
        if self.short_side is None or short <= self.short_side:
            return width, height
        if width <= height:
            return self.short_side, int(self.short_side * height / width)
        return int(self.short_side * width / height), self.short_side


ORIGINALS = FrameFormat(mode="direct", short_side=None)
TOY = FrameFormat(short_side=None, quality=95, subsampling="444")
"""For small generated pictures, where halved colours would blur what the classes differ in."""


def reduced(picture: Picture, width: int, height: int) -> Picture:
    """The picture, uint8 (H,W,3), as (height,width,3): bilinear, antialiased where it gets smaller.

    Pillow's own integer arithmetic: the same pixels on every processor. The picture itself where it fits.
    """
    if picture.shape[:2] == (height, width):
        return picture
    import numpy as np
    from PIL import Image

    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
