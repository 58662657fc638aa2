"""The benchmark of the training step runs from one end to the other where there is no GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.train_step_roof import Shape, roof_seconds, shapes_of
from orchestrator.planning.measurement_files import read_rates
from tests.support.paths import ROOT
from trainables.models.macs import model_cost
from trainables.models.memory_estimate import bare_for_training

PLACE = ["--models", "TAM-Tiny", "--frames", "8", "--batch", "2", "--size", "32", "--classes", "4"]


@pytest.mark.slow
def test_rows_as_the_plan_reads_them_and_failures_beside_them(tmp_path: Path) -> None:
    names = [
        "default",
        "reference",
        "reference + tf32",
        "reference + cuda graphs",
        "bf16 channels-last eager",
    ]
    out = tmp_path / "results" / "cpu.json"
    command = [sys.executable, "-m", "benchmarks.train_step", *PLACE, "--device", "cpu", "--json"]
    command += ["--variants", *names, "--seconds", "0.05", "--kernels", "2", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    assert json.loads(out.read_text()) == rows
    assert [row["variant"] for row in rows] == ["default", "reference", "bf16 channels-last eager"]
    failed = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [row["variant"] for row in failed] == ["reference + tf32", "reference + cuda graphs"]
    assert all("needs a GPU" in row["error"] for row in failed)
    macs = model_cost("tam", "tiny", False, 8, 4, 32).macs
    for row in rows:
        assert row["tflops"] == pytest.approx(6 * macs * row["clips_per_s"] / 1e12)
        assert row["of_conv_roof"] > 0
        assert (row["of_peak"], row["peak_gib"]) == (None, None)
        assert len(row["kernels"]) == 2
    (sample,) = read_rates(out)
    assert (sample.module, sample.backbone, sample.frames) == ("tam", "tiny", 8)
    assert sample.flops == pytest.approx(rows[0]["tflops"] * 1e12)


def test_the_roofs_convolutions_are_the_models_but_for_depthwise_ones() -> None:
    model = bare_for_training("tam", "resnet18", False, 8, 4)
    shapes = shapes_of(model, torch.empty((2, 3, 8, 64, 64), device="meta"))
    dense = [part for part in model.modules() if isinstance(part, nn.Conv2d) and part.groups == 1]
    assert sum(shapes.values()) == len(dense) == 20
    assert [shape for shape in shapes if shape.first] == [
        Shape((16, 3, 64, 64), (64, 3, 7, 7), (2, 2), (3, 3), True)
    ]
    assert all(shape.inputs[0] == 16 for shape in shapes)


def test_a_roof_takes_as_often_as_a_shape_is_called() -> None:
    torch.set_num_threads(1)
    shape = Shape((2, 8, 4, 8, 8), (8, 8, 3, 3, 3), (1, 1, 1), (1, 1, 1), False)
    from collections import Counter

    once, often = (
        roof_seconds(Counter({shape: count}), torch.float32, torch.device("cpu"), 0.05) for count in (1, 100)
    )
    assert 20 * once < often < 500 * once
