"""Folders of this machine alone: a process's own one for its files, and the user's cache."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

from catalog.storage.atomic import user_path

CACHE_VARIABLE = "ACTIONGRID_CACHE"
_PREFIX = "actiongrid-catalog-"
_LOCK = ".lock"
_NEW_SECONDS = 60.0
"""How long a folder may have no lock yet."""
_TAKING_SECONDS = 5.0
"""How long nobody may hold a lock that was just made."""


def cache_folder(environment: Mapping[str, str]) -> Path:
    """Where files lie that can be made again: `ACTIONGRID_CACHE`, or a part of the user's cache folder."""
    given = environment.get(CACHE_VARIABLE)
    general = environment.get("XDG_CACHE_HOME") or str(user_path("~") / ".cache")
    return (user_path(given) if given else Path(general) / "actiongrid").absolute()


class WorkingFolder:
    """A folder that its process holds by a lock; `close` removes it. What killed processes left is removed.

    Raises:
        OSError: the temporary folder takes none.
    """

    def __init__(self) -> None:
        _sweep(Path(tempfile.gettempdir()))
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        self._lock = (self.path / _LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_SH)
        self._remove = weakref.finalize(self, _remove, self.path, os.getpid())

    def close(self) -> None:
        """Remove it; a second call does nothing."""
        self._remove()
        self._lock.close()


def _remove(path: Path, owner: int) -> None:
    # A process that was forked from the owner leaves it alone.
    if os.getpid() == owner:
        shutil.rmtree(path, ignore_errors=True)


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{_PREFIX}*"):
        # Another user's, or removed by another process just now.
        with suppress(OSError):
            lock = left / _LOCK
            locked = lock.exists()
            age = time.time() - (lock if locked else left).stat().st_mtime
            if age > (_TAKING_SECONDS if locked else _NEW_SECONDS) and not (locked and _is_held(lock)):
                shutil.rmtree(left, ignore_errors=True)


def _is_held(path: Path) -> bool:
    with path.open("r+", encoding="utf-8") as file:
        return not _taken(file)


def _taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
