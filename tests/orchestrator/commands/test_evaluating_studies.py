"""Studies that evaluate finished cells: their files, their plans, and what they measure (without Ray)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from catalog import Catalog
from catalog.events import AttemptStarted
from orchestrator.cli import main
from orchestrator.evaluation import evaluation as evaluating
from orchestrator.evaluation.evaluation import Evaluated
from orchestrator.evaluation.of_study import cells_of_study
from orchestrator.study.cells import expand
from orchestrator.study.errors import StudyError
from orchestrator.study.load import load_study, parse_study
from tests.support.finished_cell import CELL, KEY, append, planned, train_cell
from trainables.recipe.cell_spec import CellSpec

CLIPS = """\
name: clips
evaluates:
  - study: toy
    where: {module: tam, recipe.sampling: uniform}
    protocols:
      - {sampling: dense, clips: [1, 2, 10], crops: 3}
      - {average: softmax}
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> CellSpec:
    return train_cell(tmp_path_factory.mktemp("trained") / "storage")


@pytest.fixture
def storage(spec: CellSpec, tmp_path: Path) -> Path:
    shutil.copytree(Path(spec.run_dir).parent.parent, tmp_path / "storage")
    return tmp_path / "storage"


def cli(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["actiongrid", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def written(folder: Path, text: str = CLIPS) -> Path:
    path = folder / "clips.yaml"
    path.write_text(text)
    return path


def test_a_study_without_axes_has_no_cells() -> None:
    study = parse_study(CLIPS, "clips.yaml")
    assert not study.trains and expand(study) == ()
    protocols = [fields for one in study.evaluates[0].protocols for fields in one.fields()]
    dense = {"sampling": "dense", "crops": 3}
    assert protocols == [*({**dense, "clips": clips} for clips in (1, 2, 10)), {}]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\nrecipe: {base: {lr: 0.1}}\n", "axes: missing"),
        (CLIPS + "recipe: {base: {lr: 0.1}}\n", "recipe: of no use without axes: the study trains nothing"),
        ("name: x\nevaluates: [{protocols: [{clips: 2}]}]\n", "evaluates[0].study: missing; name the study"),
        (CLIPS.replace("crops: 3", "crops: 4"), "crops: 4 is not one of them"),
        (CLIPS.replace("recipe.sampling", "recipe.smapling"), "smapling"),
        (CLIPS.replace("tam", "tamm"), "unknown module 'tamm'"),
        (CLIPS.replace("crops: 3", "crop_size: 64, short_side: 32"), "64 is larger than short_side"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, says: str) -> None:
    with pytest.raises(StudyError) as raised:
        parse_study(text, "x.yaml")
    assert says in str(raised.value)


def test_cells_are_chosen_as_they_were_trained(storage: Path, spec: CellSpec) -> None:
    other = spec.model_copy(update={"cell": "TSN-Tiny-f8@toy", "key": "n" * 32, "module": "tsn"})
    append(storage, planned(other, "h"), AttemptStarted(other.key, 1, "driver-2", "h", "r"))

    def found(text: str) -> tuple[list[str], Sequence[str]]:
        with Catalog.open(storage) as catalog:
            (one,) = cells_of_study(parse_study(text, "x.yaml"), catalog)
            return [cell.cell for cell in one.finished], one.unfinished

    assert found(CLIPS) == ([CELL], ())
    assert found(CLIPS.replace("uniform", "dense")) == ([], ()), "another recipe's cells are not meant"
    assert found(CLIPS.replace("module: tam, ", "")) == ([CELL], (other.cell,))


def test_the_plan_says_that_nothing_is_trained(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(monkeypatch, "plan", written(tmp_path), "--storage", storage) == 0
    said = capsys.readouterr().out
    assert "clips: trains nothing" in said and "evaluates cells of toy: 1 of 1 finished; protocols: 4" in said
    assert cli(monkeypatch, "plan", written(tmp_path), "--storage", storage, "--json") == 0
    row = {"study": "toy", "finished": [CELL], "unfinished": [], "measurements": 4}
    assert json.loads(capsys.readouterr().out) == {"study": "clips", "cells": [], "evaluates": [row]}


def test_a_run_measures_each_finished_cell_with_each_protocol(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, object], str]] = []

    def measure(pairs: Sequence[tuple[object, object]], *_: object, **__: object) -> tuple[Evaluated, ...]:
        for cell, wanted in pairs:
            asked.append((cell.key, wanted.protocol, wanted.average))  # type: ignore[attr-defined]
        return ()

    monkeypatch.setattr(evaluating, "evaluate_each", measure)
    assert cli(monkeypatch, "run", written(tmp_path), "--storage", storage) == 0
    dense = {"sampling": "dense", "crops": 3}
    several = [(KEY, {**dense, "clips": clips}, "logits") for clips in (1, 2, 10)]
    assert asked == [*several, (KEY, {}, "softmax")]


def test_a_study_that_was_never_run_is_named_with_its_command(
    storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = written(tmp_path, CLIPS.replace("study: toy", "study: sota"))
    assert cli(monkeypatch, "run", study, "--storage", storage) == 2
    said = capsys.readouterr().err
    assert "no cells of study sota to evaluate: it was never run on this storage" in said
    assert f"actiongrid run sota --storage {storage}" in said
    study = written(tmp_path, CLIPS.replace("module: tam", "module: i3d"))
    assert cli(monkeypatch, "run", study, "--storage", storage) == 2
    assert "none of its 1 cells matches" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "cells"), [("clips", [3, 3]), ("spatial-temporal", [288])])
def test_the_studies_without_training_name_cells_of_shipped_studies(name: str, cells: list[int]) -> None:
    study = load_study(name)
    assert not study.trains
    for one, expected in zip(study.evaluates, cells, strict=True):
        assert one.study is not None
        known = [cell.axes for cell in expand(load_study(one.study))]
        assert sum(one.where is None or one.where.matches(axes) for axes in known) == expected
