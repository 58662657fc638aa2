from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.dataset_files import (
    FRAMES,
    KINETICS_CLASSES,
    DatasetFiles,
    frames_in,
    kinetics_id,
    kinetics_row,
    kinetics_video,
    write_clip,
    write_kinetics,
)
from trainables.data.datasets import DatasetError, DatasetFolders, Entry, LeftOut, Listing, OfficialDataset
from trainables.data.datasets.listing import list_dataset
from trainables.data.datasets.user_files import MINI_KINETICS, mini_classes

KINETICS = OfficialDataset(name="kinetics400")
MINI = OfficialDataset(name="mini-kinetics")
ALL = range(len(KINETICS_CLASSES))
TRAIN = "kinetics400/train.csv"
VALIDATE = "kinetics400/validate.csv"
MISSING = "missing: no such file"


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("kinetics") / "clip.mp4")


@pytest.fixture
def files(tmp_path: Path, clip: Path) -> DatasetFiles:
    files = DatasetFiles(tmp_path, clip)
    write_kinetics(files)
    return files


def whole(files: DatasetFiles, *left_out: LeftOut) -> Listing:
    train = files.entries("train", (kinetics_video("train", n) for n in ALL))
    val = files.entries("val", (kinetics_video("val", n) for n in ALL))
    return Listing(KINETICS_CLASSES, (*train, *val), left_out)


def label_of(listing: Listing, path: Path) -> int:
    (label,) = (entry.label for entry in listing.entries if entry.path == path)
    return label


def test_the_publishers_files(files: DatasetFiles) -> None:
    listing = list_dataset(KINETICS, files.sources)
    assert listing == whole(files)
    assert listing.entries[0].path.is_absolute()
    assert frames_in(listing.entries[0].path) == FRAMES


def test_mini_kinetics_has_its_classes_and_all_their_videos(files: DatasetFiles) -> None:
    listing = list_dataset(MINI, files.sources)
    classes = mini_classes(MINI_KINETICS)
    numbers = [KINETICS_CLASSES.index(name) for name in classes]
    assert listing == Listing(
        classes,
        (
            *files.entries("train", (kinetics_video("train", n) for n in numbers)),
            *files.entries("val", (kinetics_video("val", n) for n in numbers)),
        ),
    )


@pytest.mark.parametrize(
    "name",
    [
        "{id}_{times}.mkv",
        "{id}_{times}.MP4",
        "{id}_{times}.mp4.webm",
        "{id}.mp4",
        "anywhere/{id}.webm",
        "train/{label}/{id}_{times}.mp4",
        "train/{label_}/{id}_{times}.mp4",
        "train/{label_}/{id}.mp4",
    ],
)
def test_names_and_folders_that_downloaders_leave(name: str, files: DatasetFiles) -> None:
    label = KINETICS_CLASSES[7]
    new = name.format(
        id=kinetics_id("train", 7), times="000007_000017", label=label, label_=label.replace(" ", "_")
    )
    files.move(kinetics_video("train", 7), new)
    listing = list_dataset(KINETICS, files.sources)
    expected = whole(files).entries
    assert sorted(listing.entries, key=str) == sorted(
        (*expected[:7], Entry(files.videos / new, "train", 7), *expected[8:]), key=str
    )
    assert listing.left_out == ()


def test_other_names_of_the_annotation_files(files: DatasetFiles) -> None:
    folder = files.annotations / "kinetics400"
    (folder / "train.csv").rename(folder / "kinetics_train.csv")
    (folder / "validate.csv").rename(folder / "k400_val.csv")
    assert list_dataset(KINETICS, files.sources) == whole(files)
    folder.rename(files.videos / "csv")
    assert list_dataset(KINETICS, DatasetFolders(videos=files.videos)) == whole(files)


def test_a_sixth_column_and_a_byte_order_mark_do_no_harm(files: DatasetFiles) -> None:
    path = files.annotations / TRAIN
    header, *rows = path.read_text().splitlines()
    path.write_text("\r\n".join(["\ufeff" + header + ",is_cc", *(f"{row},0" for row in rows)]) + "\r\n")
    assert list_dataset(KINETICS, files.sources) == whole(files)


def test_missing_videos_are_told(files: DatasetFiles) -> None:
    gone = [files.remove(kinetics_video("train", 5)), files.remove(kinetics_video("val", 9))]
    (files.videos / kinetics_video("val", 9)).symlink_to("nowhere")
    listing = list_dataset(KINETICS, files.sources)
    places = [files.videos / Path(path).name for path in gone]
    assert listing.left_out == tuple(
        sorted((LeftOut(str(place), MISSING) for place in places), key=lambda one: one.path)
    )
    assert len(listing.entries) == 798
    assert set(listing.entries) < set(whole(files).entries)


def test_hidden_and_unfinished_files_are_no_videos(files: DatasetFiles) -> None:
    name = kinetics_video("train", 3)
    for copy in (f"train/._{Path(name).name}", f"{name}.part", f".old/{Path(name).name}"):
        files.place(copy)
    place = Path(files.remove(name)).name
    assert list_dataset(KINETICS, files.sources).left_out == (LeftOut(str(files.videos / place), MISSING),)


def test_duplicates_are_told_and_validation_keeps_its_video(files: DatasetFiles) -> None:
    train, val = kinetics_id("train", 0), kinetics_id("val", 1)
    files.add(
        TRAIN,
        kinetics_row(KINETICS_CLASSES[0], train, 0, "train"),
        kinetics_row(KINETICS_CLASSES[2], train, 0, "train"),
        kinetics_row(KINETICS_CLASSES[1], val, 1, "train"),
        kinetics_row(KINETICS_CLASSES[1], "gone_______", 1, "train"),
        kinetics_row(KINETICS_CLASSES[1], "gone_______", 1, "train"),
    )
    listing = list_dataset(KINETICS, files.sources)
    first, other = (str(files.videos / kinetics_video(s, n)) for s, n in (("train", 0), ("val", 1)))
    gone = str(files.videos / "gone________000001_000011.mp4")
    assert listing == whole(
        files,
        LeftOut(gone, "duplicate: listed before"),
        LeftOut(gone, MISSING),
        LeftOut(first, "duplicate: listed before in train"),
        LeftOut(first, f"duplicate: listed before in train as {KINETICS_CLASSES[0]}"),
        LeftOut(other, "duplicate: listed before in val"),
    )


def test_rows_without_a_label_and_of_unknown_classes_are_told(files: DatasetFiles) -> None:
    files.add(TRAIN, kinetics_row("", "nolabel____", 3, "train"))
    files.add(VALIDATE, kinetics_row("sleeping", "unknown____", 3, "validate"))
    assert list_dataset(KINETICS, files.sources) == whole(
        files,
        LeftOut("nolabel_____000003_000013.mp4", "no label: listed in train without one"),
        LeftOut("unknown_____000003_000013.mp4", "unknown class: sleeping"),
    )


def test_one_of_several_copies_is_chosen_by_its_folder(files: DatasetFiles) -> None:
    name = Path(kinetics_video("train", 4)).name
    old = list_dataset(KINETICS, files.sources)
    files.place(f"aaa/{name}")
    assert list_dataset(KINETICS, files.sources) == old  # in train/, where the row says
    label = KINETICS_CLASSES[4].replace(" ", "_")
    files.place(f"val/{label}/{name}")
    assert label_of(list_dataset(KINETICS, files.sources), files.videos / "val" / label / name) == 4
    files.place(f"replacement/replacement_for_corrupted_k400/{name}")
    best = files.videos / "replacement" / "replacement_for_corrupted_k400" / name
    assert label_of(list_dataset(KINETICS, files.sources), best) == 4


def test_linked_folders_are_read_once(files: DatasetFiles, tmp_path: Path) -> None:
    (files.videos / "train").rename(tmp_path / "elsewhere")
    (files.videos / "train").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "circle").symlink_to(files.videos)
    (tmp_path / "elsewhere" / "here").symlink_to(tmp_path / "elsewhere")
    assert list_dataset(KINETICS, files.sources) == whole(files)


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        (DatasetFolders(), "no folder of videos given; --videos; fetch the Kinetics-400 videos"),
        (
            DatasetFolders(Path("nowhere")),
            "folder not found; .*nowhere; give an existing folder with --videos",
        ),
        (
            DatasetFolders(Path(), Path("nowhere")),
            "folder not found; .*nowhere; give an existing folder with --annotations",
        ),
    ],
)
def test_folders_that_are_not_given_or_not_there(
    sources: DatasetFolders, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=message):
        list_dataset(KINETICS, sources)


def test_annotation_files_that_are_not_there_or_not_clear(files: DatasetFiles) -> None:
    folder = files.annotations
    (folder / "copy").mkdir()
    (folder / "copy" / "k400_train.csv").write_bytes((folder / TRAIN).read_bytes())
    with pytest.raises(
        DatasetError,
        match=rf"two files could be meant: copy/k400_train\.csv and {TRAIN}; {re.escape(str(folder))}; give",
    ):
        list_dataset(KINETICS, files.sources)
    (folder / "copy" / "k400_train.csv").unlink()
    (folder / VALIDATE).unlink()
    with pytest.raises(DatasetError, match=r"annotation file val\.csv \(or .*validate\.csv.*\) not found"):
        list_dataset(KINETICS, files.sources)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("yoga,abc", r"2 cells where the header has 5; .*train\.csv: line 402"),
        ("yoga,abc,x,12,train", r"not a whole number: 'x'; .*train\.csv: line 402; get"),
        ("yoga,abc,2,12,test", "a row of the split 'test' in the file of train; .*line 402"),
        ("a new pastime,abc,2,12,train", "401 classes where kinetics400 has 400; .*this dataset and version"),
    ],
)
def test_a_wrong_row_is_explained(line: str, message: str, files: DatasetFiles) -> None:
    files.add(TRAIN, line)
    with pytest.raises(DatasetError, match=message):
        list_dataset(KINETICS, files.sources)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "missing column label and youtube_id and time_start and time_end; .*line 1"),
        (b"youtube_id,time_start,time_end,split\nabc,1,11,train\n", "missing column label;"),
        (b"label,\xff\n", "not text in UTF-8"),
    ],
)
def test_a_wrong_file_is_explained(content: bytes, message: str, files: DatasetFiles) -> None:
    (files.annotations / TRAIN).write_bytes(content)
    with pytest.raises(DatasetError, match=message):
        list_dataset(KINETICS, files.sources)


def test_a_mini_class_that_the_annotations_do_not_have(files: DatasetFiles) -> None:
    path = files.annotations / TRAIN
    path.write_text(path.read_text().replace("yoga,", "joga,"))
    with pytest.raises(DatasetError, match=r"classes not in the annotations: yoga; .*train\.csv"):
        list_dataset(MINI, files.sources)


def test_the_wrong_folder_of_videos(files: DatasetFiles, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"none of the 800 listed videos found; .*empty; give the folder"):
        list_dataset(KINETICS, DatasetFolders(tmp_path / "empty", files.annotations))
