"""UCF101, HMDB51 and Jester."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dataset_files import (
    FRAMES,
    HMDB_CLASSES,
    JESTER_CLASSES,
    UCF_CLASSES,
    DatasetFiles,
    frames_in,
    hmdb_file,
    ucf_file,
    write_clip,
    write_hmdb51,
    write_jester,
    write_ucf101,
)
from trainables.data.datasets import DatasetError, DatasetFolders, LeftOut, Listing, OfficialDataset
from trainables.data.datasets.listing import list_dataset

JESTER = OfficialDataset(name="jester")
UCF = OfficialDataset(name="ucf101")
HMDB = OfficialDataset(name="hmdb51")
MISSING = "missing: no such file"
HMDB_LISTS = "testTrainMulti_7030_splits"


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    for suffix in ("avi", "webm"):
        write_clip(folder / f"clip.{suffix}")
    return folder


@pytest.fixture
def ucf(tmp_path: Path, clips: Path) -> DatasetFiles:
    files = DatasetFiles(tmp_path, clips / "clip.avi")
    write_ucf101(files)
    return files


@pytest.fixture
def hmdb(tmp_path: Path, clips: Path) -> DatasetFiles:
    files = DatasetFiles(tmp_path, clips / "clip.avi")
    write_hmdb51(files)
    return files


@pytest.fixture
def jester(tmp_path: Path, clips: Path) -> DatasetFiles:
    files = DatasetFiles(tmp_path, clips / "clip.webm")
    write_jester(files)
    return files


def whole_ucf(files: DatasetFiles, split: int = 1, *left_out: LeftOut, folder: str = "UCF-101/") -> Listing:
    train = files.entries("train", (f"{folder}{ucf_file(name, split % 3 + 1)}" for name in UCF_CLASSES))
    val = files.entries("val", (f"{folder}{ucf_file(name, split)}" for name in UCF_CLASSES))
    return Listing(UCF_CLASSES, (*train, *val), left_out)


def whole_hmdb(files: DatasetFiles, split: int = 1, *left_out: LeftOut) -> Listing:
    train = files.entries("train", (f"{name}/{hmdb_file(name, split % 3 + 1)}" for name in HMDB_CLASSES))
    val = files.entries("val", (f"{name}/{hmdb_file(name, split)}" for name in HMDB_CLASSES))
    return Listing(HMDB_CLASSES, (*train, *val), left_out)


def whole_jester(files: DatasetFiles, *left_out: LeftOut) -> Listing:
    numbers = range(len(JESTER_CLASSES))
    train = files.entries("train", (f"20bn-jester-v1/{100 + n}.webm" for n in numbers))
    val = files.entries("val", (f"20bn-jester-v1/{200 + n}.webm" for n in numbers))
    return Listing(JESTER_CLASSES, (*train, *val), left_out)


# --- UCF101 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [1, 2, 3])
def test_each_split_of_ucf101(split: int, ucf: DatasetFiles) -> None:
    listing = list_dataset(OfficialDataset(name="ucf101", split=split), ucf.sources)
    assert listing == whole_ucf(ucf, split)
    assert frames_in(listing.entries[1].path) == FRAMES
    assert "HandstandPushups/v_HandStandPushups" in str(listing.entries[1].path)


def test_ucf101_without_class_folders_and_beside_its_lists(ucf: DatasetFiles) -> None:
    for path in list(ucf.videos.rglob("*.avi")):
        path.rename(ucf.videos / path.name)
    (ucf.annotations / "ucfTrainTestlist").rename(ucf.videos / "lists")
    flat = [ucf.videos / entry.path.name for entry in whole_ucf(ucf).entries]
    listing = list_dataset(UCF, DatasetFolders(ucf.videos))
    assert sorted(entry.path for entry in listing.entries) == sorted(flat)
    assert listing.left_out == ()


def test_what_ucf101_cannot_give_is_told(ucf: DatasetFiles) -> None:
    lost = ucf_file("Sport7", 1)
    ucf.move(f"UCF-101/{lost}", f"UCF-101/Sport8/{Path(lost).name}")
    ucf.add(
        "ucfTrainTestlist/testlist01.txt",
        ucf_file("Sport9", 1),
        "Chess/v_Chess_g01_c01.avi",
        "v_Sport1_g09_c01.avi",
    )
    ucf.add("ucfTrainTestlist/trainlist01.txt", f"{ucf_file('Sport3', 1)} 6")
    listing = list_dataset(UCF, ucf.sources)
    whole = whole_ucf(ucf)
    assert listing.entries == tuple(e for e in whole.entries if not str(e.path).endswith(lost))
    assert listing.left_out == (
        LeftOut(str(ucf.videos / lost), MISSING),
        LeftOut(str(ucf.videos / "UCF-101" / ucf_file("Sport3", 1)), "duplicate: listed before in val"),
        LeftOut(str(ucf.videos / "UCF-101" / ucf_file("Sport9", 1)), "duplicate: listed before in val"),
        LeftOut("Chess/v_Chess_g01_c01.avi", "unknown class: Chess"),
        LeftOut("v_Sport1_g09_c01.avi", "no label: listed in val without one"),
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("classInd.txt", r"annotation file classind\.txt not found"),
        ("trainlist02.txt", r"annotation file trainlist02\.txt not found"),
        ("testlist02.txt", r"annotation file testlist02\.txt not found"),
    ],
)
def test_a_missing_list_of_ucf101_is_named(name: str, message: str, ucf: DatasetFiles) -> None:
    (ucf.annotations / "ucfTrainTestlist" / name).unlink()
    with pytest.raises(DatasetError, match=f"{message}; .*annotations; give"):
        list_dataset(OfficialDataset(name="ucf101", split=2), ucf.sources)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["ApplyEyeMakeup"], r"not `index class`; .*classInd\.txt: line 1"),
        (["1 ApplyEyeMakeup", "3 Archery"], "class indices do not run from 1 without a gap"),
        (["1 ApplyEyeMakeup"], "1 classes where ucf101 has 101"),
    ],
)
def test_a_wrong_index_of_ucf101_is_explained(lines: list[str], message: str, ucf: DatasetFiles) -> None:
    ucf.write("ucfTrainTestlist/classInd.txt", lines)
    with pytest.raises(DatasetError, match=message):
        list_dataset(UCF, ucf.sources)


# --- HMDB51 ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [1, 2, 3])
def test_each_split_of_hmdb51(split: int, hmdb: DatasetFiles) -> None:
    assert list_dataset(OfficialDataset(name="hmdb51", split=split), hmdb.sources) == whole_hmdb(hmdb, split)


def test_what_hmdb51_cannot_give_is_told(hmdb: DatasetFiles) -> None:
    gone = hmdb.remove(f"climb/{hmdb_file('climb', 1)}")
    hmdb.remove(f"climb/{hmdb_file('climb', 3)}")  # not in this split
    hmdb.add(f"{HMDB_LISTS}/climb_test_split1.txt", f"{hmdb_file('climb', 2)} 1 ")
    listing = list_dataset(HMDB, hmdb.sources)
    assert listing.entries == tuple(e for e in whole_hmdb(hmdb).entries if str(e.path) != gone)
    assert listing.left_out == (
        LeftOut(gone, MISSING),
        LeftOut(str(hmdb.videos / "climb" / hmdb_file("climb", 2)), "duplicate: listed before in train"),
    )


def test_wrong_lists_of_hmdb51_are_explained(hmdb: DatasetFiles) -> None:
    path = hmdb.annotations / HMDB_LISTS / "climb_test_split1.txt"
    hmdb.add(f"{HMDB_LISTS}/climb_test_split1.txt", "a.avi 3")
    with pytest.raises(DatasetError, match=r"not `video 0\|1\|2`; .*climb_test_split1\.txt: line 4"):
        list_dataset(HMDB, hmdb.sources)
    path.unlink()
    with pytest.raises(DatasetError, match="50 classes where hmdb51 has 51"):
        list_dataset(HMDB, hmdb.sources)
    with pytest.raises(DatasetError, match=r"annotation files <class>_test_split1\.txt not found; .*videos"):
        list_dataset(HMDB, DatasetFolders(hmdb.videos))


# --- Jester ------------------------------------------------------------------------------------------------


def test_the_publishers_files_of_jester(jester: DatasetFiles) -> None:
    assert list_dataset(JESTER, jester.sources) == whole_jester(jester)


def test_older_names_and_commas_in_jester(jester: DatasetFiles) -> None:
    for name in ("labels", "train", "validation"):
        path = jester.annotations / "labels" / f"{name}.csv"
        path.write_text(path.read_text().replace(";", ","))
        path.rename(jester.annotations / f"jester-v1-{name}.csv")
    assert list_dataset(JESTER, jester.sources) == whole_jester(jester)


def test_what_jester_cannot_give_is_told(jester: DatasetFiles) -> None:
    jester.remove("20bn-jester-v1/101.webm")
    jester.add("labels/train.csv", "9", "8;Waving", f"200;{JESTER_CLASSES[0]}")
    listing = list_dataset(JESTER, jester.sources)
    folder = jester.videos / "20bn-jester-v1"
    assert listing.entries == tuple(e for e in whole_jester(jester).entries if e.path.name != "101.webm")
    assert listing.left_out == (
        LeftOut(str(jester.videos / "101.webm"), MISSING),
        LeftOut(str(folder / "200.webm"), "duplicate: listed before in val"),
        LeftOut("8.webm", "unknown class: Waving"),
        LeftOut("9.webm", "no label: listed in train without one"),
    )


def test_jester_as_its_publisher_distributes_it_is_refused_with_the_way_out(jester: DatasetFiles) -> None:
    for video in (jester.videos / "20bn-jester-v1").iterdir():
        video.unlink()
        video.with_suffix("").mkdir()
        (video.with_suffix("") / "00001.jpg").touch()
    with pytest.raises(DatasetError, match=r"54 of 54 videos are there only as folders of pictures"):
        list_dataset(JESTER, jester.sources)


def test_wrong_labels_of_jester_are_explained(jester: DatasetFiles) -> None:
    jester.write("labels/labels.csv", JESTER_CLASSES[:26])
    with pytest.raises(DatasetError, match=r"26 classes where jester has 27; .*labels\.csv"):
        list_dataset(JESTER, jester.sources)
    jester.write("labels/labels.csv", (*JESTER_CLASSES[:26], JESTER_CLASSES[0]))
    with pytest.raises(DatasetError, match="a class is listed twice"):
        list_dataset(JESTER, jester.sources)
