"""A Train worker that the kernel kills for want of memory is told from one that anybody else killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from catalog.storage.errors import FailureKind
from catalog.storage.folder_storage import FolderStorage
from orchestrator.ray_runtime.ray_compat import RayWay
from orchestrator.ray_runtime.session import ray_session
from orchestrator.ray_runtime.train_run import run_workers
from orchestrator.ray_runtime.trial import TrialRequest, oom_kills, read_error_log
from orchestrator.scheduling.retry import classify

pytestmark = pytest.mark.slow

LIMIT = 64 << 20
GROUPS = Path("/sys/fs/cgroup")


@pytest.fixture
def limited() -> Iterator[Path]:
    """A control group whose processes may have 64 MiB more; skipped where nobody may make one."""
    old = (GROUPS / "memory").is_dir()
    group = (GROUPS / "memory" if old else GROUPS) / f"actiongrid-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if old else "memory.max")).write_text(str(LIMIT))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no control group with a limit can be made here: {error}")
    if oom_kills() is None:
        group.rmdir()
        pytest.skip("this kernel does not count what it kills for want of memory")
    yield group
    group.rmdir()


def hungry(config: dict[str, Any]) -> None:
    """Take more than the group allows."""
    (Path(config["spec"]) / "cgroup.procs").write_text(str(os.getpid()))
    held = bytearray(4 * LIMIT)
    held[:: 1 << 10] = b"1" * (len(held) >> 10)


def killed(config: dict[str, Any]) -> None:
    """Die as by `kill -9` from outside."""
    os.kill(os.getpid(), signal.SIGKILL)


class Trial:
    """What Tune makes of a trial."""

    def run(self, request: TrialRequest, worker: Callable[[dict[str, Any]], None]) -> None:
        """One Train run."""
        run_workers(request, worker)


def error_of(worker: Callable[[dict[str, Any]], None], spec: str, folder: Path) -> str:
    """What the log of a real Train run of `worker` says, in a local Ray of one CPU."""
    log, storage = str(folder / "attempt.log"), str(folder)
    request = TrialRequest(
        "a",
        "cell",
        "k",
        1,
        spec,
        1,
        1,
        0.0,
        str(folder / "train"),
        log,
        local=True,
        way=RayWay.FAST,
        storage=storage,
    )
    # Train's controller has to run in an actor, as Tune's trials do.
    trial = ray.remote(num_cpus=0)(Trial).remote()
    with pytest.raises(RuntimeError):
        ray.get(trial.run.remote(request, worker))
    return read_error_log(FolderStorage(folder), folder / "attempt.log") or ""


def test_the_kernels_kill_is_want_of_memory_and_another_is_not(limited: Path, tmp_path: Path) -> None:
    with ray_session(None, 1, 0):
        hungry_error = error_of(hungry, str(limited), tmp_path / "hungry")
        killed_error = error_of(killed, "", tmp_path / "killed")
    assert "meanwhile the kernel killed 1 processes of this machine: out of memory" in hungry_error
    assert classify(hungry_error) is FailureKind.MEMORY
    assert classify(killed_error) is FailureKind.PROCESS_DIED
