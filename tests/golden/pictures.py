"""Videos made of whole numbers alone: the same on every machine, whatever its codecs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from trainables.data.frames.manifest import Video
from trainables.data.frames.reader import Frame, FrameReader, check_numbers

CLASSES = 4


def videos(count: int, frames: int = 20, width: int = 40, height: int = 32) -> tuple[Video, ...]:
    """`count` videos of growing length, their labels in turn."""
    return tuple(
        Video(str(number), "train", number % CLASSES, frames + number, 10.0, width, height, "0" * 64)
        for number in range(count)
    )


class Pictures(FrameReader):
    """A pattern that moves with its video's label."""

    def frames(self, video: Video, numbers: NDArray[np.int64]) -> Iterator[Frame]:
        check_numbers(video, numbers)
        rows, columns, colours = np.ogrid[: video.height, : video.width, :3]
        for number in numbers.tolist():
            shift = number * (1 + video.label)
            value = (rows * 7 + shift * 5) ^ (columns * 3 + int(video.path) * 11 + shift) ^ (colours * 50)
            yield (value % 256).astype(np.uint8)
