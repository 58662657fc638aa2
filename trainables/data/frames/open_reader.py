"""The reader that fits a dataset."""

from __future__ import annotations

from pathlib import Path

from trainables.data.frames.local_copy import copy_shards
from trainables.data.frames.manifest import SHARDS, Manifest, read_manifest
from trainables.data.frames.reader import DecordReader, FrameReader, KeptFrames
from trainables.data.frames.store_reader import FrameStoreReader

MEMORY_BYTES = 512 << 20


def open_reader(
    manifest: Manifest, path: Path, local_disk: str | None = None, memory_bytes: int = MEMORY_BYTES
) -> FrameReader:
    """Read the frame store that lies beside the manifest's `path`, or the originals where there is none.

    `local_disk`: a folder that the store is copied to first. A dataset whose decoded frames fit into
    `memory_bytes` as a whole is kept in memory; of a larger one nothing is, for the page cache does better.

    Raises:
        LocalCopyError: the store cannot be copied.
    """
    reader = _open(manifest, path, local_disk)
    decoded = sum(video.frames * video.height * video.width * 3 for video in manifest.videos)
    return KeptFrames(reader) if decoded <= memory_bytes else reader


def prepare_frames(path: Path, local_disk: str | None) -> None:
    """Copy the frame store of the manifest at `path` to the local disk, where that is asked for.

    Raises:
        LocalCopyError: the store cannot be copied.
    """
    if local_disk is not None:
        _open(read_manifest(path), path, local_disk)


def _open(manifest: Manifest, path: Path, local_disk: str | None) -> FrameReader:
    if manifest.frame_format.mode == "direct":
        return DecordReader(manifest.frame_format)
    shards = path.parent / SHARDS
    if local_disk is not None:
        shards = copy_shards(manifest, shards, Path(local_disk))
    return FrameStoreReader(shards)
