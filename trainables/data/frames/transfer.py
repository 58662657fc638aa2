"""Datasets between machines: what was built is published, and comes to whoever trains on it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.atomic import sha256_of, writing
from catalog.storage.errors import ActionGridError
from catalog.storage.layout import BUILD_LOG_FILE, MANIFEST_FILE, SHARDS, SOURCE_FILE, dataset_command
from catalog.storage.locks import exclusive

if TYPE_CHECKING:
    from catalog.storage.storage import Storage, StoredFile
    from trainables.data.frames.manifest import Manifest
    from trainables.data.frames.shard import Shard

_RECORDS = frozenset({MANIFEST_FILE, BUILD_LOG_FILE, SOURCE_FILE})
_LOCK = ".fetch.lock"
_LOCK_SECONDS = 6 * 3600.0


class DownloadError(ActionGridError):
    """Frames that differ from their checksum, also when they came a second time."""


def publish_dataset(storage: Storage, directory: Path) -> None:
    """Let everybody have a dataset that was built here, its manifest last.

    Raises:
        StoreWriteError: The storage does not answer; the same build then goes on.
    """
    if not storage.mirrored:
        return
    with writing(directory):
        there = {one.path: one for one in storage.files(directory)}
        own = [path for path in directory.rglob("*") if path.is_file() and not _is_scrap(path, directory)]
        for path in sorted(own, key=lambda path: (path == directory / MANIFEST_FILE, path)):
            if path.name == MANIFEST_FILE or not _was_published(path, there.get(path)):
                storage.publish(path)


def fetch_manifests(storage: Storage) -> None:
    """Bring what tells of the storage's datasets: manifests and how they were built, no frames.

    Raises:
        OSError: The storage does not answer.
    """
    if storage.mirrored:
        for folder in storage.folders(storage.layout.datasets):
            storage.fetch(folder, _RECORDS.__contains__, deep=False)


def frames_stand(storage: Storage, manifest: Manifest, directory: Path) -> bool:
    """Whether the storage has all of a dataset's frames; reads none.

    Raises:
        OSError: The storage does not answer.
    """
    from trainables.data.frames.check import Damage, shards_stand

    if not storage.mirrored:
        return shards_stand(manifest, directory)
    damage = Damage(directory)
    sizes = {one.path: one.size for one in storage.files(directory / SHARDS)}
    return all(
        sizes.get(directory / SHARDS / shard.name) == shard.bytes and not damage.is_noted(shard.name)
        for shard in manifest.shards
    )


def fetch_dataset(storage: Storage, path: Path) -> None:
    """Bring the dataset with this manifest to this machine: its frames are mapped into memory.

    Processes of one machine share the copy: one of them makes it, the others wait.

    Raises:
        StoreWriteError: The storage does not answer, or the disk is full.
        DownloadError: Frames that are damaged in the storage; the next build makes them again.
    """
    damaged = fetch_intact(storage, path)
    if damaged:
        mend = f"build the dataset again: {dataset_command(path.parent, 'build')}"
        raise DownloadError("shard differs from its checksum", storage.named(damaged[0]), mend)


def fetch_intact(storage: Storage, path: Path) -> list[Path]:
    """Bring of a dataset what is as it was built, and note what is not; the shards that did not come.

    Raises:
        StoreWriteError: The storage does not answer, or the disk is full.
        ManifestError: The manifest cannot be read.
    """
    if not storage.mirrored:
        return []
    directory = path.parent
    with (
        writing(directory),
        exclusive(directory / _LOCK, _LOCK_SECONDS, f"the copy of {directory.name}"),
    ):
        return _fetch_dataset(storage, path)


def _fetch_dataset(storage: Storage, path: Path) -> list[Path]:
    from trainables.data.frames.check import Damage
    from trainables.data.frames.manifest import read_manifest

    directory = path.parent
    storage.fetch(directory, _RECORDS.__contains__)
    manifest = read_manifest(path)
    if manifest.frame_format.mode == "direct":
        storage.fetch(directory, lambda _: True)
        return []
    missing = {f"{SHARDS}/{shard.name}": shard for shard in _missing(manifest.shards, directory)}
    damage, damaged = Damage(directory), []
    for name in storage.fetch(directory, missing.__contains__):
        whole = _is_whole(storage, directory / name, missing[name])
        damage.note(missing[name].name, damaged=not whole)
        if not whole:
            damaged.append(directory / name)
    return damaged


def _missing(shards: Iterable[Shard], directory: Path) -> list[Shard]:
    """The shards that do not stand here with their size."""
    paths = [(shard, directory / SHARDS / shard.name) for shard in shards]
    return [shard for shard, path in paths if not path.is_file() or path.stat().st_size != shard.bytes]


def _is_whole(storage: Storage, path: Path, shard: Shard) -> bool:
    """Whether a shard that came matches its checksum; one that differs comes once more, and else goes."""
    if sha256_of(path) == shard.sha256:
        return True
    storage.fetch_again(path)
    if sha256_of(path) == shard.sha256:
        return True
    path.unlink(missing_ok=True)
    return False


def _was_published(path: Path, there: StoredFile | None) -> bool:
    """Whether the storage has the file as it is now: of its size and no older (times are in seconds)."""
    stat = path.stat()
    return there is not None and there.size == stat.st_size and there.modified + 1 > stat.st_mtime


def _is_scrap(path: Path, directory: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
    return hidden or path.name.endswith(".lock")
