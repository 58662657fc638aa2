"""`pause`, `resume`, `cancel` and what `status` says of them, against a storage with a living driver."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from catalog.events import CellPlanned, StudySubmitted
from orchestrator.running.cell_run import CellState
from tests.orchestrator.commands.test_cli import run
from tests.support.driver_bench import TOTAL, Bench


class Terminal:
    """The command line beside a driver whose study is in the journal and whose heart beats."""

    def __init__(
        self, storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.storage, self._monkeypatch, self._capsys = storage, monkeypatch, capsys

    def says(self, *arguments: str, code: int = 0) -> str:
        self._capsys.readouterr()
        assert run(self._monkeypatch, *arguments, "--storage", self.storage) == code
        said = self._capsys.readouterr()
        return said.out if code == 0 else said.err

    def status(self) -> dict[str, dict[str, Any]]:
        return {row["cell"]: row for row in json.loads(self.says("status", "--json"))}


def journal_plan(bench: Bench) -> None:
    """Write what a submission writes first, for those who read the journals."""
    bench.journal.append(StudySubmitted("toy", bench.name, len(bench.keys), "toy.yaml", {}))
    for one in bench.driver.cells.values():
        item, cell = one.work, one.work.cell
        bench.journal.append(
            CellPlanned(
                key=item.key,
                cell=cell.name,
                parent_key=item.parent_key,
                study="toy",
                module=cell.module,
                backbone=cell.backbone,
                temporal_pooling=cell.temporal_pooling,
                frames=cell.frames,
                dataset=cell.dataset,
                seed=cell.seed,
                params=1,
                macs=1,
                key_parts={},
                config={},
                submission=bench.name,
            )
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    journal_plan(bench)
    with bench.presence:
        yield bench


@pytest.fixture
def terminal(bench: Bench, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(bench.layout.root, monkeypatch, capsys)


def test_the_driver_hears_what_the_terminal_says(bench: Bench, terminal: Terminal) -> None:
    request = bench.next()
    told = terminal.says("pause", "toy", "--cells", "TSN-*")
    assert told.startswith("pause: 2 of 4 cells of toy; told ")
    assert f"pid {bench.presence.record.pid}" in told
    news = bench.shared.read_update()
    assert [(one.action, one.cells) for one in news.commands] == [("pause", "TSN-*")]
    bench.clock += 3
    bench.driver.poll()
    paused = bench.names(CellState.PAUSED)
    assert paused | {request.cell} >= {"TSN-Tiny-f8@synthetic-motion", "TSN-Tiny-f16@synthetic-motion"}
    rows = terminal.status()
    assert rows[request.cell]["state"] == "running"
    assert f"pid {bench.presence.record.pid}" in rows[request.cell]["held_by"]
    assert rows["TSN-Tiny-f16@synthetic-motion"]["command"] == "paused"
    assert rows["TAM-Tiny-f16@synthetic-motion"]["command"] is None
    terminal.says("resume", "toy")
    terminal.says("cancel", "toy", "--cells", "TAM-*-f16@*")
    commands = {name: row["command"] for name, row in terminal.status().items() if row["command"]}
    assert commands == {"TAM-Tiny-f16@synthetic-motion": "cancelled"}
    assert "1 cell held by " in terminal.says("status")


def test_a_running_cell_that_lost_its_driver_is_not_shown_as_running(
    bench: Bench, terminal: Terminal
) -> None:
    bench.next()
    assert " running " in terminal.says("status")
    bench.shared.release_all()
    assert " interrupted " in terminal.says("status")


def test_commands_keep_their_order_though_the_clock_is_set_back(
    bench: Bench, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 86_400)
    terminal.says("pause", "toy")
    monkeypatch.setattr("time.time", lambda: now)
    terminal.says("resume", "toy")
    assert {row["command"] for row in terminal.status().values()} == {None}
    terminal.says("pause", "toy")
    assert {row["command"] for row in terminal.status().values()} == {"paused"}


def test_commands_in_a_row_keep_their_order(bench: Bench, terminal: Terminal) -> None:
    for action in ("pause", "resume", "pause", "cancel"):
        terminal.says(action, "toy")
    assert [command.action for command in bench.shared.read_update().commands] == [
        "pause",
        "resume",
        "pause",
        "cancel",
    ]
    bench.clock += 3
    assert bench.driver.next_trial(TOTAL) is None
    assert bench.driver.is_finished
    with Catalog.open(bench.layout.root) as catalog:
        assert catalog.query("SELECT count(*) AS n FROM controls WHERE in_force").to_pylist() == [{"n": 4}]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("pause", "toyy"), "no such study; toyy; this storage has toy"),
        (("cancel", "toy", "--cells", "I3D*"), "no cell matches; --cells I3D*; study toy has TAM-Tiny-f16@"),
    ],
)
def test_what_is_not_there_is_named(
    bench: Bench, terminal: Terminal, arguments: tuple[str, ...], says: str
) -> None:
    assert says in terminal.says(*arguments, code=2)
    assert bench.shared.read_update().commands == ()


def test_without_a_driver_a_retry_waits_for_the_next_run(bench: Bench, terminal: Terminal) -> None:
    assert "no cell of study toy that matches has failed" in terminal.says("retry", "toy", code=2)
    request = bench.next()
    bench.driver.trial_ended(request, "[failure: mismatch] ParentMismatchError: parent measures 10 %")
    (bench.layout.drivers / f"{bench.name}.json").unlink()
    said = terminal.says("retry", "toy")
    assert said.startswith(
        "retry: 1 of 4 cells of toy; no driver works on it; go on with: actiongrid run toy.yaml"
    )
    asked = {name: row["command"] for name, row in terminal.status().items() if row["command"]}
    assert asked == {request.cell: "to be retried"}
    assert " to be retried " in terminal.says("status")
    bench.journal.append(StudySubmitted("toy", "next", len(bench.keys), "toy.yaml", {}))
    assert {row["command"] for row in terminal.status().values()} == {None}, "the next run has it"


def test_without_a_driver_there_is_nothing_to_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = Bench(tmp_path)
    journal_plan(bench)
    (bench.layout.drivers / f"{bench.name}.json").unlink()
    said = Terminal(tmp_path, monkeypatch, capsys).says("pause", "toy", code=2)
    assert "no driver works on study toy" in said
