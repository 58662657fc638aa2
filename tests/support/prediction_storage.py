"""A small storage with real prediction files of both checkpoints, evaluations, and superseded cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.events import CellEvaluated, CellFinished, CellPlanned, DatasetBuilt, Event, StudySubmitted
from tests.support.grid_events import HARDWARE, VERSIONS, Grid, grid_events, key_of, write_quickly

CLASSES = ("fall", "hop", "rise", "slide")
LABELS = (0, 1, 2, 3, 0, 1, 2, 3)
VIDEOS = len(LABELS)
GRID = Grid(
    study="small",
    modules=("tsn", "tam"),
    backbones=("tiny",),
    poolings=(False,),
    frames=(8, 16),
    datasets=("synthetic-motion",),
    epochs=3,
    classes=len(CLASSES),
)
LAST_RIGHT, BEST_RIGHT = 4, 6
"""Of the eight videos: how many the last epoch has right, and how many the best one."""


def write_predictions(path: Path, right: int, labels: Sequence[int] = LABELS, **columns: Any) -> str:
    """Predictions of which the first `right` are right; the others are taken for the next class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first = [label if place < right else (label + 1) % len(CLASSES) for place, label in enumerate(labels)]
    table = {
        "index": list(range(len(labels))),
        "label": list(labels),
        "top": pa.array([[one, (one + 2) % len(CLASSES)] for one in first], pa.list_(pa.int32())),
        "loss": [0.5] * len(labels),
    }
    pq.write_table(pa.table(table | columns), path)
    return str(path)


def key(module: str, frames: int, grid: Grid = GRID) -> str:
    """The key of a cell."""
    return key_of(grid.study, module, "tiny", False, "synthetic-motion", 0, frames)


def make_storage(folder: Path, report: str | None = None, right: int = LAST_RIGHT) -> Path:
    """A finished study: the best epoch is the second of three, with more videos right than the last one.

    `report` is the study's field, where it has one.
    """
    write_quickly(folder, iter([*study_events(folder, report, right), built()]), "driver-1")
    return folder


def study_events(folder: Path, report: str | None, right: int) -> Iterator[Event]:
    """The events of the study; its prediction files are written meanwhile."""
    for event in grid_events(GRID):
        if isinstance(event, StudySubmitted):
            config = {"name": event.study} | ({"report": report} if report else {})
            yield replace(event, config=config)
        elif isinstance(event, CellPlanned):
            yield replace(event, key_parts={"data": {"train": "abc"}})
        elif isinstance(event, CellFinished):
            yield finished(folder, event, right)
        else:
            yield event


def finished(folder: Path, event: CellFinished, right: int) -> CellFinished:
    """The event of a result whose files stand in the storage, as older versions wrote it: of `best` alone."""
    run = folder / "runs" / event.key[:12]
    write_predictions(run / "epoch-0003.parquet", right)
    best = write_predictions(run / "epoch-0002.parquet", BEST_RIGHT)
    return replace(
        event,
        top1=100.0 * right / VIDEOS,
        best_epoch=2,
        best_top1=100.0 * BEST_RIGHT / VIDEOS,
        top5=90.0,
        best_top5=95.0,
        eval_videos=VIDEOS,
        checkpoint=str(run / "epoch-0002.pt"),
        predictions=best,
    )


def evaluated(folder: Path, cell_key: str, evaluation: str = "e" * 32, right: int = 7) -> CellEvaluated:
    """An evaluation of the best checkpoint with two views a video."""
    path = folder / "runs" / cell_key[:12] / "evaluations" / f"{evaluation}.parquet"
    write_predictions(
        path,
        right,
        video=[f"{place}.mp4" for place in range(VIDEOS)],
        view_top=pa.array([[0, 1]] * VIDEOS, pa.list_(pa.int32())),
        view_scores=pa.array([[2.5, 0.5]] * VIDEOS, pa.list_(pa.float32())),
    )
    return CellEvaluated(
        key=cell_key,
        evaluation=evaluation,
        checkpoint="best",
        epoch=2,
        checkpoint_sha256="0" * 64,
        sampling="dense",
        sampling_rate=2,
        clips=2,
        crops=1,
        crop_size=32,
        short_side=36,
        average="logits",
        split="val",
        videos_hash="v" * 64,
        top1=100.0 * right / VIDEOS,
        top5=100.0,
        loss=0.5,
        videos=VIDEOS,
        views=2,
        seconds=1.5,
        predictions=str(path),
        versions=VERSIONS,
        hardware=HARDWARE,
        time=GRID.start + 500,
    )


def built(manifest: str = "datasets/m/manifest.parquet") -> DatasetBuilt:
    """The dataset of the study."""
    return DatasetBuilt(
        dataset="synthetic-motion",
        manifest=manifest,
        train_hash="abc",
        val_hash="v" * 64,
        classes=list(CLASSES),
        videos={"train": 8, "val": VIDEOS},
        frames=448,
        frame_format="f",
        quarantined=0,
        time=GRID.start,
    )


def change_study(
    folder: Path,
    changed: Sequence[str] = (),
    left_out: Sequence[str] = (),
    writer: str = "driver-2",
    report: str | None = None,
) -> None:
    """Submit the study again: cells whose names begin with one of `changed` have new keys and new results.

    Those that begin with one of `left_out` are no part of it any more.
    """
    later = GRID.start + 1000.0 * len(list((folder / "journal").iterdir()))
    planned = [event for event in grid_events(GRID) if isinstance(event, CellPlanned)]
    stay = [event for event in planned if not event.cell.startswith(tuple(left_out))]
    renamed = {event.key: new_key(event.key) for event in stay if event.cell.startswith(tuple(changed))}
    config = {"name": GRID.study} | ({"report": report} if report else {})
    events: list[Event] = [StudySubmitted(GRID.study, writer, len(stay), "small.yaml", config, time=later)]
    for cell in stay:
        key = renamed.get(cell.key, cell.key)
        data = {"data": {"train": "abc"}}
        events.append(replace(cell, key=key, submission=writer, key_parts=data, time=later + 1))
    for event in grid_events(GRID):
        if isinstance(event, CellFinished) and event.key in renamed:
            again = replace(event, key=renamed[event.key], time=later + 2)
            events.append(finished(folder, again, LAST_RIGHT + 1))
    write_quickly(folder, iter(events), writer)


def new_key(old: str) -> str:
    """The key of a cell after the study was changed."""
    return key_of("changed", old)
