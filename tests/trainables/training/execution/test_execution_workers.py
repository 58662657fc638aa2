"""Two workers share a step under DDP: compiled or recomputed, it is the plain one, under the same names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.paths import ROOT
from tests.trainables.training.execution.test_execution import assert_close, assert_same


def state(folder: Path, compiler: str = "off", recompute: bool = False) -> dict[str, torch.Tensor]:
    folder.mkdir()
    arguments = [str(folder), compiler, str(recompute)]
    command = [sys.executable, "-m", "tests.support.execution_worker"]
    workers = [
        subprocess.Popen([*command, str(rank), *arguments], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    said = [worker.communicate(timeout=300)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(said)[-3000:]
    loaded: dict[str, torch.Tensor] = torch.load(folder / "state.pt", weights_only=True)
    return loaded


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    return state(tmp_path_factory.mktemp("shared") / "plain")


@pytest.mark.slow
@pytest.mark.long
def test_a_shared_step_that_recomputes_is_the_plain_one(
    plain: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    assert not any("module." in name or "_orig_mod" in name for name in plain)
    assert_same(plain, state(tmp_path / "recomputed", recompute=True))


@pytest.mark.long
@pytest.mark.skipif(
    not (shutil.which("g++") or shutil.which("clang++")), reason="torch.compile needs a C++ compiler here"
)
def test_so_is_one_that_is_compiled(plain: dict[str, torch.Tensor], tmp_path: Path) -> None:
    assert_close(plain, state(tmp_path / "compiled", "default"), 1e-4)
