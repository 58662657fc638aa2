"""Moments in Time, full or mini: `moments_categories.txt`, `trainingSet.csv` and `validationSet.csv`.

Rows are `class/video.mp4,class,votes for,votes against`; videos lie in `training/` and `validation/`. A
file's name alone does not tell its class, so its folders must not contradict its row. Classes are in the
order of the publisher's indices.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainables.data.datasets.base import Listing
from trainables.data.datasets.matching import Row, all_of, match_rows
from trainables.data.datasets.official import OfficialDataset
from trainables.data.datasets.user_files import (
    UserFiles,
    check_classes,
    csv_rows,
    in_index_order,
    lines,
    whole_number,
    wrong,
)
from trainables.recipe.fields import Split

_FILES: dict[Split, tuple[str, str]] = {
    "train": ("trainingset.csv", "training"),
    "val": ("validationset.csv", "validation"),
}


def list_moments(config: OfficialDataset, videos: UserFiles, annotations: UserFiles) -> Listing:
    """Full and mini set differ in their files and number of classes only.

    Raises:
        DatasetError: annotation files are missing, wrong or another dataset's, or no video is there.
    """
    categories = annotations.document("moments_categories.txt")
    names = _class_names(categories)
    check_classes(names, config.name, categories)
    rows = [
        row
        for split, (file, folder) in _FILES.items()
        for row in _rows(annotations.document(file), split, folder)
    ]
    return match_rows(rows, all_of(names), videos, "class and split")


def _class_names(path: Path) -> tuple[str, ...]:
    indices: dict[str, int] = {}
    for number, line in lines(path):
        name, comma, index = line.rpartition(",")
        if not comma:
            raise wrong("not `class,index`", path, number)
        indices[name.strip()] = whole_number(index, path, number)
    return in_index_order(indices, 0, path)


def _rows(path: Path, split: Split, folder: str) -> Iterator[Row]:
    for _, cells in csv_rows(path):
        yield Row(f"{folder}/{cells[0]}", cells[1] if len(cells) > 1 else "", split)
