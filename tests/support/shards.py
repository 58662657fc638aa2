"""Shards of a frame store from JPEGs in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from trainables.data.frames.shard import write_jpegs


def write_shard(path: Path, videos: Iterable[Sequence[bytes]], identity: str) -> int:
    """Write the videos' JPEGs one after the other; returns the number of frames."""
    frames = [jpeg for video in videos for jpeg in video]
    write_jpegs(path, [len(jpeg) for jpeg in frames], pa.py_buffer(b"".join(frames)), identity)
    return len(frames)
