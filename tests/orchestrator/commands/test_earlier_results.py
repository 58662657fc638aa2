"""Results of a study as it was before: `status` and `results` say that they are there, and of what."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from catalog import Catalog
from orchestrator.planning.earlier import earlier_lines
from tests.orchestrator.commands.test_cli import run
from tests.support.finished_study import STUDY, build, finish, submit

MORE_VIDEOS = STUDY.replace("train_per_class: 2", "train_per_class: 3")
OTHER_RECIPE = STUDY.replace("lr: 0.01, crop", "lr: 0.02, crop").replace("set: {lr: 0.01}", "set: {lr: 0.02}")
Printed = pytest.CaptureFixture[str]


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    build(tmp_path)
    finish(tmp_path)
    return tmp_path


def lines(storage: Path, *, everything: bool = False) -> list[str]:
    with Catalog.open(storage) as catalog:
        return earlier_lines(catalog, "lengths", "SHOW", everything=everything)


def test_of_another_version_of_a_dataset(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    assert lines(storage) == []
    build(storage, MORE_VIDEOS)
    submit(storage, MORE_VIDEOS)
    say = "4 earlier results are of another version of dataset toy (8 training videos, now 12): `SHOW` "
    say += "shows them"
    assert lines(storage) == [say]
    shows = say.replace("SHOW", f"actiongrid results --all --storage {storage}")
    assert run(monkeypatch, "status", "--storage", storage) == 0
    assert shows in capsys.readouterr().out.splitlines()
    assert run(monkeypatch, "results", "--storage", storage) == 0
    printed = capsys.readouterr()
    assert printed.out == "", "an empty table says nothing to people"
    none = "no cell of today's studies has finished yet; how far they are: actiongrid status --storage"
    assert printed.err.splitlines() == [
        shows.replace("results are", "results of study lengths are", 1),
        f"{none} {storage}",
    ]
    assert run(monkeypatch, "results", "--all", "--format", "json", "--storage", storage) == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)) == 4 and printed.err == ""


def test_of_another_recipe_and_of_cells_that_are_no_more(storage: Path) -> None:
    submit(storage, OTHER_RECIPE)
    assert lines(storage) == ["4 earlier results are of another recipe (lr 0.01 → 0.02): `SHOW` shows them"]
    finish(storage, OTHER_RECIPE)
    assert lines(storage) == [], "newer results have replaced them"
    submit(storage, OTHER_RECIPE.replace(", 64]", "]"))
    assert lines(storage) == []
    (line,) = lines(storage, everything=True)
    assert line.startswith("5 earlier results (") and "2 of cells that the study has no more" in line


def test_an_empty_answer_says_why_and_machines_read_it_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    (tmp_path / "journal").mkdir()
    assert run(monkeypatch, "results", "--storage", tmp_path) == 0
    assert capsys.readouterr().err.startswith("nothing here yet; start with: actiongrid run demo")
    submit(tmp_path)
    status = f"no cell has finished yet; how far they are: actiongrid status --storage {tmp_path}\n"
    for asked in (("--format", "json"), ("--pivot", "module×frames", "--format", "json")):
        assert run(monkeypatch, "results", *asked, "--storage", tmp_path) == 0
        printed = capsys.readouterr()
        assert (json.loads(printed.out), printed.err) == ([], status)
    assert run(monkeypatch, "results", "--pivot", "module×frames", "--storage", tmp_path) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", status)
    build(tmp_path)
    finish(tmp_path)
    assert run(monkeypatch, "results", "--tag", "poster", "--storage", tmp_path) == 0
    assert capsys.readouterr().err.startswith(
        "no finished cell passes the filter tag=poster; all of them: actiongrid"
    )
    sql = "SELECT * FROM results WHERE top1 > 99"
    assert run(monkeypatch, "results", "--sql", sql, "--format", "json", "--storage", tmp_path) == 0
    printed = capsys.readouterr()
    assert (json.loads(printed.out), printed.err) == ([], "no row matches\n")


def test_a_table_that_is_written_says_where(
    storage: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    for pivot in ((), ("--pivot", "module×frames")):
        target = storage / f"acc{len(pivot)}.tex"
        assert run(monkeypatch, "results", *pivot, "-o", target, "--storage", storage) == 0
        assert capsys.readouterr().out == f"table: {target}\n"
        assert target.read_text().startswith("% needs \\usepackage{booktabs}\n")
        assert "$n$" in target.read_text() or not pivot
    assert run(monkeypatch, "results", "--format", "csv", "-o", "/dev/stdout", "--storage", storage) == 0
    assert "table:" not in capsys.readouterr().out
