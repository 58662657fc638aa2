"""A storage in a local or network folder: the files are the truth, and all machines see the same ones."""

from __future__ import annotations

import errno
import os
import time
import uuid
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from catalog.storage.atomic import StorageError, replaced_atomically, user_path, write_atomically
from catalog.storage.storage import JournalKeeper, LeaseError, Probe, SharedFiles, Storage, StoredFile, Wanted

_PAUSE_SECONDS = 0.2
_PROBE_BYTES = 64 << 10
# What file systems without hard links say to one that is asked for.
_NO_LINKS = frozenset(
    {errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EMLINK}
)


class FolderStorage(Storage):
    """See `Storage`. What only moves files between machines does nothing here, and costs nothing."""

    example: ClassVar[str] = "a directory"

    @classmethod
    def recognises(cls, text: str) -> bool:
        """See `Storage`."""
        return "://" not in text

    @classmethod
    def open(cls, text: str) -> Self:
        """See `Storage`. The folder need not be there yet."""
        path = user_path(text).resolve()
        if path.exists() and not path.is_dir():
            raise StorageError("storage is not a directory", f"--storage {text}", "name a directory")
        return cls(path)

    @property
    def location(self) -> str:
        """See `Storage`."""
        return str(self.root)

    @property
    def mirrored(self) -> bool:
        """See `Storage`."""
        return False

    def named(self, path: Path | str) -> str:
        """See `Storage`."""
        return str(path)

    def write(self, path: Path, content: bytes) -> None:
        """See `Storage`."""
        write_atomically(path, content)

    def publish(self, path: Path) -> None:
        """See `Storage`."""

    def remove(self, path: Path) -> None:
        """See `Storage`."""
        path.unlink(missing_ok=True)

    def remove_missing(self, folder: Path, pattern: str) -> None:
        """See `Storage`."""

    def read(self, path: Path) -> bytes | None:
        """See `Storage`."""
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return None

    def files(self, folder: Path) -> list[StoredFile]:
        """See `Storage`. Hidden files are scrap: what a writer has not finished, and locks."""
        found = (path for path in sorted(folder.rglob("*")) if path.is_file())
        own = [(path, path.stat()) for path in found if not path.name.startswith(".")]
        return [StoredFile(path, stat.st_size, stat.st_mtime) for path, stat in own]

    def fetch(self, folder: Path, wanted: Wanted, *, deep: bool = True) -> list[str]:
        """See `Storage`."""
        return []

    def fetch_again(self, path: Path) -> bool:
        """See `Storage`."""
        return False

    def fetch_exactly(self, folder: Path, pattern: str) -> None:
        """See `Storage`."""

    def fetch_missing(self, path: Path) -> None:
        """See `Storage`."""

    def folders(self, folder: Path) -> list[Path]:
        """See `Storage`."""
        return sorted(path for path in folder.glob("*") if path.is_dir())

    def refresh_journals(self) -> None:
        """See `Storage`."""

    def journal_keeper(self, writer: str) -> JournalKeeper | None:
        """See `Storage`."""
        return None

    def compact_journals(self, living: Iterable[str]) -> None:
        """See `Storage`."""

    def shared_files(self, folder: Path) -> SharedFiles:
        """See `Storage`."""
        return FolderFiles(folder)

    def probe(self) -> Probe:
        """See `Storage`."""
        return FolderProbe(str(self.root / f".probe-{uuid.uuid4().hex}"))

    def connect(self) -> None:
        """See `Storage`. A folder that is not there yet is an empty storage."""

    def require_usable(self) -> None:
        """See `Storage`. Nothing is asked: the first lease tells, within a second."""

    def check_writes(self) -> None:
        """See `Storage`."""
        probe = self.root / f".room-{os.getpid()}.tmp"
        try:
            with probe.open("wb") as file:
                file.write(bytes(_PROBE_BYTES))
                file.flush()
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)


@dataclass(frozen=True)
class FolderProbe:
    """See `Probe`; `path` is the driver's file."""

    path: str

    def place(self) -> None:
        """See `Probe`."""
        path = Path(self.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name, encoding="utf-8")

    def is_seen(self, seconds: float) -> bool:
        """See `Probe`."""
        deadline = time.monotonic() + seconds
        while not Path(self.path).exists() and time.monotonic() < deadline:
            time.sleep(_PAUSE_SECONDS)
        return Path(self.path).exists()

    def answer(self, text: str) -> str:
        """See `Probe`."""
        own = Path(f"{self.path}-{uuid.uuid4().hex}")
        own.write_text(text, encoding="utf-8")
        return own.name

    def answers(self) -> set[str]:
        """See `Probe`."""
        path = Path(self.path)
        return {file.name for file in path.parent.glob(f"{path.name}-*")}

    def clear(self) -> None:
        """See `Probe`."""
        path = Path(self.path)
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink(missing_ok=True)


class FolderFiles:
    """Shared files in a local or network directory.

    What is made exclusively is made by a hard link, which is whole from its first moment; where the storage
    has none, by opening it exclusively. A probe chooses. Either fails where the other has made the name, so
    drivers that choose differently still exclude each other.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._has_links: bool | None = None

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
        if self._has_links is None:
            self._has_links = _has_links(path.parent)
        if not self._has_links:
            return _created(path, content)
        temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            _write_new(temporary, content)
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


def _has_links(folder: Path) -> bool:
    """Whether files in a folder can have hard links, tried with two hidden ones."""
    one, other = (folder / f".{uuid.uuid4().hex}.tmp" for _ in range(2))
    try:
        one.touch()
        os.link(one, other)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        return False
    finally:
        one.unlink(missing_ok=True)
        other.unlink(missing_ok=True)
    return True


def _write_new(path: Path, content: bytes) -> None:
    """Make a file that must not be there yet, on disk when this returns.

    Raises:
        FileExistsError: It is there.
    """
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _linked(temporary: Path, path: Path) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        # An NFS client that had no answer asks again, and is told that its own link exists.
        return temporary.stat().st_nlink == 2
    return True


def _created(path: Path, content: bytes) -> bool:
    """Make a file by opening it exclusively; who looks at once may find it empty.

    Raises:
        LeaseError: The storage can do neither.
    """
    try:
        _write_new(path, content)
    except FileExistsError:
        # A client that had no answer asks again; no two calls bring the same content.
        return path.read_bytes() == content
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise LeaseError(
            f"the storage makes no file exclusively ({error.strerror}), so drivers could not share it",
            path.parent,
            "use a local or NFS directory, or a bucket",
        ) from error
    return True
