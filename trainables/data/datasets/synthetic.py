"""The two toy datasets: in one the classes are only in the movement, in the other only in the look."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from trainables.data.datasets.base import DatasetInfo
from trainables.data.frames.frame_format import TOY, FrameFormat
from trainables.recipe.fields import Frozen, PositiveInt

MOTION_CLASSES = ("walk-down", "walk-up", "hop", "flip")
APPEARANCE_CLASSES = ("disc", "cross", "stripes", "checker")
SEGMENTS = 8  # rows of the picture, and segments of the video: the smallest clip has one frame of each


class SyntheticConfig(Frozen):
    """Size of a generated dataset: `size` in pixels (square), `fps` in frames a second."""

    train_per_class: PositiveInt = 64
    val_per_class: PositiveInt = 24
    size: Annotated[int, Field(ge=32, le=512, multiple_of=2)] = 48
    frames_per_segment: Annotated[int, Field(ge=1, le=64)] = 4
    fps: PositiveInt = 16
    seed: Annotated[int, Field(ge=0)] = 0
    frame_format: FrameFormat = TOY

    @property
    def frames(self) -> int:
        """Frames of every video: the length must not tell the class."""
        return SEGMENTS * self.frames_per_segment

    def info(self) -> DatasetInfo:
        """Known exactly: the videos are generated."""
        classes = len(MOTION_CLASSES)
        return DatasetInfo(
            classes,
            classes * self.train_per_class,
            classes * self.val_per_class,
            "generated when it is built",
        )


class SyntheticMotion(SyntheticConfig):
    """Something-Something's part at toy size: neither a frame nor the set of frames tells the class.

    Holds for clips shorter than the video: from N <= T on, frames are drawn with replacement
    (docs/protocol.md §7).
    """

    kind: Literal["synthetic-motion"] = "synthetic-motion"


class SyntheticAppearance(SyntheticConfig):
    """Kinetics' part at toy size: any single frame tells the class, the movement does not."""

    kind: Literal["synthetic-appearance"] = "synthetic-appearance"
