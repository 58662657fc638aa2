"""Evaluation through torch's compiler, on a CPU: it measures the model of its epoch, and compiles once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.toy import toy_spec
from trainables.data.clips.loader import eval_batches
from trainables.recipe.switches import PLAIN, Execution
from trainables.training.evaluate import predict
from trainables.training.execution.compiled import build_evaluation_forward
from trainables.training.predictions import Predictions
from trainables.training.session import CellSession

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler here"
    ),
]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path_factory.mktemp("inductor")))
    torch.set_num_threads(1)
    torch.compiler.reset()
    with config.patch(compile_threads=1):
        yield
    torch.compiler.reset()


def plainly(session: CellSession) -> Predictions:
    batches = eval_batches(
        session.eval_videos, session.spec.evaluation, session.spec.frames, session.reader, rank=0, world=1
    )
    return predict(session.model, batches, session.compute, session.norm)


@pytest.mark.long
def test_each_epoch_is_measured_with_its_own_weights_and_compiles_nothing_anew(
    toy_data: Path, tmp_path: Path
) -> None:
    from torch._dynamo.utils import counters

    # 12 videos in batches of 5: the last one is smaller
    evaluation = toy_spec(toy_data, tmp_path).evaluation.model_copy(update={"batch_size": 5})
    spec = toy_spec(toy_data, tmp_path, speed=Execution(compile="default"), evaluation=evaluation)
    session = CellSession.open(spec, 0, 1, 0)
    compiled, losses = [], []
    for epoch in (1, 2, 3):
        row = session.train_epoch(epoch)
        compiled.append(int(counters["stats"]["unique_graphs"]))
        plain = plainly(session)
        losses.append(plain.mean_loss)
        assert row["val_loss"] == pytest.approx(plain.mean_loss, rel=1e-5)
        assert row["top1"] == plain.accuracy(1)
        assert row["eval_videos"] == 12
    assert len({round(loss, 4) for loss in losses}) == 3, "the weights did change"
    assert compiled[0] >= 2, "training and evaluation"
    assert compiled[1:] == compiled[:1] * 2


def test_what_is_not_compiled_is_the_model_itself() -> None:
    model = torch.nn.Identity()
    assert build_evaluation_forward(model, PLAIN) is model
