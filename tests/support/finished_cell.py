"""A storage with one really trained cell, journalled as a driver would, made without Ray."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch

from catalog import Journal
from catalog.events import CellFinished, CellPlanned, Event, StudySubmitted
from catalog.storage.layout import Layout
from orchestrator.study.keys import evaluation_key
from tests.support.toy import build_toy, toy_spec
from trainables.recipe.cell_spec import CellSpec
from trainables.training.result import CellResult, read_result
from trainables.training.session import CellSession

CELL = "TAM-Tiny-f8@toy"
KEY = "k" * 32


def train_cell(storage: Path) -> CellSpec:
    """Build the dataset, train the cell for one epoch and journal both plan and result; returns its spec."""
    torch.set_num_threads(1)
    data = storage / "datasets" / "toy-00000000"
    manifest = build_toy(data)
    spec = toy_spec(data, Layout(storage).run_dir(CELL, KEY), epochs=1)
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)
    session.train_epoch(1)
    session.finish()
    result = read_result(Path(spec.run_dir), KEY)
    assert result is not None
    evaluation = evaluation_key(KEY, spec.evaluation, manifest.hash("val"))
    with Journal.open(storage, "driver-1") as journal:
        journal.append(StudySubmitted("toy", "s1", 1, "toy.yaml", {}))
        journal.append(planned(spec, manifest.hash("train")))
        journal.append(finished(spec, result, evaluation))
    return spec


def planned(spec: CellSpec, train_hash: str, **changes: object) -> CellPlanned:
    """The journal's form of the cell's plan."""
    event = CellPlanned(
        key=spec.key,
        cell=spec.cell,
        parent_key=None,
        study="toy",
        module=spec.module,
        backbone=spec.backbone,
        temporal_pooling=spec.temporal_pooling,
        frames=spec.frames,
        dataset=spec.dataset,
        seed=spec.seed,
        params=1,
        macs=1,
        key_parts={"data": {"train": train_hash}},
        config={
            "recipe": spec.recipe.model_dump(mode="json"),
            "evaluation": spec.evaluation.model_dump(mode="json"),
            "resources": {"workers": 1, "cpus_per_worker": 1, "gpus_per_worker": 0},
        },
        submission="s1",
        num_classes=spec.num_classes,
    )
    return dataclasses.replace(event, **changes)  # type: ignore[arg-type]


def finished(spec: CellSpec, result: CellResult, evaluation: str) -> CellFinished:
    """The journal's form of the cell's result."""
    (row,) = result.history
    chosen = result.checkpoint("best")
    folder = Path(spec.run_dir)
    return CellFinished(
        key=spec.key,
        attempt=1,
        epochs=1,
        best_epoch=1,
        top1=row["top1"],
        top5=row["top5"],
        loss=row["val_loss"],
        best_top1=row["top1"],
        best_top5=row["top5"],
        best_loss=row["val_loss"],
        eval_videos=result.eval_videos,
        train_videos=result.train_videos,
        train_seconds=result.train_seconds,
        eval_seconds=result.eval_seconds,
        train_clips_per_second=None,
        eval_clips_per_second=None,
        peak_memory_bytes=None,
        params=result.params,
        macs=result.macs,
        inherit="best",
        parent_key=None,
        parent_top1_rechecked=None,
        checkpoint=str(folder / chosen["path"]),
        checkpoint_sha256=chosen["sha256"],
        predictions=str(folder / chosen["predictions"]),
        versions=result.versions,
        hardware=result.hardware,
        evaluation=evaluation,
    )


def append(storage: Path, *events: Event) -> None:
    """Journal more events."""
    with Journal.open(storage, "driver-2") as journal:
        for event in events:
            journal.append(event)
