from __future__ import annotations

import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from catalog.storage.layout import BUILD_LOG_FILE
from trainables.data.datasets import (
    CsvDataset,
    DatasetConfig,
    DatasetError,
    FolderDataset,
    OfficialDataset,
    SyntheticMotion,
)
from trainables.data.frames.manifest import Manifest, read_manifest
from trainables.data.ingest.build import build_dataset
from trainables.data.ingest.run import BuildProgress

ADAPTER: TypeAdapter[DatasetConfig] = TypeAdapter(DatasetConfig)


def contents(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.relative_to(folder).as_posix(): (sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in folder.rglob("*.mp4")
    }


def place(motion: Manifest, folder: Path, classes: dict[str, int]) -> None:
    """Copies of generated videos, as a user's own folder."""
    number = 0
    for name, count in classes.items():
        (folder / name).mkdir(parents=True)
        for _ in range(count):
            shutil.copy(motion.videos[number].path, folder / name / f"clip {number}.mp4")
            number += 1


def names(manifest: Manifest, split: str) -> list[str]:
    return [Path(video.path).name for video in manifest.split(split)]  # type: ignore[arg-type]


# --- synthetic ---------------------------------------------------------------------------------------------


def test_the_manifest_on_disk_is_the_one_returned(motion: Manifest) -> None:
    folder = Path(motion.videos[0].path).parents[3]
    assert read_manifest(folder / "manifest.parquet") == motion
    assert len(motion.split("train")) == 16
    assert len(motion.split("val")) == 12
    assert motion.quarantined == ()
    assert {(v.frames, v.fps, v.width, v.height, v.decoder) for v in motion.videos} == {
        (32, 16.0, 48, 48, "decord")
    }
    assert [v.label for v in motion.split("val")] == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


def test_a_build_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    config = SyntheticMotion(train_per_class=2, val_per_class=1)
    steps: list[BuildProgress] = []
    first = build_dataset(config, "toy", tmp_path, progress=steps.append)
    assert [(now.stage, now.done) for now in steps] == [
        (stage, done) for stage in ("generating", "reading") for done in range(1, 13)
    ]
    assert {(now.total, now.standing, now.quarantined) for now in steps} == {(12, 0, 0)}
    assert 0.9 < steps[-1].bytes / sum(shard.bytes for shard in first.shards) < 1
    before = contents(tmp_path)
    lost, torn = sorted(before)[3], sorted(before)[7]
    (tmp_path / lost).unlink()
    (tmp_path / torn).write_bytes((tmp_path / torn).read_bytes()[:500])
    with (tmp_path / BUILD_LOG_FILE).open("a") as log:
        log.write('\n{"key": "torn li')
    (tmp_path / "manifest.parquet").unlink()
    again = build_dataset(config, "toy", tmp_path)
    after = contents(tmp_path)
    assert {name: content for name, (content, _) in after.items()} == {n: c for n, (c, _) in before.items()}
    assert {name for name in before if before[name][1] != after[name][1]} == {lost, torn}
    assert again == first


def test_another_configuration_makes_other_videos(tmp_path: Path) -> None:
    one = build_dataset(SyntheticMotion(train_per_class=1, val_per_class=1), "toy", tmp_path)
    two = build_dataset(SyntheticMotion(train_per_class=1, val_per_class=1, seed=5), "toy", tmp_path)
    assert one.hash("train") != two.hash("train")
    more = build_dataset(SyntheticMotion(train_per_class=2, val_per_class=1, seed=5), "toy", tmp_path)
    assert {v.sha256 for v in two.videos} < {v.sha256 for v in more.videos}


def test_two_builds_in_two_places_are_one_dataset(
    motion: Manifest, motion_config: SyntheticMotion, tmp_path: Path
) -> None:
    other = build_dataset(motion_config, "other", tmp_path)
    for split in ("train", "val"):
        assert other.hash(split) == motion.hash(split)  # type: ignore[arg-type]
    assert other.videos[0].path != motion.videos[0].path


# --- folders -----------------------------------------------------------------------------------------------


def test_real_clips_in_a_folder(real_videos: Path, tmp_path: Path) -> None:
    clips = sorted(real_videos.glob("*__*"))
    for number, clip in enumerate(clips):
        target = tmp_path / "videos" / ("even", "odd")[number % 2] / clip.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(clip)
    config = FolderDataset(path=str(tmp_path / "videos"))
    manifest = build_dataset(config, "real", tmp_path / "built")
    assert len(manifest.videos) == len(clips) - 1
    (bad,) = manifest.quarantined
    assert Path(bad.path).name == "decord__corrupted.mp4"
    assert bad.reason.startswith("damaged: ")
    assert manifest.classes == ("even", "odd")
    assert manifest.split("val")
    assert read_manifest(tmp_path / "built" / "manifest.parquet") == manifest
    strict = config.model_copy(update={"allow_missing": 0.05})
    with pytest.raises(
        DatasetError, match=r"1 of 11 videos cannot be used[\s\S]*decord__corrupted\.mp4: damaged"
    ):
        build_dataset(strict, "real", tmp_path / "built")


def test_bad_files_are_named_and_counted(motion: Manifest, tmp_path: Path) -> None:
    place(motion, tmp_path / "own", {"jump": 5, "wave": 4})
    (tmp_path / "own/jump/text.mp4").write_text("not a video " * 99)
    (tmp_path / "own/wave/empty.mkv").touch()
    (tmp_path / "own/wave/notes.txt").write_text("ignored")
    (tmp_path / "own/wave/.hidden.mp4").write_text("ignored")
    config = FolderDataset(path=str(tmp_path / "own"), allow_missing=0.2)
    manifest = build_dataset(config, "own", tmp_path / "built")
    assert manifest.classes == ("jump", "wave")
    reasons = {Path(q.path).name: q.reason for q in manifest.quarantined}
    assert set(reasons) == {"text.mp4", "empty.mkv"}
    assert reasons["empty.mkv"] == "unreadable: the file is empty"
    assert len(manifest.videos) == 9
    assert manifest.ignored == ((".txt", 1), ("hidden", 1))
    with pytest.raises(DatasetError) as caught:
        build_dataset(config.model_copy(update={"allow_missing": 0.18}), "own", tmp_path / "built")
    assert "2 of 11 videos cannot be used, more than allow_missing = 0.18" in str(caught.value)
    assert "text.mp4: unreadable" in str(caught.value)


def test_short_videos_are_quarantined(motion: Manifest, tmp_path: Path) -> None:
    place(motion, tmp_path / "own", {"a": 2, "b": 2})
    config = FolderDataset(path=str(tmp_path / "own"), min_frames=33, allow_missing=1.0)
    with pytest.raises(DatasetError, match="no usable train video"):
        build_dataset(config, "own", tmp_path / "built")
    strict = config.model_copy(update={"allow_missing": 0.5})
    with pytest.raises(DatasetError, match="too short: 32 frames, at least 33"):
        build_dataset(strict, "own", tmp_path / "built")
    assert len(build_dataset(config.model_copy(update={"min_frames": 32}), "own", tmp_path / "b").videos) == 4


def test_given_splits_are_kept(motion: Manifest, tmp_path: Path) -> None:
    place(motion, tmp_path / "own" / "train", {"a": 2, "b": 1})
    place(motion, tmp_path / "own" / "val", {"b": 3})
    manifest = build_dataset(FolderDataset(path=str(tmp_path / "own")), "own", tmp_path / "built")
    assert names(manifest, "train") == ["clip 0.mp4", "clip 1.mp4", "clip 2.mp4"]
    assert [video.label for video in manifest.split("val")] == [1, 1, 1]
    place(motion, tmp_path / "own" / "val" / "sub", {"x": 1})
    with pytest.raises(DatasetError, match="validation classes without training videos: sub"):
        build_dataset(FolderDataset(path=str(tmp_path / "own")), "own", tmp_path / "built")


def test_the_split_depends_on_names_alone(motion: Manifest, tmp_path: Path) -> None:
    place(motion, tmp_path / "one", {"a": 10, "b": 10})
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one = build_dataset(FolderDataset(path=str(tmp_path / "one")), "x", tmp_path / "b1")
    damaged = one.split("train")[0]
    (tmp_path / "two" / "a" / Path(damaged.path).name).write_text("damaged since")
    two = build_dataset(FolderDataset(path=str(tmp_path / "two")), "x", tmp_path / "b2")
    assert names(two, "val") == names(one, "val")
    assert names(two, "train") == names(one, "train")[1:]
    assert sum(video.label == 0 for video in one.split("val")) == 2


def test_folders_that_are_no_dataset_are_refused(motion: Manifest, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="dataset folder not found"):
        build_dataset(FolderDataset(path=str(tmp_path / "none")), "x", tmp_path)
    place(motion, tmp_path / "own", {"only": 2})
    with pytest.raises(DatasetError, match=r"at least two classes are needed, found 1 \(only\)"):
        build_dataset(FolderDataset(path=str(tmp_path / "own")), "x", tmp_path)
    (tmp_path / "own" / "lost").mkdir()
    (tmp_path / "own" / "lost" / "a.mp4").write_text("no video")
    with pytest.raises(DatasetError, match="classes without a usable training video: lost"):
        build_dataset(FolderDataset(path=str(tmp_path / "own"), allow_missing=0.5), "x", tmp_path)


# --- tables ------------------------------------------------------------------------------------------------


def test_a_table_of_videos(motion: Manifest, tmp_path: Path) -> None:
    place(motion, tmp_path / "own", {"x": 4})
    table = tmp_path / "own" / "videos.csv"
    rows = [
        "path,label,split",
        "x/clip 0.mp4,10,train",
        "x/clip 1.mp4,9,train",
        '"x/clip 2.mp4",9,validation',
    ]
    table.write_text("\ufeff" + "\r\n".join([*rows, "x/clip 3.mp4,10,val", "x/gone.mp4,10,train"]))
    config = CsvDataset(path=str(table))
    manifest = build_dataset(config, "own", tmp_path / "built")
    assert manifest.classes == ("9", "10")  # numbers in the order of numbers
    assert names(manifest, "train") == ["clip 1.mp4", "clip 0.mp4"]
    assert names(manifest, "val") == ["clip 2.mp4", "clip 3.mp4"]
    assert [(Path(q.path).name, q.reason) for q in manifest.quarantined] == [
        ("gone.mp4", "missing: no such file")
    ]
    moved = tmp_path / "moved.csv"
    table.rename(moved)
    there = CsvDataset(path=str(moved), root=str(tmp_path / "own"))
    assert build_dataset(there, "own", tmp_path / "b2").hash("train") == manifest.hash("train")


def test_a_table_without_a_split(motion: Manifest, tmp_path: Path) -> None:
    place(motion, tmp_path, {"x": 8})
    lines = [f"x/clip {number}.mp4,{'ab'[number % 2]}" for number in range(8)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *lines]))
    manifest = build_dataset(
        CsvDataset(path=str(tmp_path / "t.csv"), val_fraction=0.5), "t", tmp_path / "built"
    )
    assert [video.label for video in manifest.split("train")] == [0, 0, 1, 1]
    assert [video.label for video in manifest.split("val")] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing column path and label"),
        ("file,label\na.mp4,x\n", "missing column path"),
        ("path,label,split\n", "no videos listed"),
        ("path,label,split\na.mp4,x,train\nb.mp4,,val\n", "empty path or label; .*line 3"),
        (
            "path,label,split\na.mp4,x,train\nb.mp4,y,test\n",
            "unknown split 'test'; .*line 3; use train or val",
        ),
        ("path,label,split\na.mp4,x,train\na.mp4,y,val\n", "listed twice; .*lines 2 and 3"),
        ("path,label,split\na.mp4,x,train\nb.mp4,x,val\n", "at least two classes"),
    ],
)
def test_a_wrong_table_is_explained(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DatasetError, match=message):
        build_dataset(CsvDataset(path=str(tmp_path / "t.csv")), "t", tmp_path / "built")


def test_a_table_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="CSV file not found"):
        build_dataset(CsvDataset(path=str(tmp_path / "t.csv")), "t", tmp_path)
    (tmp_path / "t.csv").write_bytes(b"path,label\n\xff\xfe,x\n")
    with pytest.raises(DatasetError, match="not a CSV file in UTF-8"):
        build_dataset(CsvDataset(path=str(tmp_path / "t.csv")), "t", tmp_path)


# --- configurations ----------------------------------------------------------------------------------------


def test_configurations_are_told_apart_by_kind() -> None:
    assert ADAPTER.validate_python({"kind": "synthetic-motion"}) == SyntheticMotion()
    assert ADAPTER.validate_python({"kind": "folder", "path": "x"}) == FolderDataset(path="x")
    for wrong in (
        {"kind": "zip"},
        {"kind": "folder"},
        {"kind": "csv", "path": "x", "pth": 1},
        {"kind": "official", "name": "ucf"},
    ):
        with pytest.raises(ValidationError):
            ADAPTER.validate_python(wrong)


def test_official_datasets_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="mini-ssv2"):
        build_dataset(OfficialDataset(name="mini-ssv2"), "ssv2", tmp_path)
    assert SyntheticMotion().info().train_videos == 256


def test_configurations_load_nothing_heavy() -> None:
    heavy = ("torch", "av", "decord", "numpy", "pyarrow", "ray")
    code = f"import sys, trainables.data.datasets; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
