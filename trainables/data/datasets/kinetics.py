"""Kinetics-400: CSV files with the columns label, youtube_id, time_start, time_end, split.

Videos are `ID_000010_000020.mp4` or `ID.mp4`, in any folder. The publisher gives no order of the classes:
they are in alphabetical order. Its test split is not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trainables.data.datasets.base import Listing
from trainables.data.datasets.matching import Row, all_of, match_rows, only
from trainables.data.datasets.official import OfficialDataset
from trainables.data.datasets.user_files import (
    MINI_KINETICS,
    UserFiles,
    check_classes,
    csv_rows,
    mini_classes,
    whole_number,
    wrong,
)
from trainables.recipe.fields import Split

_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_PREFIXES = ("", "kinetics_", "kinetics400_", "kinetics_400_", "kinetics-400_", "k400_")
_FILES: dict[Split, tuple[str, ...]] = {
    "train": tuple(f"{prefix}train.csv" for prefix in _PREFIXES),
    "val": tuple(f"{prefix}{name}.csv" for name in ("val", "validate", "validation") for prefix in _PREFIXES),
}
_SPLIT_NAMES: dict[Split, tuple[str, ...]] = {"train": ("train",), "val": ("val", "validate", "validation")}


def list_kinetics(config: OfficialDataset, videos: UserFiles, annotations: UserFiles) -> Listing:
    """All classes, or those of Mini-Kinetics.

    Raises:
        DatasetError: annotation files are missing, wrong or another dataset's, or no video is there.
    """
    files = {split: annotations.document(*names) for split, names in _FILES.items()}
    rows = [row for split, path in files.items() for row in _rows(path, split)]
    names = tuple(sorted({row.label for row in rows if row.split == "train" and row.label}))
    check_classes(names, "kinetics400", files["train"])
    classes = all_of(names)
    if config.name == "mini-kinetics":
        classes = only(mini_classes(MINI_KINETICS), names, files["train"])
    return match_rows(rows, classes, videos, "name")


def _rows(path: Path, split: Split) -> Iterator[Row]:
    table = csv_rows(path)
    _, header = next(table, (0, []))
    missing = [name for name in _COLUMNS if name not in header]
    if missing:
        raise wrong(f"missing column {' and '.join(missing)}", path, 1)
    for line, cells in table:
        if len(cells) < len(header):
            raise wrong(f"{len(cells)} cells where the header has {len(header)}", path, line)
        row = dict(zip(header, cells, strict=False))
        said = row.get("split", "") or split
        if said not in _SPLIT_NAMES[split]:
            raise wrong(f"a row of the split {said!r} in the file of {split}", path, line)
        name = row["youtube_id"]
        start, end = (whole_number(row[column], path, line) for column in ("time_start", "time_end"))
        yield Row(f"{name}_{start:06d}_{end:06d}.mp4", row["label"], split, (name,))
