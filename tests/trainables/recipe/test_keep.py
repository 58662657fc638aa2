"""Which checkpoints are kept: the rule by itself, and a cell that really trains under it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from catalog.storage.folder_storage import FolderStorage
from tests.support.toy import toy_spec
from tests.trainables.training.test_session import comparable, result_of, train
from trainables.recipe.keep import Keep, KeepPolicy
from trainables.training.checkpoint import is_intact, latest_intact, records, remove, stored_epochs
from trainables.training.result import best_epoch

policies = st.builds(
    KeepPolicy, last=st.integers(1, 5), best=st.booleans(), every=st.none() | st.integers(1, 12)
) | st.builds(KeepPolicy, last=st.just(0), best=st.just(True), every=st.none() | st.integers(1, 12))


class Holder(BaseModel):
    keep: Keep = KeepPolicy()


@given(policies)
def test_a_policy_survives_its_own_text(policy: KeepPolicy) -> None:
    assert KeepPolicy.parse(str(policy)) == policy
    assert Holder.model_validate_json(Holder(keep=policy).model_dump_json(), strict=True).keep == policy


@given(policies, st.integers(1, 60), st.data())
def test_what_a_policy_keeps(policy: KeepPolicy, done: int, data: st.DataObject) -> None:
    best = data.draw(st.integers(1, done))
    kept = policy.epochs(done, best)
    assert kept
    assert kept <= set(range(1, done + 1))
    assert (best in kept) >= policy.best
    assert (done in kept) >= (policy.last > 0)
    assert (
        policy.every is None or {epoch for epoch in range(1, done + 1) if epoch % policy.every == 0} <= kept
    )
    wider = policy.while_training(done, best)
    assert kept | {done, max(1, done - 1), best} <= wider
    # What a training has removed is never asked for again, wherever the best epoch moves.
    assert {epoch for epoch in policy.epochs(done + 1, best) if epoch <= done} <= wider


@given(policies, st.integers(1, 60))
def test_the_forecast_is_the_largest_number_that_can_be_left(policy: KeepPolicy, epochs: int) -> None:
    assert policy.most(epochs) == max(len(policy.epochs(epochs, best)) for best in range(1, epochs + 1))


def test_without_a_word_the_last_two_and_the_best_are_kept() -> None:
    assert KeepPolicy().epochs(9, 3) == {3, 8, 9}
    assert KeepPolicy.parse(["last", "best", "every 10"]) == KeepPolicy.parse("last, best,every 10")
    assert KeepPolicy.parse("last, best, every 10").epochs(75, 12) == {10, 12, 20, 30, 40, 50, 60, 70, 75}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("lst", "'lst' is nothing that can be kept; allowed: last, last N, best, every N"),
        ("last 0", "'last 0' is nothing"),
        ("best 2", "'best 2' is nothing"),
        ("every", "'every' is nothing"),
        ("", "'' is nothing"),
        ("last, last 3", "'last' is given twice"),
        ("every 10", "keeps neither the last checkpoint nor the best"),
    ],
)
def test_a_wrong_policy_says_what_is_allowed(text: str, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        KeepPolicy.parse(text)


def test_a_cell_trains_under_its_policy(toy_data: Path, tmp_path: Path) -> None:
    spec = toy_spec(toy_data, tmp_path, epochs=5, keep=KeepPolicy.parse("last, best, every 2"))
    session = train(spec)
    assert epochs_in(tmp_path) == {2, 4, 5, best_epoch(session.history)}
    assert all(is_intact(record) for record in records(tmp_path))
    remove(FolderStorage(tmp_path), tmp_path, {2})
    assert 2 not in epochs_in(tmp_path)
    assert (tmp_path / "epoch-0002.parquet").exists()
    assert result_of(spec).last_epoch == 5


KILLED_BEFORE_PRUNING = """
import os, sys
from pathlib import Path
import trainables.training.session as session
from tests.trainables.training.test_session import train
from trainables.recipe.cell_spec import CellSpec
spec = CellSpec.model_validate_json(Path(sys.argv[1]).read_text())
whole = session.prune
session.prune = lambda directory, keep: os._exit(9) if 3 in keep else whole(directory, keep)
train(spec)
"""


def test_a_kill_between_the_new_checkpoint_and_the_pruning_loses_nothing(
    toy_data: Path, tmp_path: Path
) -> None:
    undisturbed = toy_spec(toy_data, tmp_path / "undisturbed", epochs=4, keep=KeepPolicy.parse("last"))
    train(undisturbed)
    spec = undisturbed.model_copy(update={"run_dir": str(tmp_path / "killed")})
    (tmp_path / "spec.json").write_text(spec.model_dump_json())
    command = [sys.executable, "-c", KILLED_BEFORE_PRUNING, str(tmp_path / "spec.json")]
    assert subprocess.run(command, check=False).returncode == 9
    newest = latest_intact(tmp_path / "killed")
    assert newest is not None
    assert newest.epoch == 3
    assert {1, 2, 3} <= epochs_in(tmp_path / "killed"), "nothing goes before the new one stands"
    assert train(spec).first_epoch == 5
    assert comparable(result_of(spec).history) == comparable(result_of(undisturbed).history)
    assert epochs_in(tmp_path / "killed") == stored_epochs(FolderStorage(tmp_path), tmp_path / "undisturbed")


def epochs_in(folder: Path) -> frozenset[int]:
    return stored_epochs(FolderStorage(folder), folder)
