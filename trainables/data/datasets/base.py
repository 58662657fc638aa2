"""What every dataset configuration shares, and the error that names what is wrong with a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from trainables.data.frames.frame_format import FrameFormat
from trainables.recipe.cell_spec import Fraction, Frozen

Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = ("train", "val")


class DatasetError(Exception):
    """A dataset cannot be built as configured: `what; where; what to do`."""


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a dataset before it is built; None where only building can tell."""

    num_classes: int | None
    train_videos: int | None
    val_videos: int | None
    how_to_get: str


@dataclass(frozen=True)
class Entry:
    """One video that a dataset lists, before anything is known of its content."""

    path: Path
    split: Split
    label: int


@dataclass(frozen=True)
class LeftOut:
    """Something that a dataset lists and that cannot be used, known without decoding anything.

    `path` is the file that was looked for, or the annotation's own name where no file is known. `reason`
    begins with its kind: "missing: ", "duplicate: ", "unknown class: " or "no label: ".
    """

    path: str
    reason: str


@dataclass(frozen=True)
class Sources:
    """Where the user keeps an official dataset: its folder of videos, and its annotation files' folder.

    Not part of the configuration: where files lie never changes an experiment.
    """

    videos: Path | None = None
    annotations: Path | None = None


@dataclass(frozen=True)
class Listing:
    """All that a dataset lists: classes in label order, videos in manifest order, and what is left out."""

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...] = ()


class FilesConfig(Frozen):
    """Options of the datasets made of the user's own files.

    `allow_missing` is the share of listed videos that may be quarantined before the build is refused.
    Videos with fewer than `min_frames` frames are quarantined (section 7 drops those with fewer than 3 in
    Something-Something, 30 in Kinetics). `val_fraction` applies where the files give no split.
    """

    path: Annotated[str, Field(min_length=1)]
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    allow_missing: Fraction = 0.2
    min_frames: Annotated[int, Field(ge=1)] = 3
    frame_format: FrameFormat = FrameFormat()
