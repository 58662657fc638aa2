"""Two workers of one cell, in processes of their own: the model that is measured is the one that is saved."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.paths import ROOT
from tests.support.toy import toy_spec
from trainables.data.clips.loader import eval_batches
from trainables.training.evaluate import predict
from trainables.training.predictions import read_predictions
from trainables.training.result import read_result
from trainables.training.session import CellSession


@pytest.fixture(scope="module")
def run(toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two-workers")
    command = [sys.executable, "-m", "tests.support.session_worker"]
    workers = [
        subprocess.Popen(
            [*command, str(rank), str(toy_data), str(folder)], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    said = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(said)[-3000:]
    return folder


@pytest.mark.slow
def test_both_workers_measure_the_same_model_and_it_is_the_saved_one(toy_data: Path, run: Path) -> None:
    """Each worker's batch statistics are of its own clips until they are shared."""
    states = [torch.load(run / f"state-{rank}.pt", weights_only=True) for rank in range(2)]
    assert any("running_mean" in name for name in states[0])
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
    session = CellSession.open(toy_spec(toy_data, run / "run", epochs=1, choose_on=0.25), 0, 1, 0)
    videos = session.eval_videos
    batches = eval_batches(
        videos, session.spec.evaluation, session.spec.frames, session.reader, rank=0, world=1
    )
    alone = predict(session.model, batches, session.compute, session.norm)
    shared = read_predictions(run / "run" / "epoch-0001.parquet")
    assert shared.index.tolist() == list(range(len(videos)))
    np.testing.assert_allclose(shared.scores, alone.scores, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_videos_held_out_are_counted_once_by_all_workers_together(toy_data: Path, run: Path) -> None:
    result = read_result(run / "run", "k" * 32)
    assert result is not None
    session = CellSession.open(toy_spec(toy_data, run / "run", epochs=1, choose_on=0.25), 0, 1, 0)
    measured = session._predictions(session.choose_videos)
    assert len(measured.index) == result.choose_videos == 4
    assert result.history[-1]["choose_loss"] == pytest.approx(measured.mean_loss, rel=1e-4)
