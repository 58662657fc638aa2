"""What has to run after an edit, and why, on a catalog that holds finished cells."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from catalog import Catalog
from orchestrator.planning.plan_model import State
from tests.support.finished_study import NAMES, STUDY, build, finish, plan
from trainables.data.clips import sampling

F8, F16, F32, F64 = NAMES
FASTER = STUDY.replace("set: {lr: 0.01}", "set: {lr: 0.02}")
REFORMATTED = """\
# the same experiment in other words
evaluation: {short_side: 36, crop_size: 32, batch_size: 3}
name: lengths
recipe:
  starter: {epochs: 2}
  finetune: {epochs: 2}
  base: {inherit: last, crop_size: 32, lr: 1.0e-2, batch_size: 8, init: random, momentum: 0.9}
datasets:
  toy:
    kind: synthetic-motion
    val_per_class: 1
    train_per_class: 2
axes:
  dataset: toy
  frames: [64, 8, 32, 16]
  backbone: tiny
  module: tam
retries: 5
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four cells of the chain are done."""
    storage = tmp_path_factory.mktemp("finished")
    build(storage)
    finish(storage)
    return storage


@pytest.fixture
def storage(finished: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(finished, tmp_path / "storage"))


def states(storage: Path, text: str) -> dict[str, tuple[str, str]]:
    return {name: (str(one.state), one.reason) for name, one in plan(storage, text).items()}


def test_another_lr_at_16_frames_reruns_16_32_and_64_and_says_why(finished: Path) -> None:
    why = "recipe changed at stage f16, field recipe.lr (0.01 → 0.02)"
    assert states(finished, FASTER) == {
        F8: ("done", "trained before"),
        F16: ("to run", why),
        F32: ("to run", f"parent changed: {why}"),
        F64: ("to run", f"parent changed: {why}"),
    }


def test_a_reformatted_file_reruns_nothing(finished: Path) -> None:
    assert set(states(finished, REFORMATTED).values()) == {("done", "trained before")}


def test_a_cell_that_changed_as_well_as_its_parent_says_both(finished: Path) -> None:
    longer = STUDY.replace("epochs: 2", "epochs: 3")
    reasons = {name: reason for name, (_, reason) in states(finished, longer).items()}
    why = "field recipe.epochs (2 → 3)"
    assert reasons[F8] == f"recipe changed at stage f8, {why}"
    assert reasons[F64] == f"recipe changed at stage f64, {why}; its parent changed too"


def test_what_else_changed_is_listed_by_kind(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "VERSION", "9")
    edited = STUDY.replace("train_per_class: 2", "train_per_class: 3").replace("epochs: 2", "epochs: 3")
    storage = finished.parent / "other"
    shutil.copytree(finished, storage)
    build(storage, edited)
    reason = plan(storage, edited)[F8].reason
    assert reason.startswith(
        "code, training data and recipe changed at stage f8, fields data.sampling_version (1"
    )
    assert "recipe.epochs (2 → 3)" in reason


def test_another_chain_names_the_parent_of_before(finished: Path) -> None:
    shorter = STUDY.replace("[8, 16, 32, 64]", "[8, 32, 64]")
    reasons = {name: reason for name, (_, reason) in states(finished, shorter).items()}
    assert reasons[F32] == f"parent changed: it was {F16}, now {F8}"
    assert reasons[F64] == f"parent changed: that of {F32} was {F16}, now {F8}"


def test_a_changed_rule_of_the_code_is_named(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "VERSION", "9")
    reasons = {name: reason for name, (_, reason) in states(finished, STUDY).items()}
    assert reasons[F8] == "code changed at stage f8, field data.sampling_version (1 → 9)"


def test_a_comparison_with_another_study_says_so(finished: Path) -> None:
    reasons = states(finished, FASTER.replace("name: lengths", "name: rates"))
    assert reasons[F16][1].endswith("(0.01 → 0.02); compared with study lengths")


def test_the_nearest_finished_cell_is_the_one_compared_with(storage: Path) -> None:
    slow = STUDY.replace("lr: 0.01", "lr: 0.5").replace("epochs: 2", "epochs: 7")
    first = finish(storage, slow)
    planned = plan(storage, slow.replace("epochs: 7", "epochs: 8"))
    assert planned[F8].supersedes == {one.cell.name: one.key for one in first.cells}[F8]
    assert [one.field for one in planned[F8].differences] == ["recipe.epochs"]
    assert planned[F8].reason == "recipe changed at stage f8, field recipe.epochs (7 → 8)"


def test_what_ran_after_the_edit_is_done_and_an_edit_taken_back_finds_the_old_results(storage: Path) -> None:
    finish(storage, FASTER)
    assert {state for state, _ in states(storage, FASTER).values()} == {"done"}
    assert {state for state, _ in states(storage, STUDY).values()} == {"done"}


def test_results_of_an_older_key_stay_and_are_marked(storage: Path) -> None:
    finish(storage, FASTER, top1=60.0)
    with Catalog.open(storage) as catalog:
        sql = "SELECT cell, current, top1 FROM results_all ORDER BY frames, current"
        rows = catalog.query(sql).to_pylist()
        assert catalog.query("SELECT top1 FROM results ORDER BY frames").column("top1").to_pylist() == [
            *(50.0, 60.0, 60.0, 60.0)
        ]
    assert [(row["cell"], row["current"], row["top1"]) for row in rows] == [
        (F8, True, 50.0),
        *(
            (name, current, top1)
            for name in (F16, F32, F64)
            for current, top1 in ((False, 50.0), (True, 60.0))
        ),
    ]


def test_a_new_name_is_new(finished: Path) -> None:
    planned = plan(finished, STUDY.replace("[tam]", "[tam, tsn]"))
    assert planned["TSN-Tiny-f8@toy"].reason == "new"
    assert planned["TSN-Tiny-f8@toy"].supersedes is None
    assert planned[F8].state is State.DONE
