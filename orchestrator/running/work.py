"""What a driver is given and what it shows: cells to run, terms, running cells, failures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.study.cells import Cell


@dataclass(frozen=True)
class CellWork:
    """One cell that has to run. `waits_for` is its parent's name if that has to run too; `flops` its cost.

    `alone` and `accumulation` are what it takes where memory was short
    (`orchestrator.scheduling.memory_reduction`).
    """

    cell: Cell
    key: str
    parent_key: str | None
    waits_for: str | None
    flops: float
    params: int
    macs: int
    manifest: str
    num_classes: int
    train_videos: int
    evaluation_key: str
    alone: bool = False
    accumulation: int = 1


@dataclass(frozen=True)
class Terms:
    """What holds for the whole submission. `ray_files`: where Tune and Train write for themselves."""

    writer: str
    retries: int
    parent_check: bool
    weights_dir: str | None
    frames_on_local_disk: str | None
    local: bool
    ray_files: str


@dataclass(frozen=True)
class RunningCell:
    """A cell in training, as the terminal shows it. Times are seconds since 1970."""

    name: str
    attempt: int
    started: float
    epochs: int
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class CellFailure:
    """Why a cell was given up."""

    name: str
    error: str
    log: str
    blocked: tuple[str, ...]
