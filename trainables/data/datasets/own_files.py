"""Datasets of the user's own files: a folder of videos, or a CSV file that lists them.

Folder: `class/video.ext`, or `train/class/video.ext` beside `val/class/video.ext`. CSV: the columns
`path,label` and, if the split is given, `split`. Where no split is given, it depends on the
videos' names only.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from trainables.data.datasets.base import (
    SPLITS,
    VIDEO_SUFFIXES,
    DatasetError,
    DatasetInfo,
    Entry,
    Listing,
    manifest_order,
)
from trainables.data.frames.frame_format import FrameFormat
from trainables.recipe.fields import Fraction, Frozen, Split


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


class FolderDataset(FilesConfig):
    """Videos in one folder per class. `path` is relative to the working directory unless absolute."""

    kind: Literal["folder"] = "folder"

    def info(self) -> DatasetInfo:
        """Nothing is known before the folder is read."""
        return DatasetInfo(None, None, None, f"put the videos into {self.path}/<class>/<video>.mp4")


def list_folder(config: FolderDataset) -> Listing:
    """List every file with a video's suffix; other files are ignored.

    Raises:
        DatasetError: no such folder, fewer than two classes, or a validation class without training videos.
    """
    root = Path(config.path).absolute()
    if not root.is_dir():
        raise DatasetError(
            "dataset folder not found", root, "give the folder that holds one folder per class"
        )
    if all((root / split).is_dir() for split in SPLITS):
        return _list_splits(root)
    classes = _class_folders(root)
    _check_classes(classes, root)
    files = (
        (path, path.relative_to(root).as_posix(), label)
        for label, name in enumerate(classes)
        for path in _videos(root / name)
    )
    return Listing(classes, manifest_order(split_by_name(files, config.val_fraction)))


def _list_splits(root: Path) -> Listing:
    classes = _class_folders(root / "train")
    _check_classes(classes, root / "train")
    unknown = sorted(set(_class_folders(root / "val")) - set(classes))
    if unknown:
        raise DatasetError(
            f"validation classes without training videos: {', '.join(unknown)}",
            root / "val",
            "add them to train/ or remove them",
        )
    entries = [
        Entry(path, split, label)
        for split in SPLITS
        for label, name in enumerate(classes)
        for path in _videos(root / split / name)
    ]
    return Listing(classes, manifest_order(entries))


def _class_folders(folder: Path) -> tuple[str, ...]:
    names = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    return tuple(name for name in names if any(_videos(folder / name)))


def _check_classes(classes: tuple[str, ...], folder: Path) -> None:
    if len(classes) < 2:
        found = ", ".join(classes) or "none"
        raise DatasetError(
            f"at least two classes are needed, found {len(classes)} ({found})",
            folder,
            f"put videos ({' '.join(sorted(VIDEO_SUFFIXES))}) into one folder per class",
        )


def _videos(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and not path.name.startswith("."):
            yield path


_SPLIT_NAMES: dict[str, Split] = {"train": "train", "val": "val", "validation": "val"}


class CsvDataset(FilesConfig):
    """Videos listed in the CSV file `path`; its paths are relative to `root` (default: the file's folder)."""

    kind: Literal["csv"] = "csv"
    root: str | None = None

    def info(self) -> DatasetInfo:
        """Nothing is known before the file is read."""
        return DatasetInfo(None, None, None, f"write {self.path} with the columns path,label,split")


@dataclass(frozen=True)
class _Row:
    line: int
    name: str
    path: Path
    label: str
    split: str | None


def list_csv(config: CsvDataset) -> Listing:
    """Read the table; labels that are all whole numbers are ordered as numbers, others by name.

    Raises:
        DatasetError: the file is missing, or a row is wrong (named by its line).
    """
    file = Path(config.path).absolute()
    rows = _read_rows(file, Path(config.root).absolute() if config.root else file.parent)
    _check_unique(rows, file)
    classes = _ordered_labels({row.label for row in rows})
    if len(classes) < 2:
        raise DatasetError(
            f"at least two classes are needed, found {len(classes)}", file, "add labelled videos"
        )
    labels = {name: label for label, name in enumerate(classes)}
    if rows[0].split is None:
        files = ((row.path, row.name, labels[row.label]) for row in rows)
        return Listing(classes, manifest_order(split_by_name(files, config.val_fraction)))
    entries = [Entry(row.path, _split(row, file), labels[row.label]) for row in rows]
    return Listing(classes, manifest_order(entries))


def _read_rows(file: Path, root: Path) -> list[_Row]:
    try:
        # utf-8-sig: spreadsheets put a byte-order mark before the first column's name
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            _check_header(reader.fieldnames or (), file)
            rows = [_row(reader.line_num, cells, root, file) for cells in reader]
    except FileNotFoundError as error:
        raise DatasetError(
            "CSV file not found", file, "write it with the columns path,label,split"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"not a CSV file in UTF-8 ({error})", file, "save it as CSV in UTF-8") from error
    if not rows:
        raise DatasetError("no videos listed", file, "add one row a video: path,label,split")
    return rows


def _check_header(fields: Sequence[str], file: Path) -> None:
    missing = [name for name in ("path", "label") if name not in fields]
    if missing:
        raise DatasetError(
            f"missing column {' and '.join(missing)}", file, "start the file with the line path,label,split"
        )


def _row(line: int, cells: dict[str, str | None], root: Path, file: Path) -> _Row:
    name, label = (cells["path"] or "").strip(), (cells["label"] or "").strip()
    if not name or not label:
        raise DatasetError("empty path or label", f"{file}: line {line}", "fill it in or remove the line")
    return _Row(line, name, root / name, label, (cells["split"] or "").strip() if "split" in cells else None)


def _check_unique(rows: list[_Row], file: Path) -> None:
    first: dict[Path, int] = {}
    for row in rows:
        if row.path in first:
            raise DatasetError(
                f"{row.path.name} is listed twice",
                f"{file}: lines {first[row.path]} and {row.line}",
                "remove one",
            )
        first[row.path] = row.line


def _ordered_labels(labels: set[str]) -> tuple[str, ...]:
    if all(label.isdecimal() for label in labels):
        return tuple(sorted(labels, key=int))
    return tuple(sorted(labels))


def _split(row: _Row, file: Path) -> Split:
    split = _SPLIT_NAMES.get((row.split or "").lower())
    if split is None:
        raise DatasetError(f"unknown split {row.split!r}", f"{file}: line {row.line}", "use train or val")
    return split


def split_by_name(files: Iterable[tuple[Path, str, int]], val_fraction: float) -> tuple[Entry, ...]:
    """Give each (path, name, label) a split, class by class, in the order of a hash of its name.

    Depends neither on where the dataset lies nor on which videos turn out to be damaged, so that mending
    one video never moves another between splits. A class with two or more videos has one in each split.
    """
    by_label: defaultdict[int, list[tuple[str, Path]]] = defaultdict(list)
    for path, name, label in files:
        by_label[label].append((sha256(name.encode()).hexdigest(), path))
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
