"""What a dataset is to its builder: listed videos with split and label, what is left out, and the error."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from catalog.storage.errors import BAD_INPUT, ActionGridError, FailureKind
from trainables.recipe.fields import Split

SPLITS: tuple[Split, ...] = ("train", "val")
VIDEO_SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("mp4", "m4v", "mov", "qt", "3gp", "3g2", "f4v", "mkv", "webm", "avi", "divx", "flv", "gif"),
        *("mpg", "mpeg", "mpe", "m1v", "m2v", "vob", "ts", "mts", "m2ts", "wmv", "asf", "ogv", "ogm"),
        *("mxf", "y4m", "h264", "264", "hevc", "h265", "265", "ivf", "nut", "dv", "rm", "rmvb"),
    )
)


class DatasetError(ActionGridError):
    """A dataset cannot be built as configured: `what; where; what to do`."""

    exit_code = BAD_INPUT
    failure_kind = FailureKind.DATA


class SourceAbsentError(DatasetError):
    """What a dataset is made from is not there at the moment, such as a folder of another machine."""


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
    begins with its kind: "missing: ", "duplicate: ", "unknown class: ", "no label: " or "unreadable: ".
    """

    path: str
    reason: str


@dataclass(frozen=True)
class DatasetFolders:
    """Where the user keeps an official dataset: its folder of videos, and its annotation files' folder.

    Not part of the configuration: where files lie never changes an experiment.
    """

    videos: Path | None = None
    annotations: Path | None = None


@dataclass(frozen=True)
class Listing:
    """All that a dataset lists: classes in label order, videos in manifest order, and what is left out.

    `ignored` counts what lies among the videos and is none, by kind (docs/datasets.md). `notes` are lines for
    the user about what was read in one of several ways.
    """

    classes: tuple[str, ...]
    entries: tuple[Entry, ...]
    left_out: tuple[LeftOut, ...] = ()
    ignored: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()


def manifest_order(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Training before validation, then by label and path."""
    return tuple(sorted(entries, key=lambda e: (SPLITS.index(e.split), e.label, str(e.path))))
