"""Something-Something V2: JSON files of labels, training and validation; videos are `ID.webm`.

A row's class is its template without square brackets; classes are in the order of the publisher's indices.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainables.data.datasets.base import Listing
from trainables.data.datasets.matching import Row, all_of, match_rows, only
from trainables.data.datasets.official import OfficialDataset
from trainables.data.datasets.user_files import (
    MINI_SSV2,
    UserFiles,
    check_classes,
    in_index_order,
    json_value,
    mini_classes,
    whole_number,
    wrong,
)
from trainables.recipe.fields import Split

_PREFIX = "something-something-v2-"
_FILES: dict[Split, str] = {"train": "train.json", "val": "validation.json"}


def list_something(config: OfficialDataset, videos: UserFiles, annotations: UserFiles) -> Listing:
    """All classes, or those of Mini-SSV2.

    Raises:
        DatasetError: annotation files are missing, wrong or another dataset's, or no video is there.
    """
    labels = annotations.document(f"{_PREFIX}labels.json", "labels.json")
    names = _class_names(labels)
    check_classes(names, "ssv2", labels)
    files = {split: annotations.document(f"{_PREFIX}{name}", name) for split, name in _FILES.items()}
    rows = [row for split, path in files.items() for row in _rows(path, split)]
    classes = all_of(names)
    if config.name == "mini-ssv2":
        classes = only(mini_classes(MINI_SSV2), names, labels)
    return match_rows(rows, classes, videos, "name")


def _class_names(path: Path) -> tuple[str, ...]:
    value = json_value(path)
    if not isinstance(value, dict):
        raise wrong("not a table from class names to indices", path)
    indices = {str(name): whole_number(index, path) for name, index in value.items()}
    return in_index_order(indices, 0, path)


def _rows(path: Path, split: Split) -> Iterator[Row]:
    value = json_value(path)
    if not isinstance(value, list):
        raise wrong("not a list of videos", path)
    for number, item in enumerate(value, 1):
        if not isinstance(item, dict) or "id" not in item:
            raise wrong(f"entry {number} has no id", path)
        template = str(item.get("template") or "")
        yield Row(f"{item['id']}.webm", template.replace("[", "").replace("]", "").strip(), split)
