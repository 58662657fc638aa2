from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dataset_files import DatasetFiles, mit_classes, write_clip, write_mit
from trainables.data.datasets import DatasetError, LeftOut, Listing, OfficialDataset
from trainables.data.datasets.listing import list_dataset

MINI = OfficialDataset(name="mini-mit")
CLASSES = mit_classes(200)
FILE = "yt-abc_5.mp4"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("moments") / "clip.mp4")


@pytest.fixture
def files(tmp_path: Path, clip: Path) -> DatasetFiles:
    files = DatasetFiles(tmp_path, clip)
    write_mit(files, 200)
    return files


def whole(files: DatasetFiles, *left_out: LeftOut, classes: tuple[str, ...] = CLASSES) -> Listing:
    train = files.entries("train", (f"training/{name}/{FILE}" for name in classes))
    val = files.entries("val", (f"validation/{name}/{FILE}" for name in classes))
    return Listing(classes, (*train, *val), left_out)


def test_the_publishers_files_of_the_mini_set(files: DatasetFiles) -> None:
    assert list_dataset(MINI, files.sources) == whole(files)


def test_the_full_set(tmp_path: Path, clip: Path) -> None:
    files = DatasetFiles(tmp_path, clip)
    write_mit(files, 339)
    assert list_dataset(OfficialDataset(name="mit"), files.sources) == whole(files, classes=mit_classes(339))
    with pytest.raises(DatasetError, match=r"339 classes where mini-mit has 200; .*moments_categories\.txt"):
        list_dataset(MINI, files.sources)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("moments_categories.txt", r"annotation file moments_categories\.txt not found"),
        ("trainingSet.csv", r"annotation file trainingset\.csv not found"),
        ("validationSet.csv", r"annotation file validationset\.csv not found"),
    ],
)
def test_a_missing_annotation_file_is_named(name: str, message: str, files: DatasetFiles) -> None:
    (files.annotations / name).unlink()
    with pytest.raises(DatasetError, match=message):
        list_dataset(MINI, files.sources)


def test_a_file_of_that_name_in_another_class_or_split_is_not_the_one(files: DatasetFiles) -> None:
    files.remove(f"training/{CLASSES[0]}/{FILE}")
    files.remove(f"validation/{CLASSES[3]}/{FILE}")
    listing = list_dataset(MINI, files.sources)
    gone = {("train", 0), ("val", 3)}
    assert listing.entries == tuple(e for e in whole(files).entries if (e.split, e.label) not in gone)
    assert listing.left_out == (
        LeftOut(str(files.videos / "training" / CLASSES[0] / FILE), "missing: no such file"),
        LeftOut(str(files.videos / "validation" / CLASSES[3] / FILE), "missing: no such file"),
    )


def test_what_cannot_be_used_is_told(files: DatasetFiles) -> None:
    files.add(
        "trainingSet.csv",
        f"{CLASSES[1]}/{FILE},{CLASSES[1]},2,1",
        f"{CLASSES[2]}/without.mp4",
        f"{CLASSES[2]}/empty.mp4,,2,1",
        "sitting/x.mp4,sitting,2,1",
    )
    assert list_dataset(MINI, files.sources) == whole(
        files,
        LeftOut(str(files.videos / "training" / CLASSES[1] / FILE), "duplicate: listed before in train"),
        LeftOut(f"training/{CLASSES[2]}/empty.mp4", "no label: listed in train without one"),
        LeftOut(f"training/{CLASSES[2]}/without.mp4", "no label: listed in train without one"),
        LeftOut("training/sitting/x.mp4", "unknown class: sitting"),
    )


def test_names_beyond_ascii_are_found_in_either_form(files: DatasetFiles) -> None:
    composed, decomposed = "caf\u00e9.mp4", "cafe\u0301.mp4"
    files.place(f"training/{CLASSES[1]}/{decomposed}")
    files.add("trainingSet.csv", f'"{CLASSES[1]}/{composed}",{CLASSES[1]},2,1')
    listing = list_dataset(MINI, files.sources)
    assert listing.left_out == ()
    assert files.videos / "training" / CLASSES[1] / decomposed in {entry.path for entry in listing.entries}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["clapping 0"], r"not `class,index`; .*moments_categories\.txt: line 1"),
        (["clapping,0", "", "sitting,one"], "not a whole number: 'one'; .*line 3"),
        (["clapping,0", "sitting,0"], "class indices do not run from 0 without a gap"),
    ],
)
def test_wrong_categories_are_explained(lines: list[str], message: str, files: DatasetFiles) -> None:
    files.write("moments_categories.txt", lines)
    with pytest.raises(DatasetError, match=message):
        list_dataset(MINI, files.sources)
