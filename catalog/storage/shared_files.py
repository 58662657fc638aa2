"""Small files through which drivers share a storage: one protocol, for a directory and for a bucket.

Leases and the drivers' presence are written against it (`orchestrator.coordination.lease`,
`orchestrator.coordination.drivers`).
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from catalog.storage.atomic import replaced_atomically
from catalog.storage.errors import ActionGridError


class LeaseError(ActionGridError):
    """A storage on which no lease can be made."""


class SharedFiles(Protocol):
    """Files by name, `folder/name` at most. Threads may share them.

    Raises:
        OSError: from every method, where the storage does not answer or takes nothing.
    """

    def names(self, folder: str = "") -> frozenset[str]:
        """What lies in a folder, files and folders; others' newest may be missing for a second."""

    def exists(self, name: str) -> bool:
        """Whether a file is there at this moment."""

    def read(self, name: str) -> bytes | None:
        """A file's content; None where there is none."""

    def create(self, name: str, content: bytes) -> bool:
        """Make a file; whether this call did, and no other. No two calls may bring the same content.

        Raises:
            LeaseError: The storage cannot do that.
        """

    def write(self, name: str, content: bytes) -> None:
        """Make a file or replace it, whole or not at all."""

    def touch(self, name: str) -> None:
        """Make an empty file, where there is none."""

    def beat(self, name: str, content: bytes) -> None:
        """Change the mark of a file that has this content."""

    def mark(self, name: str) -> Hashable:
        """What changes whenever a file is written or beats; None where there is none."""

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""


class FolderFiles:
    """Shared files in a local or network directory. What is made exclusively is made by a hard link."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self, folder: str = "") -> frozenset[str]:
        """See `SharedFiles`."""
        try:
            return frozenset(os.listdir(self._folder / folder))  # noqa: PTH208 - names are all that is needed
        except FileNotFoundError:
            return frozenset()

    def exists(self, name: str) -> bool:
        """See `SharedFiles`."""
        return (self._folder / name).exists()

    def read(self, name: str) -> bytes | None:
        """See `SharedFiles`."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def create(self, name: str, content: bytes) -> bool:
        """See `SharedFiles`."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            return _linked(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def write(self, name: str, content: bytes) -> None:
        """See `SharedFiles`."""
        with replaced_atomically(self._folder / name, durable=False) as temporary:
            temporary.write_bytes(content)

    def touch(self, name: str) -> None:
        """See `SharedFiles`."""
        (self._folder / name).touch()

    def beat(self, name: str, content: bytes) -> None:
        """See `SharedFiles`. The file's time of change: it costs no space on a full disk."""
        os.utime(self._folder / name)

    def mark(self, name: str) -> Hashable:
        """See `SharedFiles`."""
        # Opened, because NFS asks the server about a file's time only then.
        try:
            with (self._folder / name).open() as file:
                return os.fstat(file.fileno()).st_mtime_ns
        except OSError:
            return None

    def remove(self, name: str) -> None:
        """See `SharedFiles`."""
        (self._folder / name).unlink(missing_ok=True)


def _linked(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        # An NFS client that had no answer asks again, and is told that its own link exists.
        return temporary.stat().st_nlink == 2
    except PermissionError as error:
        raise LeaseError(
            f"the storage makes no hard links ({error}), so drivers could not share it",
            path.parent,
            "use a local or NFS directory, or a bucket",
        ) from error
    return True
