"""Journals in a bucket: segments that are made once each, and whole ones of what was written long ago.

`journal/<writer>/<offset>.jsonl` holds the lines that stand from this byte on in the writer's journal; it is
made by a conditional put before anybody acts on it. Now and then, and at its end, a writer puts its whole
journal as `journal/<writer>.jsonl` and removes the segments in it. The file `journal/<writer>.jsonl` of a
mirror is a beginning of the same bytes, at every moment and on every machine.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from catalog.storage.bucket import Bucket, BucketError, StoredObject
from catalog.storage.errors import ActionGridError
from catalog.storage.layout import JOURNAL
from catalog.storage.locks import exclusive
from catalog.storage.mirror import Mirror

logger = logging.getLogger(__name__)

SEGMENTS_AT_MOST = 100
_LOCK = ".pull.lock"
_LOCK_SECONDS = 600.0
_AT_ONCE = 8


class SegmentError(ActionGridError):
    """Another process writes this journal."""


class Segments:
    """Keeps one writer's lines in the bucket (`JournalKeeper`). One thread at a time."""

    def __init__(self, mirror: Mirror, writer: str) -> None:
        self._bucket = mirror.bucket
        self._path = mirror.root / JOURNAL / f"{writer}.jsonl"
        self._writer = writer
        self._segments = 0

    def keep(self, offset: int, content: bytes) -> None:
        """Make lines durable that are to stand at byte `offset`.

        Raises:
            BucketError: they do not count as written.
            SegmentError: other lines stand there.
        """
        if self._segments >= SEGMENTS_AT_MOST:
            self._unite(offset)
        name = segment_name(self._writer, offset)
        if not self._bucket.create(name, content):
            where = self._bucket.where(name)
            raise SegmentError("another process writes this journal", where, "stop one of them")
        self._segments += 1

    def close(self, size: int) -> None:
        """Nothing more comes after byte `size`. A bucket that is away keeps the segments."""
        with suppress(BucketError):
            self._unite(size)

    def _unite(self, size: int) -> None:
        content = self._path.read_bytes()
        if len(content) == size:
            unite(self._bucket, self._writer, content, ours=True)
            self._segments = 0


def segment_name(writer: str, offset: int) -> str:
    """The object of the lines that begin at this byte; names have the order of their bytes."""
    return f"{JOURNAL}/{writer}/{offset:020d}.jsonl"


def unite(bucket: Bucket, writer: str, content: bytes, *, ours: bool) -> None:
    """Put a journal's beginning as one object; its segments are not needed after that.

    One that is not `ours` gets it only while it has none: its writer may live, and have put a longer one.
    """
    name = f"{JOURNAL}/{writer}.jsonl"
    if not content:
        return
    if ours:
        bucket.put(name, content)
    elif not bucket.create(name, content):
        return
    segments = bucket.below(f"{JOURNAL}/{writer}")
    inside = (one for one in segments if _is_segment(one) and _offset(one) + one.size <= len(content))
    bucket.remove([one.name for one in inside])


def pull_journals(mirror: Mirror) -> None:
    """Bring the mirror's journals up to date; those that processes of this machine write are so already.

    Raises:
        BucketError: The bucket does not answer; what came down before stays.
    """
    folder = mirror.root / JOURNAL
    with exclusive(folder / _LOCK, _LOCK_SECONDS, "the mirror's journals"):
        whole, parts = mirror.bucket.folder(JOURNAL)
        for one in whole:
            _complete(mirror.path(one.name), one, mirror.bucket)
        for part in parts:
            _follow_part(mirror, part)


def unite_abandoned(mirror: Mirror, writers: frozenset[str]) -> None:
    """Unite the segments of writers that have died; those in `writers` live. The journals are pulled."""
    _, parts = mirror.bucket.folder(JOURNAL)
    for part in parts:
        writer = part.removeprefix(f"{JOURNAL}/")
        if writer in writers:
            continue
        with _unwritten(mirror.root / f"{part}.jsonl") as file:
            if file is not None:
                unite(mirror.bucket, writer, os.pread(file, os.fstat(file).st_size, 0), ours=False)


def _complete(path: Path, one: StoredObject, bucket: Bucket) -> None:
    if path.is_file() and path.stat().st_size >= one.size:
        return
    with _unwritten(path) as file:
        if file is not None:
            start = os.fstat(file).st_size
            content = bucket.read(one.name, start) if start < one.size else None
            if content:
                _append(file, start, content)


def _follow_part(mirror: Mirror, part: str) -> None:
    """Bring one writer's journal up to date; bytes that are gone from the bucket become a line of blanks."""
    path, bucket = mirror.root / f"{part}.jsonl", mirror.bucket
    if _follow(path, _segments(bucket, part), bucket):
        return
    # Looked for after the segments: a writer removes those only once the whole journal has what is in them.
    segments, whole = _segments(bucket, part), bucket.look(path.relative_to(mirror.root).as_posix())
    if whole is not None:
        _complete(path, whole, bucket)
    _follow(path, segments, bucket, fills=True)


def _segments(bucket: Bucket, part: str) -> list[StoredObject]:
    return sorted((one for one in bucket.below(part) if _is_segment(one)), key=_offset)


def _follow(path: Path, segments: list[StoredObject], bucket: Bucket, *, fills: bool = False) -> bool:
    """Append what the segments have after a file's end; False where bytes before one of them are missing.

    With `fills` blanks stand for these, a line that readers name and leave out.
    """
    size = path.stat().st_size if path.is_file() else 0
    new = [one for one in segments if _offset(one) + one.size > size]
    if not new:
        return True
    with _unwritten(path) as file, ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="journal") as pool:
        if file is None:
            return True
        ends = [*(_offset(one) for one in new[1:]), None]
        contents = pool.map(lambda one: bucket.read(one.name), new)
        for one, end, content in zip(new, ends, contents, strict=True):
            # It was removed a moment ago; the next look finds it in the whole journal.
            if content is None:
                return True
            own = content if end is None else _of_length(content, end - _offset(one))
            if not _add(path, file, _offset(one), own, fills=fills):
                return False
    return True


def _of_length(content: bytes, length: int) -> bytes:
    """Of a segment what may stand before the next one: whatever became of it, its last line ends there."""
    ends = len(content) < length or content[length - 1 : length] == b"\n"
    return content[:length] if ends else content[: length - 1] + b"\n"


def _add(path: Path, file: int, offset: int, content: bytes, *, fills: bool) -> bool:
    """Write a segment at its place; whether nothing is missing before it, or was filled."""
    size = os.fstat(file).st_size
    if offset > size and not fills:
        return False
    if offset > size:
        logger.warning("lines from byte %d to %d are gone from the bucket; %s", size, offset, path.name)
        _append(file, size, b"\n".rjust(offset - size))
    # A writer that died in the middle of its copy has left the beginning of these very bytes.
    _append(file, max(size, offset), content[max(size - offset, 0) :])
    return True


def _append(file: int, start: int, content: bytes) -> None:
    while content:
        written = os.pwrite(file, content, start)
        start, content = start + written, content[written:]
    os.fsync(file)


@contextmanager
def _unwritten(path: Path) -> Iterator[int | None]:
    """The open file, or None while a living process of this machine writes it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield None
    else:
        yield file
    finally:
        os.close(file)


def _is_segment(one: StoredObject) -> bool:
    """Whether an object has a segment's name; others that lie there are no lines."""
    return re.fullmatch(r"[0-9]{20}\.jsonl", one.name.rsplit("/", 1)[1]) is not None


def _offset(one: StoredObject) -> int:
    return int(one.name.rsplit("/", 1)[1].removesuffix(".jsonl"))
