"""Reading annotation files: text, CSV and JSON, with errors that name the file and the line."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from trainables.data.datasets.base import DatasetError
from trainables.data.datasets.official import OFFICIAL, OfficialName

_AGAIN = "get the publisher's own file again"


def lines(path: Path) -> list[tuple[int, str]]:
    """The lines that are not empty, with their numbers, without surrounding space.

    Raises:
        DatasetError: the file cannot be read or is no text in UTF-8.
    """
    text = _text(path)
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, with their line numbers, cells without surrounding space.

    Raises:
        DatasetError: the file cannot be read or is no CSV in UTF-8.
    """
    reader = csv.reader(_text(path).split("\n"), delimiter=delimiter)
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise wrong(f"not a CSV file ({error})", path, reader.line_num) from error


def json_value(path: Path) -> object:
    """The file's content.

    Raises:
        DatasetError: the file cannot be read or is no JSON.
    """
    try:
        value: object = json.loads(_text(path))
    except ValueError as error:
        raise wrong(f"not a JSON file ({error})", path) from error
    return value


def in_index_order(indices: dict[str, int], first: int, path: Path) -> tuple[str, ...]:
    """Class names in the order of the publisher's indices, which must run from `first` without a gap.

    Raises:
        DatasetError: they do not.
    """
    names = tuple(sorted(indices, key=lambda name: indices[name]))
    if [indices[name] for name in names] != list(range(first, first + len(names))):
        raise wrong(f"class indices do not run from {first} without a gap", path)
    return names


def whole_number(text: object, path: Path, line: int | None = None) -> int:
    """A whole number, also one written `10.0`.

    Raises:
        DatasetError: it is none.
    """
    try:
        number = float(str(text))
        if number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise wrong(f"not a whole number: {text!r}", path, line)


def check_classes(classes: tuple[str, ...], name: OfficialName, path: Path) -> None:
    """A wrong number of classes means another version or another dataset: their results cannot be compared.

    Raises:
        DatasetError: the numbers differ.
    """
    expected = OFFICIAL[name].num_classes
    if len(classes) != expected:
        raise DatasetError(
            f"{len(classes)} classes where {name} has {expected}; {path}; give the annotation files of this "
            "dataset and version, or list the videos in a CSV file and use `kind: csv`"
        )


def wrong(what: str, path: Path, line: int | None = None) -> DatasetError:
    """The error of a file that is not what its publisher distributes."""
    place = path if line is None else f"{path}: line {line}"
    return DatasetError(f"{what}; {place}; {_AGAIN}")


def _text(path: Path) -> str:
    try:
        # utf-8-sig: spreadsheets put a byte-order mark in front
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise wrong(f"not text in UTF-8 ({error.reason})", path) from error
    except OSError as error:
        raise DatasetError(
            f"annotation file cannot be read ({error.strerror}); {path}; make it readable"
        ) from error
