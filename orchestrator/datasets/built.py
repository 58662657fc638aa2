"""Which datasets of a study or a storage are built, what they hold, and whether their files are whole."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.names import count_text
from catalog.queries.training import Build
from catalog.storage.layout import BUILD_LOG_FILE, MANIFEST_FILE, SOURCE_FILE, Layout, dataset_command
from catalog.storage.sizes import bytes_text
from catalog.storage.storage import Storage
from orchestrator.study.datasets import DatasetState, dataset_config, declared_state
from orchestrator.study.keys import declared_hash
from orchestrator.study.model import Study
from trainables.data.datasets import (
    DatasetConfig,
    DatasetError,
    DatasetFolders,
    Listing,
    OfficialDataset,
    SyntheticAppearance,
    SyntheticMotion,
)
from trainables.data.datasets.base import SourceAbsentError
from trainables.data.datasets.listing import list_dataset
from trainables.data.frames.check import verify
from trainables.data.frames.manifest import (
    Manifest,
    ManifestError,
    Quarantined,
    read_manifest,
    same_content,
)
from trainables.data.frames.transfer import fetch_intact
from trainables.data.ingest.build_log import BuildLog, last_inputs
from trainables.data.ingest.run import BuildProgress

if TYPE_CHECKING:
    from trainables.data.ingest.build_log import Source

_MOST_THREADS = 8  # beyond that a disk gets no faster


def manifest_path(study: Study, name: str, layout: Layout) -> Path:
    """Where the manifest of a dataset, as this study declares it, is or will be."""
    return declared_path(dataset_config(study, name), name, layout)


def declared_path(config: DatasetConfig, name: str, layout: Layout) -> Path:
    """Where the manifest of a dataset of this declaration is or will be."""
    digest = declared_hash(config).split(":", 1)[1]
    return layout.dataset_dir(name, digest) / MANIFEST_FILE


def dataset_states(study: Study, layout: Layout) -> dict[str, DatasetState]:
    """The state of every dataset of the study; looks at their sources, decodes no video."""
    return {name: _state(study, name, manifest_path(study, name, layout)) for name in study.axes.dataset}


def _state(study: Study, name: str, path: Path) -> DatasetState:
    if not path.is_file():
        return declared_state(study, name)
    try:
        manifest = read_manifest(path)
    except ManifestError:
        return _damaged_state(study, name, path)
    if manifest.name != name:
        return _damaged_state(study, name, path)
    found = _source_changes(dataset_config(study, name), manifest, path.parent)
    return built_state(name, path, manifest) if found is None else _stale_state(name, found)


@dataclass(frozen=True)
class _Changes:
    """What of a dataset's source has changed since it was built, in words, and its listing now.

    `expected` is what building it again will give, where its files are known from earlier builds; `unsure`
    says that finding that out would take long.
    """

    text: str
    listing: Listing
    expected: Manifest | None = None
    unsure: bool = False


def _damaged_state(study: Study, name: str, path: Path) -> DatasetState:
    """The state of a dataset whose manifest cannot be read: to be built again, as the last build noted."""
    declared = declared_state(study, name)
    noted = last_inputs(BuildLog(path.parent / BUILD_LOG_FILE)) is not None
    again = dataset_command(path.parent, "build")
    mend = f"its manifest is damaged; restore {path}, or: {again} --videos DIR"
    buildable = declared.buildable or noted
    return replace(
        declared,
        buildable=buildable,
        how=declared.how if buildable else mend,
        changed="its manifest was damaged",
    )


def _source_changes(config: DatasetConfig, manifest: Manifest, directory: Path) -> _Changes | None:
    """What has changed since a dataset was built.

    None where nothing has, nothing is known of the source, or it is not there at the moment.

    Raises:
        DatasetError: the source cannot be listed as it is now.
    """
    from trainables.data.ingest.build_log import (
        changes,
        read_source,
        source_built,
        source_of,
        source_was_noted,
    )

    if isinstance(config, SyntheticMotion | SyntheticAppearance):
        return None
    noted = directory / SOURCE_FILE
    if not noted.is_file() and not source_was_noted(BuildLog(directory / BUILD_LOG_FILE)):
        return None
    try:
        listing = list_dataset(config, _folders(config, directory))
    except SourceAbsentError:
        return None
    except DatasetError:
        if isinstance(config, OfficialDataset):  # its folders, or all videos in them, may be away
            return None
        raise
    content = {video.path: video.sha256 for video in manifest.videos}
    now = source_of(listing)
    before = read_source(noted)
    if before is None:
        built = {one.path: (one.split, manifest.classes[one.label]) for one in manifest.videos}
        before = source_built(built, {one.path for one in manifest.quarantined}, now)
    text = changes(before, now, content)
    return _looked_ahead(_Changes(text, listing), config, manifest, before, directory) if text else None


def _looked_ahead(
    found: _Changes, config: DatasetConfig, manifest: Manifest, before: Source, directory: Path
) -> _Changes:
    """The changes with what building again will give, where that can be told without decoding anything."""
    from trainables.data.ingest.checked import TooMuchToReadError, manifest_expected

    log = BuildLog(directory / BUILD_LOG_FILE)
    try:
        return replace(found, expected=manifest_expected(config, found.listing, manifest, before, log))
    except TooMuchToReadError:
        return replace(found, unsure=True)


def _folders(config: DatasetConfig, directory: Path) -> DatasetFolders:
    """Where an official dataset's files lie: as declared, else as the last build was told."""
    if not isinstance(config, OfficialDataset):
        return DatasetFolders()
    if config.sources is not None:
        return config.sources
    told = last_inputs(BuildLog(directory / BUILD_LOG_FILE))
    return DatasetFolders() if told is None else told.sources


def with_sources_seen(study: Study, states: Mapping[str, DatasetState]) -> dict[str, DatasetState]:
    """The states, with what the sources of those that are not built hold now; opens no video."""
    return {name: _seen(dataset_config(study, name), state) for name, state in states.items()}


def _seen(config: DatasetConfig, state: DatasetState) -> DatasetState:
    if state.built or state.changed or isinstance(config, SyntheticMotion | SyntheticAppearance):
        return state
    if isinstance(config, OfficialDataset) and config.sources is None:
        return state
    sources = config.sources if isinstance(config, OfficialDataset) else None
    try:
        listing = list_dataset(config, sources or DatasetFolders())
    except DatasetError as error:
        return replace(state, buildable=False, how=str(error), problem=str(error))
    counts = Counter(entry.split for entry in listing.entries)
    return replace(
        state,
        num_classes=len(listing.classes),
        train_videos=counts["train"],
        val_videos=counts["val"],
        seen=f"{count_text(len(listing.entries), 'video')}, {len(listing.classes)} classes, not built yet",
    )


def _stale_state(name: str, found: _Changes) -> DatasetState:
    """The state of a dataset whose source has changed: to be built again, with as many videos as listed."""
    counts = Counter(entry.split for entry in found.listing.entries)
    state = DatasetState(
        name=name,
        built=False,
        manifest=None,
        train_hash=None,
        val_hash=None,
        num_classes=len(found.listing.classes),
        train_videos=counts["train"],
        val_videos=counts["val"],
        buildable=True,
        how=f"{found.text} since it was built",
        changed=found.text,
        unsure=found.unsure,
    )
    if found.expected is None:
        return state
    return replace(
        state,
        train_hash=found.expected.hash("train"),
        val_hash=found.expected.hash("val"),
        train_videos=len(found.expected.split("train")),
        val_videos=len(found.expected.split("val")),
    )


def built_state(name: str, path: Path, manifest: Manifest) -> DatasetState:
    """The state of a dataset whose manifest stands at `path`."""
    return DatasetState(
        name=name,
        built=True,
        manifest=str(path),
        train_hash=manifest.hash("train"),
        val_hash=manifest.hash("val"),
        num_classes=len(manifest.classes),
        train_videos=len(manifest.split("train")),
        val_videos=len(manifest.split("val")),
        buildable=True,
        how="",
    )


def manifests(layout: Layout, name: str | None = None) -> Iterator[tuple[Path, Manifest]]:
    """Every built dataset of a storage, or those of one name, with the manifest's path.

    Raises:
        ManifestError: a manifest of another format.
    """
    for path in layout.manifests(name):
        yield path, read_manifest(path)


def fetch_frames(storage: Storage, name: str | None) -> None:
    """Bring down the frames of one dataset, or of all, as far as they are as they were built.

    Raises:
        StoreWriteError: The bucket does not answer, or the disk is full.
    """
    for path, _ in manifests(storage.layout, name):
        fetch_intact(storage, path)


def quarantine_kind(reason: str) -> str:
    """The kind of a quarantined video's reason, e.g. `damaged` for `damaged: 3 decoder errors; …`."""
    return reason.split(":", maxsplit=1)[0].split(" (", maxsplit=1)[0]


def dataset_row(path: Path, manifest: Manifest, builds: Mapping[str, Build]) -> dict[str, Any]:
    """What a dataset holds, as plain values; `builds` are the last ones, by the hash of training videos."""
    both, several = same_content(manifest)
    last = builds.get(manifest.hash("train"), Build(""))
    later = Path(last.manifest)
    replaced = later.is_file() and later.resolve() != path.resolve()
    return {
        "name": manifest.name,
        "directory": str(path.parent),
        "cells": last.cells,
        "studies": list(last.studies),
        "built_again": str(later.parent) if replaced else None,
        "classes": len(manifest.classes),
        "train_videos": len(manifest.split("train")),
        "val_videos": len(manifest.split("val")),
        "frames": sum(video.frames for video in manifest.videos),
        "format": manifest.frame_format.identity,
        "shards": len(manifest.shards),
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "quarantined": dict(
            Counter(quarantine_kind(video.reason) for video in manifest.quarantined).most_common()
        ),
        "allow_missing": manifest.allow_missing,
        "ignored": dict(manifest.ignored),
        "notes": list(manifest.notes),
        "in_both_splits": [[video.path for video in group] for group in both],
        "under_several_labels": [[video.path for video in group] for group in several],
    }


def dataset_line(row: dict[str, Any]) -> str:
    """A dataset's row in words."""
    kinds = row["quarantined"]
    bad = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    stored = f"{bytes_text(row['bytes'])} in {row['shards']} shards" if row["shards"] else "no frame store"
    used = f"{count_text(row['cells'], 'cell')} of {', '.join(row['studies'])}"
    use = f"for {used}" if row["cells"] else "for no cell of a study as it is now"
    again = f"; built again in {row['built_again']}" if row["built_again"] else ""
    return (
        f"{row['name']}: {row['train_videos']} train and {row['val_videos']} val videos, {row['classes']} "
        f"classes, {row['frames']} frames, {stored} ({row['format']}), {sum(kinds.values())} quarantined"
        f"{f' ({bad})' if bad else ''}; {use}; {row['directory']}{again}"
    )


def same_content_lines(manifest: Manifest, most: int) -> list[str]:
    """Identical videos in both splits or under several labels: how many, and the first of them."""
    both, several = same_content(manifest)
    lines = []
    for groups, where in ((both, "in training and in validation"), (several, "under several labels")):
        if groups:
            more = " (data list --json has all)" if len(groups) > most else ""
            lines.append(f"  warning: {len(groups)} identical videos {where}{more}:")
            lines += [f"    {' = '.join(video.path for video in group)}" for group in groups[:most]]
    return lines


def quarantined_lines(videos: tuple[Quarantined, ...], most: int | None = None, see: str = "") -> list[str]:
    """Each quarantined video with its reason; beyond `most` only how many more; `see`: what lists all."""
    lines = [f"  quarantined: {video.path}: {video.reason}" for video in videos[:most]]
    more = len(videos) - len(lines)
    return [*lines, f"  and {more} more; see: {see}"] if more else lines


def verify_dataset(
    path: Path, manifest: Manifest, show: Callable[[str, BuildProgress], None]
) -> dict[str, Any]:
    """Read a dataset's files again: how many, their bytes and what is wrong with which, as plain values.

    Raises:
        StoreWriteError: the storage takes no note of the damage.
    """
    direct = manifest.frame_format.mode == "direct"
    total = len(manifest.videos) if direct else len(manifest.shards)
    problems, size = [], 0
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    for number, checked in enumerate(verify(manifest, path.parent, threads), start=1):
        size += checked.bytes
        if checked.problem is not None:
            problems.append({"path": str(checked.path), "problem": checked.problem})
        show(manifest.name, BuildProgress("verifying", total, number, quarantined=len(problems), bytes=size))
    return {
        "name": manifest.name,
        "directory": str(path.parent),
        "files": total,
        "bytes": size,
        "problems": problems,
    }


def verification_lines(row: dict[str, Any]) -> list[str]:
    """The result of `verify_dataset` in words, with the way to mend what is wrong."""
    head = f"{row['name']}: {count_text(row['files'], 'file')}, {bytes_text(row['bytes'])}"
    if not row["problems"]:
        return [f"{head}, all as built; {row['directory']}"]
    lines = [f"{head}, {len(row['problems'])} not as built; {row['directory']}"]
    lines += [f"  {one['path']}: {one['problem']}" for one in row["problems"]]
    return [*lines, f"  mend with: {dataset_command(Path(row['directory']), 'build')}"]
