"""What lies in a folder of videos: every item is a video, left out with a reason, or ignored and counted."""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from catalog.storage.escapes import escaped
from trainables.data.datasets.base import VIDEO_SUFFIXES, DatasetError, LeftOut, SourceAbsentError

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


def video_suffix(name: str) -> str | None:
    """A video's suffix in lower case; None where the name has none of a video."""
    dot = name.rfind(".")
    suffix = name[dot:].lower() if dot > 0 else ""
    return suffix if suffix in VIDEO_SUFFIXES else None


def _kind(name: str) -> str:
    """How an ignored file is counted: `hidden`, or by its suffix."""
    if name.startswith("."):
        return HIDDEN
    dot = name.rfind(".")
    return escaped(name[dot:].lower())[:20] if dot > 0 else "no suffix"
