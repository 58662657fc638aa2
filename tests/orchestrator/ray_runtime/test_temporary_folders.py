"""Temporary folders: removed at the end, swept after a kill, short enough for Ray's sockets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from orchestrator.ray_runtime import temporary_folders
from orchestrator.ray_runtime.dispatch import told_if_ended
from orchestrator.ray_runtime.temporary_folders import ray_folder, sweep, temporary_folder
from tests.support.paths import ROOT

_HOLD = """
import sys, time
from pathlib import Path
from orchestrator.ray_runtime.temporary_folders import temporary_folder
with temporary_folder(Path(sys.argv[1])) as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


def test_the_next_driver_sweeps_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary_folders, "_YOUNG_SECONDS", -1.0)
    monkeypatch.setattr(temporary_folders, "_SHORT_ROOTS", (tmp_path,))
    others = [tmp_path / "other", tmp_path / "actiongrid-new-without-a-lock"]
    for one in others:
        one.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        (folder / "tune").mkdir()
        sweep()
        assert folder.is_dir(), "its driver lives"
        process.send_signal(signal.SIGKILL)
    with temporary_folder(tmp_path) as mine:
        sweep()
        assert not folder.exists()
        assert mine.is_dir()
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_what_was_never_locked_goes_where_it_is_old_and_empty_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that is a day ahead makes everything old; a folder that holds files is somebody's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary_folders, "_SHORT_ROOTS", (tmp_path,))
    empty, used, new = (tmp_path / f"actiongrid-{name}" for name in ("job-empty", "job-used", "new"))
    for one in (empty, used, new):
        one.mkdir()
    (used / "study.yaml").write_text("name: somebody's")
    for one in (empty, used):
        os.utime(one, (0, 0))
    sweep()
    assert sorted(tmp_path.iterdir()) == [used, new]


_HOLD_SESSION = """
import sys, time
from pathlib import Path
from orchestrator.ray_runtime.temporary_folders import held_session
with held_session(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_next_driver_sweeps_the_ray_sessions_of_dead_ones_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.setattr(temporary_folders, "_YOUNG_SECONDS", -1.0)
    monkeypatch.setattr(temporary_folders, "_SHORT_ROOTS", (tmp_path,))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ours, others = (tmp_path / "ray" / f"session_{name}" for name in ("1", "2"))
    for folder in (ours, others):
        (folder / "logs").mkdir(parents=True)
    os.utime(others, (0, 0))
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_SESSION, str(ours)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        sweep()
        assert ours.is_dir(), "its driver lives"
        process.send_signal(signal.SIGKILL)
    sweep()
    assert not ours.exists()
    assert others.is_dir(), "nobody knows whose it is"


def test_ray_gets_a_short_folder_where_its_own_would_be_too_long(tmp_path: Path) -> None:
    with ray_folder(Path("/tmp")) as folder:
        assert folder is None
    with ray_folder(tmp_path / ("long" * 20)) as folder:
        assert folder is not None
        sockets = folder / "session_2026-01-01_00-00-00_000000_4194304" / "sockets" / "plasma_store"
        assert len(os.fsencode(sockets)) < 104
    assert not folder.exists()


_ENDS = """
import os, sys
from orchestrator.ray_runtime.dispatch import told_if_ended
with told_if_ended(1, "error: ended") as started:
    if sys.argv[1] == "later":
        started()
    os._exit(1)
"""


@pytest.mark.parametrize(("when", "said"), [("at once", "error: ended\n"), ("later", "")])
def test_a_process_that_is_ended_while_ray_starts_does_not_end_without_a_word(when: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ENDS, when], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, said)


def test_nothing_is_said_where_an_error_tells_all(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="told"), told_if_ended(1, "error: ended"):
        raise ValueError("told")
    assert capfd.readouterr().out == ""
