"""Inputs that once made wrong studies with a clean exit: each has its right value, or is refused by name."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from catalog.storage.folder_storage import FolderStorage
from catalog.storage.layout import Layout
from orchestrator.datasets.build import Builder, build_missing, manifest_lines
from orchestrator.datasets.built import dataset_row, dataset_states
from orchestrator.study.load import load_study
from tests.support.paths import ROOT
from trainables.data.datasets import DatasetError
from trainables.data.frames.manifest import Manifest, read_manifest

CASES = ROOT / "tests" / "cases"


def built(study: Path) -> tuple[Manifest, list[str]]:
    loaded, layout = load_study(study), Layout(study.parent / "storage")
    said: list[str] = []
    builder = Builder(lambda *_: None, said.append)
    build_missing(loaded, dataset_states(loaded, layout), FolderStorage(layout.root), builder)
    state = dataset_states(loaded, layout)["d"]
    assert state.built
    return read_manifest(Path(state.manifest or "")), said


@pytest.fixture
def case(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return Path(shutil.copytree(CASES / request.param, tmp_path / "case"))


@pytest.mark.parametrize("case", ["split-folder-names"], indirect=True)
def test_split_folders(case: Path) -> None:
    manifest, _ = built(case / "study.yaml")
    assert manifest.classes == ("jump", "walk", "wave")
    assert len(manifest.split("train")) == len(manifest.split("val")) == 3


@pytest.mark.parametrize("case", ["csv-unquoted-comma"], indirect=True)
def test_unquoted_commas(case: Path) -> None:
    with pytest.raises(DatasetError, match=r"3 cells where the header has 2 .*line 2; put a cell"):
        built(case / "study.yaml")


@pytest.mark.parametrize("case", ["csv-separators"], indirect=True)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("file_list", "there is no header, the file begins with a row, with spaces"),
        ("semicolon", "at least two classes"),
        ("capitals", "at least two classes"),
    ],
)
def test_separators(case: Path, name: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        built(case / f"{name}.yaml")


@pytest.mark.parametrize("case", ["non-utf8-name"], indirect=True)
def test_a_name_in_latin_1(case: Path) -> None:
    shutil.copy(case / "videos/walk/a1.mp4", os.fsdecode(os.fsencode(case) + b"/videos/walk/caf\xe9.mp4"))
    manifest, said = built(case / "study.yaml")
    assert [Path(video.path).name for video in manifest.videos if "caf" in video.path] == ["caf\\xe9.mp4"]
    assert len(manifest.videos) == 4
    json.dumps(dataset_row(Path("m"), manifest, {})).encode()
    for line in said:
        line.encode()


@pytest.mark.parametrize("case", ["stale-dataset"], indirect=True)
def test_identical_videos_are_told(case: Path) -> None:
    shutil.copy(case / "a1.mp4", case / "b3.mp4")
    manifest, said = built(case / "study.yaml")
    lines = manifest_lines(manifest, Path("m"))
    assert any("1 identical videos in training and in validation" in line for line in said)
    assert any("1 identical videos under several labels" in line for line in lines)
    (group,) = dataset_row(Path("m"), manifest, {})["in_both_splits"]
    assert [Path(path).name for path in group] == ["a1.mp4", "b3.mp4"]
