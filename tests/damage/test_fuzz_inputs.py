"""Files that users bring, changed at random: each is read, or refused by an error of ours.

`make fuzz` runs it for minutes; what it has found is kept as `SEEDS`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp

import pytest
import torch
from safetensors.torch import save_file

from catalog.claims.load import load_claims
from catalog.storage.errors import ActionGridError
from orchestrator.planning.measurement_files import read_rates
from orchestrator.study.load import load_study
from tests.support.dataset_files import (
    DatasetFiles,
    write_clip,
    write_hmdb51,
    write_jester,
    write_kinetics,
    write_mit,
    write_ssv2,
    write_ucf101,
)
from tests.support.fuzzing import SEEDS, files_like, fuzz
from trainables.data.datasets import CsvDataset, OfficialDataset
from trainables.data.datasets.listing import list_dataset
from trainables.data.datasets.official import OfficialName
from trainables.data.datasets.own_files import list_csv
from trainables.data.ingest.probe_worker import ProbeWorker
from trainables.inference.export import load_exported
from trainables.models import build_model
from trainables.models.pretrained import starting_weights
from trainables.models.weights import initialise_from

STUDY = b"""\
name: s
axes: {module: [tsn, i3d], backbone: tiny, frames: [8, 16], dataset: d, seed: [0, 1]}
datasets: {d: {kind: csv, path: ~/t.csv, root: videos}}
recipe: {base: {init: random, lr: 1e-2}, overrides: [{where: {frames: 16}, set: {epochs: 2}}]}
frames_on_local_disk: /tmp/x
claims: [{name: a, statement: b, compare: {module: [tsn, i3d]}, expect: {above: 0}}]
notify: {to: [{by: webhook, address: "http://localhost:1/", when: failed}]}
"""
LIST = 'path,label,split\na.mp4,"x, y",train\n~/é/b.mp4,z,val\n../c.mp4,z,train\n'.encode()
CLAIMS = b"""\
claims:
  - {name: a, statement: b, where: {dataset: d}, compare: {module: [tam, tsn]}, expect: {at_least: 10}}
"""
RATES = json.dumps(
    [
        {
            "gpu": "H100",
            "model": "TAM-ResNet50",
            "frames": 8,
            "batch": 32,
            "variant": "default",
            "clips_per_s": 201.0,
            "tflops": 51.5,
        }
    ]
).encode()


MOST_CHARACTERS = 5_000
"""Of an error's text, however long the values are that are wrong."""


@dataclass(frozen=True)
class Input:
    """A file that a user brings, what reads it from a path, and how often it is tried in `make test`."""

    content: bytes
    read: Callable[[Path], object]
    examples: int = 25


@cache
def inputs() -> dict[str, Input]:
    folder = Path(mkdtemp(prefix="fuzz-"))
    clip = write_clip(folder / "clip.mp4")
    decoder = ProbeWorker()
    return {
        "study": Input(STUDY, load_study),
        "claims": Input(CLAIMS, load_claims),
        "rates": Input(RATES, read_rates),
        "list": Input(LIST, lambda path: list_csv(CsvDataset(path=str(path)))),
        "video": Input(clip.read_bytes(), decoder.probe),
        **_annotation_files(clip),
        **_weights_files(folder),
    }


def _annotation_files(clip: Path) -> dict[str, Input]:
    """Of each publisher every kind of file, in its place among the others."""

    def one(name: OfficialName, write: Callable[[DatasetFiles], None], file: str) -> Input:
        files = DatasetFiles(clip.parent / f"{name}-{Path(file).stem}", clip)
        write(files)
        place = files.annotations / file
        content = place.read_bytes()

        def read(path: Path) -> None:
            place.write_bytes(path.read_bytes())
            list_dataset(OfficialDataset(name=name), files.sources)

        return Input(content, read, examples=5)

    return {
        "kinetics": one("kinetics400", write_kinetics, "kinetics400/train.csv"),
        "ssv2 labels": one("ssv2", write_ssv2, "labels/labels.json"),
        "ssv2 videos": one("ssv2", write_ssv2, "labels/train.json"),
        "mit categories": one("mini-mit", lambda files: write_mit(files, 200), "moments_categories.txt"),
        "mit videos": one("mini-mit", lambda files: write_mit(files, 200), "trainingSet.csv"),
        "ucf101 classes": one("ucf101", write_ucf101, "ucfTrainTestlist/classInd.txt"),
        "ucf101 videos": one("ucf101", write_ucf101, "ucfTrainTestlist/trainlist01.txt"),
        "hmdb51": one("hmdb51", write_hmdb51, "testTrainMulti_7030_splits/climb_test_split1.txt"),
        "jester labels": one("jester", write_jester, "labels/labels.csv"),
        "jester videos": one("jester", write_jester, "labels/train.csv"),
    }


def _weights_files(folder: Path) -> dict[str, Input]:
    """Small files of tensors; none fits the network, so that each is read and refused."""
    tensors = {"conv.weight": torch.ones(2, 3), "fc.bias": torch.zeros(2)}
    torch.save(tensors, folder / "tensors.pth")
    save_file(tensors, folder / "tensors.safetensors")
    torch.save({"config": "{}", "model": tensors}, folder / "export.pt")
    model = build_model(module="tsn", backbone="resnet18", temporal_pooling=False, frames=8, num_classes=2)

    def initialise(path: Path) -> None:
        wanted = starting_weights("imagenet", "tsn", "resnet18")
        assert wanted is not None
        path.with_name(wanted.name).write_bytes(path.read_bytes())
        initialise_from("imagenet", model, ("tsn", "resnet18"), str(path.parent), "divide")

    def load_folder(path: Path) -> None:
        path.with_name("model.safetensors").write_bytes(path.read_bytes())
        path.with_name("config.json").write_text("{}")
        load_exported(path.parent)

    return {
        "weights": Input((folder / "tensors.pth").read_bytes(), initialise),
        "export": Input((folder / "export.pt").read_bytes(), load_exported),
        "safetensors": Input((folder / "tensors.safetensors").read_bytes(), load_folder),
    }


def _check(name: str, content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name.replace(' ', '-')}.mp4"
        path.write_bytes(content)
        try:
            inputs()[name].read(path)
        except ActionGridError as error:
            assert len(str(error)) < MOST_CHARACTERS


@pytest.mark.parametrize("name", [*inputs()])
def test_a_changed_file_is_read_or_refused(name: str) -> None:
    given = inputs()[name]
    fuzz(lambda content: _check(name, content), files_like(given.content), examples=given.examples)


READ = [name for name in inputs() if name not in ("weights", "export", "safetensors")]


@pytest.mark.parametrize("name", READ)
def test_what_was_written_is_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "file.mp4"
    path.write_bytes(inputs()[name].content)
    inputs()[name].read(path)


@pytest.mark.parametrize("name", [*inputs()])
def test_what_was_found_ends_with_an_error_of_ours(name: str) -> None:
    for content in SEEDS:
        _check(name, content)
