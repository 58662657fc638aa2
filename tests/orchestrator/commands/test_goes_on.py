"""A cell that was interrupted: plan, status, explain and a run say from which epoch it goes on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from catalog import Journal
from catalog.events import AttemptEnded, AttemptStarted, EpochFinished
from orchestrator.planning.plan_model import PlannedCell
from orchestrator.running.cell_run import CellRun, CellState, CellWork, RunningCell
from orchestrator.study.cells import expand
from orchestrator.study.load import parse_study
from orchestrator.terminal.grid_view import open_cell, share_here
from orchestrator.terminal.live_view import GridView, cell_columns, changes
from orchestrator.terminal.plan_text import otherwise_lines, unsure_lines
from tests.orchestrator.commands.test_cli import run
from tests.support.finished_study import NAMES, STUDY, SUBMITTED, build, plan, submit
from tests.support.grid_events import grid_events
from tests.support.prediction_storage import GRID

LONG = STUDY.replace("epochs: 2", "epochs: 24")
Printed = pytest.CaptureFixture[str]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """The first cell of a chain of four was stopped after epoch 23 of 24."""
    build(tmp_path, LONG)
    submit(tmp_path, LONG)
    (tmp_path / "lengths.yaml").write_text(LONG)
    first = plan(tmp_path, LONG)[NAMES[0]]
    epoch = next(event for event in grid_events(GRID) if isinstance(event, EpochFinished))
    time = SUBMITTED + 5000
    with Journal.open(tmp_path, "stopped") as journal:
        journal.append(AttemptStarted(first.key, 1, "stopped", "host", "runs/x", time=time))
        for number in range(1, 24):
            journal.append(replace(epoch, key=first.key, attempt=1, epoch=number, time=time + number))
        journal.append(AttemptEnded(first.key, 1, "interrupted", time=time + 30))
    return tmp_path


def printed(monkeypatch: pytest.MonkeyPatch, capsys: Printed, *words: object) -> str:
    assert run(monkeypatch, *words) == 0
    return capsys.readouterr().out


def cells(storage: Path, text: str = LONG) -> dict[str, PlannedCell]:
    return plan(storage, text)


def test_every_command_says_from_which_epoch(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    say = "goes on from epoch 23 of 24"
    study = storage / "lengths.yaml"
    assert f"{NAMES[0]} to run: {say}" in printed(monkeypatch, capsys, "plan", study, "--storage", storage)
    assert cells(storage)[NAMES[0]].begun == 23
    status = printed(monkeypatch, capsys, "status", "--storage", storage).splitlines()
    assert status[0] == "lengths: 1 interrupted, 3 planned of 4 cells"
    assert status[3].split()[:3] == [NAMES[0], "interrupted", "23/24"]
    assert f"{NAMES[0]} {say}" in status
    explained = printed(monkeypatch, capsys, "explain", NAMES[0], "--storage", storage)
    assert explained.startswith(f"{NAMES[0]} of study lengths: interrupted: {say}\n")


def test_epochs_of_another_recipe_are_not_gone_on_with(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    (storage / "lengths.yaml").write_text(LONG.replace("lr: 0.01, crop", "lr: 0.02, crop"))
    shown = printed(monkeypatch, capsys, "plan", storage / "lengths.yaml", "--storage", storage)
    assert "goes on" not in shown
    line = "1 cell with 23 epochs was begun with another recipe or other videos: these epochs are not used"
    assert line in shown.splitlines()
    assert otherwise_lines([1])[0].startswith("1 cell with 1 epoch was begun")
    assert otherwise_lines([4, 9])[0].startswith("2 cells with 4 to 9 epochs each were begun")
    assert otherwise_lines([]) == []


def test_before_the_videos_are_read_nobody_knows_whether_epochs_count(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    """On another machine the plan said that nine finished cells were new, and that epochs were not used."""
    shutil.rmtree(storage / "datasets")
    shown = printed(monkeypatch, capsys, "plan", storage / "lengths.yaml", "--storage", storage)
    text = " ".join(shown.split())
    assert "under the same names: 1 begun; whether they count is known once their datasets are built" in text
    assert "not used" not in text
    assert unsure_lines(9, 1)[0].startswith("under the same names: 9 finished and 1 begun; ")
    assert unsure_lines(9, 0)[0].startswith("under the same names: 9 finished; ")
    assert unsure_lines(0, 0) == []


def test_a_run_says_what_goes_on() -> None:
    cell = RunningCell("b", 2, 100.0, 24, {}, begun=23)
    assert cell_columns(cell, 135.0)[1] == "from epoch 23/24 on, 0:35"
    view = GridView("toy", {"a": "running", "b": "running"}, (cell,), (), {}, None, 1.0)
    assert changes({"a": "waiting", "b": "waiting"}, view) == [
        "started a",
        "started b: goes on from epoch 23 of 24",
    ]


def test_what_is_left_of_an_interrupted_cell_is_not_reckoned_whole() -> None:
    study = parse_study(LONG, "lengths.yaml")
    cell = expand(study)[0]
    work = CellWork(cell, "key", None, None, 2400.0, 1, 1, "m", 4, 40, "e", begun=23)
    waiting = CellRun(work)
    assert open_cell(waiting, 0.0, 5.0).flops == pytest.approx(100.0)
    assert share_here(waiting) == pytest.approx(1 / 24)
    training = replace(waiting, state=CellState.RUNNING, epoch=24, metrics={"epoch": 24.0})
    assert open_cell(training, 0.0, 5.0).flops == 0.0
