"""The worked example of docs/plug-ins.md: installed as a package, trained by two workers, measured."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.studies import actiongrid

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]  # a minute or two each on a machine of its own

STUDY = """
name: plugged
axes: {module: [tsn, frame_difference], backbone: [tiny], frames: [8], dataset: [synthetic-motion]}
datasets:
  synthetic-motion: {kind: synthetic-motion, train_per_class: 4, val_per_class: 2}
recipe:
  base: {init: random, epochs: 1, batch_size: 8, lr: 0.05, crop_size: 32, crop_scales: [1.0]}
evaluation: {crop_size: 32, short_side: 36, batch_size: 8}
resources: {default: {workers: 2}}
"""
# Networks of frames and of volumes, two pathways, three transformers, a plug-in, one of timm's.
TWELVE = """
name: twelve
plug_ins: [frame_difference]
axes:
  module: [tsn, tam, tsm, s3d, i3d, csn, slowfast, x3d, swin3d, mvit_v2, vit, frame_difference]
  backbone: [tiny, 'timm:test_resnet']
  frames: [8]
  dataset: [synthetic-motion]
exclude:
  - backbone: 'timm:test_resnet'
    module: [tsn, tam, s3d, i3d, csn, slowfast, x3d, swin3d, mvit_v2, vit, frame_difference]
  - {backbone: tiny, module: tsm}
datasets:
  synthetic-motion: {kind: synthetic-motion, train_per_class: 2, val_per_class: 1}
recipe:
  base: {init: random, epochs: 1, batch_size: 8, lr: 0.01, crop_size: 32, crop_scales: [1.0]}
evaluation: {crop_size: 32, short_side: 36, batch_size: 8}
"""
CELL = "FrameDifference-Tiny-f8@synthetic-motion"


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """A copy of the example's package, which building writes into."""
    return Path(shutil.copytree(ROOT / "tests" / "plug_in_example", tmp_path / "example"))


def install(package: Path, target: Path) -> None:
    words = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([sys.executable, "-m", "pip", *words, str(package)], check=True, capture_output=True)


def on_path(folder: Path) -> str:
    return os.pathsep.join([str(folder), str(ROOT)])


def test_the_example_is_installed_trained_by_two_workers_and_measured(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(example, tmp_path / "installed")
    monkeypatch.setenv("PYTHONPATH", on_path(tmp_path / "installed"))
    study, storage = tmp_path / "plugged.yaml", tmp_path / "storage"
    study.write_text(STUDY)
    said = actiongrid("run", study, "--storage", storage, "--cpus", "2")
    assert "2 of 2 cells done, 2 of them trained by this run" in said
    (result,) = (json.loads(one.read_text()) for one in storage.glob("runs/FrameDifference-*/result.json"))
    assert result["hardware"]["workers"] == 2
    (told,) = json.loads(actiongrid("explain", CELL, "--storage", storage, "--json"))
    version = told["plug_ins"]["module frame_difference"]
    assert version.startswith("frame_difference:source-")
    assert told["key_parts"]["model"]["module_version"] == version
    assert result["versions"]["module frame_difference"] == version
    (measured,) = json.loads(actiongrid("evaluate", CELL, "--clips", "2", "--storage", storage, "--json"))
    assert measured["views"] == 2 and measured["error"] is None
    assert "0 of them trained by this run" in actiongrid("run", study, "--storage", storage, "--cpus", "2")


def test_a_package_that_is_named_travels_with_the_cell_to_workers_and_evaluations(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not installed, only on the path: `--import` for the run, nothing for the evaluation."""
    monkeypatch.setenv("PYTHONPATH", on_path(example))
    study, storage = tmp_path / "plugged.yaml", tmp_path / "storage"
    study.write_text(STUDY.replace("[tsn, frame_difference]", "[frame_difference]"))
    actiongrid("plan", study, "--storage", storage, code=2)
    actiongrid("--import", "frame_difference", "run", study, "--storage", storage, "--cpus", "2")
    (measured,) = json.loads(actiongrid("evaluate", CELL, "--clips", "2", "--storage", storage, "--json"))
    assert measured["views"] == 2 and measured["error"] is None
    source = example / "frame_difference" / "module.py"
    source.write_text(source.read_text() + "# edited\n")
    study.write_text(study.read_text() + "plug_ins: [frame_difference]\n")
    plan = json.loads(actiongrid("plan", study, "--storage", storage, "--json"))
    (cell,) = plan["cells"]
    assert cell["state"] == "to run" and "code changed" in cell["reason"], (
        "the hash of its source is in the key"
    )


def test_twelve_models_of_many_families_train_in_one_grid(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm", reason="the package timm is not installed")
    monkeypatch.setenv("PYTHONPATH", on_path(example))
    study, storage = tmp_path / "twelve.yaml", tmp_path / "storage"
    study.write_text(TWELVE)
    said = actiongrid("run", study, "--storage", storage, "--cpus", "2", timeout=900)
    assert "12 of 12 cells done, 12 of them trained by this run" in said
