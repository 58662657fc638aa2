"""A table of videos: a CSV file with the columns `path,label` and, if the split is given, `split`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainables.data.datasets.base import DatasetError, DatasetInfo, Entry, FilesConfig, Listing, Split
from trainables.data.datasets.split import manifest_order, split_by_name

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
            f"at least two classes are needed, found {len(classes)}; {file}; add labelled videos"
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
            f"CSV file not found; {file}; write it with the columns path,label,split"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"not a CSV file in UTF-8 ({error}); {file}; save it as CSV in UTF-8") from error
    if not rows:
        raise DatasetError(f"no videos listed; {file}; add one row a video: path,label,split")
    return rows


def _check_header(fields: Sequence[str], file: Path) -> None:
    missing = [name for name in ("path", "label") if name not in fields]
    if missing:
        raise DatasetError(
            f"missing column {' and '.join(missing)}; {file}; start the file with the line path,label,split"
        )


def _row(line: int, cells: dict[str, str | None], root: Path, file: Path) -> _Row:
    name, label = (cells["path"] or "").strip(), (cells["label"] or "").strip()
    if not name or not label:
        raise DatasetError(f"empty path or label; {file}: line {line}; fill it in or remove the line")
    return _Row(line, name, root / name, label, (cells["split"] or "").strip() if "split" in cells else None)


def _check_unique(rows: list[_Row], file: Path) -> None:
    first: dict[Path, int] = {}
    for row in rows:
        if row.path in first:
            raise DatasetError(
                f"{row.path.name} is listed twice; {file}: lines {first[row.path]} and {row.line}; remove one"
            )
        first[row.path] = row.line


def _ordered_labels(labels: set[str]) -> tuple[str, ...]:
    if all(label.isdecimal() for label in labels):
        return tuple(sorted(labels, key=int))
    return tuple(sorted(labels))


def _split(row: _Row, file: Path) -> Split:
    split = _SPLIT_NAMES.get((row.split or "").lower())
    if split is None:
        raise DatasetError(f"unknown split {row.split!r}; {file}: line {row.line}; use train or val")
    return split
