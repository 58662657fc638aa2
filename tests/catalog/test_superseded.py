"""What is shown is of today's studies; older results of a changed study are shown on request, and marked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from catalog import Catalog
from catalog.events import CellFinished, CellPlanned, StudySubmitted
from catalog.queries import overview
from catalog.queries.cells import cells_side_by_side, cells_to_choose, cells_with_words, progress_of_cells
from catalog.queries.filters import ALL, Filters
from catalog.queries.predictions import class_accuracies, counts_on_same_videos
from orchestrator.cli import app
from tests.support.grid_events import grid_events, write_quickly
from tests.support.prediction_storage import (
    BEST_RIGHT,
    GRID,
    LAST_RIGHT,
    VIDEOS,
    change_study,
    evaluated,
    key,
    make_storage,
    new_key,
    study_events,
)

OLD, NEW = key("tam", 16), new_key(key("tam", 16))
CELL = "TAM-Tiny-f16@synthetic-motion"
SHOWN = (
    "results",
    "evaluations",
    "predictions",
    "view_predictions",
    "confusion",
    "per_class_accuracy",
    "grid_cells",
    "cell_costs",
    "epochs",
    "result_caveats",
)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Four cells; then one of them has another key, and is trained again."""
    storage = make_storage(tmp_path)
    write_quickly(storage, iter([evaluated(storage, OLD), evaluated(storage, key("tsn", 8))]), "evaluate-1")
    change_study(storage, ["TAM-Tiny-f16"])
    return storage


def rows(catalog: Catalog, sql: str) -> list[Any]:
    return [tuple(row.values()) for row in catalog.query(sql).to_pylist()]


@pytest.mark.parametrize("view", SHOWN)
def test_no_view_of_results_shows_what_is_superseded(storage: Path, view: str) -> None:
    with Catalog.open(storage) as catalog:
        keys = {found for (found,) in rows(catalog, f"SELECT DISTINCT key FROM {view}")}
    assert OLD not in keys
    # What was trained again has neither views nor epochs here, and not every result has a caveat.
    assert view in ("view_predictions", "epochs", "result_caveats") or (NEW in keys and len(keys) == 4)


@pytest.mark.parametrize("view", [f"{name}_all" for name in SHOWN if name != "grid_cells"])
def test_the_views_with_all_mark_what_is_superseded(storage: Path, view: str) -> None:
    with Catalog.open(storage) as catalog:
        marks = dict(rows(catalog, f"SELECT DISTINCT key, superseded FROM {view}"))
    assert marks[OLD] is True
    assert [one for one, superseded in marks.items() if superseded] == [OLD]


def test_the_older_result_says_what_it_was_superseded_by(storage: Path) -> None:
    with Catalog.open(storage) as catalog:
        found = rows(catalog, "SELECT key, superseded, superseded_by FROM results_all WHERE superseded")
        assert found == [(OLD, True, NEW)]
        assert rows(catalog, "SELECT count(*), count(DISTINCT cell) FROM results") == [(4, 4)]
        means = "SELECT avg(top1) FROM {} WHERE module = 'tam' AND frames = 16"
        new = 100.0 * (LAST_RIGHT + 1) / VIDEOS
        assert rows(catalog, means.format("results")) == [(new,)]
        own = " AND source = 'own'"
        assert rows(catalog, means.format("accuracies") + own) == [(new,)]


def test_pages_count_as_status_does(storage: Path) -> None:
    with Catalog.open(storage) as catalog:
        status = progress_of_cells(catalog, None)
        assert status.num_rows == 4
        assert sum(overview.counts_by_state(catalog).values()) == 4
        assert sum(overview.grid_positions(catalog).column("cells").to_pylist()) == 4
        assert overview.cells_with_results(catalog).num_rows == 4
        assert overview.pivot_rows(catalog, "top1").num_rows == 4
        assert cells_to_choose(catalog, ALL).num_rows == 4
        for filters in (ALL, Filters(module=("tam",)), Filters(state=("done",))):
            offered = cells_with_words(catalog, filters, ["tam", "f16"], [], 9).column("key").to_pylist()
            assert offered == [NEW]


def test_a_superseded_cell_that_is_asked_for_is_shown_and_marked(storage: Path) -> None:
    with Catalog.open(storage) as catalog:
        compared = cells_side_by_side(catalog, [OLD, NEW]).to_pylist()
        assert [row["superseded"] for row in compared] == [True, False]
        videos = sum(class_accuracies(catalog, OLD).column("videos").to_pylist())
        assert videos == VIDEOS
        (pair,) = counts_on_same_videos(catalog, [OLD, NEW]).to_pylist()
        assert pair["both"] == LAST_RIGHT and pair["only_second"] == 1


def test_a_cell_that_the_study_has_no_more_is_superseded_by_none(storage: Path) -> None:
    change_study(storage, ["TAM-Tiny-f16"], left_out=["TSN"], writer="driver-3")
    with Catalog.open(storage) as catalog:
        marks = "SELECT key, superseded_by FROM results_all WHERE superseded ORDER BY module, frames"
        assert rows(catalog, marks) == [(OLD, NEW), (key("tsn", 8), None), (key("tsn", 16), None)]
        assert rows(catalog, "SELECT count(*) FROM results") == [(2,)]


def test_an_edit_that_is_taken_back_makes_the_older_result_current_again(storage: Path) -> None:
    change_study(storage, writer="driver-3")
    with Catalog.open(storage) as catalog:
        assert rows(catalog, "SELECT key, superseded_by FROM results_all WHERE superseded") == [(NEW, OLD)]
        assert rows(catalog, f"SELECT count(*) FROM predictions WHERE key = '{OLD}'")[0][0] == 2 * VIDEOS


def test_what_another_study_plans_today_is_current(storage: Path) -> None:
    planned = [event for event in grid_events(GRID) if isinstance(event, CellPlanned) and event.key == OLD]
    submitted = StudySubmitted("another", "a1", 1, "another.yaml", {}, time=GRID.start + 9e6)
    again = replace(planned[0], study="another", submission="a1", time=GRID.start + 9e6 + 1)
    write_quickly(storage, iter([submitted, again]), "driver-9")
    with Catalog.open(storage) as catalog:
        found = rows(catalog, f"SELECT study, key FROM results WHERE cell = '{CELL}' ORDER BY study")
        assert found == [("another", OLD), (GRID.study, NEW)]
        assert rows(catalog, "SELECT count(*) FROM results_all WHERE superseded") == [(0,)]


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_plan_that_is_only_partly_written_hides_no_result(storage: Path, written: int) -> None:
    """A driver was killed while it wrote its plan, or still writes it."""
    planned = [event for event in grid_events(GRID) if isinstance(event, CellPlanned)]
    newest = [replace(event, key=new_key(event.key + "!"), submission="driver-3") for event in planned]
    submitted = StudySubmitted(GRID.study, "driver-3", 4, "small.yaml", {}, time=GRID.start + 9e6)
    events = [replace(event, time=GRID.start + 9e6 + 1) for event in newest[:written]]
    write_quickly(storage, iter([submitted, *events]), "driver-3")
    with Catalog.open(storage) as catalog:
        assert rows(catalog, "SELECT count(*), count(DISTINCT cell) FROM results") == [(4 - written,) * 2]
        assert rows(catalog, "SELECT count(*), count(DISTINCT cell) FROM grid_cells") == [(4, 4)]
        assert rows(catalog, f"SELECT count(*) FROM results WHERE key = '{OLD}'") == [(0,)]


# Which videos


def test_training_videos_are_never_counted_with_those_of_validation(tmp_path: Path) -> None:
    storage = make_storage(tmp_path)
    trained = replace(evaluated(storage, OLD, "f" * 32, VIDEOS), split="train", videos_hash="t" * 64)
    write_quickly(storage, iter([trained]), "evaluate-1")
    with Catalog.open(storage) as catalog:
        counts = {
            "predictions": "count(*)",
            "view_predictions": "count(*)",
            "confusion": "sum(videos)",
            "per_class_accuracy": "sum(videos)",
        }
        for view, count in counts.items():
            by_split = f"SELECT split, {count} FROM {view}{{}} WHERE key = '{OLD}' GROUP BY 1 ORDER BY 1"
            both = (
                [("train", 2 * VIDEOS)]
                if view == "view_predictions"
                else [("train", VIDEOS), ("val", 2 * VIDEOS)]
            )
            assert rows(catalog, by_split.format("_all")) == both
            assert rows(catalog, by_split.format("")) == [("val", VIDEOS) for one, _ in both if one == "val"]
        # Pages that ask for the training videos by name find them.
        of_training = class_accuracies(catalog, OLD, "f" * 32).to_pylist()
        assert [row["top1"] for row in of_training] == [100.0] * len(of_training)
        assert sum(row["videos"] for row in class_accuracies(catalog, OLD).to_pylist()) == VIDEOS


# Which checkpoint


@pytest.mark.parametrize(
    ("report", "right"), [(None, LAST_RIGHT), ("last", LAST_RIGHT), ("best", BEST_RIGHT)]
)
def test_every_number_is_of_the_checkpoint_that_the_study_reports(
    tmp_path: Path, report: str | None, right: int
) -> None:
    storage, which = make_storage(tmp_path, report), report or "last"
    with Catalog.open(storage) as catalog:
        (row,) = catalog.query("FROM results WHERE key = $key", {"key": OLD}).to_pylist()
        top1 = 100.0 * right / VIDEOS
        assert (row["checkpoint"], row["top1"], row["evaluation"]) == (which, top1, f"training:{which}")
        assert (row["top1_last"], row["top1_best"]) == (50.0, 75.0)
        epoch = {"last": 3, "best": 2}[which]
        assert row["epoch"] == epoch
        assert Path(row["predictions"]).name == f"epoch-000{epoch}.parquet"
        assert Path(row["checkpoint_file"]).name == f"epoch-000{epoch}.pt"
        assert row["checkpoint_sha256"] == (None if which == "last" else "0" * 64)
        joined = "SELECT 100.0 * avg(correct::INT) FROM predictions p JOIN results r ON p.key = r.key"
        assert rows(catalog, joined) == [(top1,)]
        assert rows(catalog, "SELECT DISTINCT checkpoint FROM predictions") == [(which,)]
        by_class = (
            "SELECT sum(top1 * videos) / sum(videos), min(checkpoint) FROM per_class_accuracy GROUP BY key"
        )
        assert rows(catalog, by_class) == [(top1, which)] * 4
        taken = "SELECT sum(videos) FROM confusion WHERE label = predicted GROUP BY key"
        assert rows(catalog, taken) == [(right,)] * 4
        assert sum(class_accuracies(catalog, OLD).column("top1").to_pylist()) / 4 == top1
        for view in ("grid_cells", "lineage", "cell_costs"):
            assert rows(catalog, f"SELECT DISTINCT top1, checkpoint FROM {view}") == [(top1, which)]
        accuracies = "SELECT DISTINCT top1 FROM accuracies WHERE source = 'own'"
        assert rows(catalog, accuracies) == [(top1,)]
        assert set(overview.grid_positions(catalog).column("top1").to_pylist()) == {top1}


def test_the_other_checkpoints_predictions_are_there_by_name(tmp_path: Path) -> None:
    with Catalog.open(make_storage(tmp_path)) as catalog:
        right = "SELECT checkpoint, sum(correct::INT) FROM predictions_all WHERE key = $key GROUP BY 1"
        found = catalog.query(f"{right} ORDER BY 1", {"key": OLD}).to_pylist()
        assert [tuple(row.values()) for row in found] == [("best", BEST_RIGHT), ("last", LAST_RIGHT)]
        measured = "SELECT checkpoint, epoch, top1 FROM evaluations WHERE key = $key ORDER BY 1"
        found = catalog.query(measured, {"key": OLD}).to_pylist()
        assert [tuple(row.values()) for row in found] == [("best", 2, 75.0), ("last", 3, 50.0)]


def test_a_study_may_change_what_it_reports(tmp_path: Path) -> None:
    storage = make_storage(tmp_path)
    with Catalog.open(storage) as catalog:
        assert rows(catalog, "SELECT DISTINCT top1 FROM results") == [(50.0,)]
        catalog.query("FROM predictions")
        change_study(storage, report="best")
        catalog.refresh()
        assert rows(catalog, "SELECT DISTINCT top1, checkpoint FROM results") == [(75.0, "best")]
        assert rows(catalog, "SELECT sum(correct::INT) FROM predictions") == [(4 * BEST_RIGHT,)]
        assert rows(catalog, "SELECT DISTINCT top1 FROM accuracies WHERE source = 'own'") == [(75.0,)]


def test_files_of_both_checkpoints_are_those_that_the_journal_names(tmp_path: Path) -> None:
    """Newer drivers write both down; for older journals the other file's name follows from its epoch."""
    storage = make_storage(tmp_path)
    old = next(event for event in study_events(storage, None, LAST_RIGHT) if isinstance(event, CellFinished))
    names = {
        which: {"epoch": epoch, "path": f"{which}.pt", "sha256": which, "predictions": f"{which}.parquet"}
        for which, epoch in (("last", 3), ("best", 2))
    }
    write_quickly(storage, iter([replace(old, checkpoints=names, time=GRID.start + 9e5)]), "driver-2")
    with Catalog.open(storage) as catalog:
        sql = "SELECT checkpoint_file, checkpoint_sha256, predictions FROM results WHERE key = $key"
        (row,) = catalog.query(sql, {"key": old.key}).to_pylist()
        assert tuple(row.values()) == ("last.pt", "last", "last.parquet")


# The command


def printed(storage: Path, *options: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["results", "--storage", str(storage), "--format", "json", *options])
    assert done.exit_code == 0, done.output
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_the_command_shows_todays_results_and_the_others_on_request(storage: Path) -> None:
    assert [row["key"] for row in printed(storage) if row["cell"] == CELL] == [NEW]
    every = printed(storage, "--all")
    assert {row["key"]: row["superseded_by"] for row in every if row["superseded"]} == {OLD: NEW}
    assert len(every) == 5 == 1 + len(printed(storage))
    table = CliRunner().invoke(app, ["results", "--storage", str(storage), "--all"]).stdout
    assert "superseded" in table and "checkpoint" in table


@pytest.mark.parametrize("other", [("--sql", "FROM results"), ("--pivot", "module×frames")])
def test_all_goes_with_no_other_question(storage: Path, other: tuple[str, str]) -> None:
    done = CliRunner().invoke(app, ["results", "--storage", str(storage), "--all", *other])
    assert done.exit_code == 2
