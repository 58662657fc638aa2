"""Folders of the user's own videos: which are splits and which are classes, and what else lies there."""

from __future__ import annotations

import os
from pathlib import Path
from unicodedata import normalize

import pytest

from trainables.data.datasets import DatasetError, FolderDataset, Listing
from trainables.data.datasets.base import SourceAbsentError, split_word
from trainables.data.datasets.folders import list_folder
from trainables.data.datasets.own_files import SplitFolders

CLASSES = ("jump", "walk", "wave")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(os.fsencode(name))


def listed(root: Path, **options: object) -> Listing:
    return list_folder(FolderDataset.model_validate({"path": str(root), **options}))


def splits(root: Path, train: str, val: str) -> None:
    for name in CLASSES:
        touch(root, f"{train}/{name}/a.mp4", f"{val}/{name}/b.mp4")


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("train", "test"),
        ("train", "val"),
        ("train", "valid"),
        ("Train", "Val"),
        ("TRAIN", "TEST"),
        ("training", "validation"),
        ("train_videos", "validation_videos"),
        ("trainset", "testset"),
        ("train_256", "val_256"),
        ("Training-Data", "Evaluation-Data"),
        ("01_train", "02_dev"),
        ("train", "holdout"),
        ("train", "hold-out"),
        ("tr", "va"),
        ("trn", "tst"),
        ("ucf101_train", "ucf101_test"),
        ("KineticsTrain", "KineticsVal"),
        ("train_rgb", "minival_rgb"),
        ("train-v2", "val-v2"),
    ],
)
def test_splits_are_known_in_their_usual_spellings(train: str, val: str, tmp_path: Path) -> None:
    splits(tmp_path, train, val)
    found = listed(tmp_path)
    assert found.classes == CLASSES
    assert [(one.split, one.label, one.path.name) for one in found.entries] == [
        (split, label, name) for split, name in (("train", "a.mp4"), ("val", "b.mp4")) for label in range(3)
    ]


def test_three_splits_use_validation_and_say_what_is_not_used(tmp_path: Path) -> None:
    splits(tmp_path, "training", "validation")
    splits(tmp_path, "training", "test")
    found = listed(tmp_path)
    assert {one.path.parts[-3] for one in found.entries} == {"training", "validation"}
    assert found.notes == (
        "test/ holds 3 videos that are not used: training/ is trained on, validation/ is measured on",
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/walk/a.mp4", "train/run/a.mp4"], "train/: not one folder of training and one of valid"),
        (["test/walk/a.mp4", "val/run/a.mp4"], "val/ and test/|test/ and val/"),
        (["train/walk/a.mp4", "Train/run/a.mp4", "val/run/b.mp4"], "not one folder of training"),
        (["train/a.mp4", "test/b.mp4"], "test/ and train/ hold videos themselves, no class folders"),
        (["train/walk/a.mp4", "train/run/a.mp4", "test/b.mp4"], "test/: no class folders in it"),
        (["train/walk/a.mp4", "train/run/b.mp4", "bus/a.mp4"], "classes or splits"),
        (["walk/train/a.mp4", "walk/test/b.mp4", "run/train/a.mp4"], "splits inside a class: walk/ holds"),
        (["walk/valid/a.mp4", "walk/test/b.mp4", "run/valid/a.mp4"], "walk/ holds .*valid/.*; move the spl"),
        (["walk/x/train/a.mp4", "walk/x/test/b.mp4", "run/a.mp4"], "splits inside a class: walk/ holds"),
        (["data/train/walk/a.mp4", "data/test/walk/b.mp4"], "give data/ as the dataset's path"),
        (["walk_train/a.mp4", "walk_test/b.mp4", "run_train/a.mp4", "run_test/b.mp4"], "classes and splits"),
        (["x_train/a.mp4", "x_test/b.mp4"], "x_train/ hold videos themselves|x_train/ and x_test/ hold"),
        (["x_train/a/a.mp4", "x_test/a/b.mp4", "bus/a/b.mp4"], "named after classes and splits"),
        (["train/a.mp4", "train/c.mp4", "val/b.mp4"], "train/ and val/ hold videos themselves"),
        (["walk/a.mp4", "run/b.mp4", "trainlist01.txt", "testlist01.txt"], "lists of the splits.*testlist01"),
        (["walk/a.mp4", "run/b.mp4", "k_val.csv", "k_train.csv"], "lists of the splits.*one CSV file"),
        (["walk/a.mp4", "run/b.mp4", "jump/notes.txt"], "class folders without a video: jump"),
        (["train/walk/a.mp4", "train/run/a.mp4", "val/walk/b.mp4", "val/x/y.txt"], "without a video: x"),
    ],
)
def test_what_could_be_read_in_two_ways_stops(files: list[str], message: str, tmp_path: Path) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DatasetError, match=message) as caught:
        listed(tmp_path)
    assert str(tmp_path) in caught.value.where
    assert caught.value.what_to_do


def test_the_declaration_answers(tmp_path: Path) -> None:
    touch(tmp_path, "train/walk/a.mp4", "train/run/a.mp4", "Train/run/b.mp4", "other/run/c.mp4")
    said = listed(tmp_path, splits={"train": "train", "val": "other"})
    assert [one.path.relative_to(tmp_path).as_posix() for one in said.entries] == [
        "train/run/a.mp4",
        "train/walk/a.mp4",
        "other/run/c.mp4",
    ]
    assert listed(tmp_path, splits="none").classes == ("Train", "other", "train")
    with pytest.raises(DatasetError, match=r"no folder vall; .*name two of: Train, other, train"):
        listed(tmp_path, splits=SplitFolders(train="train", val="vall"))
    touch(tmp_path, "empty/notes.txt")
    with pytest.raises(DatasetError, match="without a video: empty"):
        listed(tmp_path, splits="none")
    allowed = listed(tmp_path, splits="none", allow_empty_classes=True)
    assert allowed.classes == ("Train", "other", "train")
    assert allowed.notes[0] == "classes left out, without a video: empty"


def test_lists_beside_classes_are_no_splits_where_the_declaration_says_so(tmp_path: Path) -> None:
    touch(tmp_path, "walk/a.mp4", "run/b.mp4", "empty/train.txt", "empty/val.txt", "labels.txt")
    with pytest.raises(DatasetError, match=r"lists of the splits.*empty/train.txt and empty/val.txt"):
        listed(tmp_path, allow_empty_classes=True)
    assert listed(tmp_path, splits="none", allow_empty_classes=True).classes == ("run", "walk")


def test_folders_below_the_classes_and_what_nobody_measures_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "train/home/cook/a.mp4", "train/walk/b.mp4", "val/walk/c.mp4")
    assert listed(tmp_path).notes == ("classes without a validation video: home",)
    touch(tmp_path, "train/home/clean/a.mp4")
    assert listed(tmp_path / "train").notes == (
        "class folders with further folders, whose videos are the class's: 1 (home/ with clean, cook)",
    )


def test_a_class_may_be_called_like_a_split(tmp_path: Path) -> None:
    touch(tmp_path, "bus/a.mp4", "car/a.mp4", "train/a.mp4")
    assert listed(tmp_path).classes == ("bus", "car", "train")
    assert split_word("training dog") is None
    assert split_word("driving test") is None


def test_everything_in_a_class_folder_is_accounted_for(tmp_path: Path) -> None:
    touch(tmp_path, "walk/a.MP4", "walk/b.gif", "walk/c.divx", "walk/sub/d.y4m", "walk/e.F4V", "walk/f.m1v")
    touch(tmp_path, "run/a.mp4", "run/notes.txt", "run/.b.mp4", "run/x.part", "run/plain", "stray.mp4")
    touch(tmp_path, "run/.trash/old.mp4", "__MACOSX/walk/a.mp4")
    (tmp_path / "run" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "run" / "loop.mkv").symlink_to(tmp_path / "run" / "loop.mkv")
    os.mkfifo(tmp_path / "run" / "pipe.avi")
    (tmp_path / "run" / "round").symlink_to(tmp_path / "run")
    touch(tmp_path, "far/more/z.mp4")
    (tmp_path / "run" / "linked").symlink_to(tmp_path / "far" / "more")
    with pytest.raises(DatasetError, match="one file in two classes, far and run"):
        listed(tmp_path)
    (tmp_path / "far").rename(tmp_path / ".far")
    (tmp_path / "run" / "linked").unlink()
    (tmp_path / "run" / "linked").symlink_to(tmp_path / ".far" / "more")
    found = listed(tmp_path)
    assert found.classes == ("run", "walk")
    assert sorted(one.path.name for one in found.entries) == [
        "a.MP4",
        "a.mp4",
        "b.gif",
        "c.divx",
        "d.y4m",
        "e.F4V",
        "f.m1v",
        "z.mp4",
    ]
    assert [(Path(one.path).name, one.reason.split(":")[0]) for one in found.left_out] == [
        ("gone.mp4", "missing"),
        ("loop.mkv", "unreadable"),
        ("pipe.avi", "unreadable"),
    ]
    assert dict(found.ignored) == {
        ".part": 1,
        ".txt": 1,
        "hidden": 3,
        "no suffix": 1,
        "outside a class folder": 1,
        "system folder": 1,
    }


def test_folders_that_cannot_be_read_stop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "walk/a.mp4", "run/deep/b.mp4", "run/c.mp4")
    whole = os.scandir

    def refusing(path: str | Path) -> object:
        if str(path).endswith("deep"):
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DatasetError, match=r"folder cannot be read \(Permission denied\); .*run/deep"):
        listed(tmp_path)
    monkeypatch.undo()
    (tmp_path / "jump").symlink_to(tmp_path / "unmounted")
    with pytest.raises(DatasetError, match=r"the link leads nowhere; .*jump"):
        listed(tmp_path)


def test_a_folder_that_is_away_is_told_from_a_wrong_one(tmp_path: Path) -> None:
    with pytest.raises(SourceAbsentError):
        listed(tmp_path / "share")
    (tmp_path / "share").mkdir()
    with pytest.raises(SourceAbsentError, match="at least two classes are needed, found 0"):
        listed(tmp_path / "share")


def test_one_word_in_two_forms_is_one_class(tmp_path: Path) -> None:
    composed, decomposed = (normalize(form, "café") for form in ("NFC", "NFD"))
    touch(tmp_path, f"{composed}/a.mp4", f"{decomposed}/b.mp4", "walk/a.mp4", "Walk/a.mp4")
    found = listed(tmp_path)
    assert found.classes == ("Walk", composed, "walk")
    assert len(found.entries) == 4
    assert found.notes == (
        "classes Walk and walk differ only in capitals, spaces or zeros: they are 2 classes",
    )


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    touch(tmp_path, "walk/a.mp4", "run/b.mp4")
    touch(tmp_path, os.fsdecode(b"m\xfcll/caf\xe9.mp4"))
    found = listed(tmp_path)
    assert found.classes == ("m\\xfcll", "run", "walk")
    assert {os.fsencode(one.path.name) for one in found.entries} == {b"caf\xe9.mp4", b"a.mp4", b"b.mp4"}
