"""An attempt whose driver lost the cell writes no checkpoint and no result any more."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from catalog.storage.errors import FailureKind
from catalog.storage.folder_storage import FolderStorage
from catalog.storage.storage import FencedError
from orchestrator.ray_runtime.trial import describe_error
from orchestrator.scheduling.retry import classify
from tests.support.toy import build_toy, toy_spec
from trainables.training.checkpoint import records
from trainables.training.result import read_result
from trainables.training.session import CellSession


def test_the_fence_only_grows(tmp_path: Path) -> None:
    assert FolderStorage(tmp_path).read_fence(tmp_path) == 0
    FolderStorage(tmp_path).raise_fence(tmp_path, 2)
    FolderStorage(tmp_path).raise_fence(tmp_path, 2)
    FolderStorage(tmp_path).raise_fence(tmp_path, 3)
    with pytest.raises(FencedError, match="attempt 3 of another driver"):
        FolderStorage(tmp_path).raise_fence(tmp_path, 2)
    assert FolderStorage(tmp_path).read_fence(tmp_path) == 3
    FolderStorage(tmp_path).require_fence(tmp_path, 3)
    FolderStorage(tmp_path).require_fence(tmp_path, None)


def test_a_fenced_session_leaves_the_run_directory_alone(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    build_toy(tmp_path / "data")
    spec = toy_spec(tmp_path / "data", tmp_path / "run", epochs=2).model_copy(update={"attempt": 1})
    run_dir = Path(spec.run_dir)
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)
    FolderStorage(tmp_path).raise_fence(run_dir, 1)
    session.train_epoch(1)
    assert [record.epoch for record in records(run_dir)] == [1]
    FolderStorage(tmp_path).raise_fence(run_dir, 2)
    before = sorted(path.name for path in run_dir.iterdir())
    with pytest.raises(FencedError) as stopped:
        session.train_epoch(2)
    with pytest.raises(FencedError):
        session.finish()
    assert sorted(path.name for path in run_dir.iterdir()) == before
    assert read_result(run_dir, spec.key) is None
    assert classify(describe_error(stopped.value)) is FailureKind.PREEMPTED
