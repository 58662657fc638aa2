"""Datasets of the user's own files: a folder of videos, or a CSV file that lists them.

Folder (`folders.py`): `class/video.ext`, or `train/class/video.ext` beside `val/class/video.ext`.
CSV (`tables.py`): the columns `path,label` and, if the split is given, `split`. Where no split is given, it
depends on the videos' names only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from trainables.data.datasets.base import DatasetInfo, Entry
from trainables.data.frames.frame_format import FrameFormat
from trainables.recipe.fields import Fraction, Frozen


class FilesConfig(Frozen):
    """Options of the datasets made of the user's own files.

    `allow_missing` is the share of listed videos that may be quarantined before the build is refused.
    Videos with fewer than `min_frames` frames are quarantined: docs/protocol.md §7 drops those with fewer
    than 3 in Something-Something, 30 in Kinetics. `val_fraction` applies where the files give no split.
    """

    path: Annotated[str, Field(min_length=1)]
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    allow_missing: Fraction = 0.2
    min_frames: Annotated[int, Field(ge=1)] = 3
    frame_format: FrameFormat = FrameFormat()


class SplitFolders(Frozen):
    """The names of the folders of training and of validation, each with one folder per class."""

    train: Annotated[str, Field(min_length=1)]
    val: Annotated[str, Field(min_length=1)]


class FolderDataset(FilesConfig):
    """Videos in one folder per class. `path` is relative to the working directory unless absolute.

    `splits` says which folders are the splits, or `none`; without it their names tell, or the build stops.
    Class folders without a video stop the build unless `allow_empty_classes`.
    """

    kind: Literal["folder"] = "folder"
    splits: SplitFolders | Literal["none"] | None = None
    allow_empty_classes: bool = False

    def info(self) -> DatasetInfo:
        """Nothing is known before the folder is read."""
        return DatasetInfo(None, None, None, f"put the videos into {self.path}/<class>/<video>.mp4")


class CsvDataset(FilesConfig):
    """Videos listed in the CSV file `path`; its paths are relative to `root` (default: the file's folder)."""

    kind: Literal["csv"] = "csv"
    root: str | None = None

    def info(self) -> DatasetInfo:
        """Nothing is known before the file is read."""
        return DatasetInfo(None, None, None, f"write {self.path} with the columns path,label,split")


def split_by_name(files: Iterable[tuple[Path, str, int]], val_fraction: float) -> tuple[Entry, ...]:
    """Give each (path, name, label) a split, class by class, in the order of a hash of its name.

    Depends neither on where the dataset lies nor on which videos turn out to be damaged, so that mending
    one video never moves another between splits. A class with two or more videos has one in each split.
    """
    by_label: defaultdict[int, list[tuple[str, Path]]] = defaultdict(list)
    for path, name, label in files:
        by_label[label].append((sha256(name.encode("utf-8", "surrogateescape")).hexdigest(), path))
    return tuple(
        entry
        for label in sorted(by_label)
        for entry in _split_class(sorted(by_label[label]), label, val_fraction)
    )


def _split_class(hashed: list[tuple[str, Path]], label: int, val_fraction: float) -> list[Entry]:
    num_val = 0
    if len(hashed) > 1:
        num_val = min(len(hashed) - 1, max(1, round(len(hashed) * val_fraction)))
    val = [Entry(path, "val", label) for _, path in hashed[:num_val]]
    return val + [Entry(path, "train", label) for _, path in hashed[num_val:]]
