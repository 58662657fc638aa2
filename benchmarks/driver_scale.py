"""What a grid of 1,000 trivial cells costs its driver: CPU seconds by cell, which must not grow, and memory.

    python -m benchmarks.driver_scale [--cells 1000] [--json]
    python -m benchmarks.driver_scale --ray 100 [--slots 2] [--json]

The driver, schedule, leases, journal and catalog are the real ones; cells train nothing: what a worker would
leave in the run directory is written at once. Without `--ray` trials are played in this process and their
writing is not counted. With it they are Tune trials (without Train workers), so that the figures are of the
driver's process with Tune in it. The live view is taken by the clock, not by the cell: what one takes, with
its estimate of the time to go, stands beside.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import psutil

from catalog import Catalog, Journal
from catalog.storage.folder_storage import FolderStorage
from orchestrator.coordination.shared_cells import shared_cells
from orchestrator.planning.model_size_worker import counted_apart
from orchestrator.planning.plan import make_plan
from orchestrator.planning.plan_model import Plan
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.running.cell_request import SubmissionSettings
from orchestrator.running.cell_run import CellWork
from orchestrator.running.driver import Driver
from orchestrator.running.journal_events import planned_event
from orchestrator.scheduling.schedule import Free
from orchestrator.study.cells import expand
from orchestrator.study.datasets import DatasetState
from orchestrator.study.load import parse_study
from orchestrator.terminal.grid_view import GridViewer
from trainables.recipe.cell_spec import CellSpec
from trainables.training.result import CellResult

STUDY = """
name: trivial
axes:
  module: [tsn, tam, s3d, i3d]
  backbone: [tiny]
  temporal_pooling: [false, true]
  frames: [8, 16, 32, 64]
  dataset: [toy]
  seed: {seeds}
datasets: {{toy: {{kind: synthetic-motion}}}}
recipe: {{base: {{init: random, epochs: 1, batch_size: 8, crop_size: 32}}}}
evaluation: {{crop_size: 32, short_side: 36}}
"""
CHAIN = 4
BY_SEED = 32
STEPS = 10
# Seconds between two ends of cells, as the driver sees time when trials are played.
PACE = 2.0


class Meter:
    """CPU seconds of this process by cell, in ten steps, and its memory after each."""

    def __init__(self, plan: Plan, driver: Driver) -> None:
        self._each = max(1, len(plan.cells) // STEPS)
        self._viewer = GridViewer(plan, driver)
        self._ended = 0
        self._before = time.process_time()
        self._left_out = 0.0
        self.rows: list[dict[str, float]] = []

    @contextmanager
    def not_counted(self) -> Iterator[None]:
        """Work that is not the driver's."""
        begun = time.process_time()
        yield
        self._left_out += time.process_time() - begun

    def ended(self) -> None:
        """One more cell is done."""
        self._ended += 1
        if self._ended % self._each:
            return
        now = time.process_time()
        spent = now - self._before - self._left_out
        self._viewer.view()
        self._before, self._left_out = time.process_time(), 0.0
        self.rows.append(
            {
                "cells": self._ended,
                "cpu_ms_a_cell": 1000 * spent / self._each,
                "cpu_ms_a_view": 1000 * (self._before - now),
                "memory_mb": psutil.Process().memory_info().rss / 1e6,
            }
        )


def trivial_plan(cells: int) -> Plan:
    """A plan of so many cells (whole chains), their dataset taken as built."""
    seeds = list(range(-(-cells // BY_SEED)))
    state = DatasetState("toy", True, "manifest", "train", "val", 4, 100, 20, True, "built")
    study = parse_study(STUDY.format(seeds=seeds), "trivial.yaml")
    plan = make_plan(study, {"toy": state}, size_of=counted_apart(expand(study), [4]))
    return replace(plan, cells=plan.cells[: cells - cells % CHAIN])


def work_of(plan: Plan) -> list[CellWork]:
    """The plan's cells as the driver takes them."""
    return [
        CellWork(
            cell=one.cell,
            key=one.key,
            parent_key=one.parent_key,
            waits_for=one.cell.parent,
            flops=float(one.flops or 0),
            params=one.params or 0,
            macs=one.macs,
            manifest="manifest",
            num_classes=4,
            train_videos=100,
            evaluation_key=one.evaluation_key,
        )
        for one in plan.cells
    ]


def leave_result(request: TrialRequest) -> None:
    """What a worker leaves in the run directory when its cell is done."""
    spec = CellSpec.model_validate_json(request.spec)
    names = ("lr", "train_loss", "train_top1", "val_loss", "top1", "top5", "clips_per_second")
    row = {"epoch": 1, **dict.fromkeys(names, 1.0), "train_seconds": 1.0}
    file = {"epoch": "1", "path": "epoch-0001.pt", "sha256": "0", "predictions": "epoch-0001.parquet"}
    result = CellResult(
        spec.cell,
        spec.key,
        (row,),
        1,
        1,
        {"last": file, "best": file},
        100,
        20,
        1.0,
        1.0,
        100.0,
        20.0,
        1,
        1,
        1,
        None,
        spec.frames,
        spec.seed,
        spec.evaluation.model_dump(mode="json"),
        {},
        {"device": "CPU"},
    )
    folder = Path(spec.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    record = {"epoch": 1, "sha256": "0", "path": "", "predictions_path": "", "history": [row]}
    (folder / "epoch-0001.json").write_text(json.dumps(record))
    (folder / "result.json").write_text(json.dumps(asdict(result)))


def trivial_cell(config: dict[str, Any]) -> None:
    """Tune's trainable: a cell that is done at once."""
    leave_result(TrialRequest(**config))


@contextmanager
def open_driver(plan: Plan, storage: Path, clock: Callable[[], float]) -> Iterator[Driver]:
    """A driver of all cells of the plan on this storage, beside nobody."""
    folder = FolderStorage(storage)
    with (
        Journal.open(storage, "scale") as journal,
        Catalog.open(storage) as catalog,
        shared_cells(folder, "scale", plan.study, 0, catalog) as (shared, _),
    ):
        for one in plan.cells:
            journal.append(planned_event(one, plan.study, "scale"))
        settings = SubmissionSettings("scale", 0, False, None, None, True, str(storage / "ray"))
        yield Driver(work_of(plan), folder, journal.append, shared, settings, clock=clock)


def played(plan: Plan, storage: Path, slots: int) -> Meter:
    """All cells through the driver in this process."""
    now = 0.0
    with open_driver(plan, storage, lambda: now) as driver:
        meter = Meter(plan, driver)
        running: list[TrialRequest] = []
        while not driver.is_finished:
            while (request := driver.next_trial(Free(cpus=slots))) is not None:
                running.append(request)
            ending = running.pop(0)
            with meter.not_counted():
                leave_result(ending)
            now += PACE
            driver.poll()
            driver.trial_ended(ending, None)
            meter.ended()
    return meter


def through_ray(plan: Plan, storage: Path, slots: int) -> Meter:
    """All cells as Tune trials on a local Ray."""
    from orchestrator.ray_runtime.session import ray_session, redirect_output
    from orchestrator.ray_runtime.tune_adapter import run_grid

    with (
        open_driver(plan, storage, time.monotonic) as driver,
        redirect_output(storage / "ray.log"),
        ray_session(None, slots, 0) as way,
    ):
        meter = Meter(plan, driver)
        told = driver.trial_ended

        def trial_ended(request: TrialRequest, error: str | None) -> None:
            told(request, error)
            meter.ended()

        driver.trial_ended = trial_ended  # type: ignore[method-assign]
        run_grid(driver, "scale", storage / "tune", way, trivial_cell)
        if driver.failures:
            raise SystemExit(f"error: {driver.failures[0].error}; see Ray's logs")
    return meter


def peak_memory_mb() -> float:
    """The most that this program has held: `ru_maxrss` would count what the one that started it held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--ray", type=int, metavar="CELLS", help="so many cells as Tune trials instead")
    parser.add_argument("--slots", type=int, default=2, help="cells at a time")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    begun = time.monotonic()
    plan = trivial_plan(options.ray or options.cells)
    with tempfile.TemporaryDirectory() as name:
        run = through_ray if options.ray else played
        meter = run(plan, Path(name), options.slots)
    peak = peak_memory_mb()
    if options.json:
        print(json.dumps({"rows": meter.rows, "peak_memory_mb": peak}))
        return
    print(f"{len(plan.cells)} cells in {time.monotonic() - begun:.0f} s, peak memory {peak:.0f} MB")
    for row in meter.rows:
        cell, view = f"{row['cpu_ms_a_cell']:6.1f} ms a cell", f"{row['cpu_ms_a_view']:6.1f} ms a view"
        print(f"to {row['cells']:>5}: {cell}, {view}, {row['memory_mb']:5.0f} MB")


if __name__ == "__main__":
    main()
