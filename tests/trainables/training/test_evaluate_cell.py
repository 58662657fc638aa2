"""Evaluating a trained cell without Ray: averages, pieces, shares, and what is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from tests.support.toy import toy_spec
from trainables.data.clips.loader import eval_batches
from trainables.data.frames.manifest import read_manifest
from trainables.data.frames.store_reader import open_reader
from trainables.recipe.cell_spec import Average, CellSpec, Evaluation, EvaluationSpec
from trainables.training.checkpoint import CheckpointError
from trainables.training.evaluate import Views, predict
from trainables.training.evaluate_cell import (
    EvaluationResult,
    measure,
    read_evaluation,
    result_path,
)
from trainables.training.execution.device import Compute, Normalisation
from trainables.training.predictions import Predictions, join_shares, read_predictions
from trainables.training.result import read_result
from trainables.training.session import CellSession

PROTOCOL = Evaluation(sampling="dense", clips=2, crops=3, crop_size=32, short_side=36, batch_size=4)


@pytest.fixture(scope="module")
def trained(toy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> CellSpec:
    torch.set_num_threads(1)
    spec = toy_spec(toy_data, tmp_path_factory.mktemp("trained"), epochs=1)
    session = CellSession.open(spec, rank=0, world=1, local_rank=0)
    session.train_epoch(1)
    session.finish()
    return spec


def evaluation_of(
    trained: CellSpec, protocol: Evaluation = PROTOCOL, average: Average = "logits"
) -> EvaluationSpec:
    result = read_result(Path(trained.run_dir), trained.key)
    assert result is not None
    chosen = result.checkpoint("last")
    return EvaluationSpec(
        cell=trained.model_copy(update={"evaluation": protocol}),
        identity=f"{average}{protocol.batch_size:06d}" + "0" * 20,
        checkpoint=str(Path(trained.run_dir) / chosen["path"]),
        sha256=chosen["sha256"],
        which="last",
        epoch=1,
        average=average,
        split="val",
        videos_hash="v",
    )


def measured(spec: EvaluationSpec) -> tuple[EvaluationResult, Predictions]:
    result = measure(spec, rank=0, world=1, local_rank=0)
    assert result is not None
    table = result_path(Path(spec.cell.run_dir), spec.identity).parent / result.predictions
    return result, read_predictions(table)


class Brightness(nn.Module):
    """Four classes whose logits are simple, known functions of a clip's mean."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        mean = clips.mean(dim=(1, 2, 3, 4)) * 2
        return torch.stack([mean, mean.square(), -mean, 1 - mean], dim=1)


def known_predictions(trained: CellSpec, views: Views) -> tuple[Predictions, np.ndarray]:
    """What `predict` says of the model above, and its logits (videos, views, 4) computed view by view."""
    path = Path(trained.manifest)
    manifest = read_manifest(path)
    compute, norm = Compute(torch.device("cpu"), bf16=False), Normalisation.of("tsn", "tiny")
    videos, reader = manifest.split("val"), open_reader(manifest, path)

    def batches() -> object:
        return eval_batches(videos, PROTOCOL, 8, reader, rank=0, world=1)

    found = predict(Brightness(), batches(), compute, norm, views)  # type: ignore[arg-type]
    logits = []
    for batch in batches():  # type: ignore[attr-defined]
        clips = compute.inputs(batch, norm).numpy()
        for clip in clips:
            mean = float(clip.mean(dtype=np.float64)) * 2
            logits.append([mean, mean * mean, -mean, 1 - mean])
    return found, np.array(logits).reshape(len(videos), 6, 4)


@pytest.mark.parametrize("average", ["logits", "softmax"])
def test_the_mean_over_views_is_of_logits_or_of_probabilities(trained: CellSpec, average: Average) -> None:
    found, logits = known_predictions(trained, Views(average, keep=True))
    views = logits
    if average == "softmax":
        powers = np.exp(logits - logits.max(axis=2, keepdims=True))
        views = powers / powers.sum(axis=2, keepdims=True)
    mean = views.mean(axis=1)
    order = np.argsort(-mean, axis=1)
    assert found.top.tolist() == order.tolist()
    assert found.scores == pytest.approx(np.take_along_axis(mean, order, axis=1), abs=1e-4)
    assert found.view_top.tolist() == views.argmax(axis=2).tolist()
    assert found.view_score == pytest.approx(views.max(axis=2), abs=1e-4)
    chosen = mean[np.arange(len(mean)), found.label]
    expected = np.log(np.exp(mean).sum(axis=1)) - chosen if average == "logits" else -np.log(chosen)
    assert found.loss == pytest.approx(expected, abs=1e-4)
    assert not np.allclose(logits[:, 0], logits[:, 5]), "views differ, or this test shows nothing"


def test_views_are_dropped_unless_they_are_asked_for(trained: CellSpec) -> None:
    found, _ = known_predictions(trained, Views())
    assert found.view_top.shape == found.view_score.shape == (12, 0)


class Ranks(nn.Module):
    """Seven classes, each better than the one before it."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return torch.arange(7.0).repeat(len(clips), 1)


def test_of_many_classes_the_five_best_are_kept(trained: CellSpec) -> None:
    path = Path(trained.manifest)
    manifest = read_manifest(path)
    batches = eval_batches(manifest.split("val"), PROTOCOL, 8, open_reader(manifest, path), rank=0, world=1)
    compute = Compute(torch.device("cpu"), bf16=False)
    found = predict(Ranks(), batches, compute, Normalisation.of("tsn", "tiny"))
    assert found.top.tolist() == found.scores.tolist() == [[6, 5, 4, 3, 2]] * 12


def test_a_batch_in_pieces_gives_the_same_numbers(trained: CellSpec) -> None:
    seen: list[int] = []

    class Watched(Brightness):
        def forward(self, clips: torch.Tensor) -> torch.Tensor:
            seen.append(len(clips))
            return super().forward(clips)

    whole, _ = known_predictions(trained, Views(keep=True))
    pieces, _ = known_predictions(trained, Views(keep=True, at_once=4))
    assert pieces.scores == pytest.approx(whole.scores, abs=1e-6)
    assert pieces.view_top.tolist() == whole.view_top.tolist()
    path = Path(trained.manifest)
    manifest = read_manifest(path)
    compute, norm = Compute(torch.device("cpu"), bf16=False), Normalisation.of("tsn", "tiny")
    batches = eval_batches(
        manifest.split("val")[:2], PROTOCOL, 8, open_reader(manifest, path), rank=0, world=1
    )
    predict(Watched(), batches, compute, norm, Views(at_once=4))
    assert seen == [4, 2, 4, 2], "six views of a video, never more than four at once"


def test_a_result_is_written_whole_and_found_again(trained: CellSpec) -> None:
    spec = evaluation_of(trained)
    result, predictions = measured(spec)
    assert (result.videos, result.views, result.asked) == (12, 6, spec)
    assert predictions.view_top.shape == (12, 6)
    assert result.top1 == predictions.accuracy(1) and result.loss == predictions.mean_loss
    path = result_path(Path(trained.run_dir), spec.identity)
    assert read_evaluation(Path(trained.run_dir), spec.identity) == result
    table = pq.read_table(path.with_suffix(".parquet"))
    videos = read_manifest(Path(trained.manifest)).split("val")
    assert table["video"].to_pylist() == [video.path for video in videos]
    assert sorted(one.name for one in path.parent.iterdir() if one.name.startswith(path.stem)) == [
        path.name,
        path.with_suffix(".parquet").name,
    ]
    other = spec.identity[:12] + "f" * 2
    assert read_evaluation(Path(trained.run_dir), other) is None
    path.with_suffix(".parquet").unlink()
    assert read_evaluation(Path(trained.run_dir), spec.identity) is None
    path.write_text(json.dumps({"identity": spec.identity}))
    assert read_evaluation(Path(trained.run_dir), spec.identity) is None


def test_the_trainings_own_protocol_measures_the_same(trained: CellSpec) -> None:
    result, predictions = measured(evaluation_of(trained, trained.evaluation))
    recorded = read_predictions(Path(trained.run_dir) / "epoch-0001.parquet")
    assert predictions.top.tolist() == recorded.top.tolist()
    assert predictions.scores == pytest.approx(recorded.scores, abs=1e-5)
    assert result.views == 1


def test_softmax_scores_are_probabilities_and_the_loss_is_theirs(trained: CellSpec) -> None:
    _, softmax = measured(evaluation_of(trained, average="softmax"))
    assert np.all((softmax.scores > 0) & (softmax.scores < 1))
    assert softmax.scores.sum(axis=1) == pytest.approx(np.ones(12), abs=1e-5), "four classes, all kept"
    of_label = softmax.scores[softmax.top == softmax.label[:, None]]
    assert softmax.loss == pytest.approx(-np.log(of_label), abs=1e-6)


def test_a_damaged_checkpoint_is_refused(trained: CellSpec, tmp_path: Path) -> None:
    spec = evaluation_of(trained)
    damaged = tmp_path / "damaged.pt"
    content = bytearray(Path(spec.checkpoint).read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(CheckpointError, match="does not match its checksum"):
        measure(spec.model_copy(update={"checkpoint": str(damaged)}), 0, 1, 0)


def test_shares_of_unequal_length_make_one_whole(trained: CellSpec) -> None:
    whole, _ = known_predictions(trained, Views(keep=True))

    def part(places: list[int]) -> Predictions:
        names = ("index", "label", "top", "scores", "loss", "view_top", "view_score")
        return Predictions(**{name: getattr(whole, name)[places] for name in names})

    merged = join_shares([part([0, 3, 6, 9, 11]), part([]), part([1, 2, 4, 5, 7, 8, 10])])
    assert merged.index.tolist() == list(range(12))
    assert merged.scores.tolist() == whole.scores.tolist()
    assert merged.view_top.tolist() == whole.view_top.tolist()
    assert len(join_shares([part([]), part([])]).index) == 0
    with pytest.raises(RuntimeError, match="evaluated by two workers"):
        join_shares([part([0, 1]), part([1, 2])])


def test_an_older_file_without_scores_is_still_read(trained: CellSpec, tmp_path: Path) -> None:
    recorded = Path(trained.run_dir) / "epoch-0001.parquet"
    old = tmp_path / "old.parquet"
    pq.write_table(pq.read_table(recorded).select(["index", "label", "top", "loss"]), old)
    found, expected = read_predictions(old), read_predictions(recorded)
    assert np.isnan(found.scores).all() and found.scores.shape == expected.scores.shape
    assert not np.isnan(expected.scores).any()
    filled = replace(found, scores=expected.scores)
    assert all(
        np.array_equal(getattr(filled, name), getattr(expected, name))
        for name in ("index", "label", "top", "loss", "view_top")
    )
