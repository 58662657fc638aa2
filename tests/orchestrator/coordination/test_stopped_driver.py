"""A driver that is stopped for longer than its lease lasts: another one takes its cell; it notices."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from catalog import Tail
from catalog.events import AttemptEnded, AttemptStarted, CellFailed, CellFinished, EpochFinished
from tests.support.paths import ROOT
from tests.support.running import held_leases, write_study

pytestmark = pytest.mark.slow


def started(storage: Path, study: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.stoppable_run", str(storage), str(study), *words],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_stopped_driver_notices_that_its_cell_is_another_ones(tmp_path: Path) -> None:
    study = write_study(tmp_path, "one", "[tsn]", epochs=3)
    storage = tmp_path / "storage"
    stopped = started(storage, study, "stop")
    _, status = os.waitpid(stopped.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    rival = started(storage, study)
    _, said = rival.communicate(timeout=240)
    assert rival.returncode == 0, said
    os.kill(stopped.pid, signal.SIGCONT)
    _, said = stopped.communicate(timeout=240)
    assert stopped.returncode == 0, said
    lines = list(Tail(storage).lines())
    writers = sorted({line.writer for line in lines})
    assert len(writers) == 2

    def of(writer: str, kind: type[Any], name: str = "attempt") -> list[int]:
        events = (line.event for line in lines if line.writer == writer)
        return [getattr(event, name) for event in events if isinstance(event, kind)]

    first, second = writers
    assert (of(first, AttemptStarted), of(second, AttemptStarted)) == ([1], [2])
    assert (of(first, CellFinished), of(second, CellFinished)) == ([], [2])
    assert (of(first, EpochFinished), of(second, EpochFinished, "epoch")) == ([], [1, 2, 3])
    # Its own attempt is over: that is for it to say.
    assert of(first, AttemptEnded, "state") == ["interrupted"]
    assert of(first, CellFailed) == []
    assert held_leases(storage) == []
    assert list((storage / "drivers").iterdir()) == []
