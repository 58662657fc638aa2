"""The driver without Ray: trials are played by writing what a worker would leave in the run directory."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog, Journal
from catalog.events import AttemptEnded, AttemptStarted, CellFailed, CellFinished, EpochFinished, Event
from orchestrator.cell import Cell, expand
from orchestrator.cell_trial import TrialRequest
from orchestrator.driver import Driver
from orchestrator.layout import Layout
from orchestrator.lease import Leases
from orchestrator.lease_cells import SharedCells
from orchestrator.lease_drivers import Presence, Watch, this_driver
from orchestrator.schedule import Free, Progress
from orchestrator.study import parse_study
from orchestrator.work import CellWork, Terms
from trainables.recipe import CellSpec, Evaluation
from trainables.result import CellResult

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

    def __init__(self, tmp_path: Path, retries: int = 1, name: str = "driver") -> None:
        self.layout = Layout(tmp_path)
        self.events: list[Event] = []
        self.clock = 0.0
        self.stop = threading.Event()
        self.name = name
        self.journal = Journal.open(tmp_path, name)
        self.watch = Watch(self.layout.drivers, clock=lambda: self.clock)
        leases = Leases(self.layout.leases, name, self.watch.is_dead)
        self.presence = Presence(self.layout.drivers, this_driver(name, "toy", 0))
        self.presence.publish(running=(0.0, 0.0), ready=((1.0, 0.0),))
        self.shared = SharedCells(leases, self.watch, self.presence, Catalog.open(tmp_path))
        cells = expand(parse_study(STUDY, "toy.yaml"))
        self.keys = {cell.name: f"{number:032x}" for number, cell in enumerate(cells)}
        work = [self.item(cell) for cell in cells]
        terms = Terms(
            name,
            retries=retries,
            parent_check=True,
            weights_dir=None,
            frames_on_local_disk="/scratch",
            local=True,
        )
        self.driver = Driver(
            work, self.layout, self.append, self.shared, terms, self.stop, clock=lambda: self.clock
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
            manifest="manifest.parquet",
            num_classes=4,
            train_videos=40,
            evaluation_key="protocol",
        )

    def append(self, event: Event) -> Event:
        self.events.append(event)
        return self.journal.append(event)

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
        name: {"epoch": "2", "path": f"{name}.pt", "sha256": name * 16, "predictions": f"{name}.parquet"}
        for name in ("last", "best")
    }
    return CellResult(
        cell=spec.cell,
        key=spec.key,
        history=history(2),
        last_epoch=2,
        best_epoch=2,
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


def test_a_grid_runs_to_its_end_parents_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    order = []
    for _ in range(4):
        request = bench.next()
        order.append(request.cell)
        bench.finish(request)
    assert bench.driver.is_finished
    assert bench.driver.next_trial(TOTAL) is None
    assert {name.split("-")[2] for name in order[:2]} == {"f8@synthetic"}
    assert len(bench.of(CellFinished)) == 4
    assert [event.state for event in bench.of(AttemptEnded)] == ["done"] * 4
    assert len(bench.of(EpochFinished)) == 8


def test_no_more_runs_than_fit(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.next()
    bench.next()
    assert bench.driver.next_trial(TOTAL) is None
    assert len(bench.driver.running) == 2


def test_a_start_is_journalled_before_the_trial_is_given_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    def refuse(event: Event) -> Event:
        raise OSError("disk full")

    bench.driver._append = refuse
    with pytest.raises(OSError, match="disk full"):
        bench.driver.next_trial(TOTAL)
    assert bench.driver.running == ()


def test_a_child_gets_the_checkpoint_that_its_recipe_names(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    parents = [bench.next(), bench.next()]
    bench.finish(parents[0])
    child = CellSpec.model_validate_json(bench.next().spec)
    assert child.frames_on_local_disk == "/scratch"
    assert child.parent is not None
    assert child.parent.cell == parents[0].cell
    assert child.parent.path.endswith("best.pt")
    assert child.parent.frames == 8
    assert child.parent.recheck_videos == 4


def test_epochs_are_journalled_once_from_what_stands_on_disk(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    request = bench.next()
    bench.driver.poll()
    assert not bench.of(EpochFinished)
    bench.write_epochs(request, 2)
    bench.clock += 0.5
    bench.driver.poll()
    assert not bench.of(EpochFinished), "looks at most once a second"
    for _ in range(2):
        bench.clock += 1.0
        bench.driver.poll()
    assert [event.epoch for event in bench.of(EpochFinished)] == [1, 2]
    assert bench.driver.running[0].metrics["epoch"] == 2


def test_a_result_that_stands_counts_even_where_the_trial_died(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    request = bench.next()
    bench.write_epochs(request, 2)
    run_dir = bench.layout.run_dir(request.cell, request.key)
    (run_dir / "result.json").write_text(json.dumps(asdict(cell_result(request))))
    bench.driver.trial_ended(request, "ActorDiedError: killed")
    assert bench.driver.progress[request.cell] is Progress.DONE
    assert not bench.of(CellFailed)


def test_a_failure_is_tried_again_after_a_pause_then_given_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, retries=1)
    first = bench.next()
    bench.driver.trial_ended(first, "ActorDiedError: killed")
    other = bench.next()
    assert other.cell != first.cell
    assert bench.driver.next_trial(TOTAL) is None
    bench.clock += 60.0
    again = bench.next()
    assert (again.cell, again.attempt) == (first.cell, 2)
    bench.driver.trial_ended(again, "ActorDiedError: killed")
    failure = bench.driver.failures[0]
    assert failure.name == first.cell
    assert len(failure.blocked) == 1
    assert [event.attempt for event in bench.of(CellFailed)] == [2]
    bench.finish(other)
    bench.finish(bench.next())
    assert bench.driver.is_finished
    assert sorted(bench.driver.progress.values()) == ["blocked", "done", "done", "failed"]


def test_an_error_that_would_come_again_is_not_retried(tmp_path: Path) -> None:
    bench = Bench(tmp_path, retries=5)
    request = bench.next()
    bench.driver.trial_ended(request, "ParentMismatchError: parent measures 10 %")
    assert bench.driver.failures[0].name == request.cell


def test_attempts_count_over_submissions(tmp_path: Path) -> None:
    """Also over those that were made when there were no leases yet."""
    with Journal.open(tmp_path, "before") as journal:
        for key in range(4):
            journal.append(AttemptStarted(f"{key:032x}", 3, "before", "host", "run"))
    bench = Bench(tmp_path)
    assert bench.next().attempt == 4
    assert bench.of(AttemptStarted)[0].attempt == 4


def test_a_cell_larger_than_the_cluster_fails_with_the_figures(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.driver.next_trial(Free(cpus=0)) is None
    assert bench.driver.is_finished
    assert "asks for 1 CPUs and 0 GPUs, the cluster has 0 and 0" in bench.driver.failures[0].error


def test_an_interruption_is_journalled_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.next()
    bench.driver.interrupted()
    bench.driver.interrupted()
    assert [event.state for event in bench.of(AttemptEnded)] == ["interrupted"]
