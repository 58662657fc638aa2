"""`actiongrid init`: the study that it writes for a folder of videos is one that `plan` accepts at once."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from orchestrator.datasets.first_study import (
    Choices,
    Found,
    choose,
    look_at,
    study_name,
    study_text,
    told_splits,
)
from orchestrator.study.load import load_study, parse_study
from tests.orchestrator.commands.test_cli import run
from tests.support.clips import SHARED_VIDEOS, make_clips
from trainables.data.datasets.base import DatasetError
from trainables.data.datasets.own_files import SplitFolders
from trainables.data.ingest.synthetic_videos import write_h264


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    """Five videos a class: 20 pictures of 64 × 48 pixels, two seconds."""
    for name in ("wash up", "cut"):
        (tmp_path / "my kitchen" / name).mkdir(parents=True)
        for number in range(5):
            path = tmp_path / "my kitchen" / name / f"{number}.mp4"
            write_h264(np.full((20, 48, 64, 3), 40 * number, np.uint8), 10, 10, path)
    return tmp_path / "my kitchen"


def test_what_is_written_is_accepted_by_plan(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, videos: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("orchestrator.planning.machine.gpus_here", lambda: 0)
    assert run(monkeypatch, "init", videos) == 0
    said = capsys.readouterr().out
    assert "10 videos" in said and "in 2 classes of 5 videos" in said
    assert "8 videos to train on, 2 to validate on" in said
    assert "2.0 to 2.0 s, 20 to 20 frames, shorter side 48 to 48 px" in said
    assert said.endswith("next: actiongrid plan my-kitchen.yaml\n")
    text = (tmp_path / "my-kitchen.yaml").read_text()
    assert max(map(len, text.splitlines())) <= 110 and text.count("# ") > 15
    study = load_study("my-kitchen.yaml")
    assert (study.axes.frames, study.axes.backbone) == ((8, 16), ("tiny",))
    assert (study.recipe.base.crop_size, study.evaluation.short_side) == (48, 55)
    assert run(monkeypatch, "plan", "my-kitchen.yaml", "--storage", tmp_path / "none") == 0
    assert "10 videos, 2 classes, not built yet" in capsys.readouterr().out
    written = (tmp_path / "my-kitchen.yaml").stat()
    assert run(monkeypatch, "init", videos) == 2
    assert "there is a file of this name; my-kitchen.yaml; give another with -o" in capsys.readouterr().err
    assert (tmp_path / "my-kitchen.yaml").stat() == written, "nothing is ever overwritten"


def test_real_videos_in_splits_with_one_that_is_damaged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    clips = SHARED_VIDEOS if SHARED_VIDEOS.is_dir() else make_clips(tmp_path / "made")
    files = sorted(path for path in clips.iterdir() if path.suffix != ".md")
    for number, path in enumerate(files[:6]):
        folder = tmp_path / "set" / ("val" if number % 4 == 3 else "train") / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    for split, number in (("val", 0), ("train", 0), ("train", 1)):
        (tmp_path / "set" / split / f"class{number}").mkdir(exist_ok=True)
        (tmp_path / "set" / split / f"class{number}" / "no-video.mp4").write_bytes(b"no video")
    file = tmp_path / "elsewhere" / "s.yaml"
    file.parent.mkdir()
    assert run(monkeypatch, "init", tmp_path / "set", "-o", file) == 0
    assert "cannot be opened: a run leaves such out" in capsys.readouterr().out
    assert str(tmp_path / "set") in file.read_text(), "not below the study: its whole path"
    assert run(monkeypatch, "plan", file, "--storage", tmp_path / "none") == 0
    assert "9 videos, 2 classes, not built yet" in capsys.readouterr().out


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("dense_rate", [None, 8])
@pytest.mark.parametrize("splits", [None, "none", "cut,wash up"])
def test_every_choice_is_a_valid_study(
    videos: Path, gpu: bool, dense_rate: int | None, splits: str | None
) -> None:
    if splits == "cut,wash up":
        for name in ("cut", "wash up"):
            for label in ("a", "b"):
                (videos / name / label).mkdir()
                shutil.copy(videos / name / "0.mp4", videos / name / label / "0.mp4")
    found = look_at(videos, told_splits(splits))
    chosen = Choices("resnet18" if gpu else "tiny", (8,), 48, 55, dense_rate, 4, gpu)
    text = study_text("k", str(videos), found, chosen)
    study = parse_study(text, "k.yaml")
    declared = yaml.safe_load(text)["datasets"]["k"]
    if splits is not None:
        assert declared["splits"] == ("none" if splits == "none" else {"train": "cut", "val": "wash up"})
    assert study.evaluation.sampling == ("dense" if dense_rate else "uniform")


def test_choices_follow_what_was_found(videos: Path) -> None:
    found = look_at(videos)
    assert choose(found, gpu=False) == Choices("tiny", (8, 16), 48, 55, None, 4, False, 100)
    assert choose(found, gpu=True).backbone == "resnet18"
    (videos / "empty").mkdir()
    again = look_at(videos)
    assert "allow_empty_classes: true" in study_text("k", "k", again, choose(again, gpu=False))


def test_what_is_no_dataset_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.mp4").touch()
    for folder, says in (
        ("none", "dataset folder not found"),
        ("flat", "1 video lies directly"),
    ):
        assert run(monkeypatch, "init", folder) == 2
        assert says in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["flat"]


def test_names_and_splits(tmp_path: Path) -> None:
    assert study_name(tmp_path / "ucf101") == "ucf101-own"
    assert study_name(tmp_path / "Küche (neu)") == "K-che-neu"
    assert study_name(tmp_path / "日本") == "videos"
    assert told_splits("a, b") == SplitFolders(train="a", val="b")
    with pytest.raises(DatasetError):
        told_splits("a")


def text_for(found: Found) -> str:
    text = study_text("k", "k", found, choose(found, gpu=False))
    assert parse_study(text, "k.yaml").name == "k"
    return text


@pytest.mark.parametrize(
    ("name", "sided"),
    [
        ("swipe_left", True),
        ("turn Right", True),
        ("counter-clockwise", True),
        ("anticlockwise", True),
        ("bright", False),
        ("cleft", False),
    ],
)
def test_clips_are_not_mirrored_where_a_class_says_left_or_right(
    videos: Path, name: str, sided: bool
) -> None:
    (videos / "cut").rename(videos / name)
    text = text_for(look_at(videos))
    assert (f'flip: 0.0                    # clips are not mirrored: class "{name}"' in text) is sided
    assert ("flip: 0.5" in text) is not sided


def test_a_split_that_is_there_is_not_drawn(videos: Path) -> None:
    drawn = look_at(videos)
    assert not drawn.split_is_given and "val_fraction: 0.2" in text_for(drawn)
    for split, numbers in (("train", (0, 1, 2)), ("val", (3, 4))):
        for name in ("cut", "wash up"):
            (videos / split / name).mkdir(parents=True)
            for number in numbers:
                (videos / name / f"{number}.mp4").rename(videos / split / name / f"{number}.mp4")
    for name in ("cut", "wash up"):
        (videos / name).rmdir()
    given = look_at(videos)
    assert given.split_is_given and given.videos("val") == 4
    text = text_for(given)
    assert "val_fraction" not in text
    assert "# the folders of the splits say which videos are for validation" in text


def test_few_videos_are_trained_on_for_enough_steps(videos: Path) -> None:
    found = look_at(videos)
    entry = next(one for one in found.listing.entries if one.split == "train")
    few = replace(found, listing=replace(found.listing, entries=(entry,) * 32))
    chosen = choose(few, gpu=False)
    assert (chosen.batch, chosen.epochs, chosen.continued_epochs) == (8, 50, 17)
    assert "starter: {epochs: 50}          # the first cell of a chain: 200 steps, fewer" in text_for(few)
    many = replace(found, listing=replace(found.listing, entries=(entry,) * 4000))
    assert (choose(many, gpu=False).batch, choose(many, gpu=False).epochs) == (16, 15)
    assert "steps" not in text_for(many)
