"""From a dataset's configuration to its manifest and frame store: list or generate, read, quarantine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.atomic import writing
from catalog.storage.layout import BUILD_LOG_FILE, MANIFEST_FILE, SHARDS, SOURCE_FILE
from catalog.storage.locks import exclusive
from trainables.data.datasets import (
    SPLITS,
    DatasetConfig,
    DatasetError,
    DatasetFolders,
    Listing,
    SyntheticAppearance,
    SyntheticMotion,
)
from trainables.data.datasets.listing import list_dataset
from trainables.data.frames.manifest import Manifest, write_manifest
from trainables.data.ingest.build_log import BuildLog, effective_inputs, note_inputs
from trainables.data.ingest.checked import make_manifest

if TYPE_CHECKING:
    from trainables.data.ingest.batch import Executor
    from trainables.data.ingest.build_log import Source
    from trainables.data.ingest.plan import OtherBuilds
    from trainables.data.ingest.run import Progress


_LOCK_NAME = "build.lock"
# long enough for a killed build's lock to be gone, short enough to be told of a living one
_LOCK_SECONDS = 3.0


def build_dataset(
    config: DatasetConfig,
    name: str,
    directory: Path,
    *,
    sources: DatasetFolders | None = None,
    allow_missing: float | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
    others: OtherBuilds | None = None,
) -> Manifest:
    """Build `directory/manifest.parquet` and the shards beside it; returns the manifest.

    Batches that stand are not read again, so that a build that was stopped, at whatever moment, goes on, and
    ends with the same files; the manifest is written last. `sources` is where an official dataset lies,
    `allow_missing` the user's decision in place of the configuration's; without them what the last
    complete build was told holds. `executor` reads the videos (default: threads on this machine). What
    was read of the same bytes in `others` is not decoded again: the shards are linked or copied.

    Raises:
        DatasetError: nothing to build from, too many quarantined videos, or a split left without videos.
        StoreWriteError: the storage is too small, full or broken; the same call then goes on.
        LockHeldError: another process is building this dataset.
    """
    from trainables.data.ingest.run import LocalThreads, read_all

    with _alone(directory, name):
        _clear(directory)
        log = BuildLog(directory / BUILD_LOG_FILE)
        told = effective_inputs(log, config, sources, allow_missing)
        listing = _listed(config, told.sources, directory, log, progress)
        source = _source(config, listing)
        paths = tuple(dict.fromkeys(entry.path for entry in listing.entries))
        reader = executor or LocalThreads()
        found = read_all(paths, config.frame_format, directory, log, reader, progress, others)
        manifest = make_manifest(config, name, listing, found.videos, found.shards)
        if told.allow_missing is not None:
            manifest = replace(manifest, allow_missing=told.allow_missing)
        check_usable(manifest, len(listing.entries) + len(listing.left_out))
        with writing(directory):
            write_manifest(manifest, directory / MANIFEST_FILE)
            _note_source(source, directory, log)
        note_inputs(log, told)
        _remove_orphans(manifest, directory / SHARDS)
    return manifest


@contextmanager
def _alone(directory: Path, name: str) -> Iterator[None]:
    with ExitStack() as held:
        with writing(directory):
            held.enter_context(exclusive(directory / _LOCK_NAME, _LOCK_SECONDS, f"dataset {name}"))
        yield


def _clear(directory: Path) -> None:
    """Remove what a build that was killed left half written."""
    from trainables.data.ingest.plan import WORK

    with writing(directory):
        shutil.rmtree(directory / WORK, ignore_errors=True)
        for path in directory.rglob(".*.tmp*"):
            path.unlink(missing_ok=True)


def _listed(
    config: DatasetConfig, sources: DatasetFolders, directory: Path, log: BuildLog, progress: Progress | None
) -> Listing:
    if not isinstance(config, SyntheticMotion | SyntheticAppearance):
        return list_dataset(config, sources)
    from trainables.data.ingest.synthetic_videos import generate

    return generate(config, directory, log, progress)


def _source(config: DatasetConfig, listing: Listing) -> Source | None:
    """The files before any is read, so that what changes meanwhile shows; None where they are generated."""
    from trainables.data.ingest.build_log import source_of

    generated = isinstance(config, SyntheticMotion | SyntheticAppearance)
    return None if generated else source_of(listing)


def _note_source(source: Source | None, directory: Path, log: BuildLog) -> None:
    from trainables.data.ingest.build_log import note_source, read_source, write_source

    if source is None:
        return
    path = directory / SOURCE_FILE
    if source != read_source(path):
        write_source(source, path)
    note_source(log)


def _remove_orphans(manifest: Manifest, shards: Path) -> None:
    """Remove shards of earlier settings or sources: only now does no manifest name them any more."""
    named = {shard.name for shard in manifest.shards}
    with writing(shards):
        for path in shards.glob("*.arrow"):
            if path.name not in named:
                path.unlink()


_NAMED = 20  # quarantined videos that an error names; the others it counts


def check_usable(manifest: Manifest, listed: int) -> None:
    """Refuse a dataset of which too little is left.

    Raises:
        DatasetError: too many quarantined videos, a split without videos, a class without training videos.
    """
    bad = manifest.quarantined
    if len(bad) > manifest.allow_missing * listed:
        names = "".join(f"\n  {q.path}: {q.reason}" for q in bad[:_NAMED])
        more = f"\n  and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise DatasetError(
            f"{len(bad)} of {listed} videos cannot be used, more than allow_missing = "
            f"{manifest.allow_missing:g}",
            f"dataset {manifest.name}",
            f"mend or remove them, or raise allow_missing:{names}{more}",
        )
    for split in SPLITS:
        if not manifest.split(split):
            raise DatasetError(
                f"no usable {split} video", f"dataset {manifest.name}", "add videos or change the split"
            )
    present = {video.label for video in manifest.split("train")}
    lost = [name for label, name in enumerate(manifest.classes) if label not in present]
    if lost:
        raise DatasetError(
            f"classes without a usable training video: {', '.join(lost)}",
            f"dataset {manifest.name}",
            "add videos or remove the classes",
        )
