"""Evaluations and built datasets in the journal's words (pure)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from catalog.events import CellEvaluated, DatasetBuilt
from catalog.storage.storage import Storage

if TYPE_CHECKING:
    from trainables.data.frames.manifest import Manifest
    from trainables.training.evaluate_cell import EvaluationResult


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
