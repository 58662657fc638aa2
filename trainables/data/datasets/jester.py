"""Jester: CSV files of labels, training (`id;label`) and validation; videos are `ID.webm` or any other video.

The publisher distributes JPEG frames, 12 a second: docs/datasets.md shows how to make videos of them. Classes
are in the order of the publisher's file of labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainables.data.datasets.base import Listing
from trainables.data.datasets.matching import Row, all_of, match_rows
from trainables.data.datasets.official import OfficialDataset
from trainables.data.datasets.user_files import UserFiles, check_classes, lines, wrong
from trainables.recipe.fields import Split

_PREFIX = "jester-v1-"
_FILES: dict[Split, str] = {"train": "train.csv", "val": "validation.csv"}


def list_jester(_config: OfficialDataset, videos: UserFiles, annotations: UserFiles) -> Listing:
    """All classes.

    Raises:
        DatasetError: annotation files are missing, wrong or another dataset's, or no video is there.
    """
    labels = annotations.document(f"{_PREFIX}labels.csv", "labels.csv")
    names = tuple(name for _, name in lines(labels))
    if len(set(names)) < len(names):
        raise wrong("a class is listed twice", labels)
    check_classes(names, "jester", labels)
    rows = [
        row
        for split, name in _FILES.items()
        for row in _rows(annotations.document(f"{_PREFIX}{name}", name), split)
    ]
    return match_rows(rows, all_of(names), videos, "name")


def _rows(path: Path, split: Split) -> Iterator[Row]:
    for _, line in lines(path):
        # Copies of the files with commas go round; no gesture's name has one.
        name, _, label = line.replace(",", ";", 1).partition(";")
        yield Row(f"{name.strip()}.webm", label.strip(), split)
