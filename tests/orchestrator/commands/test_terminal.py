from __future__ import annotations

import io
import re
import time

import pytest
from rich.console import Console

from catalog.names import clock_text
from catalog.queries.drivers import MeasuredTop1
from orchestrator.running.cell_run import CellFailure, RunningCell
from orchestrator.terminal.live_view import GridView, LiveView, cell_columns, changes, render, summary_line
from orchestrator.terminal.text import Phases

METRICS = {"epoch": 3, "train_loss": 0.5, "top1": 61.25, "eval_videos": 96, "clips_per_second": 120.0}


def view(**changes: object) -> GridView:
    fields: dict[str, object] = {
        "study": "toy",
        "states": {"a": "done", "b": "running", "c": "waiting", "d": "failed"},
        "running": (RunningCell("b", 1, 0.0, 12, METRICS),),
        "failures": (CellFailure("d", "ReadError: d.mp4", "d.log", ()),),
        "measured": {"a": MeasuredTop1(87.5, 96)},
        "eta_seconds": 125.0,
        "elapsed_seconds": 3725.0,
    }
    return GridView(**{**fields, **changes})  # type: ignore[arg-type]


def test_the_summary_counts_states_and_time() -> None:
    assert summary_line(view()) == (
        "toy: 1 done, 1 running, 1 waiting, 1 failed of 4 cells; 1:02:05 elapsed, 2:05 to go"
    )


def test_plain_lines_come_once_for_every_change() -> None:
    before = {"a": "running", "b": "waiting", "c": "waiting", "d": "running"}
    assert changes(before, view()) == [
        "done    a: top-1 87.5 % (79.7 to 93.0) (1/4, 2:05 to go)",
        "started b",
        "failed  d: ReadError: d.mp4",
    ]
    assert changes(view().states, view()) == []


def test_the_top1_that_the_study_reports_is_shown() -> None:
    both = {"a": MeasuredTop1(60.4, 96, 87.5)}
    (line,) = changes({"a": ""}, view(states={"a": "done"}, measured=both, report="best"))
    assert line == "done    a: top-1 of the best epoch 87.5 % (79.7 to 93.0) (1/1, 2:05 to go)"
    (line,) = changes({"a": ""}, view(states={"a": "done"}, measured=both))
    assert line == "done    a: top-1 60.4 % (50.4 to 69.8) (1/1, 2:05 to go)"


def test_the_display_shows_a_running_cells_numbers() -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    console.print(render(view()))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for part in ("epoch 3/12", "training loss 0.500", "top-1 61.2 % (51.2 to 70.6)", "120 clips/s"):
        assert part in shown


def test_each_finished_cell_is_counted_once() -> None:
    before = {"a": "running", "b": "running", "c": "done", "d": "running"}
    found = view(states=dict.fromkeys("abcd", "done"))
    assert [line.split("(")[-1].split(",")[0] for line in changes(before, found)] == ["2/4", "3/4", "4/4"]


def test_a_time_that_is_not_known_better_is_a_range() -> None:
    assert summary_line(view(eta_seconds=240.0, spread=(0.5, 2.0))).endswith("elapsed, 2:00 to 8:00 to go")
    assert summary_line(view(eta_seconds=None)).endswith("elapsed, ? to go")


def test_plain_lines_say_that_workers_start_until_a_cell_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.terminal.live_view.SAID_EVERY_SECONDS", 0.4)
    for states, told in (({"a": "waiting"}, True), ({"a": "running"}, False), ({"a": "paused"}, False)):
        console = Console(file=io.StringIO(), width=80)
        with LiveView(console, lambda states=states: view(states=states, measured={})):  # type: ignore[misc]
            time.sleep(1.3)
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        assert ("starting workers: 0:01 so far" in shown) is told, shown


def test_a_cell_before_its_first_epoch_says_for_how_long() -> None:
    assert cell_columns(RunningCell("b", 1, 100.0, 12, {}), 135.0)[1] == "first epoch, 0:35"


def test_the_bar_stands_apart_and_lines_of_others_stay_out(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    with LiveView(console, view):
        time.sleep(0.1)
        print("Trial x completed. Last result: …")
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "Last result" not in shown and "Last result" in capsys.readouterr().out
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
    assert re.search(r"━ 2 of 4 *\n", plain), plain


def test_phases_have_the_time_since_the_first() -> None:
    said: list[str] = []
    times = iter((10.0, 10.4, 75.0))
    phases = Phases(said.append, lambda: next(times))
    phases("reading the study")
    phases("starting Ray")
    assert said == ["  0:00  reading the study", "  1:05  starting Ray"]


@pytest.mark.parametrize(("seconds", "text"), [(None, "?"), (5, "0:05"), (65, "1:05"), (3600, "1:00:00")])
def test_duration(seconds: float | None, text: str) -> None:
    assert clock_text(seconds) == text
