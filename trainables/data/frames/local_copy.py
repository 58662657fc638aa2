"""A copy of a frame store on the machine's own disk, for storage that is remote or slow."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from catalog.storage.atomic import replaced_atomically, sha256_of
from catalog.storage.locks import exclusive
from trainables.data.frames.manifest import Manifest
from trainables.data.frames.shard import Shard

LOCK_WAIT_SECONDS = 6 * 3600.0
_SPARE_BYTES = 1 << 30


class LocalCopyError(Exception):
    """The frames cannot be copied to the local disk: `what; where; what to do`."""


def copy_shards(manifest: Manifest, source: Path, root: Path) -> Path:
    """Copy the shards in `source` that are not yet under `root`; returns the folder to read from.

    Cells of one machine share the copy: one of them makes it, the others wait. Each shard is checked against
    its checksum once, when it is copied.

    Raises:
        LocalCopyError: a folder that cannot be used, not enough space, or a shard that is missing or damaged.
    """
    target = root / f"{manifest.name}-{manifest.hash('train')[:12]}"
    try:
        _copy_missing(manifest, source, target)
    except OSError as error:
        raise LocalCopyError(
            f"folder cannot be used ({error.strerror or error}); {target}; give frames_on_local_disk a "
            "folder that every machine has and can write to"
        ) from error
    return target


def _copy_missing(manifest: Manifest, source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with exclusive(target / "lock", LOCK_WAIT_SECONDS, f"the local copy of {manifest.name}"):
        missing = [shard for shard in manifest.shards if not _stands(target / shard.name, shard)]
        _check_space(sum(shard.bytes for shard in missing), target)
        for shard in missing:
            _copy(shard, source, target)


def _stands(path: Path, shard: Shard) -> bool:
    return path.is_file() and path.stat().st_size == shard.bytes


def _check_space(needed: int, target: Path) -> None:
    free = shutil.disk_usage(target).free
    if needed and needed + _SPARE_BYTES > free:
        raise LocalCopyError(
            f"{needed / 1e9:.1f} GB of frames do not fit into {free / 1e9:.1f} GB of free space; {target}; "
            "free some, or leave out frames_on_local_disk"
        )


def _copy(shard: Shard, source: Path, target: Path) -> None:
    try:
        with replaced_atomically(target / shard.name, durable=False) as temporary:
            shutil.copyfile(source / shard.name, temporary)
            if sha256_of(temporary) != shard.sha256:
                raise LocalCopyError(
                    f"shard differs from its checksum; {source / shard.name}; run `actiongrid data verify`, "
                    "then build the dataset again"
                )
    except OSError as error:
        full = error.errno == errno.ENOSPC
        mend = "free some space" if full else "run `actiongrid data verify`"
        raise LocalCopyError(
            f"shard cannot be copied ({error.strerror}); {source / shard.name}; {mend}"
        ) from error
