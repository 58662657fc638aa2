"""From a finished cell and a wanted protocol to a job, and from what it measured to the journal's events."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from catalog.events import CellEvaluated, DatasetBuilt
from catalog.storage.errors import ActionGridError
from catalog.storage.layout import RESULT_FILE
from catalog.storage.storage import Storage
from orchestrator.study.keys import KEY_LENGTH, evaluation_key
from orchestrator.study.model import Resources
from trainables.recipe.cell_spec import (
    Average,
    CellSpec,
    Evaluation,
    EvaluationSpec,
    Which,
    resolved_protocol,
)
from trainables.recipe.fields import Split
from trainables.recipe.local_files import address_of
from trainables.recipe.plug_ins import named_packages
from trainables.training.evaluate_cell import read_evaluation

if TYPE_CHECKING:
    from orchestrator.evaluation.cells import FinishedCell, VideoSet, VideoSets
    from trainables.data.frames.manifest import Manifest
    from trainables.training.evaluate_cell import EvaluationResult
    from trainables.training.result import CellResult


class EvaluationError(ActionGridError):
    """A finished cell that cannot be evaluated: its files are gone, damaged, or do not fit."""


@dataclass(frozen=True)
class Wanted:
    """What the user asks for. `protocol` names fields of `Evaluation`; what is missing is the cell's own.

    `checkpoint` None means the one that the cell's study reports, which is what figures and tables show;
    `both` means two measurements. `workers` None means the cell's own number; it changes no result. `again`
    measures even what stands already.
    """

    protocol: dict[str, Any] = field(default_factory=dict)
    average: Average = "logits"
    checkpoint: Which | Literal["both"] | None = None
    split: Split = "val"
    workers: int | None = None
    again: bool = False

    def of_checkpoints(self) -> tuple[Wanted, ...]:
        """The same, once for each checkpoint that is asked for."""
        if self.checkpoint != "both":
            return (self,)
        return replace(self, checkpoint="last"), replace(self, checkpoint="best")


@dataclass(frozen=True)
class EvaluationJob:
    """One evaluation, ready to run. `same_videos`: these are the validation videos of the cell's training."""

    spec: EvaluationSpec
    resources: Resources
    videos: VideoSet
    same_videos: bool

    @property
    def run_dir(self) -> Path:
        """The cell's own directory."""
        return Path(self.spec.cell.run_dir)


def evaluation_identity(base: str, average: Average, which: Which) -> str:
    """An evaluation's identity: its `evaluation_key` with how views are averaged and of which checkpoint.

    The key by itself stays the name of a training's own measure.
    """
    return hashlib.sha256(f"{base} {average} {which}".encode()).hexdigest()[:KEY_LENGTH]


def make_job(cell: FinishedCell, wanted: Wanted, storage: Storage, videos: VideoSets) -> EvaluationJob:
    """Everything that evaluating `cell` as `wanted` needs; reads its result and its manifest.

    Raises:
        ValueError: `wanted` asks for both checkpoints.
        ProtocolError: fields that are wrong, or do not go together.
        EvaluationError: the result or the dataset is gone or damaged, or the checkpoint was not kept.
    """
    protocol = resolved_protocol(cell.evaluation, wanted.protocol)
    run_dir = storage.layout.run_dir(cell.cell, cell.key)
    if wanted.checkpoint == "both":
        raise ValueError("two checkpoints; make_job; make a job of each")
    which: Which = wanted.checkpoint or cell.report
    chosen = _result(cell, run_dir).checkpoint(which)
    _require_kept(cell, which, int(chosen["epoch"]))
    found, same = _find_videos(cell, videos)
    if not found.manifest.split(wanted.split):
        raise EvaluationError(f"no videos in split {wanted.split}", found.path, "name another split")
    videos_hash = found.train_hash if wanted.split == "train" else found.val_hash
    resources = cell.resources
    if wanted.workers is not None:
        resources = resources.model_copy(update={"workers": wanted.workers})
    spec = EvaluationSpec(
        cell=_spec(cell, protocol, found, resources, storage),
        identity=evaluation_identity(evaluation_key(cell.key, protocol, videos_hash), wanted.average, which),
        checkpoint=str(run_dir / chosen["path"]),
        sha256=chosen["sha256"],
        which=which,
        epoch=int(chosen["epoch"]),
        average=wanted.average,
        split=wanted.split,
        videos_hash=videos_hash,
    )
    return EvaluationJob(spec, resources, found, same or wanted.split == "train")


def check_checkpoint(spec: EvaluationSpec) -> None:
    """The checkpoint is there and as it was written.

    Raises:
        EvaluationError: it is not.
    """
    from catalog.storage.atomic import sha256_of

    path = Path(spec.checkpoint)
    found = sha256_of(path) if path.is_file() else None
    if found != spec.sha256:
        what = "is gone" if found is None else "is damaged (its checksum differs)"
        raise EvaluationError(
            f"the {spec.which} checkpoint of {spec.cell.cell} {what}",
            path,
            "restore the file, evaluate the other checkpoint, or run the cell's study with "
            "--check-checkpoints, which trains it again",
        )


def _require_kept(cell: FinishedCell, which: Which, epoch: int) -> None:
    if epoch not in cell.removed:
        return
    other = "best" if which == "last" else "last"
    raise EvaluationError(
        f"the {which} checkpoint of {cell.cell} was not kept",
        f"epoch {epoch}, removed as keep said",
        f"measure the other one with --checkpoint {other}, which figures show where the study says "
        f"report: {other}; or train it in another storage with keep: {which}",
    )


def _result(cell: FinishedCell, run_dir: Path) -> CellResult:
    from trainables.training.result import read_result

    result = read_result(run_dir, cell.key)
    if result is None:
        raise EvaluationError(
            f"the result of {cell.cell} is gone or damaged",
            run_dir / RESULT_FILE,
            "restore the directory, or run the cell's study again: the result is taken from the journal",
        )
    return result


def _find_videos(cell: FinishedCell, videos: VideoSets) -> tuple[VideoSet, bool]:
    """The dataset with the cell's training videos; whether its validation videos are those of then too."""
    fitting = [one for one in videos.of(cell.dataset) if one.train_hash == cell.train_hash]
    for one in fitting:
        measured = evaluation_key(cell.key, cell.evaluation, one.val_hash)
        if cell.trained_evaluation in (None, measured):
            return one, True
    if fitting:
        return fitting[-1], False
    seen = videos.problems(cell.dataset) or "no manifest there has its training videos"
    raise EvaluationError(
        f"the dataset that {cell.cell} was trained on is gone or changed ({seen})",
        videos.folder,
        "restore it, or build it again as its study declares it",
    )


def _spec(
    cell: FinishedCell, protocol: Evaluation, found: VideoSet, resources: Resources, storage: Storage
) -> CellSpec:
    return CellSpec(
        cell=cell.cell,
        key=cell.key,
        module=cell.module,
        backbone=cell.backbone,
        temporal_pooling=cell.temporal_pooling,
        frames=cell.frames,
        dataset=cell.dataset,
        seed=cell.seed,
        num_classes=cell.num_classes or len(found.manifest.classes),
        recipe=cell.recipe,
        evaluation=protocol,
        manifest=str(found.path),
        run_dir=str(storage.layout.run_dir(cell.cell, cell.key)),
        workers=resources.workers,
        threads=resources.cpus_per_worker,
        frames_on_local_disk=cell.frames_on_local_disk,
        storage=address_of(storage),
        plug_ins=dict(cell.plug_ins),
        imports=tuple(dict.fromkeys([*cell.imports, *named_packages()])) if cell.plug_ins else (),
    )


def standing_result(job: EvaluationJob) -> EvaluationResult | None:
    """What was measured before, of this very checkpoint, as it stands on this machine; else None."""
    found = read_evaluation(job.run_dir, job.spec.identity)
    return found if found is not None and found.asked.sha256 == job.spec.sha256 else None


def evaluated_event(result: EvaluationResult, folder: Path, storage: Storage) -> CellEvaluated:
    """The journal's form of an evaluation whose predictions stand in `folder`."""
    spec = result.asked
    protocol = spec.cell.evaluation
    return CellEvaluated(
        key=result.key,
        evaluation=result.identity,
        checkpoint=spec.which,
        epoch=spec.epoch,
        checkpoint_sha256=spec.sha256,
        sampling=protocol.sampling,
        sampling_rate=protocol.sampling_rate,
        clips=protocol.clips,
        crops=protocol.crops,
        crop_size=protocol.crop_size,
        short_side=protocol.short_side,
        average=spec.average,
        split=spec.split,
        videos_hash=spec.videos_hash,
        top1=result.top1,
        top5=result.top5,
        loss=result.loss,
        videos=result.videos,
        views=result.views,
        seconds=result.seconds,
        predictions=storage.named(folder / result.predictions),
        versions=result.versions,
        hardware=result.hardware,
    )


def dataset_built_event(name: str, path: Path, manifest: Manifest, storage: Storage) -> DatasetBuilt:
    """The journal's form of a dataset whose manifest stands at `path`."""
    return DatasetBuilt(
        dataset=name,
        manifest=storage.named(path),
        train_hash=manifest.hash("train"),
        val_hash=manifest.hash("val"),
        classes=list(manifest.classes),
        videos={"train": len(manifest.split("train")), "val": len(manifest.split("val"))},
        frames=sum(video.frames for video in manifest.videos),
        frame_format=manifest.frame_format.identity,
        quarantined=len(manifest.quarantined),
    )
