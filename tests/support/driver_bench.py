"""A driver without Ray: trials are played by writing what a worker would leave in the run directory."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from catalog import Catalog, Journal
from catalog.events import Event
from catalog.queries.drivers import driver_of_attempt
from catalog.storage.folder_storage import FolderStorage
from orchestrator.coordination.drivers import Presence, Watch, this_driver
from orchestrator.coordination.lease import Leases
from orchestrator.coordination.shared_cells import SharedCells
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.running.cell_request import SubmissionSettings
from orchestrator.running.cell_run import CellState, CellWork
from orchestrator.running.driver import Driver
from orchestrator.scheduling.schedule import Free
from orchestrator.study.cells import Cell, expand
from orchestrator.study.load import parse_study
from trainables.recipe.cell_spec import CellSpec, Evaluation
from trainables.training.result import CellResult

STUDY = """
name: toy
axes: {module: [tsn, tam], backbone: [tiny], frames: [8, 16], dataset: [synthetic-motion]}
datasets: {synthetic-motion: {kind: synthetic-motion}}
recipe:
  base: {init: random, epochs: 2, batch_size: 8, crop_size: 32, inherit: best}
evaluation: {crop_size: 32, short_side: 36}
"""
TOTAL = Free(cpus=2)


class Bench:
    """A driver on a real storage, with what it journals in a list too, and the means to play its trials."""

    def __init__(
        self,
        tmp_path: Path,
        retries: int = 1,
        name: str = "driver",
        study: str = STUDY,
        manifest: Path = Path("manifest.parquet"),
    ) -> None:
        self.manifest = manifest
        self.storage = FolderStorage(tmp_path)
        self.layout = self.storage.layout
        self.events: list[Event] = []
        self.clock = 0.0
        self.stop = threading.Event()
        self.name = name
        self.journal = Journal.open(tmp_path, name)
        self.watch = Watch(self.storage.shared_files(self.layout.drivers), clock=lambda: self.clock)
        catalog = Catalog.open(tmp_path)
        driver_of = partial(driver_of_attempt, catalog)
        leases = Leases(self.storage.shared_files(self.layout.leases), name, self.watch.is_dead, driver_of)
        self.presence = Presence(self.storage.shared_files(self.layout.drivers), this_driver(name, "toy", 0))
        self.presence.publish(running=(0.0, 0.0), ready=((1.0, 0.0),))
        self.shared = SharedCells(leases, self.watch, self.presence, catalog, self.storage)
        cells = expand(parse_study(study, "toy.yaml"))
        self.keys = {cell.name: f"{number:032x}" for number, cell in enumerate(cells)}
        work = [self.item(cell) for cell in cells]
        settings = SubmissionSettings(
            name,
            retries=retries,
            parent_check=True,
            weights_dir=None,
            frames_on_local_disk="/scratch" if study is STUDY else None,
            local=True,
            ray_files=str(tmp_path / "ray"),
        )
        self.driver = Driver(
            work, self.storage, self.append, self.shared, settings, self.stop, clock=lambda: self.clock
        )

    def item(self, cell: Cell) -> CellWork:
        return CellWork(
            cell=cell,
            key=self.keys[cell.name],
            parent_key=self.keys[cell.parent] if cell.parent else None,
            waits_for=cell.parent,
            flops=float(cell.frames),
            params=1,
            macs=1,
            manifest=str(self.manifest),
            num_classes=4,
            train_videos=40,
            evaluation_key="protocol",
        )

    def append(self, event: Event) -> Event:
        self.events.append(event)
        return self.journal.append(event)

    def names(self, state: CellState) -> set[str]:
        """The cells in this state."""
        return {name for name, run in self.driver.cells.items() if run.state is state}

    def stopped(self) -> dict[str, CellState]:
        """The cells that are paused or cancelled and do not run."""
        stopped = (CellState.PAUSED, CellState.CANCELLED)
        return {name: run.state for name, run in self.driver.cells.items() if run.state in stopped}

    def of(self, kind: type[Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def next(self) -> TrialRequest:
        request = self.driver.next_trial(TOTAL)
        assert request is not None
        return request

    def write_epochs(self, request: TrialRequest, epochs: int) -> None:
        run_dir = self.layout.run_dir(request.cell, request.key)
        run_dir.mkdir(parents=True, exist_ok=True)
        record = {
            "epoch": epochs,
            "sha256": "0" * 64,
            "path": "epoch.pt",
            "predictions_path": "epoch.parquet",
            "history": history(epochs),
        }
        (run_dir / f"epoch-{epochs:04d}.json").write_text(json.dumps(record))

    def finish(self, request: TrialRequest) -> None:
        self.write_epochs(request, 2)
        run_dir = self.layout.run_dir(request.cell, request.key)
        (run_dir / "result.json").write_text(json.dumps(asdict(cell_result(request))))
        self.driver.trial_ended(request, None)


def history(epochs: int) -> tuple[dict[str, float], ...]:
    names = (
        "lr",
        "train_loss",
        "train_top1",
        "val_loss",
        "top1",
        "top5",
        "clips_per_second",
        "train_seconds",
    )
    return tuple({"epoch": n, **dict.fromkeys(names, float(10 * n))} for n in range(1, epochs + 1))


def cell_result(request: TrialRequest) -> CellResult:
    spec = CellSpec.model_validate_json(request.spec)
    files = {
        name: {"epoch": epoch, "path": f"{name}.pt", "sha256": name * 16, "predictions": f"{name}.parquet"}
        for name, epoch in (("last", "2"), ("best", "1"))
    }
    return CellResult(
        cell=spec.cell,
        key=spec.key,
        history=history(2),
        last_epoch=2,
        best_epoch=1,
        checkpoints=files,
        train_videos=40,
        eval_videos=12,
        train_seconds=1.0,
        eval_seconds=1.0,
        train_clips_per_second=1.0,
        eval_clips_per_second=1.0,
        peak_memory_bytes=1,
        params=1,
        macs=1,
        parent_top1=None,
        frames=spec.frames,
        seed=0,
        evaluation=Evaluation(crop_size=32, short_side=36).model_dump(mode="json"),
        versions={},
        hardware={},
    )
