"""A study's datasets on disk: what is built, and building what is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.layout import Layout
from orchestrator.study.datasets import DatasetState, dataset_config, declared_state
from orchestrator.study.keys import declared_hash
from orchestrator.study.model import Study
from trainables.data.datasets import DatasetConfig, Sources
from trainables.data.frames.transfer import fetch_dataset, frames_stand, send_dataset

if TYPE_CHECKING:
    from trainables.data.frames.manifest import Manifest
    from trainables.data.ingest.batch import Executor
    from trainables.data.ingest.run import BuildProgress

ShowProgress = Callable[[str, "BuildProgress"], None]
Announce = Callable[[str], None]
_NAMED = 20  # quarantined videos that a build names; `data list --quarantined` names all


@dataclass(frozen=True)
class Builder:
    """How datasets are built: `executor` reads their videos (default: threads on this machine).

    `show` hears how far each is; `announce` gets a line for each dataset and each quarantined video.
    """

    show: ShowProgress
    announce: Announce
    executor: Executor | None = None


def manifest_path(study: Study, name: str, layout: Layout) -> Path:
    """Where the manifest of a dataset, as this study declares it, is or will be."""
    return declared_path(dataset_config(study, name), name, layout)


def declared_path(config: DatasetConfig, name: str, layout: Layout) -> Path:
    """Where the manifest of a dataset of this declaration is or will be."""
    digest = declared_hash(config).split(":", 1)[1]
    return layout.dataset_dir(name, digest) / "manifest.parquet"


def dataset_states(study: Study, layout: Layout) -> dict[str, DatasetState]:
    """The state of every dataset of the study; reads manifests only, never a video."""
    return {name: _state(study, name, manifest_path(study, name, layout)) for name in study.axes.dataset}


def _state(study: Study, name: str, path: Path) -> DatasetState:
    if not path.is_file():
        return declared_state(study, name)
    from trainables.data.frames.manifest import read_manifest

    return built_state(name, path, read_manifest(path))


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


def build_missing(
    study: Study, states: Mapping[str, DatasetState], layout: Layout, builder: Builder
) -> dict[str, DatasetState]:
    """Build every dataset that is missing, or has lost frames, and can be built here; gives the new states.

    Raises:
        DatasetError: A dataset cannot be built as declared; names the videos and the way out.
        StoreWriteError: The storage is too small, full or broken.
    """
    return {name: _mended(study, name, state, layout, builder) for name, state in states.items()}


def _mended(study: Study, name: str, state: DatasetState, layout: Layout, builder: Builder) -> DatasetState:
    if _stands(state) if state.manifest is not None else not state.buildable:
        return state
    config = dataset_config(study, name)
    manifest = build_declared(config, name, layout, builder)
    return built_state(name, declared_path(config, name, layout), manifest)


def _stands(state: DatasetState) -> bool:
    from trainables.data.frames.check import shards_stand
    from trainables.data.frames.manifest import read_manifest

    path = Path(state.manifest or "")
    in_bucket = frames_stand(read_manifest(path), path.parent)
    if in_bucket is not None:
        return in_bucket
    return shards_stand(read_manifest(path), path.parent)


def build_declared(
    config: DatasetConfig,
    name: str,
    layout: Layout,
    builder: Builder,
    sources: Sources | None = None,
    allow_missing: float | None = None,
) -> Manifest:
    """Build one dataset where a study that declares it so will find it, and say what it is.

    Raises:
        DatasetError, StoreWriteError: As `build_missing`.
    """
    from trainables.data.ingest.build import build_dataset

    path = declared_path(config, name, layout)
    if path.is_file():
        fetch_dataset(path)
    declared = config.sources if config.kind == "official" else None
    manifest = build_dataset(
        config,
        name,
        path.parent,
        sources=sources or declared,
        allow_missing=allow_missing,
        executor=builder.executor,
        progress=lambda now: builder.show(name, now),
    )
    send_dataset(path.parent)
    for line in manifest_lines(manifest, path):
        builder.announce(line)
    return manifest


def manifest_lines(manifest: Manifest, path: Path) -> list[str]:
    """A built dataset in words: its videos by split, and the first quarantined ones with their reasons."""
    from orchestrator.datasets.report import quarantined_lines

    train, val = len(manifest.split("train")), len(manifest.split("val"))
    bad = manifest.quarantined
    head = f"dataset {manifest.name}: {train} train and {val} val videos, {len(manifest.classes)} classes"
    lines = [f"{head}, {len(bad)} quarantined; {path.parent}"]
    return lines + quarantined_lines(bad, _NAMED)
