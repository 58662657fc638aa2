"""`actiongrid status` for people: bar, time to go, best so far, cells in the study's order, hints."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog, Journal
from catalog.events import AttemptEnded, AttemptStarted, CellFailed, EpochFinished
from catalog.queries.cells import time_left
from orchestrator.commands import status
from orchestrator.commands.status import StudyStatus, study_lines
from orchestrator.running.journal_events import planned_event
from tests.orchestrator.commands.test_cli import run
from tests.support.finished_study import NAMES, STUDY, SUBMITTED, build, finish, plan, submit
from tests.support.grid_events import grid_events
from tests.support.prediction_storage import GRID


def row(cell: str, state: str, **fields: Any) -> dict[str, Any]:
    known = dict.fromkeys(("epoch", "train_loss", "top1", "eval_videos", "clips_per_second", "reason", "log"))
    known["epochs"] = 12
    return {"cell": cell, "state": state, "held_by": None, "command": None, **known, **fields}


LONG = "I3D-InceptionV1-tp-f64@mini-kinetics"


def shown(left: dict[str, Any] | None = None, *rows: dict[str, Any]) -> list[str]:
    cells = rows or (
        row(LONG, "done", epoch=12, train_loss=0.5, top1=61.25, eval_videos=96, clips_per_second=12.0),
        row("b", "running", held_by="me@host", epoch=3, train_loss=0.7, top1=40.0, eval_videos=96),
        row("a", "planned"),
        row("c", "failed", reason="ReadError: d.mp4", log="c.log"),
    )
    best = ({"dataset": "d", "cell": LONG, "top1": 61.25, "eval_videos": 96, "ties": 0, "of_seeds": [61.25]},)
    return study_lines(StudyStatus("toy", cells, best, left, "actiongrid run /s/toy.yaml"), 80)


def test_a_study_in_lines_of_80_columns() -> None:
    lines = shown({"seconds": 600.0, "running": 1, "longest": 90.0, "unknown": 0})
    assert max(map(len, lines)) <= 80
    assert lines[0] == "toy: 1 done, 1 failed, 1 planned, 1 running of 4 cells"
    assert lines[1] == f"[{'#' * 9}{'-' * 21}] 31 % of epochs done, 10:00 to go"
    assert lines[2] == f"best so far: {LONG}, top-1 61.2 % (51.2 to 70.6)"
    assert [line.split()[0] for line in lines[4:8]] == [LONG, "b", "a", "c"], "in the study's order, uncut"
    assert lines[-2] == "failed: c: ReadError: d.mp4; log: c.log"
    assert lines[-1] == "mend the cause, then: actiongrid run /s/toy.yaml"


def test_the_best_of_several_seeds_stands_beside_the_others() -> None:
    best = {"dataset": "d", "cell": "TAM-f8@d#1", "top1": 74.2, "eval_videos": 31, "ties": 0}
    study = StudyStatus("toy", (row("a", "done"),), ({**best, "of_seeds": [45.2, 74.2]},))
    assert study_lines(study, 80)[2] == (
        "best so far: TAM-f8@d#1, top-1 74.2 % (56.8 to 87.2) (seeds 45.2, 74.2)"
    )


def test_of_many_seeds_their_mean_and_range_stand_beside_the_best() -> None:
    best = {"dataset": "d", "cell": "a#1", "top1": 74.2, "eval_videos": 31, "ties": 0}
    tops = [45.2, 74.2] * 5
    ten = StudyStatus("toy", (row("a", "done"),), ({**best, "of_seeds": tops},))
    assert study_lines(ten, 200)[2].endswith(f"(seeds {', '.join(map(str, tops))})")
    more = StudyStatus("toy", (row("a", "done"),), ({**best, "of_seeds": [*tops, 70.0]},))
    assert study_lines(more, 200)[2].endswith("(11 seeds, mean 60.6, 45.2 to 74.2)")


def test_of_a_large_study_only_cells_that_move_or_failed_are_listed() -> None:
    every = "actiongrid status toy --cells"
    moving = (
        row("r", "running", held_by="me@host", epoch=3),
        row("i", "running", epoch=4),
        row("f", "failed", reason="ReadError: d.mp4", log="f.log"),
        row("p", "planned", command="paused"),
    )
    rest = tuple(row(f"d{one}", "done", epoch=12) for one in range(296))
    assert len(rest) + len(moving) == 300
    assert (
        sum(
            line.startswith("d")
            for line in study_lines(StudyStatus("toy", (*moving, *rest), every=every), 80)
        )
        == 296
    )
    large = (*moving, *rest, row("n", "planned"))
    lines = study_lines(StudyStatus("toy", large, every=every), 80)
    head = next(place for place, line in enumerate(lines) if line.startswith("cell "))
    assert [line.split()[:2] for line in lines[head + 1 : head + 5]] == [
        ["r", "running"],
        ["i", "interrupted"],
        ["f", "failed"],
        ["p", "paused"],
    ]
    assert lines[head + 5] == f"297 cells done, planned or blocked, not listed: {every}"
    assert lines[0] == "toy: 296 done, 1 failed, 1 interrupted, 1 paused, 1 planned, 1 running of 301 cells"
    shown = study_lines(StudyStatus("toy", large), 80)
    assert sum(line.startswith(("d", "n")) for line in shown) >= 297
    quiet = study_lines(
        StudyStatus("toy", tuple(row(f"d{one}", "done") for one in range(301)), every=every), 80
    )
    assert quiet[2:] == [f"301 cells done, planned or blocked, not listed: {every}"]


def test_the_time_to_go_is_never_made_up() -> None:
    assert shown({"seconds": None, "running": 1, "longest": None, "unknown": 2})[1].endswith(", ? to go")
    assert shown({"seconds": 60.0, "running": 2, "longest": 50.0, "unknown": 0})[1].endswith(", 1:00 to go")
    planned = [row("a", "planned"), row("b", "done")]
    lines = shown({"seconds": 60.0, "running": 0, "longest": 50.0, "unknown": 0}, *planned)
    assert lines[1].endswith("50 % of epochs done, not running")
    assert lines[-1] == "nobody runs it; go on with: actiongrid run /s/toy.yaml"
    assert shown(None, row("b", "done"))[1] == f"[{'#' * 30}] 100 % of epochs done"


def test_a_storage_shows_its_studies_as_they_are(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = STUDY.replace("[8, 16, 32, 64]", "[8, 16, 32]")
    finish(tmp_path, text)
    planned = plan(tmp_path, STUDY)
    failed = planned[NAMES[3]]
    with Journal.open(tmp_path, "later") as journal:
        time = SUBMITTED + 5000
        for one in planned.values():
            journal.append(planned_event(one, "lengths", "driver-0"))
        journal.append(AttemptStarted(failed.key, 1, "later", "host", "runs/x", time=time))
        journal.append(CellFailed(failed.key, 1, "ReadError: d.mp4", "x.log", time=time + 1))
        journal.append(AttemptEnded(failed.key, 1, "failed", "ReadError: d.mp4", time=time + 1))
    monkeypatch.setenv("COLUMNS", "80")
    assert run(monkeypatch, "status", "--storage", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "lengths: 3 done, 1 failed of 4 cells"
    assert lines[1].endswith("] 75 % of epochs done")
    assert (
        lines[2].startswith("best so far: TAM-Tiny-f")
        and " and 2 more with the same, top-1 50.0 % (9.4 to 90.6)" in lines[2]
    )
    assert [line.split()[0] for line in lines[4:8]] == list(NAMES)
    hint = lines[-1].removeprefix("mend the cause, then: ")
    assert shlex.split(hint) == ["actiongrid", "run", "lengths.yaml", "--storage", str(tmp_path)]


def test_finished_cells_of_large_studies_are_counted_by_the_catalog(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The same lines as with all rows; one study has nothing but finished cells, one has a failed one too."""
    three = STUDY.replace("[8, 16, 32, 64]", "[8, 16, 32]")
    finish(tmp_path, three.replace("lengths", "whole"))
    finish(tmp_path, three)
    planned = plan(tmp_path, STUDY)
    failed = planned[NAMES[3]]
    with Journal.open(tmp_path, "later") as journal:
        for one in planned.values():
            journal.append(planned_event(one, "lengths", "driver-1"))
        journal.append(CellFailed(failed.key, 1, "ReadError: d.mp4", "x.log", time=SUBMITTED + 5001))

    def lines(*words: str) -> list[str]:
        assert run(monkeypatch, "status", *words, "--storage", tmp_path) == 0
        return capsys.readouterr().out.splitlines()

    every = lines("--cells")
    monkeypatch.setattr(status, "_MOST_CELLS", 2)
    counted = lines()
    told = "3 cells done, planned or blocked, not listed: actiongrid status {} --cells --storage"
    assert [one for one in counted if one not in every] == [
        f"{told.format(name)} {tmp_path}" for name in ("lengths", "whole")
    ]
    left_out = [one for one in every if one not in counted]
    assert [one.split()[0] for one in left_out] == [*NAMES[:3], "cell", *NAMES[:3]]
    assert lines("--cells") == every
    assert len(json.loads("".join(lines("--json")))) == 7
    assert lines("whole")[0] == "whole: 3 done of 3 cells"


def test_epochs_count_and_not_only_cells() -> None:
    running = row("b", "running", held_by="me@host", epoch=6)
    assert shown(None, running)[1].endswith("] 50 % of epochs done")
    last = row("b", "running", held_by="me@host", epoch=12)
    assert "] 99 % of epochs done" in shown(None, last)[1], "its result is not there yet"


def test_the_time_to_go_is_known_from_the_first_epoch(tmp_path: Path) -> None:
    """One cell of four runs and has told of one of its two epochs, which took 30 s."""
    build(tmp_path)
    submit(tmp_path)
    planned = plan(tmp_path)
    running = planned[NAMES[0]]
    epoch = next(event for event in grid_events(GRID) if isinstance(event, EpochFinished))
    with Catalog.open(tmp_path) as catalog:
        (before,) = time_left(catalog, "lengths").to_pylist()
    assert before["unknown"] == 4
    with Journal.open(tmp_path, "later") as journal:
        journal.append(AttemptStarted(running.key, 1, "later", "host", "runs/x", time=SUBMITTED + 5000))
        journal.append(replace(epoch, key=running.key, attempt=1, epoch=1, time=SUBMITTED + 5030))
    with Catalog.open(tmp_path) as catalog:
        (left,) = time_left(catalog, "lengths").to_pylist()
    macs = [planned[name].macs for name in NAMES]
    wanted = 30.0 + sum(2 * 30.0 * one / macs[0] for one in macs[1:])
    assert left["unknown"] == 0 and left["seconds"] == pytest.approx(wanted)
