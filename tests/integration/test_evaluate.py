"""A cell is trained once; `evaluate` measures it with many views as a slow, literal reading does."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from catalog.events import CellEvaluated
from tests.support.running import Events, held_leases, wait_for, wait_until_gone
from tests.support.studies import actiongrid, command, query

pytestmark = pytest.mark.slow

# SIDE is the videos' own size: nothing is resized, so that a view is nothing but a slice.
STUDY = """
name: evaluated
axes: {module: [tam], backbone: [tiny], frames: [8], dataset: [synthetic-motion]}
datasets:
  synthetic-motion: {kind: synthetic-motion, train_per_class: 4, val_per_class: 3}
recipe:
  base: {init: random, epochs: 2, batch_size: 8, lr: 0.05, crop_size: 32, crop_scales: [1.0], inherit: last}
evaluation: {crop_size: 32, short_side: SIDE, batch_size: 4}
"""
CELL = "TAM-Tiny-f8@synthetic-motion"
VIEWS = ("--sampling", "dense", "--clips", "2", "--crops", "3", "--batch-size", "4")
CLIPS, RATE, FRAMES, CROP = 2, 2, 8, 32


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from trainables.data.datasets import SyntheticMotion

    side = SyntheticMotion(kind="synthetic-motion").size
    folder = tmp_path_factory.mktemp("evaluated")
    (folder / "study.yaml").write_text(STUDY.replace("SIDE", str(side)))
    actiongrid("run", folder / "study.yaml", "--storage", folder / "storage", "--cpus", "2")
    return folder / "storage"


def evaluate(storage: Path, *options: str) -> dict[str, Any]:
    output = actiongrid("evaluate", CELL, *VIEWS, *options, "--json", "--cpus", "2", "--storage", storage)
    (row,) = json.loads(output)
    found: dict[str, Any] = row
    return found


def literal_logits(storage: Path) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Logits (videos, views, K), their mean (videos, K) and labels: one video and one view at a time."""
    from trainables.data.frames.manifest import read_manifest
    from trainables.data.frames.store_reader import open_reader
    from trainables.models import build_model
    from trainables.models.registry import backbone_info

    (manifest_path,) = (storage / "datasets").glob("*/manifest.parquet")
    manifest = read_manifest(manifest_path)
    reader = open_reader(manifest, manifest_path)
    model = build_model(
        module="tam",
        backbone="tiny",
        temporal_pooling=False,
        frames=FRAMES,
        num_classes=len(manifest.classes),
    )
    (weights,) = (storage / "runs").glob("*/epoch-0002.pt")
    model.load_state_dict(torch.load(weights, weights_only=True)["model"])
    model.eval()
    info = backbone_info("tiny")
    mean, std = (torch.tensor(part).view(3, 1, 1, 1) for part in (info.input_mean, info.input_std))
    logits = []
    for video in manifest.split("val"):
        of_video = []
        for clip in range(CLIPS):
            start = int(np.linspace(0, max(0, video.frames - RATE * FRAMES), CLIPS)[clip])
            numbers = np.array([(start + RATE * step) % video.frames for step in range(FRAMES)])
            pictures = torch.from_numpy(reader.read(video, numbers))
            right = video.width - CROP
            top = round((video.height - CROP) / 2)
            for left in (0, right, round(right / 2)):
                cut = pictures[:, top : top + CROP, left : left + CROP].permute(3, 0, 1, 2)
                with torch.inference_mode():
                    of_video.append(model(((cut / 255.0 - mean) / std)[None])[0].numpy())
        logits.append(of_video)
    array = np.array(logits)
    return array, array.mean(axis=1), [video.label for video in manifest.split("val")]


@pytest.fixture(scope="module")
def measured(storage: Path) -> dict[str, Any]:
    return evaluate(storage)


def test_many_views_equal_the_literal_computation(storage: Path, measured: dict[str, Any]) -> None:
    views, logits, labels = literal_logits(storage)
    table = pq.read_table(measured["predictions"])
    assert measured["computed"] and measured["level"] == "video" and measured["views"] == 6
    assert measured["videos"] == len(labels) == 12 and table["label"].to_pylist() == labels
    order = np.argsort(-logits, axis=1)
    assert table["top"].to_pylist() == order.tolist()
    expected = np.take_along_axis(logits, order, axis=1)
    assert np.array(table["scores"].to_pylist()) == pytest.approx(expected, abs=1e-4)
    assert table["view_top"].to_pylist() == views.argmax(axis=2).tolist()
    assert np.array(table["view_scores"].to_pylist()) == pytest.approx(views.max(axis=2), abs=1e-4)
    assert measured["top1"] == pytest.approx(100 * float(np.mean(order[:, 0] == np.array(labels))))
    assert len(set(table["video"].to_pylist())) == 12


def test_the_same_protocol_again_computes_nothing(storage: Path, measured: dict[str, Any]) -> None:
    again = evaluate(storage)
    assert not again["computed"]
    assert {**again, "computed": True} == measured
    (trained,) = query(storage, "SELECT top1 FROM results")
    assert again["training"]["top1"] == trained["top1"] and again["training"]["level"] == "clip"


@pytest.mark.long
def test_two_workers_give_the_same_numbers(storage: Path, measured: dict[str, Any]) -> None:
    table = pq.read_table(measured["predictions"])
    two = evaluate(storage, "--workers", "2", "--again")
    assert two["computed"] and two["evaluation"] == measured["evaluation"]
    assert two["top1"] == measured["top1"] and two["videos"] == 12
    shared = pq.read_table(two["predictions"])
    for name in ("index", "video", "label", "top", "view_top"):
        assert shared[name] == table[name]
    scores, expected = (np.array(one["scores"].to_pylist()) for one in (shared, table))
    assert scores == pytest.approx(expected, abs=1e-4)


def test_the_catalog_has_it_beside_the_clip_level(storage: Path, measured: dict[str, Any]) -> None:
    sql = "SELECT level, measured_by FROM evaluations WHERE checkpoint = 'last' ORDER BY ALL"
    levels = [(one["level"], one["measured_by"]) for one in query(storage, sql)]
    assert levels == [("clip", "training"), ("video", "evaluate")]
    sql = f"SELECT class, videos, top1 FROM per_class_accuracy WHERE evaluation = '{measured['evaluation']}'"
    by_class = query(storage, sql)
    names = query(storage, "SELECT name FROM classes")
    assert sorted(one["class"] for one in by_class) == sorted(one["name"] for one in names)
    assert sum(one["videos"] * one["top1"] for one in by_class) / 12 == pytest.approx(measured["top1"])
    (explained,) = json.loads(actiongrid("explain", CELL, "--json", "--storage", storage))
    assert [one["evaluation"] for one in explained["evaluations"]][-1] == measured["evaluation"]


def test_the_trainings_own_protocol_measures_what_the_training_measured(storage: Path) -> None:
    (own,) = json.loads(actiongrid("evaluate", CELL, "--json", "--cpus", "2", "--storage", storage))
    (trained,) = query(storage, "SELECT top1, loss FROM results")
    assert own["level"] == "clip" and own["top1"] == trained["top1"]
    assert own["loss"] == pytest.approx(trained["loss"], abs=1e-6)
    actiongrid("catalog", "check", "--storage", storage)


def started(storage: Path, *options: str) -> subprocess.Popen[str]:
    """`actiongrid evaluate` in the background, on one CPU."""
    arguments = command("evaluate", CELL, *options, "--json", "--cpus", "1", "--storage", storage)
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.long
def test_two_at_once_measure_nothing_twice(storage: Path) -> None:
    before = len(Events(storage).of(CellEvaluated))
    processes = [started(storage, "--clips", "3") for _ in range(2)]
    said = [process.communicate(timeout=400) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    one, two = (json.loads(out)[0] for out, _ in said)
    assert sorted((one["computed"], two["computed"])) == [False, True]
    assert {**one, "computed": None} == {**two, "computed": None}
    assert len(Events(storage).of(CellEvaluated)) == before + 1
    assert held_leases(storage) == []
    assert list((storage / "drivers").iterdir()) == []


@pytest.mark.long
def test_ctrl_c_stops_well_and_the_same_command_goes_on(storage: Path) -> None:
    evaluating = started(storage, "--clips", "4")
    wait_for(lambda: held_leases(storage), "it measures", 180)
    evaluating.send_signal(signal.SIGINT)
    _, error = evaluating.communicate(timeout=60)
    assert evaluating.returncode == 130
    assert "interrupted; run the same command again to go on" in error and "Traceback" not in error
    wait_until_gone(evaluating.pid)
    assert held_leases(storage) == []
    (measured,) = json.loads(
        actiongrid("evaluate", CELL, "--clips", "4", "--json", "--cpus", "2", "--storage", storage)
    )
    assert measured["computed"] and measured["views"] == 4
