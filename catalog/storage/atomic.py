"""Files that are either whole or not there: written beside their place, then renamed into it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import Self
from uuid import uuid4

from catalog.storage.errors import BAD_INPUT, ActionGridError, FailureKind, PathError
from catalog.storage.layout import escaped


@contextmanager
def replaced_atomically(path: Path, durable: bool = True) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, flush it to disk and rename it.

    Several threads, processes and machines may write the same file at once: each has a temporary path of
    its own. `durable=False` leaves out the flush: for files for which a checksum elsewhere will vouch.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{uuid4().hex}.tmp{path.suffix}")
    try:
        yield temporary
        if durable:
            sync(temporary)
        temporary.replace(path)
        if durable:
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` so that `path` holds all of it or does not change, also through a power cut."""
    with replaced_atomically(path) as temporary:
        temporary.write_bytes(content)


def write_output(path: Path, content: bytes) -> Path | None:
    """Write what a user asked for into the file that they named: whole, or the file does not change.

    Only a plain file is ever replaced, and that behind a link, not the link. Into anything else that can be
    written, such as a device or a pipe, the content is written as it is. Returns the plain file, else None.

    Raises:
        OSError: it cannot be written: no reader of a pipe, a directory, …; nothing else is left behind.
    """
    # What descriptors of this process are called (`/dev/stdout`) is theirs already: never replaced.
    target = path if path.parts[1:2] in (("dev",), ("proc",)) else Path(os.path.realpath(path))
    if target is path or (target.exists() and not target.is_file()):
        _write_into(path, content)
        return None
    if target.is_symlink():  # one of a circle: no file is meant
        target.stat()
    with replaced_atomically(target, durable=False) as temporary:
        temporary.write_bytes(content)
    return target


def _write_into(path: Path, content: bytes) -> None:
    """Write into what is no plain file; a pipe that nobody reads is an error and no wait."""
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_TRUNC)
    os.set_blocking(descriptor, True)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def sync(path: Path) -> None:
    """Make a file, or the names in a directory, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class StorageError(ActionGridError):
    """A storage that this version cannot use, or that is not there."""

    exit_code = BAD_INPUT


class MissingStorageError(StorageError):
    """What was named as a storage is none: nothing was ever stored there."""

    @classmethod
    def of(cls, where: object) -> Self:
        """The error for a folder or an address."""
        return cls("no storage", where, "name one by --storage or ACTIONGRID_STORAGE; `run` makes it")


class RemoteStorageError(ActionGridError, OSError):
    """A storage elsewhere that does not answer or refuses; `errno` is that of a file server away."""

    failure_kind = FailureKind.STORAGE

    def __init__(self, what: str, where: object = "", what_to_do: str = "") -> None:
        super().__init__(what, where, what_to_do)
        self.errno, self.strerror, self.filename = errno.EREMOTEIO, self.what, self.where


def system_reason(error: OSError) -> str:
    """What went wrong: the system's own words, in whose place libraries put others."""
    if isinstance(error, RemoteStorageError):
        return error.what
    return os.strerror(error.errno) if error.errno else str(error)


def sha256_of(path: Path) -> str:
    """Hash of the file's content, in hexadecimal."""
    with path.open("rb") as stream:
        return file_digest(stream, "sha256").hexdigest()


class StoreWriteError(ActionGridError):
    """The storage takes no more: `what; where; what to do`. Never the fault of a video."""

    failure_kind = FailureKind.STORAGE


class StoreReadError(ActionGridError):
    """The storage does not let a file be read, though it was asked several times. Never the file's fault."""

    failure_kind = FailureKind.STORAGE


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Run a block that writes under `path`.

    Raises:
        StoreWriteError: in place of the OSError of a full, read-only or broken storage.
    """
    try:
        yield
    except OSError as error:
        raise StoreWriteError(
            f"cannot write ({system_reason(error)})",
            path,
            "make room or mend the storage and give the same command again: it goes on where it stopped",
        ) from error


_VARIABLE = re.compile(r"(?:^|/)\$(?:[A-Za-z_]\w*|\{\w+\})(?:/|$)")  # a whole part of a path


def user_path(text: str | Path) -> Path:
    """A path as a user writes it, with the home folder in place of its `~`.

    Raises:
        PathError: no such user, an address (`file://…`), a variable, which nobody fills in here, or a byte 0.
    """
    given = str(text)
    if "\0" in given:
        raise PathError("a byte 0 in a path", escaped(given), "write the path without it")
    if "://" in given:
        raise PathError("an address where a path is needed", escaped(given), "write the path itself, from /")
    if _VARIABLE.search(given):
        what = "a variable in a path is not filled in"
        raise PathError(what, escaped(given), "write the folder out, or begin with ~ for the home folder")
    try:
        return Path(given).expanduser()
    except RuntimeError as error:
        what = "there is no home folder for the ~ of this path"
        raise PathError(what, escaped(given), "write the folder out") from error
