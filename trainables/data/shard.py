"""One file of the frame store: an Arrow IPC file with one row a frame, read through a memory map."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainables.data.files import replaced_atomically

FORMAT = "1"
_SCHEMA = pa.schema([("jpeg", pa.large_binary())])


class ShardError(Exception):
    """A shard cannot be read: `what; where; what to do`."""


@dataclass(frozen=True)
class Shard:
    """A shard as the manifest lists it: its file name, content hash, frames and bytes of the file."""

    name: str
    sha256: str
    frames: int
    bytes: int


def write_shard(path: Path, videos: Iterable[Sequence[bytes]], identity: str) -> int:
    """Write the videos' JPEGs one after the other, uncompressed; returns the number of frames.

    The same JPEGs give the same bytes. A reader sees no file or the whole one. `identity` names the format.
    """
    metadata = {b"actiongrid.shard": FORMAT.encode(), b"actiongrid.frames": identity.encode()}
    schema = _SCHEMA.with_metadata(metadata)
    frames = [jpeg for video in videos for jpeg in video]
    batch = pa.record_batch([pa.array(frames, type=pa.large_binary())], schema=schema)
    with replaced_atomically(path) as temporary, pa.ipc.new_file(temporary, schema) as writer:
        writer.write_batch(batch)
    return len(frames)


class ShardFrames:
    """The frames of one shard, as views into the memory map; safe to read from several threads."""

    def __init__(self, path: Path) -> None:
        """Open the shard.

        Raises:
            ShardError: no such file, or not a shard of this format.
        """
        mend = "run `actiongrid data verify` and build the dataset again"
        try:
            self._map = pa.memory_map(str(path))
            reader = pa.ipc.open_file(self._map)
        except (OSError, pa.ArrowInvalid) as error:
            raise ShardError(f"shard unreadable ({error}); {path}; {mend}") from error
        if (reader.schema.metadata or {}).get(b"actiongrid.shard") != FORMAT.encode():
            raise ShardError(f"not a frame shard of format {FORMAT}; {path}; {mend}")
        column = reader.get_batch(0).column(0)
        _, offsets, data = column.buffers()
        self._column = column  # keeps the buffers alive
        self._offsets: NDArray[np.int64] = np.frombuffer(offsets, dtype=np.int64)[
            column.offset : column.offset + len(column) + 1
        ]
        self._data = memoryview(data).cast("B")

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def jpeg(self, row: int) -> memoryview:
        """The JPEG of one frame, without a copy."""
        return self._data[self._offsets[row] : self._offsets[row + 1]]
