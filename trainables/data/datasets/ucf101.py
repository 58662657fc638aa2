"""UCF101: `classInd.txt`, `trainlist01.txt` and `testlist01.txt` (to 03); test videos are our validation.

Rows are `Class/v_Class_g01_c01.avi`, in training with the class's index behind. The folder names the class:
of one, `HandstandPushups`, the files are spelt otherwise. Classes are in the order of the publisher's
indices.
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
    in_index_order,
    lines,
    whole_number,
    wrong,
)
from trainables.recipe.fields import Split


def list_ucf101(config: OfficialDataset, videos: UserFiles, annotations: UserFiles) -> Listing:
    """The split that the configuration names.

    Raises:
        DatasetError: annotation files are missing, wrong or another dataset's, or no video is there.
    """
    index = annotations.document("classind.txt")
    names = _class_names(index)
    check_classes(names, "ucf101", index)
    train = annotations.document(f"trainlist{config.split:02d}.txt")
    test = annotations.document(f"testlist{config.split:02d}.txt")
    return match_rows([*_rows(train, "train"), *_rows(test, "val")], all_of(names), videos, "class")


def _class_names(path: Path) -> tuple[str, ...]:
    indices: dict[str, int] = {}
    for number, line in lines(path):
        index, space, name = line.partition(" ")
        if not space:
            raise wrong("not `index class`", path, number)
        indices[name.strip()] = whole_number(index, path, number)
    return in_index_order(indices, 1, path)


def _rows(path: Path, split: Split) -> Iterator[Row]:
    for _, line in lines(path):
        file = line.split()[0]
        yield Row(file, file.rpartition("/")[0], split)
