"""One cell trained for real, without Ray: resumed equals undisturbed, child starts from parent."""

from __future__ import annotations

import errno
import importlib.metadata
import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from tests.support.toy import EVALUATION, build_toy, toy_spec
from trainables.data.clips.ring import Batch
from trainables.data.datasets import SyntheticAppearance
from trainables.data.frames.manifest import Video, hold_out, read_manifest
from trainables.data.ingest.build import build_dataset
from trainables.recipe.cell_spec import CellSpec, ParentCheckpoint
from trainables.training.checkpoint import latest_intact, load_state
from trainables.training.initialise import ParentMismatchError
from trainables.training.predictions import read_predictions
from trainables.training.result import CellResult, best_epoch, read_result
from trainables.training.session import CellSession, NothingHeldOutError
from trainables.training.step import DivergedError

NOT_COMPARED = (
    "train_seconds",
    "eval_seconds",
    "clips_per_second",
    "eval_clips_per_second",
    "peak_memory_bytes",
    "wait_seconds",
    "cpu_seconds",
    "resident_bytes",
)


def train(spec: CellSpec, until: int | None = None) -> CellSession:
    torch.set_num_threads(1)
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)
    for epoch in range(session.first_epoch, (until or spec.recipe.epochs) + 1):
        session.train_epoch(epoch)
    if until is None:
        session.finish()
    return session


def result_of(spec: CellSpec) -> CellResult:
    result = read_result(Path(spec.run_dir), spec.key)
    assert result is not None
    return result


def comparable(history: Any) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in NOT_COMPARED} for row in history]


def newest_state(spec: CellSpec) -> dict[str, Any]:
    newest = latest_intact(Path(spec.run_dir))
    assert newest is not None
    return load_state(Path(newest.path), newest.sha256)


def weights(spec: CellSpec) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = newest_state(spec)["model"]
    return state


def parent_of(spec: CellSpec, which: str = "last", recheck: int = 5) -> ParentCheckpoint:
    result = result_of(spec)
    chosen = result.checkpoint(which)
    return ParentCheckpoint(
        key=spec.key,
        cell=spec.cell,
        path=str(Path(spec.run_dir) / chosen["path"]),
        sha256=chosen["sha256"],
        frames=spec.frames,
        epoch=int(chosen["epoch"]),
        evaluation=EVALUATION,
        predictions_path=str(Path(spec.run_dir) / chosen["predictions"]),
        recheck_videos=recheck,
    )


@pytest.fixture(scope="module")
def trained(toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> CellSpec:
    spec = toy_spec(toy_data, tmp_path_factory.mktemp("trained"))
    train(spec)
    return spec


def test_the_result_says_what_was_done(trained: CellSpec) -> None:
    result = result_of(trained)
    assert [int(row["epoch"]) for row in result.history] == [1, 2, 3]
    assert result.eval_videos == 12
    assert result.train_videos == 16
    assert result.history[0]["lr"] == pytest.approx(0.05)
    assert 90_000 < result.params < 350_000
    assert result.versions["torch"].startswith("2.15")
    predictions = read_predictions(Path(trained.run_dir) / result.checkpoint("last")["predictions"])
    assert predictions.index.tolist() == list(range(12))
    assert predictions.accuracy(1) == pytest.approx(result.history[-1]["top1"])


def test_a_checkpoint_says_where_its_training_goes_on(trained: CellSpec) -> None:
    state, last = newest_state(trained), result_of(trained).history[-1]
    assert state["schedule"] == {"epoch": 3, "lr": last["lr"]}
    assert state["rng"] == {"seed": trained.seed, "next_epoch": 4}


def test_every_prediction_names_its_video(trained: CellSpec) -> None:
    path = Path(trained.run_dir) / result_of(trained).checkpoint("best")["predictions"]
    rows = pq.read_table(path, columns=["index", "video", "label"]).to_pylist()
    videos = read_manifest(Path(trained.manifest)).split("val")
    assert [(row["video"], row["label"]) for row in rows] == [(one.path, one.label) for one in videos]
    assert (
        len({row["video"] for row in rows}) == 12 == len([row for row in rows if Path(row["video"]).exists()])
    )


def test_interrupted_equals_uninterrupted_bit_for_bit(
    trained: CellSpec, toy_data: Path, tmp_path: Path
) -> None:
    spec = toy_spec(toy_data, tmp_path)
    for epoch in (1, 2):
        session = CellSession.open(spec, rank=0, world=1, local_rank=0)
        assert session.first_epoch == epoch, "an epoch that stands on disk is not trained again"
        row = session.train_epoch(epoch)
        assert row == session.history[-1], "what is reported is what is recorded"
    resumed = train(spec)
    assert resumed.first_epoch == 4
    assert comparable(result_of(spec).history) == comparable(result_of(trained).history)
    expected = weights(trained)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(spec).items())


def test_a_damaged_last_checkpoint_costs_one_epoch_and_changes_nothing(
    trained: CellSpec, toy_data: Path, tmp_path: Path
) -> None:
    spec = toy_spec(toy_data, tmp_path)
    train(spec, until=2)
    (tmp_path / "epoch-0002.pt").write_bytes(b"torn")
    train(spec)
    assert comparable(result_of(spec).history) == comparable(result_of(trained).history)


def test_another_seed_gives_other_weights(trained: CellSpec, toy_data: Path, tmp_path: Path) -> None:
    spec = toy_spec(toy_data, tmp_path, seed=1, epochs=1)
    train(spec)
    assert result_of(spec).history[0]["train_loss"] != result_of(trained).history[0]["train_loss"]


def test_accumulation_keeps_the_batch(toy_data: Path, tmp_path: Path) -> None:
    losses = []
    for pieces in (1, 4):
        spec = toy_spec(
            toy_data, tmp_path / str(pieces), module="tsn", epochs=1, accumulate=pieces, dropout=0.0
        )
        train(spec)
        losses.append(result_of(spec).history[0]["train_loss"])
    # Batch statistics are of a piece, so the losses are close, not equal.
    assert losses[0] == pytest.approx(losses[1], rel=0.2)


def test_a_child_goes_on_from_its_parents_weights(trained: CellSpec, toy_data: Path, tmp_path: Path) -> None:
    spec = toy_spec(
        toy_data, tmp_path, cell="TAM-Tiny-f16@toy", key="c" * 32, frames=16, parent=parent_of(trained)
    )
    torch.set_num_threads(1)
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)
    expected = weights(trained)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in session.model.state_dict().items())
    assert session.parent_top1 is not None


def test_one_video_is_enough_to_measure_a_parent_again(
    trained: CellSpec, toy_data: Path, tmp_path: Path
) -> None:
    spec = toy_spec(toy_data, tmp_path, frames=16, parent=parent_of(trained, recheck=1))
    assert CellSession.open(spec, rank=0, world=1, local_rank=0).parent_top1 in (0.0, 100.0)


@pytest.fixture(scope="module")
def other_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes that the parent has never seen."""
    folder = tmp_path_factory.mktemp("other")
    config = SyntheticAppearance(kind="synthetic-appearance", train_per_class=4, val_per_class=2)
    build_dataset(config, "other", folder)
    return folder


def on_other_data(trained: CellSpec, toy_data: Path, other_data: Path, run_dir: Path) -> CellSpec:
    parent = parent_of(trained).model_copy(
        update={"manifest": str(toy_data / "manifest.parquet"), "num_classes": trained.num_classes}
    )
    return toy_spec(
        other_data, run_dir, dataset="other", num_classes=7, epochs=2, key="d" * 32, parent=parent
    )


def test_a_child_on_another_dataset_inherits_all_but_the_head(
    trained: CellSpec, toy_data: Path, other_data: Path, tmp_path: Path
) -> None:
    spec = on_other_data(trained, toy_data, other_data, tmp_path)
    torch.set_num_threads(1)
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)
    expected = weights(trained)
    changed = {
        name
        for name, tensor in session.model.state_dict().items()
        if tensor.shape != expected[name].shape or not torch.equal(tensor, expected[name])
    }
    assert changed == set(session.fresh or ()) == {"fc.bias", "fc.weight"}
    assert session.model.fc.weight.shape[0] == 7
    # Measured as the parent was: on its own videos, over its own classes.
    assert session.parent_top1 is not None


def test_the_result_names_what_was_not_inherited(
    trained: CellSpec, toy_data: Path, other_data: Path, tmp_path: Path
) -> None:
    spec = on_other_data(trained, toy_data, other_data, tmp_path)
    train(spec, until=1)
    train(spec)
    assert result_of(spec).fresh == ("fc.bias", "fc.weight")
    assert result_of(trained).fresh is None


def test_a_parent_on_other_classes_must_be_the_same_architecture(
    trained: CellSpec, toy_data: Path, other_data: Path, tmp_path: Path
) -> None:
    spec = on_other_data(trained, toy_data, other_data, tmp_path).model_copy(update={"module": "i3d"})
    with pytest.raises(ParentMismatchError, match=r"does not fit this model; .*trunk.*\.weight"):
        CellSession.open(spec, rank=0, world=1, local_rank=0)


def test_a_child_refuses_a_changed_parent_file(trained: CellSpec, toy_data: Path, tmp_path: Path) -> None:
    parent = parent_of(trained).model_copy(update={"sha256": "0" * 64})
    spec = toy_spec(toy_data, tmp_path, frames=16, parent=parent)
    with pytest.raises(ParentMismatchError, match="does not match its checksum"):
        CellSession.open(spec, rank=0, world=1, local_rank=0)


def test_a_child_of_another_architecture_names_the_tensors(
    trained: CellSpec, toy_data: Path, tmp_path: Path
) -> None:
    spec = toy_spec(toy_data, tmp_path, module="i3d", frames=16, parent=parent_of(trained))
    with pytest.raises(ParentMismatchError, match=r"does not fit this model; .*\.weight"):
        CellSession.open(spec, rank=0, world=1, local_rank=0)


def test_a_parent_that_measures_otherwise_is_refused(
    trained: CellSpec, toy_data: Path, tmp_path: Path
) -> None:
    """Weights that do not give the recorded predictions: here the recorded ones are falsified."""
    from dataclasses import replace

    from trainables.training.predictions import write_predictions

    parent = parent_of(trained, recheck=12)
    recorded = read_predictions(Path(parent.predictions_path))
    falsified = tmp_path / "falsified.parquet"
    write_predictions(replace(recorded, top=(recorded.top + 1) % 4), falsified)
    spec = toy_spec(
        toy_data,
        tmp_path / "child",
        frames=16,
        parent=parent.model_copy(update={"predictions_path": str(falsified)}),
    )
    with pytest.raises(ParentMismatchError, match="predictions differ"):
        CellSession.open(spec, rank=0, world=1, local_rank=0)


def test_a_result_of_another_key_is_no_result(trained: CellSpec) -> None:
    assert read_result(Path(trained.run_dir), "x" * 32) is None
    assert json.loads((Path(trained.run_dir) / "result.json").read_text())["key"] == trained.key


def test_a_loss_that_is_no_number_fails_the_cell(toy_data: Path, tmp_path: Path) -> None:
    from trainables.training.step import DivergedError

    spec = toy_spec(toy_data, tmp_path, lr=1e20, epochs=2)
    with pytest.raises(DivergedError, match=r"lower recipe\.lr"):
        train(spec)


def test_held_out_training_videos_choose_the_best_epoch_and_are_not_trained_on(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainables.data.clips import loader

    spec = toy_spec(toy_data, tmp_path, choose_on=0.25, epochs=2)
    kept, held = hold_out(read_manifest(Path(spec.manifest)).split("train"), 0.25)
    assert (len(kept), len(held)) == (12, 4)
    trained_on: set[str] = set()
    draw = loader.train_clip

    def noted(video: Video, *others: Any) -> Any:
        trained_on.add(video.sha256)
        return draw(video, *others)

    monkeypatch.setattr(loader, "train_clip", noted)
    session = train(spec)
    assert trained_on and trained_on <= {video.sha256 for video in kept}
    result = result_of(spec)
    assert (result.train_videos, result.eval_videos, result.choose_videos, result.choose_on) == (
        12,
        12,
        4,
        0.25,
    )
    # The row of the last epoch is of the very model that stands now, on the videos held out.
    measured = session._predictions(held)
    last = result.history[-1]
    videos = result.eval_videos + result.choose_videos
    assert last["eval_clips_per_second"] * last["eval_seconds"] == pytest.approx(videos)
    assert result.history[-1]["choose_top1"] == measured.accuracy(1)
    assert result.history[-1]["choose_loss"] == pytest.approx(measured.mean_loss)
    predictions = read_predictions(Path(spec.run_dir) / result.checkpoint("last")["predictions"])
    assert len(predictions.index) == 12, "what is reported is of the validation videos"


def test_the_best_epoch_is_the_one_that_the_held_out_videos_chose() -> None:
    rows = [{"top1": 10.0, "choose_top1": 30.0}, {"top1": 50.0, "choose_top1": 20.0}]
    assert best_epoch(rows) == 1
    assert best_epoch([{"top1": row["top1"]} for row in rows]) == 2
    equals = [{"top1": top1} for top1 in (10.0, 50.0, math.nan, 50.0)]
    assert best_epoch(equals) == 2, "the earliest of equals"
    assert best_epoch([{"top1": math.nan}, {"top1": 0.0}]) == 2


def test_nothing_to_hold_out_is_said_in_words(tmp_path: Path) -> None:
    build_toy(tmp_path / "one", train=1, val=1)
    with pytest.raises(NothingHeldOutError, match="no class has two"):
        CellSession.open(toy_spec(tmp_path / "one", tmp_path / "run", choose_on=0.1), 0, 1, 0)


def test_what_has_no_version_costs_no_epoch(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_metadata(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", without_metadata)
    spec = toy_spec(toy_data, tmp_path / "run", epochs=1)
    train(spec)
    versions = result_of(spec).versions
    assert versions["actiongrid"] == "unknown"
    assert versions["torch"] == torch.__version__


def test_all_that_stands_beside_a_result_is_known_before_the_first_step(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = toy_spec(toy_data, tmp_path / "run", epochs=1)
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)

    def too_late(*_: object) -> None:
        raise OSError(errno.EIO, "looked up after training")

    for name in ("trainables.training.result.library_versions", "trainables.training.result.hardware"):
        monkeypatch.setattr(name, too_late)
    monkeypatch.setattr("trainables.models.macs.model_cost", too_late)
    session.train_epoch(1)
    session.finish()
    assert result_of(spec).params > 0


def test_a_loss_that_is_no_number_ends_the_epoch_at_that_step(
    toy_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = toy_spec(toy_data, tmp_path / "run", epochs=1, batch_size=2)
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)
    run = session.step.run
    steps = []

    def broken(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        loss, right = run(batch)
        steps.append(batch)
        return (loss * math.nan if len(steps) == 3 else loss), right

    object.__setattr__(session.step, "run", broken)
    with pytest.raises(DivergedError, match="after step 3 of epoch 1"):
        session.train_epoch(1)
    assert len(steps) == 3
