"""A driver's temporary folders: locked while it lives, so that the next one removes what a kill left."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "actiongrid-"
_LOCK = ".lock"
_SESSION_LOCK = "actiongrid.lock"  # in a Ray session's folder: it is one of ours
# A lock this young may be about to be taken; an empty folder, this old, is nobody's. One that holds files
# and no lock is somebody else's, whatever its name and age: clocks jump.
_YOUNG_SECONDS = 5.0
_OLD_SECONDS = 24 * 3600.0
# What Ray appends to its folder: the session, which is named by time and process, and the longest socket.
_SOCKET = "/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
_LONGEST_SOCKET = 103  # bytes; Linux takes 107, macOS 103
_SHORT_ROOTS = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"))


@contextmanager
def temporary_folder(root: Path | None = None) -> Iterator[Path]:
    """A folder in `root` (default: where temporary files go) that is removed at the end of the block."""
    with (
        tempfile.TemporaryDirectory(prefix=PREFIX, dir=root, ignore_cleanup_errors=True) as name,
        _locked(Path(name) / _LOCK),
    ):
        yield Path(name)


@contextmanager
def held_session(folder: Path) -> Iterator[None]:
    """Mark the folder of a Ray session as this driver's, which the next one removes once this one is dead."""
    with _locked(folder / _SESSION_LOCK):
        yield


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("wb") as lock:
        # The kernel frees the lock when this process dies, however it dies.
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def ray_folder(usual: Path) -> Iterator[Path | None]:
    """A short folder for Ray, whose sockets' paths the system limits; None where `usual` is short enough."""
    if len(os.fsencode(f"{usual}{_SOCKET}")) <= _LONGEST_SOCKET:
        yield None
        return
    root = next((one for one in _SHORT_ROOTS if os.access(one, os.W_OK | os.X_OK)), None)
    with temporary_folder(root) as folder:
        yield folder


def usual_ray_root() -> Path:
    """The folder in which Ray makes its own, as it chooses it."""
    return Path(os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or _SHORT_ROOTS[0])


def sweep() -> None:
    """Remove what this user's dead drivers left: folders of killed ones, Ray sessions of all."""
    for root in {Path(tempfile.gettempdir()), *_SHORT_ROOTS}:
        for folder in root.glob(f"{PREFIX}*"):
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)
    for folder in (usual_ray_root() / "ray").glob("session_*"):
        if _is_ended(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_ended(session: Path) -> bool:
    """Whether a Ray session was one of ours, and its driver is dead."""
    lock = session / _SESSION_LOCK
    try:
        mine = not session.is_symlink() and lock.is_file() and lock.stat().st_uid == os.getuid()
        return mine and time.time() - lock.stat().st_mtime > _YOUNG_SECONDS and _is_free(lock)
    except OSError:
        return False


def _is_abandoned(folder: Path) -> bool:
    try:
        stat = folder.lstat()
        if stat.st_uid != os.getuid() or folder.is_symlink() or not folder.is_dir():
            return False
        lock = folder / _LOCK
        if not lock.is_file():
            return time.time() - stat.st_mtime > _OLD_SECONDS and not any(folder.iterdir())
        return time.time() - lock.stat().st_mtime > _YOUNG_SECONDS and _is_free(lock)
    except OSError:
        return False


def _is_free(lock: Path) -> bool:
    """Whether nobody holds a lock."""
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
