"""Datasets of the user's own files: a folder of videos, or a CSV file that lists them.

Folder (`folders.py`): `class/video.ext`, or `train/class/video.ext` beside `val/class/video.ext`.
CSV: the columns `path,label` and, if the split is given, `split`. Where no split is given, it depends on the
videos' names only.

A list is read where its meaning is certain: commas, semicolons, tabs or bars between columns, capitals in
the header, empty rows and cells at the end, as spreadsheets leave them. All else stops with row and cause.
"""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal
from unicodedata import normalize

from pydantic import Field

from catalog.storage.atomic import user_path
from catalog.storage.layout import escaped
from trainables.data.datasets.base import (
    SPLIT_VALUES,
    DatasetError,
    DatasetInfo,
    Entry,
    Listing,
    SourceAbsentError,
    alike_notes,
    manifest_order,
    same_name,
    video_suffix,
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


class SplitFolders(Frozen):
    """The names of the folders of training and of validation, each with one folder per class."""

    train: Annotated[str, Field(min_length=1)]
    val: Annotated[str, Field(min_length=1)]


class FolderDataset(FilesConfig):
    """Videos in one folder per class. `path` is relative to the working directory unless absolute.

    `splits` says which folders are the splits, or `none`; without it their names tell, or the build stops.
    Class folders without a video stop the build unless `allow_empty_classes`.
    """

    kind: Literal["folder"] = "folder"
    splits: SplitFolders | Literal["none"] | None = None
    allow_empty_classes: bool = False

    def info(self) -> DatasetInfo:
        """Nothing is known before the folder is read."""
        return DatasetInfo(None, None, None, f"put the videos into {self.path}/<class>/<video>.mp4")


class CsvDataset(FilesConfig):
    """Videos listed in the CSV file `path`; its paths are relative to `root` (default: the file's folder)."""

    kind: Literal["csv"] = "csv"
    root: str | None = None

    def info(self) -> DatasetInfo:
        """Nothing is known before the file is read."""
        return DatasetInfo(None, None, None, f"write {self.path} with the columns path,label,split")


def split_by_name(files: Iterable[tuple[Path, str, int]], val_fraction: float) -> tuple[Entry, ...]:
    """Give each (path, name, label) a split, class by class, in the order of a hash of its name.

    Depends neither on where the dataset lies nor on which videos turn out to be damaged, so that mending
    one video never moves another between splits. A class with two or more videos has one in each split.
    """
    by_label: defaultdict[int, list[tuple[str, Path]]] = defaultdict(list)
    for path, name, label in files:
        by_label[label].append((sha256(name.encode("utf-8", "surrogateescape")).hexdigest(), path))
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


_COLUMNS = ("path", "label", "split")
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SPLIT_LIKE = frozenset(
    ("splits", "set", "subset", "partition", "phase", "fold", "usage", "is_train", "mode")
)
_HEADER = "start the file with the line path,label,split"
_SAVE = "save it as CSV in UTF-8"
_CONTROL = re.compile(  # joiners are left in: several languages need them
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_NOT_CSV = {
    b"PK\x03\x04": "a workbook or archive (zip)",
    b"\x1f\x8b": "a compressed file (gzip)",
    **dict.fromkeys((b"[", b"{"), "a JSON file"),
}
_LONGEST_NUMBER = 4000  # digits; Python refuses to read more than 4300
_NAMED = 3  # further rows with the same trouble


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
    file = user_path(config.path).absolute()
    root = user_path(config.root).absolute() if config.root else file.parent
    header, rows = _read_rows(file, root)
    _check_unique(rows, file)
    classes = _ordered_labels(rows, file)
    if len(classes) < 2:
        raise DatasetError(
            f"at least two classes are needed, found {len(classes)}", file, "add labelled videos"
        )
    labels = {name: label for label, name in enumerate(classes)}
    notes = tuple(alike_notes(classes) + _unused_columns(header))
    if "split" not in header:
        files = ((row.path, row.name, labels[row.label]) for row in rows)
        return Listing(classes, manifest_order(split_by_name(files, config.val_fraction)), notes=notes)
    entries = [Entry(row.path, _split(row, file), labels[row.label]) for row in rows]
    return Listing(classes, manifest_order(entries), notes=notes)


def _unused_columns(header: Sequence[str]) -> list[str]:
    others = [
        escaped(name) or f"the {place}. one" for place, name in enumerate(header, 1) if name not in _COLUMNS
    ]
    return [f"columns of the list that are not used: {', '.join(others)}"] if others else []


def _read_rows(file: Path, root: Path) -> tuple[list[str], list[_Row]]:
    """The header in small letters, and the rows that are not empty."""
    text = _text(file)
    delimiter = _delimiter(text)
    table = _cells(text, delimiter, file)
    first = next(table, None)
    line, header = first if first is not None else (1, [])
    header = [name.casefold() for name in header]
    while header and not header[-1]:
        del header[-1]  # a spreadsheet's empty columns
    _check_header(header, file, line, text)
    listed = list(table)
    _check_widths(listed, header, file, delimiter)
    rows = [_row(number, dict(zip(header, cells, strict=False)), root, file) for number, cells in listed]
    if not rows:
        raise DatasetError("no videos listed", file, "add one row a video: path,label,split")
    return header, rows


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise SourceAbsentError(
            "CSV file not found", file, "write it with the columns path,label,split"
        ) from error
    except OSError as error:
        raise DatasetError(
            f"CSV file cannot be read ({error.strerror})", file, "give a file that can be read"
        ) from error
    head = content[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    if kind := next((kind for mark, kind in _NOT_CSV.items() if head.startswith(mark)), None):
        raise DatasetError(f"not a CSV file but {kind}", file, "save it as CSV in UTF-8: path,label,split")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or content[:64].count(0) > len(content[:64]) // 3:
        raise DatasetError("not a CSV file in UTF-8 but in UTF-16", file, _SAVE)
    try:
        # utf-8-sig: spreadsheets put a byte-order mark before the first column's name
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"not a CSV file in UTF-8 ({error.reason})", f"{file}: line {line}", _SAVE
        ) from error


def _delimiter(text: str) -> str:
    """What stands between the columns, told from the first line that is not empty."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    if (found := re.fullmatch(r"sep=(.)", head.strip(" "))) and found[1] in _DELIMITERS:
        return found[1]  # a line that Excel writes and reads
    names = re.split(r"[^\w]+", head.casefold())
    if not {"path", "label"} <= set(names):
        return ","
    return max(_DELIMITERS, key=head.count)


def _cells(text: str, delimiter: str, file: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, with the line that each begins in; cells without surrounding space."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True
    )
    before = 0
    try:
        for cells in reader:
            line, before = before + 1, reader.line_num
            stripped = [cell.strip() for cell in cells]
            if any(stripped) and not (line == 1 and re.fullmatch(r"sep=.?", "".join(stripped))):
                _check_text(stripped, file, line)
                yield line, stripped
    except csv.Error as error:
        what = f"not a row of a CSV file ({error}): a quote is open or stands inside a cell"
        raise DatasetError(
            what, f"{file}: line {before + 1}", 'write a quote inside quotes twice ("")'
        ) from error


def _check_text(cells: Sequence[str], file: Path, line: int) -> None:
    if any("\n" in cell or "\r" in cell for cell in cells):
        what = "a cell goes over several lines: a quote is not closed"
        raise DatasetError(what, f"{file}: line {line}", "close it, or write a quote inside quotes twice")
    if found := next(filter(None, map(_CONTROL.search, cells)), None):
        code = f"U+{ord(found[0]):04X}"
        what = "a control character" if found[0] < "\xa0" else f"an invisible character ({code})"
        raise DatasetError(f"{what} in a cell", f"{file}: line {line}", "remove it")


def _check_header(header: Sequence[str], file: Path, line: int, text: str) -> None:
    missing = [name for name in ("path", "label") if name not in header]
    where = f"{file}: line {line}"
    if missing:
        what = f"missing column {' and '.join(missing)}"
        raise DatasetError(
            f"{what}{_why_missing(header, text)}", file if not text.strip() else where, _HEADER
        )
    doubled = [name for name, count in Counter(header).items() if count > 1 and name]
    if doubled:
        raise DatasetError(
            f"column {escaped(doubled[0])} is there twice", where, "remove or rename one of them"
        )
    if "split" not in header and (like := _like_split(header)):
        what = f"column {escaped(like)} looks like the split, which would not be used"
        raise DatasetError(what, where, "call the column split, with train or val in each row, or remove it")


def _like_split(header: Sequence[str]) -> str | None:
    close = difflib.get_close_matches("split", header, n=1, cutoff=0.75)
    return next((name for name in header if name in _SPLIT_LIKE or name in close), None)


def _why_missing(header: Sequence[str], text: str) -> str:
    """What the first line seems to be, for the error."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if not line:
        return ""
    shown = escaped(line if len(line) <= 60 else f"{line[:57]}...")
    separators = [name for mark, name in {**_DELIMITERS, " ": "spaces"}.items() if mark in line]
    if any(video_suffix(cell) for cell in re.split(r"[,;\t| ]", line)):
        commas = "" if "," in line or not separators else f", with {separators[0]} where commas are expected"
        return f": there is no header, the file begins with a row{commas} ({shown})"
    if "," not in line and separators:
        return f": {separators[0]} where commas are expected ({shown})"
    return f": the header has {', '.join(escaped(name) for name in header)}"[:200]


def _check_widths(
    rows: Sequence[tuple[int, list[str]]], header: Sequence[str], file: Path, delimiter: str
) -> None:
    needed = 1 + max(index for index, name in enumerate(header) if name in _COLUMNS)
    wrong = [(line, cells) for line, cells in rows if len(cells) < needed or any(cells[len(header) :])]
    if wrong:
        line, cells = wrong[0]
        more = ", ".join(str(number) for number, _ in wrong[1 : 1 + _NAMED])
        also = (
            f" (so have {len(wrong) - 1} more, in lines {more}{', …'[: 3 * (len(wrong) > 4)]})"
            if more
            else ""
        )
        count = f"{len(cells)} cell{'s' if len(cells) > 1 else ''}"
        raise DatasetError(
            f"{count} where the header has {len(header)}{also}",
            f"{file}: line {line}",
            _too_many(delimiter) if len(cells) > len(header) else _too_few(cells, delimiter),
        )
    again = [line for line, cells in rows if [cell.casefold() for cell in cells] == list(header)]
    if again:
        raise DatasetError("the header is there again", f"{file}: line {again[0]}", "remove the line")


def _too_many(delimiter: str) -> str:
    what = _DELIMITERS[delimiter]
    return f"put a cell that has {what} in it into quotes, or name the further column in the header"


def _too_few(cells: Sequence[str], delimiter: str) -> str:
    others = [name for mark, name in _DELIMITERS.items() if mark != delimiter and mark in cells[0]]
    if len(cells) > 1 or not others:
        return "fill in what is missing"
    return f"the row has {others[0]} where the header has {_DELIMITERS[delimiter]}: write all rows alike"


def _row(line: int, cells: Mapping[str, str], root: Path, file: Path) -> _Row:
    name, label = cells["path"], same_name(cells["label"])
    if not name or not label:
        raise DatasetError("empty path or label", f"{file}: line {line}", "fill it in or remove the line")
    path = _home_path(name) or root / name
    if not name.isascii() and not os.path.lexists(path):  # the disk may have the name in another form
        forms = (Path(normalize(form, str(path))) for form in ("NFC", "NFD"))
        path = next(filter(os.path.lexists, forms), path)
    return _Row(line, name, path, label, cells.get("split"))


def _home_path(name: str) -> Path | None:
    """The path of a name with a home folder (`~/a.mp4`); None: a file may be called `~a.mp4`."""
    try:
        return Path(name).expanduser() if name.startswith("~") else None
    except RuntimeError:
        return None


def _check_unique(rows: Sequence[_Row], file: Path) -> None:
    first: dict[str, _Row] = {}
    folders: dict[str, str] = {}
    for row in rows:
        other = first.setdefault(_real(row.path, folders), row)
        if other is not row:
            what = f"{row.path.name} is listed twice"
            if other.name != row.name:
                what = f"one file is listed twice, as {other.name} and as {row.name}"
            raise DatasetError(what, f"{file}: lines {other.line} and {row.line}", "remove one")


def _real(path: Path, folders: dict[str, str]) -> str:
    """The file that a path means, whatever its spelling, links followed; `folders` are those known so far."""
    parent = str(path.parent)
    if parent not in folders:
        folders[parent] = os.path.realpath(parent)
    real = Path(folders[parent]) / path.name
    return os.path.realpath(real) if path.name == ".." or real.is_symlink() else str(real)


def _ordered_labels(rows: Sequence[_Row], file: Path) -> tuple[str, ...]:
    """The classes, in an order that depends on their names alone."""
    first: dict[str, int] = {}
    for row in rows:
        first.setdefault(row.label, row.line)
    if not all(label.isdecimal() and len(label) < _LONGEST_NUMBER for label in first):
        return tuple(sorted(first))
    numbers: dict[int, str] = {}
    for label, line in first.items():
        other = numbers.setdefault(int(label), label)
        if other != label:
            lines = f"{file}: lines {first[other]} and {line}"
            raise DatasetError(f"labels {other} and {label} are one number", lines, "write both in one way")
    return tuple(numbers[number] for number in sorted(numbers))


def _split(row: _Row, file: Path) -> Split:
    split = SPLIT_VALUES.get((row.split or "").casefold())
    if split is None:
        raise DatasetError(
            f"unknown split {escaped(row.split or '')!r}", f"{file}: line {row.line}", "use train or val"
        )
    return split
