"""Realistic events of a grid, for tests: deterministic, and as a driver would write them."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from catalog.events import (
    AttemptEnded,
    AttemptStarted,
    CellFailed,
    CellFinished,
    CellPlanned,
    EpochFinished,
    Event,
    StudySubmitted,
    VideosQuarantined,
)
from catalog.journal import Journal

PAPER_MODULES = {"tsn": "TSN", "tam": "TAM", "s3d": "S3D", "i3d": "I3D"}
PAPER_BACKBONES = {
    "inception_v1": "InceptionV1",
    "resnet18": "ResNet18",
    "resnet50": "ResNet50",
    "tiny": "Tiny",
}
VERSIONS = {"python": "3.11.2", "torch": "2.15.0", "ray": "2.60.0", "actiongrid": "0.1.0"}
HARDWARE = {"device": "cpu", "cpu": "x86_64", "cores": 2}


@dataclass(frozen=True)
class Grid:
    """The axes of a study and what goes wrong in it."""

    study: str = "deep-analysis"
    modules: Sequence[str] = ("tsn", "tam", "s3d", "i3d")
    backbones: Sequence[str] = ("inception_v1", "resnet18", "resnet50")
    poolings: Sequence[bool] = (False, True)
    frames: Sequence[int] = (8, 16, 32, 64)
    datasets: Sequence[str] = ("mini-ssv2", "mini-kinetics", "mini-mit")
    seeds: Sequence[int] = (0,)
    epochs: int = 3
    classes: int | None = None
    start: float = 1_790_000_000.0
    failing: frozenset[str] = field(default_factory=frozenset)
    unfinished: frozenset[str] = field(default_factory=frozenset)


DEMO = Grid(
    study="demo",
    backbones=("tiny",),
    frames=(8, 16),
    datasets=("synthetic-motion", "synthetic-appearance"),
    classes=4,
)


def cell_name(module: str, backbone: str, pooled: bool, frames: int, dataset: str, seed: int) -> str:
    """The paper's name of a cell."""
    tp = "-tp" if pooled else ""
    name = f"{PAPER_MODULES[module]}-{PAPER_BACKBONES[backbone]}{tp}-f{frames}@{dataset}"
    return name + (f"#{seed}" if seed else "")


def key_of(*parts: object) -> str:
    """A 32-digit key, as cells have."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def top1_of(module: str, pooled: bool, frames: int, dataset: str, key: str) -> float:
    """A plausible accuracy: motion needs temporal modelling, appearance does not; a little noise by key."""
    noise = int(key[:4], 16) / 0xFFFF * 3 - 1.5
    base = 72.0
    if dataset in ("mini-ssv2", "synthetic-motion"):
        base = 66.0 if module != "tsn" else 55.0 if pooled else 27.0
    pooling_cost = 4.0 if pooled and module != "tsn" else 0.0
    return round(base - pooling_cost + 2.5 * (frames.bit_length() - 4) + noise, 4)


def grid_events(grid: Grid) -> Iterator[Event]:
    """All events of a grid, in order; cells named in `failing` fail twice, `unfinished` ones have no end."""
    clock = itertools.count(1)

    def now() -> float:
        return grid.start + next(clock) * 0.25

    chains = list(itertools.product(grid.modules, grid.backbones, grid.poolings, grid.datasets, grid.seeds))
    yield StudySubmitted(
        grid.study,
        "s1",
        len(chains) * len(grid.frames),
        f"{grid.study}.yaml",
        {"name": grid.study},
        time=now(),
    )
    planned = [cell for chain in chains for cell in _plan_chain(grid, *chain)]
    for cell in planned:
        yield _stamped(cell, now())
    failed: set[str] = set()
    for cell in planned:
        if cell.parent_key in failed:
            failed.add(cell.key)
        elif cell.cell in grid.failing:
            failed.add(cell.key)
            yield from _failing_cell(cell, now)
        else:
            yield from _training_cell(grid, cell, now)


def _plan_chain(
    grid: Grid, module: str, backbone: str, pooled: bool, dataset: str, seed: int
) -> Iterator[CellPlanned]:
    parent = None
    for frames in grid.frames:
        key = key_of(grid.study, module, backbone, pooled, dataset, seed, frames)
        yield CellPlanned(
            key=key,
            cell=cell_name(module, backbone, pooled, frames, dataset, seed),
            parent_key=parent,
            study=grid.study,
            module=module,
            backbone=backbone,
            temporal_pooling=pooled,
            frames=frames,
            dataset=dataset,
            seed=seed,
            params=5_000_000 + len(module) * 1000,
            macs=1_500_000_000 * frames,
            key_parts={"module": module, "frames": frames, "train_manifest": "abc"},
            config={"recipe": {"epochs": grid.epochs, "lr": 0.01, "schedule": "cosine", "inherit": "best"}},
            submission="s1",
            num_classes=grid.classes,
        )
        parent = key


def _stamped(event: Event, time: float) -> Event:
    return dataclasses.replace(event, time=time)


def _failing_cell(cell: CellPlanned, now: Callable[[], float]) -> Iterator[Event]:
    error = "ReadError: 3 frames cannot be decoded; <clip & co>.mp4; verify the dataset"
    for attempt in (1, 2):
        yield AttemptStarted(cell.key, attempt, "driver-1", "host-1", f"runs/{cell.key}", time=now())
        yield AttemptEnded(cell.key, attempt, "failed", error, f"runs/{cell.key}/log.txt", time=now())
    yield CellFailed(cell.key, 2, error, f"runs/{cell.key}/log.txt", time=now())


def _training_cell(grid: Grid, cell: CellPlanned, now: Callable[[], float]) -> Iterator[Event]:
    top1 = top1_of(cell.module, cell.temporal_pooling, cell.frames, cell.dataset, cell.key)
    yield AttemptStarted(cell.key, 1, "driver-1", "host-1", f"runs/{cell.key}", time=now())
    for epoch in range(1, grid.epochs + 1):
        yield EpochFinished(
            key=cell.key,
            epoch=epoch,
            attempt=1,
            train_loss=2.0 / epoch,
            train_top1=top1 * epoch / grid.epochs,
            lr=0.01 / epoch,
            val_loss=2.2 / epoch,
            top1=top1 * epoch / grid.epochs,
            top5=min(100.0, top1 + 20),
            clips_per_second=120.0,
            seconds=1.5,
            time=now(),
        )
    if cell.cell in grid.unfinished:
        return
    yield _finished(grid, cell, top1, now())
    yield AttemptEnded(cell.key, 1, "done", time=now())


def _finished(grid: Grid, cell: CellPlanned, top1: float, time: float) -> CellFinished:
    return CellFinished(
        key=cell.key,
        attempt=1,
        epochs=grid.epochs,
        best_epoch=grid.epochs,
        top1=top1,
        top5=min(100.0, top1 + 20),
        loss=0.7,
        best_top1=top1,
        best_top5=min(100.0, top1 + 20),
        best_loss=0.7,
        eval_videos=101,
        train_videos=203,
        train_seconds=12.5,
        eval_seconds=1.25,
        train_clips_per_second=120.0,
        eval_clips_per_second=300.0,
        peak_memory_bytes=700_000_000,
        params=cell.params or 0,
        macs=cell.macs or 0,
        inherit="best",
        parent_key=cell.parent_key,
        parent_top1_rechecked=None if cell.parent_key is None else top1 - 2,
        checkpoint=f"runs/{cell.key}/checkpoint",
        checkpoint_sha256="0" * 64,
        predictions=f"runs/{cell.key}/predictions.parquet",
        versions=VERSIONS,
        hardware=HARDWARE,
        time=time,
    )


def quarantine_event(time: float = 1_790_000_001.0) -> VideosQuarantined:
    """Two videos that cannot be used, with characters that HTML must escape."""
    videos = [
        {"path": "val/<b>broken</b>.mp4", "reason": "no frame decodes"},
        {"path": "val/short.mp4", "reason": "2 frames & fewer than 3"},
    ]
    return VideosQuarantined("synthetic-motion", len(videos), videos, time=time)


def write_events(storage: Path, events: Iterator[Event], writer: str = "driver-1") -> int:
    """Append events to a writer's journal and return their number. fsync dominates: keep grids small."""
    count = 0
    with Journal.open(storage, writer) as journal:
        for event in events:
            journal.append(event)
            count += 1
    return count


def write_quickly(storage: Path, events: Iterator[Event], writer: str = "driver-1") -> int:
    """Write the same bytes as `write_events` without an fsync for each event, for large grids."""
    from catalog.codec import encode

    folder = storage / "journal"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [encode(event) for event in events]
    (folder / f"{writer}.jsonl").write_bytes(b"".join(lines))
    return len(lines)
