"""From a batch's videos to shards: named by what is in them, cut where the next video would not fit."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa

from catalog.storage.atomic import sha256_of, writing
from trainables.data.frames.frame_format import Decoder, FrameFormat
from trainables.data.frames.shard import FORMAT, Shard, write_jpegs
from trainables.data.frames.spool import SpoolTarget

_OVERHEAD = 4096  # of a shard beside its JPEGs and their offsets: Arrow's schema and footer
_OFFSET_BYTES = 8


@dataclass(frozen=True)
class DecodedVideo:
    """What decides a video's JPEGs beside the frame format: its content, and how it was decoded."""

    sha256: str
    frames: int
    decoder: Decoder
    width: int
    height: int


@dataclass(frozen=True)
class FrameLocation:
    """Where a video's frames are: the shard's name and the row of the first one."""

    shard: str
    first_row: int


@dataclass(frozen=True)
class _Waiting:
    source: DecodedVideo
    sizes: tuple[int, ...]


class ShardWriter:
    """Collects the videos of one batch in a spool and writes them as shards; `shards` and `locations` grow.

    Raises:
        StoreWriteError: from every method, where the storage takes no more.
    """

    def __init__(self, folder: Path, spool: Path, frame_format: FrameFormat) -> None:
        self.shards: list[Shard] = []
        self.locations: list[FrameLocation] = []
        self._folder, self._spool, self._format = folder, spool, frame_format
        self._waiting: list[_Waiting] = []
        self._start = self._end = 0  # of the waiting videos in the spool

    @property
    def keep(self) -> SpoolTarget:
        """Where the next video's JPEGs are to be put."""
        return SpoolTarget(str(self._spool), self._end, self._format)

    def add(self, source: DecodedVideo, sizes: Sequence[int]) -> None:
        """Take the video whose JPEGs, of these sizes, have been put where `keep` said."""
        if self._waiting and self._bytes(sizes) > self._format.shard_mb << 20:
            self.flush()
        self._waiting.append(_Waiting(source, tuple(sizes)))
        self._end += sum(sizes)

    def _bytes(self, sizes: Sequence[int]) -> int:
        """Of the shard of all that waits and a video of these sizes."""
        frames = len(sizes) + sum(len(one.sizes) for one in self._waiting)
        return self._end - self._start + sum(sizes) + _OFFSET_BYTES * (frames + 1) + _OVERHEAD

    def flush(self) -> None:
        """Write what waits as one shard; nothing where nothing waits."""
        if not self._waiting:
            return
        path = self._folder / self._name()
        sizes = [size for one in self._waiting for size in one.sizes]
        with writing(path):
            spool = pa.memory_map(str(self._spool)).read_buffer()
            write_jpegs(path, sizes, spool.slice(self._start, self._end - self._start), self._format.identity)
            size = path.stat().st_size
        self.shards.append(Shard(path.name, sha256_of(path), len(sizes), size))
        first_rows = np.cumsum([0, *(one.source.frames for one in self._waiting)])
        self.locations += [FrameLocation(path.name, int(row)) for row in first_rows[:-1]]
        self._waiting.clear()
        self._start = self._end

    def _name(self) -> str:
        """Two shards with one name are the same, whoever builds them."""
        sources = [
            [one.source.sha256, one.source.frames, one.source.decoder, one.source.width, one.source.height]
            for one in self._waiting
        ]
        parts = json.dumps([FORMAT, self._format.identity, sources])
        return f"{sha256(parts.encode()).hexdigest()[:32]}.arrow"


@contextmanager
def shard_writer(folder: Path, spool: Path, frame_format: FrameFormat) -> Iterator[ShardWriter]:
    """A writer with a spool of its own, which is gone at the end."""
    with writing(spool):
        spool.parent.mkdir(parents=True, exist_ok=True)
        spool.touch()
    try:
        yield ShardWriter(folder, spool, frame_format)
    finally:
        spool.unlink(missing_ok=True)
