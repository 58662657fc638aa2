"""The append-only journal: one file of JSON lines a writer, `<storage>/journal/<writer>.jsonl`.

Once `Journal.append` returns, the event survives a `kill -9` of anything: one `os.write`, then fsync. Readers
leave a line out that a kill tore; its writer seals it with a newline when it opens the file again.
"""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import gc
import itertools
import logging
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Literal, Self

from catalog.codec import (
    Columns,
    DamagedEventError,
    EventError,
    Origin,
    UnknownEventError,
    columns_of,
    decode,
    encode,
)
from catalog.events import Event
from catalog.storage.atomic import sync, system_reason
from catalog.storage.checksums import is_checked
from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.layout import Layout
from catalog.storage.storage import JournalKeeper, Storage

logger = logging.getLogger(__name__)

_NAMED = 5  # lines of one journal that are named when they are left out; the others are counted
_WRITER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")


class ShortWriteError(ActionGridError, OSError):
    """The disk took only a part of an event, which does not count as written: it is full (`errno`)."""

    failure_kind = FailureKind.STORAGE

    def __init__(self, what: str, where: object = "", what_to_do: str = "") -> None:
        super().__init__(what, where, what_to_do)
        self.errno, self.strerror, self.filename = errno.ENOSPC, self.what, self.where


class JournalError(ActionGridError):
    """A journal that cannot be opened, written or followed."""


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """An event and where it stands: the journal's writer and the byte offset of its line."""

    writer: str
    offset: int
    event: Event


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """A line that was left out: `torn` (not a whole event) or `unknown` (a newer type or version).

    `damaged`: the line is not what was written. `unreadable`: the journal itself, from `offset` on.
    `missing`: the line counts, but a file that it speaks of cannot be read.
    """

    writer: str
    offset: int
    kind: Literal["torn", "damaged", "unknown", "unreadable", "missing"]
    reason: str


def journal_dir(storage: Path) -> Path:
    """Return the directory of a storage's journals."""
    return Layout(storage).journals


class Journal:
    """One writer's journal, open for appending. Threads may share it; processes may not."""

    def __init__(self, path: Path, descriptor: int, keeper: JournalKeeper | None = None) -> None:
        self.path = path
        self._descriptor = descriptor
        self._keeper = keeper
        # With a keeper: how many bytes it has, those of them that the file still lacks, and those that it
        # was given last and may have.
        self._end = os.fstat(descriptor).st_size
        self._lacking = b""
        self._unsure = b""
        self._lock = threading.Lock()
        self._latest = 0.0
        self._torn = _ends_inside_a_line(descriptor)

    @classmethod
    def open(cls, storage: Path, writer: str, keeper: JournalKeeper | None = None) -> Journal:
        """Open (or create) the journal of `writer` under `storage` and seal a torn last line.

        With a `keeper` its bytes are the truth; the file has to be up to date, and lines go there first.

        Raises:
            JournalError: the name cannot be a file name, or another process writes this journal.
        """
        if not _WRITER.fullmatch(writer):
            raise JournalError(
                "writer's name is not usable as a file name",
                f"{writer!r}",
                "use letters, digits, '.', '_', '-'",
            )
        folder = journal_dir(Path(storage))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{writer}.jsonl"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            journal = cls(path, descriptor, keeper)
            if keeper is None:
                journal._seal()
            sync(folder)
        except OSError as error:
            os.close(descriptor)
            raise JournalError(
                f"journal cannot be written ({error})",
                path,
                "stop the other process that writes it, or choose another writer's name",
            ) from error
        return journal

    def append(self, event: Event) -> Event:
        """Write one event durably and return it as written (with its time).

        Raises:
            EventError: a value has the wrong type; nothing was written.
            OSError: the disk refused; the event does not count as written.
        """
        return self.append_all([event])[0]

    def append_all(self, events: Sequence[Event]) -> list[Event]:
        """Write several events with one flush, in their order, and return them as written.

        Raises:
            EventError, OSError: as `append`; none of them counts as written.
        """
        with self._lock:
            stamped = [self._stamp(event) for event in events]
            content = b"".join(map(encode, stamped))
            if content and self._keeper is None:
                self._write(content)
            elif content and self._keeper is not None:
                self._keep(self._keeper, content)
        return stamped

    def _write(self, content: bytes) -> None:
        self._seal()
        # After a short write or a failed fsync the next line must not be glued to the torn one.
        self._torn = True
        self._put(content)
        self._torn = False

    def _keep(self, keeper: JournalKeeper, content: bytes) -> None:
        # A keeper whose answer was lost may have what it did not acknowledge: that goes first, as it was.
        for part in filter(None, (self._unsure, content)):
            self._unsure = part
            keeper.keep(self._end, part)
            self._unsure = b""
            self._copy(part)

    def _copy(self, content: bytes) -> None:
        """Add to the file what the keeper has; the copies of other machines are the same, byte for byte."""
        self._end += len(content)
        self._lacking += content
        os.ftruncate(self._descriptor, self._end - len(self._lacking))
        self._put(self._lacking)
        self._lacking = b""

    def _put(self, content: bytes) -> None:
        if os.write(self._descriptor, content) != len(content):
            raise ShortWriteError("short write", self.path, "free disk space and submit again")
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            if self._descriptor >= 0:
                if self._keeper is not None:
                    self._keeper.close(self._end)
                os.close(self._descriptor)
                self._descriptor = -1

    def _stamp(self, event: Event) -> Event:
        if event.time is not None:
            return event
        # A clock that is set back must not let an older fact of this writer win over a newer one.
        self._latest = max(time.time(), self._latest + 1e-6)
        return dataclasses.replace(event, time=self._latest)

    def _seal(self) -> None:
        if self._torn:
            os.write(self._descriptor, b"\n")
            os.fsync(self._descriptor)
            self._torn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_journal(storage: Storage, writer: str) -> Journal:
    """A writer's journal for appending, which the storage keeps: what `append` returned stands in it.

    Raises:
        JournalError: As `Journal.open`.
        OSError: The storage does not answer.
    """
    storage.refresh_journals()
    return Journal.open(storage.root, writer, storage.journal_keeper(writer))


class Tail:
    """Follows all journals of a storage from byte offsets; each event is returned once by one Tail.

    `unchecked` counts the lines without a checksum, as earlier versions wrote them.
    """

    def __init__(
        self, storage: Path, offsets: Mapping[str, int] | None = None, faults: Iterable[Fault] = ()
    ) -> None:
        """`faults` are those of the lines before `offsets`."""
        self.storage = Path(storage)
        self.offsets: dict[str, int] = dict(offsets or {})
        self.unchecked = 0
        self._left_out: list[Fault] = []
        self._unreadable: dict[str, Fault] = {}
        self._named: Counter[str] = Counter()
        for fault in faults:
            self._note(fault)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The lines that were left out so far, and the journals that could not be read the last time."""
        return (*self._left_out, *self._unreadable.values())

    @property
    def left_out(self) -> tuple[Fault, ...]:
        """The lines that were left out so far."""
        return tuple(self._left_out)

    def poll(self) -> list[Event]:
        """Return the events that were written since the last call, journal by journal in their order."""
        return [line.event for line in self.lines()]

    def lines(self) -> Iterator[Line]:
        """Yield what `poll` returns, with writer and offset.

        A journal that cannot be read is left out until it can be.

        Raises:
            JournalError: a journal became shorter, so that its offsets mean nothing any more; or the folder
                cannot be read, so that nobody knows what journals there are.
        """
        for origin, text in self._texts():
            try:
                event = decode(text)
            except EventError as error:
                self._leave_out(origin, error)
                continue
            self.unchecked += not is_checked(text)
            yield Line(*origin, event)

    def columns(self, at_once: int) -> Iterator[Mapping[type[Event], Columns]]:
        """Yield what `lines` yields, of `at_once` lines at a time: their fields as columns, by type.

        Raises:
            JournalError: as `lines`.
        """
        texts = self._texts()
        while True:
            with without_garbage_collection():
                lines = [*itertools.islice(texts, at_once)]
                found = columns_of(lines, self._leave_out)
            if not lines:
                return
            self.unchecked += sum(columns.unchecked for columns in found.values())
            yield found

    def _texts(self) -> Iterator[tuple[Origin, bytes]]:
        for name in sorted(_journal_files(journal_dir(self.storage))):
            yield from self._follow(journal_dir(self.storage) / name)

    def _follow(self, path: Path) -> Iterator[tuple[Origin, bytes]]:
        writer = path.stem
        try:
            # What is no plain file may let its reader wait for ever.
            if not path.is_file():
                raise IsADirectoryError(errno.EISDIR, "not a file")
            with path.open("rb") as file:
                yield from self._lines_of(path, writer, file)
            self._unreadable.pop(writer, None)
        except OSError as error:
            self._cannot_read(path, writer, error)

    def _lines_of(self, path: Path, writer: str, file: BinaryIO) -> Iterator[tuple[Origin, bytes]]:
        offset = self.offsets.get(writer, 0)
        if os.fstat(file.fileno()).st_size < offset:
            raise JournalError("journal became shorter", path, "restore it, then open the catalog anew")
        file.seek(offset)
        for text in file:
            if not text.endswith(b"\n"):
                break
            self.offsets[writer] = offset + len(text)
            if text != b"\n":
                yield (writer, offset), text
            offset += len(text)

    def _leave_out(self, origin: Origin, error: EventError) -> None:
        self._note(Fault(*origin, _kind(error), str(error)))

    def _note(self, fault: Fault) -> None:
        self._left_out.append(fault)
        self._named[fault.writer] += 1
        if self._named[fault.writer] <= _NAMED:
            where = (fault.writer, fault.offset, fault.reason)
            logger.warning("%s line left out; %s.jsonl, byte %d; %s", fault.kind, *where)
        elif self._named[fault.writer] == _NAMED + 1:
            logger.warning("more lines left out; %s.jsonl; actiongrid catalog check names all", fault.writer)

    def _cannot_read(self, path: Path, writer: str, error: OSError) -> None:
        reason = f"{system_reason(error)}; let this user read the file, or move what is no journal elsewhere"
        if writer not in self._unreadable:
            logger.warning("journal left out; %s; %s", path, reason)
        self._unreadable[writer] = Fault(writer, self.offsets.get(writer, 0), "unreadable", reason)


def _kind(error: EventError) -> Literal["torn", "damaged", "unknown"]:
    if isinstance(error, UnknownEventError):
        return "unknown"
    return "damaged" if isinstance(error, DamagedEventError) else "torn"


def _journal_files(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(".jsonl")]  # noqa: PTH208 - names
    except FileNotFoundError:
        return []
    except OSError as error:
        what = f"journals cannot be read ({system_reason(error)})"
        raise JournalError(what, folder, "see that it is a folder that this user may read") from error


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Leave out Python's search for cycles: it takes a third of the time in which lines become objects."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def read_events(storage: Path) -> Iterator[Event]:
    """Yield all events of a storage's journals, journal by journal in their order."""
    for line in Tail(storage).lines():
        yield line.event


def _ends_inside_a_line(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
