"""What a storage is, whatever form it has: the contract that a folder and a bucket keep, and the choice."""

from __future__ import annotations

import importlib
import os
import pkgutil
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

from catalog.storage.atomic import StorageError
from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.layout import DATASETS, FENCE_FILE, JOURNAL, RUNS, SNAPSHOTS, Layout

_OWN_FOLDERS = frozenset((JOURNAL, DATASETS, RUNS, SNAPSHOTS))
_LONGEST_NUMBER = 9
_DEFAULT = "actiongrid-storage"
Wanted = Callable[[str], bool]
"""Whether a file is wanted, by its name relative to the folder that is asked about."""


class FencedError(ActionGridError):
    """A later attempt trains this cell; this one has to stop and write no more."""

    failure_kind = FailureKind.PREEMPTED


@dataclass(frozen=True)
class StoredFile:
    """A file of a storage: its path on this machine, where it need not be, bytes, seconds since 1970."""

    path: Path
    size: int
    modified: float


class JournalKeeper(Protocol):
    """Keeps a journal's lines where the storage is a bucket and the journal's file only a copy."""

    def keep(self, offset: int, content: bytes) -> None:
        """Make lines durable that are to stand at byte `offset`; OSError: they do not count as written."""

    def close(self, size: int) -> None:
        """Nothing more comes after byte `size`."""


class LeaseError(ActionGridError):
    """A storage on which no lease can be made."""


class SharedFiles(Protocol):
    """Small files through which drivers share a storage, by name, `folder/name` at most.

    Leases and the drivers' presence are made of them. Threads may share one.

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


class Probe(Protocol):
    """A file by which a driver and its machines find out whether they share a storage. Ray pickles it.

    Raises:
        OSError: from every method, where the storage cannot be reached or written.
    """

    def place(self) -> None:
        """Write the driver's file."""

    def is_seen(self, seconds: float) -> bool:
        """Whether the driver's file is there, after so long at the latest."""

    def answer(self, text: str) -> str:
        """Write a file of one's own beside it; its name."""

    def answers(self) -> set[str]:
        """The names of the files that machines have written."""

    def clear(self) -> None:
        """Remove all of them."""


class Storage(ABC):
    """All files of a lab, in a folder or a bucket. Chosen once by `open_storage`; threads may share it.

    Every file has a path below `root` on this machine. In a folder these are the files themselves, which all
    machines of a cluster share. In a bucket (`mirrored`) the objects are the truth, and what lies below
    `root` are this machine's copies of some of them. Nothing goes up or comes down unless one of the methods
    below is called; in a folder those that only do that do nothing.

    Who may write what at once:

    - `write`, `publish`, `remove`: anybody. The last one wins; a reader gets an old or a new file, whole.
    - A journal: the one process that opened it under its writer's name. Anybody may read it meanwhile.
    - `shared_files`: anybody. Of many that `create` one name exactly one is told that it did.
    - A run directory: the attempt that the fence lets in. `raise_fence` shuts out all attempts before it, on
      all machines; these find out by `require_fence`, which they call before they write. Two processes of
      one attempt take turns by a lock (`catalog.storage.locks`).
    - A dataset's directory: whoever holds its lock; its manifest is published last, and makes it exist.

    What a crash leaves, at any moment:

    - Of a file its old or its new content, or no file; beside it at most a `.….tmp` that nobody reads.
    - In a bucket nothing of a put that did not end. `write` puts an object before its file stands here, so
      what stands here is there; it can be missing here, and then comes by `fetch`.
    - Of a journal all lines that were acknowledged, and at most the one that was under way, whole or torn.
      Readers leave a torn line out.

    What is cached where: in a folder nothing. Of a bucket, below `ACTIONGRID_CACHE` (else the user's cache
    folder): files that came down, and beside them an index of which versions they are. Both may be deleted
    while nobody works. A listing of shared files serves for a second.

    Raises:
        OSError: from every method, where the storage does not answer or takes nothing.
    """

    example: ClassVar[str]
    """What users write, for messages."""

    def __init__(self, root: Path) -> None:
        self.layout = Layout(root)

    @classmethod
    @abstractmethod
    def recognises(cls, text: str) -> bool:
        """Whether `text`, as a user gave it, names a storage of this form: no other form's scheme."""

    @classmethod
    @abstractmethod
    def open(cls, text: str) -> Self:
        """The storage that `text` names. Asks no other machine.

        Raises:
            StorageError: it cannot be a storage.
        """

    @property
    def root(self) -> Path:
        """Where its files lie on this machine."""
        return self.layout.root

    @property
    @abstractmethod
    def location(self) -> str:
        """The directory, or the address, by which any machine can open it."""

    @property
    @abstractmethod
    def mirrored(self) -> bool:
        """Whether `root` is a copy of this machine's own, which others do not see."""

    @abstractmethod
    def named(self, path: Path | str) -> str:
        """What the journal says of a file below `root`: what any machine can resolve."""

    # Files

    @abstractmethod
    def write(self, path: Path, content: bytes) -> None:
        """Make a file or replace it for everybody, durably, whole or not at all."""

    @abstractmethod
    def publish(self, path: Path) -> None:
        """Let everybody have a file that was written here."""

    @abstractmethod
    def remove(self, path: Path) -> None:
        """Remove a file for everybody, if it is there."""

    @abstractmethod
    def remove_missing(self, folder: Path, pattern: str) -> None:
        """Remove for everybody the files of a folder that match `pattern` and were removed here."""

    @abstractmethod
    def read(self, path: Path) -> bytes | None:
        """A file's content as it is for everybody at this moment; None where there is none."""

    @abstractmethod
    def files(self, folder: Path) -> list[StoredFile]:
        """All files below a folder that others can have, however deep, in the order of their paths."""

    @abstractmethod
    def fetch(self, folder: Path, wanted: Wanted, *, deep: bool = True) -> list[str]:
        """Bring the wanted files of a folder up to date, each whole or not at all; what came, by name.

        Without `deep` those directly in it.
        """

    @abstractmethod
    def fetch_again(self, path: Path) -> bool:
        """Bring one file whatever stands here; whether one came."""

    @abstractmethod
    def fetch_exactly(self, folder: Path, pattern: str) -> None:
        """Bring all files of a folder; what matches `pattern` and is gone for everybody is removed here."""

    @abstractmethod
    def fetch_missing(self, path: Path) -> None:
        """Bring one file, if it is not here, the storage has it and answers. Never raises for an outage."""

    @abstractmethod
    def folders(self, folder: Path) -> list[Path]:
        """The folders directly in a folder."""

    def exists(self) -> bool:
        """Whether anything was ever stored: a journal, a dataset, a run or a snapshot of the catalog."""
        return any(folder.name in _OWN_FOLDERS for folder in self.folders(self.root))

    # The fence of a run directory: the number of the attempt that may write, which only grows

    def read_fence(self, run_dir: Path) -> int:
        """The number of the attempt that may write; 0 where none was ever started."""
        path = run_dir / FENCE_FILE
        here = path.read_bytes() if path.is_file() else None
        return max(_number(here), _number(self.read(path)))

    def raise_fence(self, run_dir: Path, attempt: int) -> None:
        """Let `attempt` write, and none before it.

        Raises:
            FencedError: A later attempt was let in already.
        """
        self.require_fence(run_dir, attempt)
        self.write(run_dir / FENCE_FILE, f"{attempt} {_check_digits(attempt)}".encode())

    def require_fence(self, run_dir: Path, attempt: int | None) -> None:
        """Return if `attempt` may write; None always may.

        Raises:
            FencedError: A later attempt was let in.
        """
        if attempt is None:
            return
        allowed = self.read_fence(run_dir)
        if allowed > attempt:
            raise FencedError(
                f"attempt {allowed} of another driver trains this cell now, attempt {attempt} stops",
                run_dir,
                "nothing has to be done",
            )

    # Journals

    @abstractmethod
    def refresh_journals(self) -> None:
        """Bring the journals here up to date; what processes of this machine write is so already."""

    @abstractmethod
    def journal_keeper(self, writer: str) -> JournalKeeper | None:
        """What takes a writer's lines before its file does; None where the file itself is the truth."""

    @abstractmethod
    def compact_journals(self, living: Iterable[str]) -> None:
        """Unite what writers left in pieces that are not `living`. An outage is no error: it only saves."""

    # Sharing

    @abstractmethod
    def shared_files(self, folder: Path) -> SharedFiles:
        """Small files, in a folder directly below `root`, through which drivers share the storage."""

    @abstractmethod
    def probe(self) -> Probe:
        """A new file by which machines find out whether they share this storage."""

    @abstractmethod
    def connect(self) -> None:
        """`refresh_journals` for a user who has just named this storage.

        Raises:
            StorageError: It is not there, lets nobody in, or does not answer.
        """

    @abstractmethod
    def require_usable(self) -> None:
        """Find out now, and not after an hour, whether drivers can share it.

        Raises:
            StorageError: It takes no writes, or cannot make a file exclusively.
        """

    @abstractmethod
    def check_writes(self) -> None:
        """Write something and remove it: OSError where the storage takes nothing."""


def default_storage() -> str:
    """The storage of a user who names none: $ACTIONGRID_STORAGE, else a folder where the user is."""
    return os.environ.get("ACTIONGRID_STORAGE") or _DEFAULT


def open_storage(text: str) -> Storage:
    """The storage that a user's text names, such as a folder, `s3://bucket/prefix` or `gs://bucket/prefix`.

    Its form is chosen here and nowhere else. A form is a subclass of `Storage` in a module of this package
    whose name ends with `_storage`; they are asked in the order of these names.

    Raises:
        StorageError: No form knows such a text, or what it names cannot be a storage.
    """
    forms = _forms()
    for form in forms:
        if form.recognises(text):
            return form.open(text)
    known = ", ".join(form.example for form in forms)
    raise StorageError("not an address of a storage", f"--storage {text}", f"use one of: {known}")


def _forms() -> list[type[Storage]]:
    package = __name__.rpartition(".")[0]
    folder = str(Path(__file__).parent)
    names = [one.name for one in pkgutil.iter_modules([folder]) if one.name.endswith("_storage")]
    modules = [importlib.import_module(f"{package}.{name}") for name in names]
    return [one for module in modules for one in vars(module).values() if _is_form(one, module.__name__)]


def _is_form(value: object, module: str) -> bool:
    return isinstance(value, type) and issubclass(value, Storage) and value.__module__ == module


def _check_digits(number: int) -> str:
    return f"{zlib.crc32(str(number).encode()):08x}"


def _number(content: bytes | None) -> int:
    """The number in a fence; 0 where it is damaged. Earlier versions wrote no check digits."""
    number, _, digits = (content or b"0").decode(errors="replace").partition(" ")
    if not (number.isascii() and number.isdecimal() and len(number) <= _LONGEST_NUMBER):
        return 0
    return int(number) if digits in ("", _check_digits(int(number))) else 0
