"""The fence of a run directory where the storage is a bucket: an object that all machines see."""

from __future__ import annotations

from pathlib import Path

from catalog.storage.mirror import mirror_around


def read_fence_object(path: Path) -> bytes | None:
    """What the bucket says, or None: there is none, or the storage is a directory.

    Raises:
        BucketError: The bucket does not answer.
    """
    mirror = mirror_around(path.parent)
    return None if mirror is None else mirror.bucket.read(mirror.name(path))


def write_fence_object(path: Path, content: bytes) -> None:
    """Tell all machines, where the storage is a bucket.

    Raises:
        BucketError: The bucket does not answer.
    """
    mirror = mirror_around(path.parent)
    if mirror is not None:
        mirror.bucket.put(mirror.name(path), content)
