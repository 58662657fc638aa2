"""A study's datasets on disk: what is built, and building what is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.dataset_names import dataset_config
from orchestrator.key import declared_hash
from orchestrator.layout import Layout
from orchestrator.plan import DatasetState, declared_state
from orchestrator.study_model import Study

if TYPE_CHECKING:
    from trainables.data.build_progress import BuildProgress
    from trainables.data.manifest import Manifest

ShowProgress = Callable[[str, "BuildProgress"], None]
Announce = Callable[[str], None]


def manifest_path(study: Study, name: str, layout: Layout) -> Path:
    """Where the manifest of a dataset, as this study declares it, is or will be."""
    digest = declared_hash(dataset_config(study, name)).split(":", 1)[1]
    return layout.dataset_dir(name, digest) / "manifest.parquet"


def dataset_states(study: Study, layout: Layout) -> dict[str, DatasetState]:
    """The state of every dataset of the study; reads manifests only, never a video."""
    return {name: _state(study, name, manifest_path(study, name, layout)) for name in study.axes.dataset}


def _state(study: Study, name: str, path: Path) -> DatasetState:
    if not path.is_file():
        return declared_state(study, name)
    from trainables.data.manifest import read_manifest

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
    study: Study,
    states: Mapping[str, DatasetState],
    layout: Layout,
    show: ShowProgress,
    announce: Announce,
) -> dict[str, DatasetState]:
    """Build every dataset that is missing and can be built here; returns the new states.

    `show` hears how far each is; `announce` gets a line for each dataset and each quarantined video.

    Raises:
        DatasetError: A dataset cannot be built as declared; names the videos and the way out.
    """
    return {
        name: state if state.built or not state.buildable else _build(study, name, layout, show, announce)
        for name, state in states.items()
    }


def _build(study: Study, name: str, layout: Layout, show: ShowProgress, announce: Announce) -> DatasetState:
    from trainables.data.build import build_dataset

    path = manifest_path(study, name, layout)
    manifest = build_dataset(
        dataset_config(study, name), name, path.parent, progress=lambda now: show(name, now)
    )
    for line in manifest_lines(manifest, path):
        announce(line)
    return built_state(name, path, manifest)


def manifest_lines(manifest: Manifest, path: Path) -> list[str]:
    """A built dataset in words: its videos by split, and every quarantined one with its reason."""
    train, val = len(manifest.split("train")), len(manifest.split("val"))
    bad = manifest.quarantined
    head = f"dataset {manifest.name}: {train} train and {val} val videos, {len(manifest.classes)} classes"
    lines = [f"{head}, {len(bad)} quarantined; {path.parent}"]
    return lines + [f"  quarantined: {video.path}: {video.reason}" for video in bad]
