"""A study that says where an official dataset's files lie has it built like one of its own."""

from __future__ import annotations

from pathlib import Path

from catalog.storage.folder_storage import FolderStorage
from catalog.storage.layout import Layout
from orchestrator.datasets.build import Builder, build_missing
from orchestrator.datasets.built import dataset_states
from orchestrator.study.load import parse_study
from tests.support.dataset_files import DatasetFiles, write_clip, write_jester

STUDY = """\
name: gestures
axes: {{module: [tsn], backbone: [tiny], frames: [8], dataset: [hands]}}
recipe: {{base: {{init: random}}}}
datasets:
  hands: {{kind: official, name: jester{where}}}
"""


def test_a_study_builds_an_official_dataset_whose_files_it_names(tmp_path: Path) -> None:
    files = DatasetFiles(tmp_path, write_clip(tmp_path / "clip.webm"))
    write_jester(files)
    layout, said = Layout(tmp_path / "storage"), list[str]()
    builder = Builder(lambda *_: None, said.append)
    silent = parse_study(STUDY.format(where=""), "s.yaml")
    states = dataset_states(silent, layout)
    assert not states["hands"].buildable
    assert "--videos DIR" in states["hands"].how
    assert build_missing(silent, states, FolderStorage(layout.root), builder) == states
    where = f", videos: {files.sources.videos}, annotations: {files.sources.annotations}"
    telling = parse_study(STUDY.format(where=where), "s.yaml")
    states = dataset_states(telling, layout)
    assert states["hands"].buildable
    built = build_missing(telling, states, FolderStorage(layout.root), builder)["hands"]
    assert built.built
    assert (built.train_videos, built.val_videos) == (27, 27)
    # the same dataset, whoever says where it lies
    assert dataset_states(silent, layout)["hands"] == built
