"""The reader that fits a dataset."""

from __future__ import annotations

from pathlib import Path

from trainables.data.local_copy import copy_shards
from trainables.data.manifest import SHARDS, Manifest
from trainables.data.reader import DEFAULT_CACHE_BYTES, DecordReader, FrameReader
from trainables.data.store_reader import FrameStoreReader


def open_reader(
    manifest: Manifest,
    path: Path,
    local_disk: str | None = None,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
) -> FrameReader:
    """Read the frame store that lies beside the manifest's `path`, or the originals where there is none.

    `local_disk`: a folder that the store is copied to first. `cache_bytes` bounds the decoded videos that
    reading originals keeps; the store needs no cache.

    Raises:
        LocalCopyError: the store cannot be copied.
    """
    if manifest.frame_format.mode == "direct":
        return DecordReader(cache_bytes, manifest.frame_format)
    shards = path.parent / SHARDS
    if local_disk is not None:
        shards = copy_shards(manifest, shards, Path(local_disk))
    return FrameStoreReader(shards)
