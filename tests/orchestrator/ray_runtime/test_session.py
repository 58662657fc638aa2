"""What dead drivers' Ray left: damaged state files are told of, never unpickled; the living keep theirs."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from catalog.storage.folder_storage import FolderStorage
from catalog.storage.layout import Layout
from orchestrator.coordination.drivers import Presence, process_start, this_driver
from orchestrator.ray_runtime.session import (
    RaySessionError,
    SaidEvery,
    damaged_files,
    leftovers,
    ray_session,
    redirect_output,
    remove_leftover,
)


def dead_driver(layout: Layout, writer: str) -> None:
    """The record of a driver whose process really ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    started = process_start(ended.pid)
    ended.wait()
    record = asdict(this_driver(writer, "s", 0)) | {"pid": ended.pid, "started": started or 1}
    layout.drivers.mkdir(exist_ok=True)
    (layout.drivers / f"{writer}.json").write_text(json.dumps(record))


def state_files(layout: Layout, writer: str) -> tuple[Path, Path, Path]:
    tune, train = layout.ray_dir / "tune" / writer, layout.ray_dir / "train" / writer / "cell-a1"
    for folder in (tune, train):
        folder.mkdir(parents=True)
    files = (
        tune / "tuner.pkl",
        tune / "experiment_state-2026-11-23.json",
        train / "checkpoint_manager_snapshot.json",
    )
    files[0].write_bytes(pickle.dumps({"state": list(range(100))}))
    files[1].write_text(json.dumps({"trials": []}))
    files[2].write_text(json.dumps({"results": []}))
    return files


def test_whole_files_of_a_dead_driver_go_without_a_word(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    files = state_files(layout, "dead")
    dead_driver(layout, "dead")
    (found,) = leftovers(FolderStorage(tmp_path))
    assert (found.writer, found.damaged, found.warning) == ("dead", (), "")
    remove_leftover(found)
    assert not any(file.exists() for file in files)
    assert leftovers(FolderStorage(tmp_path)) == ()


@pytest.mark.parametrize("damage", ["empty", "cut"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_damaged_state_file_is_told_of(tmp_path: Path, which: int, damage: str) -> None:
    layout = Layout(tmp_path)
    file = state_files(layout, "dead")[which]
    content = file.read_bytes()
    file.write_bytes(b"" if damage == "empty" else content[: len(content) // 2])
    dead_driver(layout, "dead")
    (found,) = leftovers(FolderStorage(tmp_path))
    assert found.damaged == (file,)
    assert found.warning == (
        f"warning: Ray's state files of dead, which died, are damaged ({file.name}); {file.parent}; "
        "nothing has to be done: going on from the journal"
    )


def test_living_and_unknown_drivers_are_left_alone(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    for writer in ("living", "unknown"):
        state_files(layout, writer)[0].write_bytes(b"")
    with Presence(FolderStorage(tmp_path).shared_files(layout.drivers), this_driver("living", "s", 0)):
        assert leftovers(FolderStorage(tmp_path)) == ()


def test_a_storage_without_ray_files_has_none(tmp_path: Path) -> None:
    assert leftovers(FolderStorage(tmp_path)) == ()


def test_no_state_file_is_ever_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (os.mkdir, (str(tmp_path / "ran"),))

    (tmp_path / "tuner.pkl").write_bytes(pickle.dumps(Evil()))
    assert list(damaged_files(tmp_path)) == []
    assert not (tmp_path / "ran").exists()


def test_a_pickle_that_is_cut_anywhere_is_damaged(tmp_path: Path) -> None:
    """Also behind a full stop, which is how a whole one ends."""
    whole = pickle.dumps({"a.b": ["c.", 1.5, b"x" * 20], "d": "."})
    path = tmp_path / "tuner.pkl"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert list(damaged_files(tmp_path)) == [path], whole[:length]
    path.write_bytes(whole)
    assert list(damaged_files(tmp_path)) == []


def test_a_start_that_is_tried_again_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own warning stands in a log that nobody reads while the terminal is silent for minutes."""
    import ray

    said: list[str] = []

    def too_late(**_: object) -> None:
        raise RuntimeError("The current node timed out during startup")

    monkeypatch.setattr(ray, "init", too_late)
    with pytest.raises(RaySessionError, match="timed out"), ray_session(None, 1, 0, said.append):
        pass
    assert said == [
        "Ray did not start in time, as on a busy machine; try 2 of 3",
        "Ray did not start in time, as on a busy machine; try 3 of 3",
    ]


def test_what_takes_long_says_that_it_lasts() -> None:
    said: list[str] = []
    with SaidEvery(said.append, lambda seconds: f"{seconds:.1f}", pause=0.05):
        time.sleep(0.3)
    told = len(said)
    assert 2 <= told <= 6
    assert said == sorted(said)
    time.sleep(0.2)
    assert len(said) == told


def test_what_people_should_know_goes_to_either_descriptor(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for descriptor in (1, 2):
        with redirect_output(tmp_path / "log", said_on=descriptor) as terminal:
            print(f"on {descriptor}", file=terminal)
            os.write(1, b"from a child\n")
    assert capfd.readouterr() == ("on 1\n", "on 2\n")
