"""A finished cell as a network that predicts: what is loaded, for which name; it says what was measured."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from catalog.events import StudySubmitted
from orchestrator import LoadedCell, load_cell
from orchestrator.evaluation.cells import CellChoiceError
from orchestrator.evaluation.jobs import EvaluationError
from tests.support.finished_cell import CELL, KEY, append, finished, planned
from trainables.data.frames.manifest import Video, read_manifest
from trainables.inference.classifier import UnusableVideo, VideoError
from trainables.recipe.cell_spec import CellSpec, EvaluationSpec, ProtocolError
from trainables.training.evaluate_cell import measure, result_path
from trainables.training.predictions import read_predictions
from trainables.training.result import read_result


@pytest.fixture(scope="module")
def spec(trained_cell: CellSpec) -> CellSpec:
    return trained_cell


@pytest.fixture(scope="module")
def root(spec: CellSpec) -> Path:
    return Path(spec.run_dir).parent.parent


@pytest.fixture(scope="module")
def cell(root: Path) -> LoadedCell:
    return load_cell("TAM-Tiny-f8", root)


@pytest.fixture(scope="module")
def videos(spec: CellSpec) -> tuple[Video, ...]:
    return read_manifest(Path(spec.manifest)).split("val")


@pytest.fixture
def copy(root: Path, tmp_path: Path) -> Path:
    """The storage, to be changed at will."""
    shutil.copytree(root, tmp_path / "storage")
    return tmp_path / "storage"


def test_it_says_which_cell_and_checkpoint_it_is(cell: LoadedCell) -> None:
    said = f"{CELL} of study toy, key {KEY[:12]}, last checkpoint, epoch 1"
    assert repr(cell) == said
    assert not cell.model.training and len(cell.classes) == 4
    assert cell.normalisation.mean == (0.485, 0.456, 0.406)


def test_loading_draws_nobodys_random_numbers(root: Path) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    load_cell(CELL, root)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("views", "average"), [({}, "logits"), ({"sampling": "dense", "clips": 2, "crops": 3}, "softmax")]
)
def test_probabilities_are_what_an_evaluation_measures(
    spec: CellSpec, cell: LoadedCell, videos: tuple[Video, ...], views: dict[str, object], average: str
) -> None:
    evaluation = spec.evaluation.model_copy(update=views)
    chosen = read_result(Path(spec.run_dir), KEY)
    assert chosen is not None
    files = chosen.checkpoint("last")
    identity = f"{average}{len(views)}".ljust(32, "0")
    asked = EvaluationSpec(
        cell=spec.model_copy(update={"evaluation": evaluation}),
        identity=identity,
        checkpoint=str(Path(spec.run_dir) / files["path"]),
        sha256=files["sha256"],
        which="last",
        epoch=1,
        average=average,  # type: ignore[arg-type]
        split="val",
        videos_hash="v",
    )
    measure(asked, 0, 1, 0)
    recorded = read_predictions(result_path(Path(spec.run_dir), identity).with_suffix(".parquet"), KEY)
    told = list(
        cell.predict_all([video.path for video in videos[:4]], average=average, **views)  # type: ignore[arg-type]
    )
    for row, one in enumerate(told):
        assert not isinstance(one, UnusableVideo)
        scores = recorded.scores[row].astype(np.float64)
        if average == "logits":
            scores = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
        names = [cell.classes[place] for place in recorded.top[row]]
        assert [name for name, _ in one.top(4)] == names
        np.testing.assert_allclose([p for _, p in one.top(4)], scores, atol=2e-6)
        np.testing.assert_allclose(one.probabilities.sum(), 1, atol=1e-6)


def test_clips_are_the_models_input(cell: LoadedCell, videos: tuple[Video, ...]) -> None:
    clips = cell.clips(videos[0].path, clips=2, crops=3)
    assert clips.shape == (6, 3, 8, 32, 32)
    with torch.inference_mode():
        logits = cell.model(clips).mean(dim=0)
    told = cell.predict(videos[0].path, clips=2, crops=3)
    np.testing.assert_allclose(logits.numpy(), told.logits, atol=1e-5)
    assert (told.views, told.frames) == (6, videos[0].frames)


def test_a_wrong_protocol_and_a_missing_file_are_named(cell: LoadedCell, tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="--clips"):
        cell.predict(tmp_path, clips=0)
    with pytest.raises(ProtocolError, match="--clip-count"):
        cell.predict(tmp_path, clip_count=2)
    with pytest.raises(VideoError, match="a folder"):
        cell.predict(tmp_path)
    with pytest.raises(VideoError, match="missing"):
        cell.predict(tmp_path / "none.mp4")


def test_one_unusable_file_does_not_stop_the_others(
    cell: LoadedCell, videos: tuple[Video, ...], tmp_path: Path
) -> None:
    torn = tmp_path / "torn.mp4"
    torn.write_bytes(Path(videos[0].path).read_bytes()[:-900])
    bad, good = cell.predict_all([torn, videos[0].path])
    assert isinstance(bad, UnusableVideo) and bad.path == str(torn) and bad.reason
    assert not isinstance(good, UnusableVideo)


def test_what_the_name_means(copy: Path, spec: CellSpec) -> None:
    result = read_result(Path(spec.run_dir), KEY)
    assert result is not None
    train_hash = read_manifest(Path(spec.manifest)).hash("train")

    def add(name: str, key: str, study: str) -> None:
        other = spec.model_copy(
            update={"cell": name, "key": key, "run_dir": str(copy / "runs" / f"x-{key[:12]}")}
        )
        plan = dataclasses.replace(planned(other, train_hash), study=study, submission=f"s-{study}")
        done = finished(other, dataclasses.replace(result, key=key), "e")
        append(copy, StudySubmitted(study, f"s-{study}", 1, f"{study}.yaml", {}), plan, done)

    add("TAM-Tiny-f8@toy#1", "s" * 32, "seeds")
    found = load_cell(CELL, copy)
    assert found.key == KEY and found.origin is not None
    assert [one.split(" ")[0] for one in found.origin.others] == ["TAM-Tiny-f8@toy#1"]
    with pytest.raises(
        CellChoiceError, match=r"2 finished cells.*@toy \(key k+.*@toy#1 \(key s+, study seeds"
    ):
        load_cell("TAM-Tiny-f8", copy)
    assert load_cell("TAM-Tiny-f8", copy, study="toy").key == KEY
    with pytest.raises(CellChoiceError, match=r"did you mean TAM-Tiny-f8@toy.*finished are: TAM-Tiny-f8@toy"):
        load_cell("TAM-Tiny-f8@toi", copy)
    newer = spec.model_copy(update={"cell": CELL, "key": "n" * 32})
    plan = dataclasses.replace(planned(newer, train_hash), submission="s9")
    append(copy, StudySubmitted("toy", "s9", 1, "toy.yaml", {}), plan)
    old = load_cell(CELL, copy)
    assert old.origin is not None and old.origin.superseded and "(superseded)" in repr(old)


def test_damaged_weights_are_never_used(copy: Path) -> None:
    (weights,) = copy.glob("runs/*/epoch-0001.pt")
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(EvaluationError, match="checksum"):
        load_cell(CELL, copy)
