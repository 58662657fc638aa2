"""What lies in the folders that a user names: videos by name, annotation files and what they say.

A folder is read once and whole: asking for each of Kinetics' 240,000 files by itself would take hours on
network storage. Errors in an annotation file name the file and the line.
"""

from __future__ import annotations

import csv
import errno
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import normalize

from catalog.storage.checksums import parse_json
from catalog.storage.layout import escaped
from trainables.data.datasets.base import (
    VIDEO_SUFFIXES,
    DatasetError,
    DatasetFolders,
    LeftOut,
    SourceAbsentError,
    video_suffix,
)
from trainables.data.datasets.official import OFFICIAL, OfficialName

_DOCUMENT_SUFFIXES = frozenset({".csv", ".json", ".txt"})
_PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})


@dataclass(frozen=True)
class UserFiles:
    """One folder of the user's, with all folders below it; hidden files and folders are ignored.

    `videos` has the paths of all videos by their name without suffix, `picture_folders` the names of folders
    that hold pictures.
    """

    root: Path
    videos: Mapping[str, tuple[str, ...]]
    documents: tuple[Path, ...]
    picture_folders: frozenset[str]

    def document(self, *names: str) -> Path:
        """The one file with one of these names (in lower case), the nearest to the root.

        Raises:
            DatasetError: there is none, or two are equally near.
        """
        found = sorted(path for path in self.documents if path.name.lower() in names)
        nearest = min((len(path.parts) for path in found), default=0)
        nearest_found = [path for path in found if len(path.parts) == nearest]
        if not nearest_found:
            others = f" (or {', '.join(names[1:])})" if names[1:] else ""
            raise DatasetError(
                f"annotation file {names[0]}{others} not found",
                self.root,
                "give the folder of the publisher's annotation files with --annotations",
            )
        if len(nearest_found) > 1:
            listed = " and ".join(str(path.relative_to(self.root)) for path in nearest_found)
            raise DatasetError(
                f"two files could be meant: {listed}",
                self.root,
                "give the folder of the right one with --annotations",
            )
        return nearest_found[0]


def stem_of(file_name: str) -> str:
    """A file's name without any video suffix; downloaders leave two of them (`ID.mp4.mkv`)."""
    name = file_name if file_name.isascii() else normalize("NFC", file_name)
    while (dot := name.rfind(".")) > 0 and name[dot:].lower() in VIDEO_SUFFIXES:
        name = name[:dot]
    return name


def read_sources(sources: DatasetFolders, how_to_get: str) -> tuple[UserFiles, UserFiles]:
    """The folder of videos and the folder of annotations, which is the same one where none is given.

    Raises:
        DatasetError: no folder of videos is given, or a folder is not there or cannot be read.
    """
    if sources.videos is None:
        raise DatasetError("no folder of videos given", "--videos", how_to_get)
    videos = read_folder(sources.videos.absolute(), "videos")
    if sources.annotations is None or sources.annotations.absolute() == videos.root:
        return videos, videos
    return videos, read_folder(sources.annotations.absolute(), "annotations")


def read_folder(root: Path, option: str) -> UserFiles:
    """Read a folder and all below it.

    Raises:
        DatasetError: it is no folder or cannot be read; names the command's option.
    """
    if not root.is_dir():
        raise DatasetError("folder not found", root, f"give an existing folder with --{option}")
    videos: defaultdict[str, list[str]] = defaultdict(list)
    documents: list[Path] = []
    picture_folders: set[str] = set()
    try:
        for item in _walk(root):
            dot = item.name.rfind(".")
            suffix = item.name[dot:].lower() if dot > 0 else ""
            if suffix in VIDEO_SUFFIXES:
                if item.is_file():
                    videos[stem_of(item.name)].append(item.path)
            elif suffix in _DOCUMENT_SUFFIXES:
                documents.append(Path(item.path))
            elif suffix in _PICTURE_SUFFIXES:
                picture_folders.add(Path(item.path).parent.name)
    except OSError as error:
        raise DatasetError(
            f"folder cannot be read ({error.strerror})", error.filename or root, "make it readable"
        ) from error
    by_name = {stem: tuple(paths) for stem, paths in videos.items()}
    return UserFiles(root, by_name, tuple(documents), frozenset(picture_folders))


def _walk(root: Path) -> Iterator[os.DirEntry[str]]:
    """All that is not a folder; what begins with a dot is left out.

    Every folder is read once, wherever links lead: linked ones after all others, and not if read before.
    """
    folders = [(str(root), os.path.realpath(root))]
    linked: list[str] = []
    read: set[str] = set()
    while folders or linked:
        if not folders:
            linked.sort(reverse=True)
            link = linked.pop()
            folders.append((link, os.path.realpath(link)))
        folder, real = folders.pop()
        if real in read:
            continue
        read.add(real)
        with os.scandir(folder) as items:
            for item in items:
                if item.name.startswith("."):
                    continue
                if not item.is_dir():
                    yield item
                elif item.is_symlink():
                    linked.append(item.path)
                else:
                    folders.append((item.path, f"{real}{os.sep}{item.name}"))


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
        value: object = parse_json(_text(path))
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
            f"{len(classes)} classes where {name} has {expected}",
            path,
            "give the annotation files of this dataset and version, or list the videos "
            "in a CSV file and use `kind: csv`",
        )


def wrong(what: str, path: Path, line: int | None = None) -> DatasetError:
    """The error of a file that is not what its publisher distributes."""
    place = path if line is None else f"{path}: line {line}"
    return DatasetError(what, place, _AGAIN)


def _text(path: Path) -> str:
    try:
        # utf-8-sig: spreadsheets put a byte-order mark in front
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise wrong(f"not text in UTF-8 ({error.reason})", path) from error
    except OSError as error:
        raise DatasetError(
            f"annotation file cannot be read ({error.strerror})", path, "make it readable"
        ) from error


MINI_KINETICS = "mini_kinetics_classes.txt"
MINI_SSV2 = "mini_ssv2_classes.txt"


def mini_classes(file: str) -> tuple[str, ...]:
    """The classes of Mini-Kinetics or Mini-SSV2: half of the full dataset's classes, with all their videos.

    The lists come with this package and are the study's authors'; classes are in their order, which is
    alphabetical.
    """
    return tuple(name for _, name in lines(Path(__file__).with_name(file)))


HIDDEN = "hidden"
OUTSIDE = "outside a class folder"
_SYSTEM = "system folder"
_SYSTEM_FOLDERS = frozenset(
    ("__macosx", "lost+found", "@eadir", "$recycle.bin", "system volume information", "__pycache__")
)
# What a file server or a mount says while it is away; a folder that is not permitted is there.
_AWAY = frozenset(
    getattr(errno, name)
    for name in ("ENOENT", "EIO", "ESTALE", "ETIMEDOUT", "EHOSTDOWN", "EHOSTUNREACH", "ENOTCONN", "ENODEV")
)


@dataclass
class Found:
    """Videos with the real file behind each (links followed), what is left out, and counts of the rest."""

    videos: list[tuple[Path, str]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)

    def take(self, other: Found) -> None:
        """Add what was found elsewhere."""
        self.videos += other.videos
        self.left_out += other.left_out
        self.ignored.update(other.ignored)


def items(folder: str | Path) -> list[os.DirEntry[str]]:
    """What lies in a folder, by name.

    Raises:
        SourceAbsentError: it is not there at the moment.
        DatasetError: it cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda item: item.name)
    except OSError as error:
        kind = SourceAbsentError if error.errno in _AWAY else DatasetError
        what = f"folder cannot be read ({error.strerror})"
        raise kind(what, escaped(str(folder)), "make it readable or remove it") from error


def is_folder(item: os.DirEntry[str]) -> bool:
    """Whether it is a folder or a link to one; a loop of links is none."""
    try:
        return item.is_dir()
    except OSError:
        return False


def is_ignored_folder(name: str) -> str | None:
    """The kind under which a folder is ignored whole, None where it is read."""
    if name.startswith("."):
        return HIDDEN
    return _SYSTEM if name.casefold() in _SYSTEM_FOLDERS else None


def scan(folder: Path) -> Found:
    """Read a folder and all below it, linked folders too, each once.

    Raises:
        DatasetError: a folder below it cannot be read: nobody knows how many videos it has.
    """
    found = Found()
    read: set[str] = set()
    waiting = [(str(folder), os.path.realpath(folder))]
    while waiting:
        path, real = waiting.pop()
        if real in read:
            continue
        read.add(real)
        for item in items(path):
            below = _sort(item, f"{real}{os.sep}{item.name}", found)
            # linked folders after all others: what lies here keeps its own path
            waiting[0:0] = below if item.is_symlink() else ()
            waiting += () if item.is_symlink() else below
    found.videos.sort()
    return found


def _sort(item: os.DirEntry[str], real: str, found: Found) -> list[tuple[str, str]]:
    """Note a file in `found`; give a folder that has to be read."""
    try:
        real = os.path.realpath(item.path) if item.is_symlink() else real
        if item.is_dir():
            ignored = is_ignored_folder(item.name)
            found.ignored.update(filter(None, [ignored]))
            return [] if ignored else [(item.path, real)]
        reason = None if item.is_file() else _no_file(real)
    except OSError as error:  # a loop of links, or a link into a folder that may not be entered
        reason = f"unreadable: {error.strerror}"
    if item.name.startswith(".") or video_suffix(item.name) is None:
        found.ignored[_kind(item.name)] += 1
    elif reason is not None:
        found.left_out.append(LeftOut(item.path, reason))
    else:
        found.videos.append((Path(item.path), real))
    return []


def _no_file(real: str) -> str:
    return "unreadable: no regular file" if os.path.lexists(real) else "missing: the link leads nowhere"


def _kind(name: str) -> str:
    """How an ignored file is counted: `hidden`, or by its suffix."""
    if name.startswith("."):
        return HIDDEN
    dot = name.rfind(".")
    return escaped(name[dot:].lower())[:20] if dot > 0 else "no suffix"
