"""One file of the frame store: an Arrow IPC file with one row a frame, read through a memory map."""

from __future__ import annotations

import mmap
import resource
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalog.storage.atomic import replaced_atomically
from catalog.storage.errors import ActionGridError
from catalog.storage.outage import is_outage, retry_reading

FORMAT = "1"
_SCHEMA = pa.schema([("jpeg", pa.large_binary())])
_MEND = "run `actiongrid data verify` and build the dataset again"


class ShardError(ActionGridError):
    """A shard cannot be read: `what; where; what to do`."""


@dataclass(frozen=True)
class Shard:
    """A shard as the manifest lists it: its file name, content hash, frames and bytes of the file."""

    name: str
    sha256: str
    frames: int
    bytes: int


def write_jpegs(path: Path, sizes: Sequence[int], jpegs: pa.Buffer, identity: str) -> None:
    """Write JPEGs of these sizes, which lie one after the other in the buffer `jpegs`, without copying them.

    The same JPEGs give the same bytes. A reader sees no file or the whole one. `identity` names the frame
    format (`FrameFormat.identity`).
    """
    metadata = {b"actiongrid.shard": FORMAT.encode(), b"actiongrid.frames": identity.encode()}
    schema = _SCHEMA.with_metadata(metadata)
    offsets = np.zeros(len(sizes) + 1, dtype=np.int64)
    np.cumsum(sizes, out=offsets[1:])
    column = pa.Array.from_buffers(pa.large_binary(), len(sizes), [None, pa.py_buffer(offsets), jpegs])
    batch = pa.record_batch([column], schema=schema)
    with replaced_atomically(path) as temporary, pa.ipc.new_file(temporary, schema) as writer:
        writer.write_batch(batch)


class ShardFrames:
    """The frames of one shard, as views into the memory map; safe to read from several threads."""

    def __init__(self, path: Path) -> None:
        """Open the shard.

        Raises:
            ShardError: no such file, or not a shard of this format.
            OSError: the storage is at fault (`catalog.storage.outage.is_outage`): another try may succeed.
        """
        try:
            self._map = _mapped(path)
            self._read(path)
        except ShardError:
            raise
        except Exception as error:  # of Arrow's, of many kinds, where bytes are not what they should be
            if is_outage(error):
                raise
            raise ShardError(f"shard unreadable ({error})", path, _MEND) from error

    def _read(self, path: Path) -> None:
        reader = pa.ipc.open_file(pa.py_buffer(self._map))
        if (reader.schema.metadata or {}).get(b"actiongrid.shard") != FORMAT.encode():
            raise ShardError(f"not a frame shard of format {FORMAT}", path, _MEND)
        column = reader.get_batch(0).column(0)
        _, offsets, data = column.buffers()
        self._offsets: NDArray[np.int64] = np.frombuffer(offsets, dtype=np.int64, count=len(column) + 1)
        self._data = memoryview(data).cast("B")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def jpeg(self, row: int) -> memoryview:
        """The JPEG of one frame, without a copy.

        Raises:
            IndexError: no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        return self._data[self._offsets[row] : self._offsets[row + 1]]

    def release(self) -> None:
        """Let go of the memory of what was read. It stays in the page cache: reading it again is as quick.

        Without it the resident size of every process would grow to the size of the whole dataset.
        """
        self._map.madvise(mmap.MADV_DONTNEED)


def open_shard(path: Path) -> ShardFrames:
    """Open a shard, with patience where the storage is at fault. It may wait for seconds.

    Raises:
        ShardError: no such file, or not a shard of this format.
        StoreReadError: the storage is at fault, at several tries.
    """
    return retry_reading(lambda: ShardFrames(path), path)


def _mapped(path: Path) -> mmap.mmap:
    """The file's memory map. Each holds a descriptor: thousands of shards exceed the usual 1024 a process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        # beforehand, for whatever else the process opens must not fail for our sake
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
