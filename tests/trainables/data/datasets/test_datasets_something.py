from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.dataset_files import (
    FRAMES,
    SSV2_CLASSES,
    DatasetFiles,
    frames_in,
    ssv2_item,
    write_clip,
    write_ssv2,
)
from trainables.data.datasets import DatasetError, LeftOut, Listing, OfficialDataset
from trainables.data.datasets.listing import list_dataset
from trainables.data.datasets.user_files import MINI_SSV2, mini_classes

SSV2 = OfficialDataset(name="ssv2")
FOLDER = "20bn-something-something-v2"
TRAIN = "labels/train.json"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("something") / "clip.webm")


@pytest.fixture
def files(tmp_path: Path, clip: Path) -> DatasetFiles:
    files = DatasetFiles(tmp_path, clip)
    write_ssv2(files)
    return files


def whole(
    files: DatasetFiles, *left_out: LeftOut, classes: tuple[str, ...] = SSV2_CLASSES, suffix: str = "webm"
) -> Listing:
    numbers = [SSV2_CLASSES.index(name) for name in classes]
    train = files.entries("train", (f"{FOLDER}/{1000 + n}.{suffix}" for n in numbers))
    val = files.entries("val", (f"{FOLDER}/{2000 + n}.{suffix}" for n in numbers))
    return Listing(classes, (*train, *val), left_out)


def add(files: DatasetFiles, *items: object) -> None:
    path = files.annotations / TRAIN
    path.write_text(json.dumps([*json.loads(path.read_text()), *items]))


def test_the_publishers_files(files: DatasetFiles) -> None:
    listing = list_dataset(SSV2, files.sources)
    assert listing == whole(files)
    assert frames_in(listing.entries[0].path) == FRAMES


def test_mini_ssv2_has_its_classes_and_all_their_videos(files: DatasetFiles) -> None:
    listing = list_dataset(OfficialDataset(name="mini-ssv2"), files.sources)
    assert listing == whole(files, classes=mini_classes(MINI_SSV2))


def test_classes_are_in_the_order_of_the_indices(files: DatasetFiles) -> None:
    names = list(SSV2_CLASSES)
    labels = {name: index for index, name in enumerate(reversed(names))}
    files.write("labels/labels.json", [json.dumps(labels)])
    listing = list_dataset(SSV2, files.sources)
    assert listing.classes == tuple(reversed(names))
    assert listing.entries[0].path == files.videos / FOLDER / f"{1000 + len(names) - 1}.webm"


def test_the_publishers_older_names_and_converted_videos(files: DatasetFiles) -> None:
    folder = files.annotations / "labels"
    for name in ("labels", "train", "validation", "test"):
        (folder / f"{name}.json").rename(files.annotations / f"something-something-v2-{name}.json")
    for video in (files.videos / FOLDER).iterdir():
        video.rename(video.with_suffix(".mp4"))
    assert list_dataset(SSV2, files.sources) == whole(files, suffix="mp4")


def test_what_cannot_be_used_is_told(files: DatasetFiles) -> None:
    gone = files.remove(f"{FOLDER}/1003.webm")
    add(
        files,
        ssv2_item(1000, SSV2_CLASSES[0]),
        ssv2_item(2000, SSV2_CLASSES[5]),
        ssv2_item(7, "Doing [something] unheard of"),
        {"id": "8"},
    )
    listing = list_dataset(SSV2, files.sources)
    assert listing.left_out == (
        LeftOut(str(files.videos / Path(gone).name), "missing: no such file"),
        LeftOut(str(files.videos / FOLDER / "1000.webm"), "duplicate: listed before in train"),
        LeftOut(
            str(files.videos / FOLDER / "2000.webm"),
            f"duplicate: listed before in val as {SSV2_CLASSES[0]}",
        ),
        LeftOut("7.webm", "unknown class: Doing something unheard of"),
        LeftOut("8.webm", "no label: listed in train without one"),
    )
    assert listing.entries == tuple(e for e in whole(files).entries if str(e.path) != gone)


def test_rows_of_other_classes_are_no_part_of_the_mini_set(files: DatasetFiles) -> None:
    (other,) = [n for n, name in enumerate(SSV2_CLASSES) if name == "Turning something 3 times"]
    files.remove(f"{FOLDER}/{1000 + other}.webm")
    add(files, ssv2_item(7, "Doing [something] unheard of"))
    listing = list_dataset(OfficialDataset(name="mini-ssv2"), files.sources)
    assert listing.left_out == (LeftOut("7.webm", "unknown class: Doing something unheard of"),)


def test_folders_of_pictures_are_refused(files: DatasetFiles) -> None:
    files.remove(f"{FOLDER}/1003.webm")
    pictures = files.videos / FOLDER / "1003"
    pictures.mkdir()
    (pictures / "00001.jpg").touch()
    with pytest.raises(DatasetError, match=r"1 of 348 videos are there only as folders of pictures; .*docs/"):
        list_dataset(SSV2, files.sources)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("train", "{}", r"not a list of videos; .*train\.json"),
        ("train", '[{"id": "1"', r"not a JSON file \(.*\); .*train\.json"),
        ("train", '[{"id": "1"}, {"label": "x"}]', "entry 2 has no id"),
        ("labels", "[]", "not a table from class names to indices"),
        ("labels", '{"a": "0", "b": "x"}', "not a whole number: 'x'"),
        ("labels", '{"a": "0", "b": "2"}', "class indices do not run from 0 without a gap"),
        ("labels", '{"a": "0", "b": "1"}', "2 classes where ssv2 has 174"),
    ],
)
def test_a_wrong_file_is_explained(name: str, text: str, message: str, files: DatasetFiles) -> None:
    files.write(f"labels/{name}.json", [text])
    with pytest.raises(DatasetError, match=message):
        list_dataset(SSV2, files.sources)
