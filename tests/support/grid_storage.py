"""A storage with a grid in many states, real prediction files included, and more events to come."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.events import AttemptEnded, CellFinished, CellPlanned, DatasetBuilt, EpochFinished, Event
from catalog.journal import Journal
from tests.support.grid_events import Grid, cell_name, grid_events, key_of, write_quickly

VIDEOS = 101
CLASSES = ("Pushing something", "Pulling something", "Holding <b>something</b>", "Dropping something")
FAILING = "TAM-ResNet50-f16@mini-ssv2"
BLOCKED = "TAM-ResNet50-f32@mini-ssv2"
RUNNING = "TSN-ResNet18-tp-f32@mini-ssv2"
DONE = "TAM-ResNet18-f8@mini-ssv2"
GRID = Grid(
    study="kitchen & co",
    modules=("tsn", "tam"),
    backbones=("resnet18", "resnet50"),
    datasets=("mini-ssv2", "mini-kinetics"),
    frames=(8, 16, 32),
    seeds=(0, 1),
    epochs=6,
    classes=len(CLASSES),
    failing=frozenset({FAILING}),
    unfinished=frozenset({RUNNING}),
)


def key(module: str, backbone: str, pooled: bool, dataset: str, frames: int, seed: int = 0) -> str:
    """The key of a cell of `GRID`."""
    return key_of(GRID.study, module, backbone, pooled, dataset, seed, frames)


def name(module: str, backbone: str, pooled: bool, dataset: str, frames: int, seed: int = 0) -> str:
    """The name of a cell of `GRID`."""
    return cell_name(module, backbone, pooled, frames, dataset, seed)


def make_storage(folder: Path, grid: Grid) -> Path:
    """Write a grid's journal and the predictions of its finished cells into a folder."""
    events = [_with_data(event) for event in grid_events(grid)]
    cells = {event.key: event.cell for event in events if isinstance(event, CellPlanned)}
    for event in events:
        if isinstance(event, CellFinished):
            _write_predictions(folder / str(event.predictions), event.top1)
            assert event.key in cells
    built = DatasetBuilt(
        dataset="mini-ssv2",
        manifest="datasets/m/manifest.parquet",
        train_hash="abc",
        val_hash="def",
        classes=list(CLASSES),
        videos={"train": 203, "val": VIDEOS},
        frames=10_000,
        frame_format="f",
        quarantined=0,
        time=grid.start,
    )
    write_quickly(folder, iter([*events, built]))
    return folder


def finish(storage: Path, cell_key: str, top1: float = 61.25, epochs: int = 6) -> None:
    """Let a running cell finish: the driver's last lines, written and synced one by one."""
    with Journal.open(storage, "driver-2") as journal:
        for event in _last_events(cell_key, top1, epochs):
            journal.append(event)


def report_epoch(journal: Journal, cell_key: str, epoch: int) -> None:
    """Write one more epoch of a cell."""
    journal.append(_epoch(cell_key, epoch, 40.0 + epoch))


def _last_events(cell_key: str, top1: float, epochs: int) -> Iterator[Event]:
    yield _epoch(cell_key, epochs, top1)
    template = next(event for event in grid_events(GRID) if isinstance(event, CellFinished))
    yield dataclasses.replace(
        template,
        key=cell_key,
        top1=top1,
        best_top1=top1,
        epochs=epochs,
        best_epoch=epochs,
        predictions=None,
        parent_key=None,
        time=None,
    )
    yield AttemptEnded(cell_key, 1, "done")


def _epoch(cell_key: str, epoch: int, top1: float) -> EpochFinished:
    return EpochFinished(
        key=cell_key,
        epoch=epoch,
        attempt=1,
        train_loss=2.0 / epoch,
        train_top1=top1,
        lr=0.01 / epoch,
        val_loss=2.2 / epoch,
        top1=top1,
        top5=90.0,
        clips_per_second=120.0,
        seconds=1.5,
    )


def _with_data(event: Event) -> Event:
    if not isinstance(event, CellPlanned):
        return event
    recipe = {**event.config["recipe"], "lr": 0.01 if event.module == "tam" else 0.02, "init": "imagenet"}
    return dataclasses.replace(
        event,
        key_parts={**event.key_parts, "data": {"train": "abc", "val": "def"}},
        config={
            **event.config,
            "recipe": recipe,
            "evaluation": {"sampling": "uniform", "clips": 1, "crops": 1},
        },
    )


def _write_predictions(path: Path, top1: float) -> None:
    """Predictions of which `top1` percent are right, with other classes first in the rest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(round(top1 * 1000))
    labels = np.arange(VIDEOS) % len(CLASSES)
    right = draw.random(VIDEOS) < top1 / 100
    first = np.where(right, labels, (labels + 1) % len(CLASSES))
    table = {
        "index": list(range(VIDEOS)),
        "label": labels.tolist(),
        "top": pa.array([[int(one), int(one + 1) % len(CLASSES)] for one in first], pa.list_(pa.int64())),
        "loss": [0.5] * VIDEOS,
    }
    pq.write_table(pa.table(table), path)
