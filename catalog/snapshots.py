"""Immutable snapshot files and the symlink that names the current one: files only, no database.

A file is never replaced in place, because a reader that is just opening it could break. The last two files
are kept, so that a reader which resolved the symlink before a switch still finds its file.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog.storage.atomic import sync
from catalog.storage.errors import ActionGridError
from catalog.storage.layout import Layout

FILES_AT_ONCE = 2
"""The current file and the one before it."""

_NUMBER = re.compile(r"catalog-(\d+)\.duckdb")


def snapshot_link(storage: Path) -> Path:
    """Return the symlink that readers open."""
    return Layout(storage).snapshot_link


class SnapshotError(ActionGridError, OSError):
    """A snapshot cannot be written; the one before it stays."""


def publish(storage: Path, write: Callable[[Path], None]) -> Path:
    """Let `write` make a new file and switch the symlink to it; return the file.

    Publishers take turns, so that numbers never clash and the symlink never points to a removed file.

    Raises:
        OSError: the storage does not take it; nothing is left of it.
    """
    folder = Layout(storage).snapshots
    folder.mkdir(parents=True, exist_ok=True)
    with _turn(folder):
        _remove(folder.glob("tmp-*"))
        temporary = folder / f"tmp-{os.getpid()}.duckdb"
        try:
            write(temporary)
            sync(temporary)
            final = folder / f"catalog-{max([0, *_numbered(folder)]) + 1}.duckdb"
            temporary.rename(final)
        finally:
            _remove(folder.glob(f"{temporary.name}*"))
        sync(folder)
        _switch(storage, final)
        stale = sorted(_numbered(folder).items())[:-FILES_AT_ONCE]
        _remove(path for _, path in stale)
    return final


def keep_only(storage: Path, current: Path) -> None:
    """Remove all snapshot files but one."""
    folder = Layout(storage).snapshots
    with _turn(folder):
        _remove(path for path in _numbered(folder).values() if path.name != current.name)


def _numbered(folder: Path) -> dict[int, Path]:
    found = ((_NUMBER.fullmatch(path.name), path) for path in folder.iterdir())
    return {int(match.group(1)): path for match, path in found if match}


def _switch(storage: Path, target: Path) -> None:
    temporary = storage / f".catalog-link-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.relative_to(storage))
    temporary.replace(snapshot_link(storage))
    sync(storage)


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        path.unlink(missing_ok=True)


@contextmanager
def _turn(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
