"""`actiongrid explain` on a catalog that holds finished cells of two plans."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from catalog.events import AttemptEnded, AttemptStarted, CellFinished, EpochFinished
from orchestrator.cli import main
from orchestrator.planning.explanation import chosen_on_lines, first_weights
from tests.support.finished_study import NAMES, STUDY, build, finish
from tests.support.grid_events import DEMO, grid_events, write_quickly

F8, F16, F32, F64 = NAMES
FASTER = STUDY.replace("set: {lr: 0.01}", "set: {lr: 0.02}")
CHANGE = {"field": "recipe.lr", "before": 0.01, "after": 0.02}


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four cells are done at lr 0.01; then f16, f32 and f64 at 0.02."""
    folder = tmp_path_factory.mktemp("explained")
    build(folder)
    finish(folder)
    finish(folder, FASTER, top1=60.0)
    return folder


@pytest.fixture
def explain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], storage: Path) -> Any:
    def run(cell: str, *options: str, code: int = 0) -> str:
        command = ["actiongrid", "explain", cell, "--storage", str(storage), *options]
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit) as ended:
            main()
        assert int(ended.value.code or 0) == code
        return capsys.readouterr().out

    return run


def test_todays_result_stands_first_and_the_older_one_says_what_superseded_it(explain: Any) -> None:
    today, before = json.loads(explain(F16, "--json"))
    assert [(one["current"], one["state"]) for one in (today, before)] == [(True, "done"), (False, "done")]
    assert today["superseded_by"] is None
    assert before["superseded_by"] == {
        "key": today["key"], "top1": 60.0, "eval_videos": 4, "differences": [CHANGE],
    }  # fmt: skip


def test_both_keys_can_be_compared(explain: Any) -> None:
    today, before = json.loads(explain(F16, "--json"))
    assert today["nearest"]["key"] == before["key"]
    assert (today["nearest"]["top1"], today["nearest"]["differences"]) == (50.0, [CHANGE])
    text = explain(today["key"][:14])
    other = f"nearest finished cell {before['key'][:12]} of study lengths (top-1 50.00 % (9.4 to 90.6))"
    assert f"{other}: recipe.lr (0.01 → 0.02)" in text


def test_a_child_differs_by_its_parent_alone(explain: Any) -> None:
    today, before = json.loads(explain(F32, "--json"))
    assert [one["field"] for one in today["nearest"]["differences"]] == ["initial.parent"]
    assert today["nearest"]["key"] == before["key"]


def test_the_lineage_goes_down_to_the_first_weights(explain: Any) -> None:
    today, _ = json.loads(explain(F64, "--json"))
    assert [step["cell"] for step in today["lineage"]] == [F64, F32, F16, F8]
    assert today["first_weights"] == f"{F8} started from random weights, seed 0"
    assert f"{F8} started from random weights" in explain(F64)


def test_imagenet_weights_are_named_by_their_file() -> None:
    parts = {"initial": {"weights_file": "resnet50-0676ba61.pth"}, "seed": 0}
    assert first_weights([{"cell": "child"}, {"cell": "starter"}], parts) == (
        "starter started from ImageNet weights resnet50-0676ba61.pth"
    )


def test_a_cell_without_a_namesake_is_compared_with_its_dataset_nearest(explain: Any) -> None:
    (only,) = json.loads(explain(F8, "--json"))
    assert only["nearest"]["cell"] in (F16, F32, F64)
    assert "model.frames" in {one["field"] for one in only["nearest"]["differences"]}


def test_a_rerun_costs_what_the_cells_took_here(explain: Any) -> None:
    """Every cell took 16 s of training and 4 s of evaluation on one core, of the 30 s of its attempt."""
    today, _ = json.loads(explain(F16, "--json"))
    cost = today["rerun"]
    assert cost["rate_is_measured"]
    assert cost["seconds"] == pytest.approx(20.0 + 10.0)
    assert cost["unit_hours"] == pytest.approx(30.0 / 3600)
    assert cost["unit"] == "core"
    assert "measured on CPU x86_64: 7 finished cells here" in explain(F16)


def test_a_rerun_of_a_cell_that_is_only_planned_is_known_from_its_dataset(tmp_path: Path) -> None:
    from catalog import Catalog, Journal
    from catalog.events import DatasetBuilt
    from orchestrator.planning.explanation import rerun_cost
    from orchestrator.planning.measured import measured_rates
    from orchestrator.running.journal_events import planned_event
    from tests.support.finished_study import whole_plan

    build(tmp_path)
    planned = whole_plan(tmp_path).cells[0]
    train = planned.key_parts["data"]["train"]
    with Journal.open(tmp_path, "d") as journal:
        journal.append(planned_event(planned, "lengths", "d"))
        with Catalog.open(tmp_path) as catalog:
            (row,) = catalog.query("FROM cells").to_pylist()
            assert rerun_cost(catalog, row, measured_rates(catalog)) is None
        journal.append(DatasetBuilt("toy", "m", train, "v", ["a"], {"train": 8, "val": 4}, 1, "f", 0))
    with Catalog.open(tmp_path) as catalog:
        (row,) = catalog.query("FROM cells").to_pylist()
        cost = rerun_cost(catalog, row, measured_rates(catalog))
    assert cost is not None
    assert cost["flops"] == planned.flops
    assert not cost["rate_is_measured"]


def test_explain_says_on_what_checkpoints_were_chosen(explain: Any) -> None:
    assert "best epoch chosen on the validation videos that are reported" in explain(F8)
    config = {"recipe": {"inherit": "best"}}
    assert chosen_on_lines({"data": {"choose_on": 0.1}, "initial": {"parent": "p"}}, config) == [
        "best epoch chosen on 10 % of the training videos, held out of training",
        "starts from its parent's best epoch, chosen on 10 % of the training videos, held out of training",
    ]
    last = chosen_on_lines({"initial": {"parent": "p"}}, {"recipe": {"inherit": "last"}})
    assert last[1] == "starts from its parent's last epoch"


def test_what_people_ask_for_stands_before_what_the_key_is_made_of(explain: Any, storage: Path) -> None:
    today, _ = json.loads(explain(F16, "--json"))
    lines = [line.strip() for line in explain(today["key"]).splitlines()]
    assert lines[0] == f"{F16} of study lengths: done"
    starts = [
        "clip level: top-1 60.00 %",
        "checkpoint: ",
        "wall time: 30 s in 1 attempt",
        "attempt 1 by driver-1",
    ]
    places = [next(place for place, line in enumerate(lines) if line.startswith(one)) for one in starts]
    assert places == sorted(places) and places[-1] < 6
    assert "epoch-0002.pt (last, epoch 2)" in lines[places[1]]
    assert "on host, 2026-" in lines[places[3]] and " UTC: done" in lines[places[3]]
    assert not any(line.startswith("key parts") for line in lines)
    assert lines[-1] == f"key {today['key']}; --key shows what it is made of"
    assert "    data: {" in explain(F16, "--key")


def test_the_checkpoint_of_a_copy_is_the_copys(explain: Any, storage: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(storage, copy)
    assert f"checkpoint: {copy}/runs/" in explain(F8, "--storage", str(copy))


def test_a_cell_that_nobody_runs_is_interrupted_and_says_which_epochs_each_attempt_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = replace(
        DEMO, modules=("tsn",), poolings=(False,), frames=(8,), datasets=("synthetic-motion",), epochs=5
    )
    events = [one for one in grid_events(grid) if not isinstance(one, (CellFinished, AttemptEnded))]
    (key,) = {one.key for one in events if isinstance(one, AttemptStarted)}
    events = [
        replace(one, attempt=2) if isinstance(one, EpochFinished) and one.epoch > 3 else one for one in events
    ]
    started = next(one for one in events if isinstance(one, AttemptStarted))
    write_quickly(tmp_path, [*events, replace(started, attempt=2, time=(started.time or 0.0) + 60)])
    monkeypatch.setattr("sys.argv", ["actiongrid", "explain", key, "--storage", str(tmp_path)])
    with pytest.raises(SystemExit):
        main()
    text = capsys.readouterr().out
    assert "demo: interrupted: goes on from epoch 5 of" in text.splitlines()[0]
    assert ", epochs 1 to 3: interrupted" in text and ", epochs 4 to 5: interrupted" in text
    assert "running" not in text
