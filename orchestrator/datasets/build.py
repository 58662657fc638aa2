"""Building datasets: what a study lacks, or what `data build NAME` asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import TypeAdapter, ValidationError

from catalog.storage.atomic import user_path
from catalog.storage.layout import Layout, quarantined_command
from catalog.storage.storage import Storage
from orchestrator.datasets.built import built_state, declared_path, quarantined_lines, same_content_lines
from orchestrator.study.datasets import DatasetState, dataset_config
from orchestrator.study.load import shipped_studies
from orchestrator.study.model import Study
from trainables.data.datasets import OFFICIAL, DatasetConfig, DatasetError, DatasetFolders, OfficialDataset
from trainables.data.frames.manifest import ManifestError
from trainables.data.frames.transfer import fetch_intact, frames_stand, publish_dataset

if TYPE_CHECKING:
    from trainables.data.frames.manifest import Manifest
    from trainables.data.ingest.batch import Executor
    from trainables.data.ingest.run import BuildProgress


ShowProgress = Callable[[str, "BuildProgress"], None]
Announce = Callable[[str], None]
_NAMED = 20  # quarantined videos that a build names; `data list --quarantined` names all
_ADAPTER: TypeAdapter[DatasetConfig] = TypeAdapter(DatasetConfig)


@dataclass(frozen=True)
class Request:
    """The command line's words; `frame_format` has those fields that were given."""

    name: str
    videos: Path | None = None
    annotations: Path | None = None
    frame_format: Mapping[str, Any] | None = None
    split: int | None = None
    min_frames: int | None = None
    allow_missing: float | None = None

    @property
    def has_options(self) -> bool:
        """Whether anything but the name, the videos and what may be missing was given."""
        options = (self.annotations, self.split, self.min_frames)
        return bool(self.frame_format) or any(option is not None for option in options)


@dataclass(frozen=True)
class Declared:
    """One dataset as a study would declare it, by these `fields`; `sources` are an official one's."""

    name: str
    config: DatasetConfig
    fields: Mapping[str, Any]
    sources: DatasetFolders | None = None

    @property
    def yaml(self) -> str:
        """The lines that a study needs to name it; empty where the name is enough."""
        if set(self.fields) == {"kind", "name"}:
            return ""
        flow = yaml.safe_dump(dict(self.fields), default_flow_style=True, sort_keys=False, width=10_000)
        return f"datasets:\n  {self.name}: {flow.strip()}"


def is_study(request: Request) -> bool:
    """Whether the name is a study's; options that a study decides itself are refused.

    Raises:
        DatasetError: options given for a study.
    """
    if request.name in OFFICIAL or request.videos is not None:
        return False
    if not Path(request.name).is_file() and request.name not in shipped_studies():
        return False
    if request.has_options or request.allow_missing is not None:
        raise DatasetError(
            "a study declares its datasets' options itself",
            request.name,
            "write them under datasets in the study file",
        )
    return True


def declared(request: Request) -> Declared | None:
    """The dataset that is asked for; None where the name is neither official nor given with its videos.

    Raises:
        DatasetError: options that do not go together, or a wrong value.
    """
    formats: dict[str, Any] = {"frame_format": dict(request.frame_format)} if request.frame_format else {}
    if request.min_frames is not None:
        formats["min_frames"] = request.min_frames
    if request.name in OFFICIAL:
        split = {"split": request.split} if request.split is not None else {}
        fields = {"kind": "official", "name": request.name, **split, **formats}
        named = request.videos is not None or request.annotations is not None
        sources = DatasetFolders(request.videos, request.annotations) if named else None
        return Declared(request.name, _config(fields, request.name), fields, sources)
    if request.split is not None:
        raise DatasetError("--split is for official datasets that have several", request.name, "leave it out")
    if request.videos is None and request.has_options:
        raise DatasetError(
            "options without videos", f"dataset {request.name}", "give the folder with --videos"
        )
    if request.videos is None:
        return None
    fields = {**_own_files(request.name, request.videos, request.annotations), **formats}
    return Declared(request.name, _config(fields, request.name), fields)


def _own_files(name: str, videos: Path, annotations: Path | None) -> dict[str, Any]:
    folder = str(user_path(videos).absolute())
    if annotations is None:
        return {"kind": "folder", "path": folder}
    if annotations.is_dir():
        raise DatasetError(
            "--annotations is a folder",
            f"dataset {name}: {annotations}",
            f"give a CSV file (path,label,split) or one of the official names: {', '.join(OFFICIAL)}",
        )
    return {"kind": "csv", "path": str(user_path(annotations).absolute()), "root": folder}


def _config(fields: Mapping[str, Any], name: str) -> DatasetConfig:
    try:
        return _ADAPTER.validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or "options"
        message = first["msg"].removeprefix("Value error, ")
        raise DatasetError(f"{field}: {message}", f"dataset {name}", "give another value") from error


def built_before(name: str, layout: Layout) -> tuple[DatasetConfig, ...]:
    """The declarations of all datasets of this name that were built on this storage."""
    from trainables.data.ingest.build_log import BuildLog, last_inputs

    logs = layout.build_logs(name)
    found = [last_inputs(BuildLog(log)) for log in logs]
    return tuple(_config(one.config, name) for one in found if one is not None)


@dataclass(frozen=True)
class Builder:
    """How datasets are built: `executor` reads their videos (default: threads on this machine).

    `show` is told how far each is; `announce` gets a line for each dataset and each quarantined video.
    """

    show: ShowProgress
    announce: Announce
    executor: Executor | None = None


def build_missing(
    study: Study, states: Mapping[str, DatasetState], storage: Storage, builder: Builder
) -> dict[str, DatasetState]:
    """Build every dataset that is missing, or has lost frames, and can be built here; gives the new states.

    Raises:
        DatasetError: A dataset cannot be built as declared; names the videos and the way out.
        StoreWriteError: The storage is too small, full or broken.
    """
    return {name: _built_if_missing(study, name, state, storage, builder) for name, state in states.items()}


def _built_if_missing(
    study: Study, name: str, state: DatasetState, storage: Storage, builder: Builder
) -> DatasetState:
    if _frames_exist(state, storage) if state.manifest is not None else not state.buildable:
        return state
    config = dataset_config(study, name)
    if state.changed:
        builder.announce(f"dataset {name}: {state.changed} since it was built; it is built again")
    manifest = build_declared(config, name, storage, builder)
    return built_state(name, declared_path(config, name, storage.layout), manifest)


def _frames_exist(state: DatasetState, storage: Storage) -> bool:
    from trainables.data.frames.manifest import read_manifest

    path = Path(state.manifest or "")
    return frames_stand(storage, read_manifest(path), path.parent)


def build_declared(
    config: DatasetConfig,
    name: str,
    storage: Storage,
    builder: Builder,
    sources: DatasetFolders | None = None,
    allow_missing: float | None = None,
) -> Manifest:
    """Build one dataset where a study that declares it so will find it, and say what it is.

    Raises:
        DatasetError, StoreWriteError: As `build_missing`.
    """
    from trainables.data.ingest.build import build_dataset
    from trainables.data.ingest.plan import OtherBuilds

    path = declared_path(config, name, storage.layout)
    if path.is_file():
        with suppress(ManifestError):  # what is damaged is made again, from what the last build noted
            for damaged in fetch_intact(storage, path):
                storage.remove(damaged)  # else its size would tell that it stands
    declared = config.sources if isinstance(config, OfficialDataset) else None
    folders = tuple(log.parent for log in storage.layout.build_logs(name))
    manifest = build_dataset(
        config,
        name,
        path.parent,
        sources=sources or declared,
        allow_missing=allow_missing,
        executor=builder.executor,
        progress=lambda now: builder.show(name, now),
        others=OtherBuilds(
            folders,
            storage.fetch_missing,
            lambda line: builder.announce(f"dataset {name}: {line}"),
            link=not storage.mirrored,
        ),
    )
    publish_dataset(storage, path.parent)
    for line in manifest_lines(manifest, path):
        builder.announce(line)
    return manifest


def manifest_lines(manifest: Manifest, path: Path) -> list[str]:
    """A built dataset in words: its videos by split, and the first quarantined ones with their reasons."""
    train, val = len(manifest.split("train")), len(manifest.split("val"))
    bad = manifest.quarantined
    head = f"dataset {manifest.name}: {train} train and {val} val videos, {len(manifest.classes)} classes"
    lines = [f"{head}, {len(bad)} quarantined; {path.parent}"]
    lines += [f"  note: {note}" for note in manifest.notes] + same_content_lines(manifest, _NAMED)
    if manifest.ignored:
        kinds = ", ".join(f"{count} {kind}" for kind, count in manifest.ignored)
        lines.append(f"  ignored, no videos: {kinds}")
    return lines + quarantined_lines(bad, _NAMED, quarantined_command(path.parent))
