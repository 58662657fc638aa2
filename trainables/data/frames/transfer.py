"""Datasets on a storage in a bucket: built in a mirror and sent, and brought to whoever trains on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.atomic import sha256_of, writing
from catalog.storage.bucket import Remote
from catalog.storage.errors import ActionGridError
from catalog.storage.folder_sync import Folder
from catalog.storage.locks import exclusive
from catalog.storage.mirror import Mirror, mirror_around

if TYPE_CHECKING:
    from trainables.data.frames.manifest import Manifest

DATASETS = "datasets"
MANIFEST = "manifest.parquet"
_SMALL = frozenset({MANIFEST, "build.jsonl"})
_LOCK = ".fetch.lock"
_LOCK_SECONDS = 6 * 3600.0


class DownloadError(ActionGridError):
    """Frames that differ from their checksum, also when they came a second time."""


def send_dataset(directory: Path) -> None:
    """Put a dataset that was built here into the bucket, its manifest last.

    Raises:
        StoreWriteError: The bucket does not answer; the same build then goes on.
    """
    mirror = mirror_around(directory)
    if mirror is None:
        return
    folder = Folder(mirror, directory)
    there = {one.name: one for one in folder.listed()}
    files = sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    names = [path.as_posix() for path in files if not _is_scrap(path)]
    with writing(directory):
        for name in sorted(names, key=lambda name: name == MANIFEST):
            if name == MANIFEST or not _was_sent(directory / name, there.get(mirror.name(directory / name))):
                folder.send(name)


def fetch_manifests(mirror: Mirror) -> None:
    """Bring down what tells of the storage's datasets: manifests and how they were built, no frames.

    Raises:
        BucketError: The bucket does not answer.
    """
    _, folders = mirror.bucket.folder(DATASETS)
    for name in folders:
        objects, _ = mirror.bucket.folder(name)
        Folder(mirror, mirror.root / name).fetch_of(objects, _SMALL.__contains__)


def frames_stand(manifest: Manifest, directory: Path) -> bool | None:
    """Whether the bucket has all of a dataset's frames; None where the storage is a directory.

    Raises:
        BucketError: The bucket does not answer.
    """
    from trainables.data.frames.manifest import SHARDS

    mirror = mirror_around(directory)
    if mirror is None:
        return None
    sizes = {one.name: one.size for one in mirror.bucket.below(mirror.name(directory / SHARDS))}
    return all(
        sizes.get(mirror.name(directory / SHARDS / shard.name)) == shard.bytes for shard in manifest.shards
    )


def fetch_dataset(path: Path) -> None:
    """Bring the dataset with this manifest to this machine: its frames are mapped into memory.

    Processes of one machine share the copy: one of them makes it, the others wait.

    Raises:
        StoreWriteError: The bucket does not answer, or the disk is full.
        DownloadError: Frames that are damaged in the bucket.
    """
    from trainables.data.frames.manifest import SHARDS, read_manifest

    directory = path.parent
    mirror = mirror_around(directory)
    if mirror is None:
        return
    folder = Folder(mirror, directory)
    with (
        writing(directory),
        exclusive(directory / _LOCK, _LOCK_SECONDS, f"the copy of {directory.name}"),
    ):
        listed = folder.listed()
        folder.fetch_of(listed, _SMALL.__contains__)
        manifest = read_manifest(path)
        if manifest.frame_format.mode == "direct":
            folder.fetch_of(listed, lambda _: True)
            return
        sums = {f"{SHARDS}/{shard.name}": shard for shard in manifest.shards}
        here = {
            name
            for name, shard in sums.items()
            if (directory / name).is_file() and (directory / name).stat().st_size == shard.bytes
        }
        for name in folder.fetch_of(listed, lambda name: name in sums and name not in here):
            for _ in range(2):
                if sha256_of(directory / name) == sums[name].sha256:
                    break
                folder.fetch_again(name)
            else:
                (directory / name).unlink(missing_ok=True)
                raise DownloadError(
                    "shard differs from its checksum",
                    mirror.bucket.where(mirror.name(directory / name)),
                    "run `actiongrid data verify`, then build the dataset again",
                )


def _was_sent(path: Path, there: Remote | None) -> bool:
    """Whether the object is the file as it is now: of its size, and no older (objects' times are seconds)."""
    stat = path.stat()
    return there is not None and there.size == stat.st_size and there.modified + 1 > stat.st_mtime


def _is_scrap(path: Path) -> bool:
    return path.name.endswith(".lock") or any(part.startswith(".") for part in path.parts)
