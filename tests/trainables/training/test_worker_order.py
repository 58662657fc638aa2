"""What a worker does before, between and after the epochs, in which order: without Ray, data or a model."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch.distributed as dist

from catalog.storage.folder_storage import FolderStorage
from catalog.storage.layout import EPOCHS
from tests.support.toy import EVALUATION, toy_spec
from trainables.data.frames import store_reader, transfer
from trainables.recipe import local_files
from trainables.recipe.cell_spec import CellSpec, EvaluationSpec, ParentCheckpoint
from trainables.training import evaluate_cell, train_cell, workers
from trainables.training.session import CellSession
from trainables.training.workers import WorkerPlace

Calls = list[tuple[Any, ...]]


class NotedStorage(FolderStorage):
    """A folder that notes what is fetched into it, and who is let in."""

    def __init__(self, root: Path, calls: Calls) -> None:
        super().__init__(root)
        self.calls = calls

    def fetch_exactly(self, folder: Path, pattern: str) -> None:
        self.calls.append(("run", folder, pattern))

    def fetch(self, folder: Path, wanted: Callable[[str], bool], *, deep: bool = True) -> list[str]:
        self.calls.append(("parent", folder, wanted("p.pt"), wanted("p.parquet"), wanted("q.pt")))
        return []

    def require_fence(self, run_dir: Path, attempt: int | None) -> None:
        self.calls.append(("fence", run_dir, attempt))


class NotedSession:
    """A session whose first epoch stands already."""

    first_epoch = 2

    def __init__(self, calls: Calls) -> None:
        self.calls = calls

    def train_epoch(self, epoch: int) -> dict[str, int]:
        self.calls.append(("train", epoch))
        return {"epoch": epoch}

    def finish(self) -> None:
        self.calls.append(("finish",))


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Calls:
    noted: Calls = []
    storage = NotedStorage(tmp_path, noted)

    def note(*what: Any) -> None:
        noted.append(what)

    def opened(spec: CellSpec, rank: int, world: int, local_rank: int) -> NotedSession:
        note("open", spec.key, rank, world, local_rank)
        return NotedSession(noted)

    monkeypatch.setattr(local_files, "storage_of", lambda _: storage)
    monkeypatch.setattr(transfer, "fetch_dataset", lambda at, path: note("dataset", at is storage, path))
    monkeypatch.setattr(store_reader, "prepare_frames", lambda path, disk: note("frames", path, disk))
    monkeypatch.setattr(CellSession, "open", opened)
    monkeypatch.setattr(dist, "barrier", lambda: note("barrier"))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: note("leave"))
    ray = SimpleNamespace(train=SimpleNamespace(report=lambda row: note("report", row["epoch"])))
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.train", ray.train)
    return noted


def joined(monkeypatch: pytest.MonkeyPatch, calls: Calls, rank: int, world: int) -> None:
    def join() -> WorkerPlace:
        calls.append(("join",))
        return WorkerPlace(rank, world, rank)

    monkeypatch.setattr(train_cell, "join_workers", join)
    monkeypatch.setattr(workers, "join_workers", join)


@pytest.mark.parametrize(("rank", "world"), [(0, 1), (0, 2), (1, 2)])
def test_a_worker_fetches_joins_looks_at_the_fence_and_trains_what_is_left(
    rank: int, world: int, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined(monkeypatch, calls, rank, world)
    run_dir, manifest = tmp_path / "run", tmp_path / "data" / "manifest.parquet"
    spec = toy_spec(tmp_path / "data", run_dir, epochs=3, attempt=4, frames_on_local_disk="/scratch")
    train_cell.train_cell({"spec": spec.model_dump_json()})
    assert calls == [
        ("dataset", True, manifest),
        ("frames", manifest, "/scratch"),
        ("join",),
        *([("fence", run_dir, 4)] if rank == 0 else []),
        *([("barrier",)] if world == 2 else []),
        ("run", run_dir, EPOCHS),
        ("open", spec.key, rank, world, rank),
        *(call for epoch in (2, 3) for call in (("train", epoch), ("report", epoch))),
        ("finish",),
    ]


def test_a_childs_worker_fetches_its_parent_before_it_opens_the_cell(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined(monkeypatch, calls, 0, 1)
    values: dict[str, Any] = {"key": "p", "cell": "parent", "sha256": "0", "frames": 8, "epoch": 1}
    values |= {"evaluation": EVALUATION, "recheck_videos": 1}
    parent = tmp_path / "parent"
    files = {"path": str(parent / "p.pt"), "predictions_path": str(parent / "p.parquet")}
    spec = toy_spec(tmp_path, tmp_path / "run", epochs=2, parent=ParentCheckpoint(**values, **files))
    train_cell.train_cell({"spec": spec.model_dump_json()})
    steps = [call[0] for call in calls]
    assert steps[3:] == ["fence", "run", "parent", "open", "train", "report", "finish"]
    assert ("parent", parent, True, True, False) in calls


@pytest.mark.parametrize(("rank", "world"), [(0, 1), (1, 2)])
def test_an_evaluations_worker_fetches_dataset_and_run_and_measures(
    rank: int, world: int, calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined(monkeypatch, calls, rank, world)
    run_dir, manifest = tmp_path / "run", tmp_path / "data" / "manifest.parquet"
    spec = EvaluationSpec(
        cell=toy_spec(tmp_path / "data", run_dir),
        identity="e" * 32,
        checkpoint=str(run_dir / "epoch-0001.pt"),
        sha256="0" * 64,
        which="last",
        epoch=1,
        average="logits",
        split="val",
        videos_hash="v",
    )

    def measured(told: EvaluationSpec, *place: int) -> None:
        calls.append(("measure", told == spec, *place))

    monkeypatch.setattr(evaluate_cell, "measure", measured)
    evaluate_cell.evaluate_cell({"spec": spec.model_dump_json()})
    assert calls == [
        ("dataset", True, manifest),
        ("run", run_dir, EPOCHS),
        ("frames", manifest, None),
        ("join",),
        ("measure", True, rank, world, rank),
        *([("barrier",), ("leave",)] if world == 2 else []),
    ]


def test_what_stands_elsewhere_replaces_what_lies_here(calls: Calls, tmp_path: Path) -> None:
    local_files.fetch_run(NotedStorage(tmp_path, calls), tmp_path / "run")
    assert calls == [("run", tmp_path / "run", EPOCHS)]
