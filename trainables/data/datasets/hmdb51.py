"""HMDB51: one file a class and split, `<class>_test_split1.txt` (to 3); test videos are our validation.

Rows are `video.avi 1` (training), `2` (test) or `0` (not in this split). The publisher gives no order of the
classes: they are in alphabetical order.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainables.data.datasets.base import DatasetError, Listing
from trainables.data.datasets.matching import Row, all_of, match_rows
from trainables.data.datasets.official import OfficialDataset
from trainables.data.datasets.user_files import UserFiles, check_classes, lines, wrong
from trainables.recipe.fields import Split

_SPLITS: dict[str, Split | None] = {"0": None, "1": "train", "2": "val"}


def list_hmdb51(config: OfficialDataset, videos: UserFiles, annotations: UserFiles) -> Listing:
    """The split that the configuration names.

    Raises:
        DatasetError: annotation files are missing or wrong, or no video is there.
    """
    ending = f"_test_split{config.split}.txt"
    names = tuple(
        sorted({p.name.removesuffix(ending) for p in annotations.documents if p.name.endswith(ending)})
    )
    if not names:
        raise DatasetError(
            f"annotation files <class>{ending} not found",
            annotations.root,
            "give the folder of the publisher's split files with --annotations",
        )
    check_classes(names, "hmdb51", annotations.root)
    rows = [row for name in names for row in _rows(annotations.document(f"{name}{ending}"), name)]
    return match_rows(rows, all_of(names), videos, "class")


def _rows(path: Path, label: str) -> Iterator[Row]:
    for number, line in lines(path):
        file, _, said = line.rpartition(" ")
        if not file or said not in _SPLITS:
            raise wrong("not `video 0|1|2`", path, number)
        split = _SPLITS[said]
        if split is not None:
            yield Row(f"{label}/{file.strip()}", label, split)
