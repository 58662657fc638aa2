"""From an official dataset's annotations and the user's files to a listing; what cannot be used is told."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from trainables.data.datasets.base import DatasetError, Entry, LeftOut, Listing, manifest_order
from trainables.data.datasets.user_files import UserFiles, stem_of
from trainables.recipe.fields import Split

Agreement = Literal["name", "class", "class and split"]
"""What of a file's place must agree with its row: only its name, where names are unique, or its folders."""

_SPLIT_FOLDERS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validate", "validation"), "val"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of an annotation file: the file it names, other stems to look for, class name and split."""

    file: str
    label: str
    split: Split
    other_stems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Classes:
    """A dataset's classes: those it is made of, in label order, and all that its annotations may name.

    Rows of a known class that is not `used` are no part of the dataset (the mini sets).
    """

    used: tuple[str, ...]
    known: frozenset[str]


def all_of(names: tuple[str, ...]) -> Classes:
    """Every class that the annotations may name is used."""
    return Classes(names, frozenset(names))


def only(names: tuple[str, ...], known: tuple[str, ...], source: Path) -> Classes:
    """Some classes of a larger dataset.

    Raises:
        DatasetError: a class is none of the larger dataset's.
    """
    strange = sorted(set(names) - set(known))
    if strange:
        raise DatasetError(
            f"classes not in the annotations: {', '.join(strange)}",
            source,
            "give the publisher's own annotation files with --annotations",
        )
    return Classes(names, frozenset(known))


def match_rows(rows: Iterable[Row], classes: Classes, files: UserFiles, agreement: Agreement) -> Listing:
    """Find every row's file. A file that is listed twice counts once, in validation if it is listed there.

    Raises:
        DatasetError: none of the listed videos is there, or they are there as folders of pictures.
    """
    finder = _Finder(files, frozenset(map(folder_name, classes.known)), agreement)
    labels = {name: label for label, name in enumerate(classes.used)}
    entries: dict[str, Entry] = {}
    missing: dict[str, LeftOut] = {}
    others: list[LeftOut] = []
    in_pictures = 0
    # Validation first: a video that leaked into training must not change what is measured.
    for row in sorted(rows, key=lambda row: row.split == "train"):
        if row.label not in labels:
            if row.label not in classes.known:
                others.append(LeftOut(row.file, _why_no_label(row)))
            continue
        path = finder.find(row)
        if path is None:
            place = f"{files.root}{os.sep}{row.file}"
            if place in missing:
                others.append(LeftOut(place, "duplicate: listed before"))
            else:
                missing[place] = LeftOut(place, "missing: no such file")
                in_pictures += any(stem in files.picture_folders for stem in _stems(row))
        elif path in entries:
            others.append(LeftOut(path, _why_duplicate(entries[path], row, classes)))
        else:
            entries[path] = Entry(Path(path), row.split, labels[row.label])
    _check_found(len(entries), len(missing), in_pictures, files.root)
    left_out = sorted([*missing.values(), *others], key=lambda one: (one.path, one.reason))
    return Listing(classes.used, manifest_order(entries.values()), tuple(left_out))


@lru_cache(maxsize=4096)
def folder_name(class_name: str) -> str:
    """A class as a folder's name, whatever its spaces, underscores and capitals have become."""
    return re.sub(r"[\W_]+", "_", class_name.casefold()).strip("_")


@dataclass(frozen=True)
class _Finder:
    files: UserFiles
    class_folders: frozenset[str]
    agreement: Agreement

    def find(self, row: Row) -> str | None:
        """The best of the files with one of the row's names; the first by path among equals."""
        for stem in _stems(row):
            paths = self.files.videos.get(stem, ())
            if self.agreement == "name" and len(paths) == 1:
                return paths[0]
            ranked = [(rank, path) for path in paths if (rank := self._rank(path, row)) is not None]
            if ranked:
                return min(ranked)[1]
        return None

    def _rank(self, path: str, row: Row) -> tuple[bool, bool, bool] | None:
        """How well the folders agree with the row (smaller is better); None where they must and do not."""
        folders = _folder_names(path.rpartition(os.sep)[0].removeprefix(str(self.files.root)))
        class_agrees = folder_name(row.label) in folders[-1:]
        splits = {_SPLIT_FOLDERS[name] for name in folders if name in _SPLIT_FOLDERS}
        if self.agreement != "name" and not class_agrees and self.class_folders.intersection(folders[-1:]):
            return None
        if self.agreement == "class and split" and splits - {row.split}:
            return None
        # Kinetics' mirror gives sound copies of damaged videos in a folder of its own.
        replaces = any(name.startswith("replacement") for name in folders)
        return not replaces, not class_agrees, row.split not in splits


@lru_cache(maxsize=4096)
def _folder_names(directory: str) -> tuple[str, ...]:
    return tuple(folder_name(name) for name in Path(directory.lstrip(os.sep)).parts)


def _stems(row: Row) -> tuple[str, ...]:
    return stem_of(row.file.rsplit("/", 1)[-1]), *row.other_stems


def _why_no_label(row: Row) -> str:
    return f"unknown class: {row.label}" if row.label else f"no label: listed in {row.split} without one"


def _why_duplicate(kept: Entry, row: Row, classes: Classes) -> str:
    kept_label = classes.used[kept.label]
    as_what = "" if kept_label == row.label else f" as {kept_label}"
    return f"duplicate: listed before in {kept.split}{as_what}"


def _check_found(found: int, missing: int, in_pictures: int, root: Path) -> None:
    if in_pictures:
        raise DatasetError(
            f"{in_pictures} of {found + missing} videos are there only as folders of pictures",
            root,
            "give the folder of the videos with --videos, or make a video of each folder (docs/datasets.md)",
        )
    if not found:
        raise DatasetError(
            f"none of the {missing} listed videos found", root, "give the folder of the videos with --videos"
        )
