"""The frame store that a build leaves: what is in it, what is built again, and a full disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from catalog.storage.atomic import StoreWriteError
from catalog.storage.layout import SHARDS
from catalog.storage.locks import LockHeldError, exclusive
from tests.support.small_disk import fill_up, small_disk
from trainables.data.datasets import DatasetError, FolderDataset
from trainables.data.frames.check import shards_stand, verify
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.manifest import Manifest, Video, read_manifest
from trainables.data.frames.shard import ShardFrames
from trainables.data.ingest.build import build_dataset
from trainables.data.ingest.decode import pictures
from trainables.data.ingest.run import BuildProgress

Picture = NDArray[np.uint8]


def folder_of(motion: Manifest, folder: Path, count: int = 6) -> FolderDataset:
    """A user's own folder: `count` videos in each of two classes."""
    for number, video in enumerate(motion.videos[: 2 * count]):
        target = folder / "ab"[number % 2] / f"{number}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video.path, target)
    return FolderDataset(path=str(folder), frame_format=FrameFormat(shard_mb=1))


def stored(video: Video, directory: Path) -> Iterator[Picture]:
    frames = ShardFrames(directory / SHARDS / video.shard)
    for row in range(video.first_row, video.first_row + video.frames):
        yield simplejpeg.decode_jpeg(frames.jpeg(row))


def files_in(directory: Path) -> dict[str, tuple[int, int]]:
    """Every shard's inode and modification time: another pair is another write."""
    return {
        path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in (directory / SHARDS).iterdir()
    }


def test_real_clips_are_stored_as_they_look(real_videos: Path, tmp_path: Path) -> None:
    clips = sorted(path for path in real_videos.glob("*__*") if "bikes" not in path.name)
    for number, clip in enumerate(clips):
        target = tmp_path / "videos" / "ab"[number % 2] / clip.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(clip)
    config = FolderDataset(path=str(tmp_path / "videos"), frame_format=FrameFormat(short_side=240))
    manifest = build_dataset(config, "real", tmp_path / "built")
    assert len(manifest.videos) == len(clips) - 1
    for video in manifest.videos:
        assert min(video.width, video.height) <= 240
        originals = (picture for picture in pictures(video.path, "pyav") if picture is not None)
        for number, (kept, original) in enumerate(
            zip(stored(video, tmp_path / "built"), originals, strict=True)
        ):
            assert kept.shape == (video.height, video.width, 3)
            if number % 25 == 0:
                small = mean_blocks(original)
                # 2.9 on a pattern of pure colours, whose halved chroma shows; below 0.5 on camera pictures
                assert np.abs(small - mean_blocks(kept)).mean() < 3.5
    assert sum(shard.frames for shard in manifest.shards) == sum(video.frames for video in manifest.videos)


def mean_blocks(picture: Picture) -> NDArray[np.float64]:
    """A picture's mean colours on an 8 × 8 grid: what any right resize keeps."""
    return np.asarray(Image.fromarray(picture).resize((8, 8), Image.Resampling.BOX), dtype=np.float64)


def test_built_again_nothing_is_read_or_written(motion: Manifest, tmp_path: Path) -> None:
    config = folder_of(motion, tmp_path / "own")
    first = build_dataset(config, "own", tmp_path / "built")
    before, steps = files_in(tmp_path / "built"), list[BuildProgress]()
    assert build_dataset(config, "own", tmp_path / "built", progress=steps.append) == first
    assert files_in(tmp_path / "built") == before
    assert [(now.done, now.standing, now.bytes) for now in steps] == [(12, 12, 0)]


def test_a_changed_video_costs_its_own_batch(motion: Manifest, tmp_path: Path) -> None:
    config = folder_of(motion, tmp_path / "own")
    first = build_dataset(config, "own", tmp_path / "built")
    before = files_in(tmp_path / "built")
    changed = Path(first.videos[3].path)
    shutil.copy(motion.videos[-1].path, changed)
    second = build_dataset(config, "own", tmp_path / "built")
    after = files_in(tmp_path / "built")
    assert {name for name in after if after[name] == before.get(name)} == set(before) - {
        first.videos[3].shard
    }
    assert second.videos[3].shard not in before
    assert [v.shard for v in second.videos if v.path != str(changed)] == [
        v.shard for v in first.videos if v.path != str(changed)
    ]
    # what no manifest names any more is gone
    assert set(after) == {shard.name for shard in second.shards}


def test_the_old_store_stands_until_the_new_one_does(motion: Manifest, tmp_path: Path) -> None:
    config = folder_of(motion, tmp_path / "own").model_copy(update={"allow_missing": 0.0})
    first = build_dataset(config, "own", tmp_path / "built")
    before = files_in(tmp_path / "built")
    Path(first.videos[0].path).write_text("no longer a video")
    with pytest.raises(DatasetError, match="1 of 12 videos cannot be used"):
        build_dataset(config, "own", tmp_path / "built")
    assert before.items() <= files_in(tmp_path / "built").items()
    assert read_manifest(tmp_path / "built" / "manifest.parquet") == first


def test_what_may_be_missing_is_the_users_decision_and_is_kept(motion: Manifest, tmp_path: Path) -> None:
    config = folder_of(motion, tmp_path / "own").model_copy(update={"allow_missing": 0.0})
    (tmp_path / "own" / "a" / "bad.mp4").write_text("no video")
    with pytest.raises(DatasetError, match="1 of 13 videos cannot be used"):
        build_dataset(config, "own", tmp_path / "built")
    manifest = build_dataset(config, "own", tmp_path / "built", allow_missing=0.1)
    assert manifest.allow_missing == 0.1
    assert build_dataset(config, "own", tmp_path / "built") == manifest
    assert read_manifest(tmp_path / "built" / "manifest.parquet").allow_missing == 0.1


def test_direct_keeps_no_frames(motion: Manifest, tmp_path: Path) -> None:
    config = folder_of(motion, tmp_path / "own")
    direct = config.model_copy(update={"frame_format": FrameFormat(mode="direct", short_side=40)})
    manifest = build_dataset(direct, "own", tmp_path / "built")
    assert manifest.shards == ()
    assert not (tmp_path / "built" / SHARDS).exists()
    assert {(v.shard, v.width, v.height) for v in manifest.videos} == {("", 40, 40)}
    assert manifest.hash("train") != build_dataset(config, "own", tmp_path / "b2").hash("train")
    checked = list(verify(manifest, tmp_path / "built", 2))
    assert [one.problem for one in checked] == [None] * 12
    Path(manifest.videos[0].path).write_text("changed")
    assert sum(one.problem is not None for one in verify(manifest, tmp_path / "built", 2)) == 1


# --- damage ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["bit", "cut", "gone"])
def test_a_damaged_shard_is_found_and_built_again(motion: Manifest, tmp_path: Path, damage: str) -> None:
    config, built = folder_of(motion, tmp_path / "own"), tmp_path / "built"
    manifest = build_dataset(config, "own", built)
    assert all(one.problem is None for one in verify(manifest, built, 2))
    hurt = built / SHARDS / manifest.shards[1].name
    whole, others = hurt.read_bytes(), files_in(built)
    if damage == "gone":
        hurt.unlink()
    else:
        hurt.write_bytes(
            whole[:-8] if damage == "cut" else bytes([*whole[:900], whole[900] ^ 1, *whole[901:]])
        )
    # a glance sees sizes; that a bit is wrong only reading shows
    assert shards_stand(manifest, built) == (damage == "bit")
    problems = {one.path.name for one in verify(manifest, built, 2) if one.problem is not None}
    assert problems == {hurt.name}
    assert not shards_stand(manifest, built)
    assert build_dataset(config, "own", built) == manifest
    assert hurt.read_bytes() == whole
    assert shards_stand(manifest, built)
    assert all(one.problem is None for one in verify(manifest, built, 2))
    after = files_in(built)
    assert {name for name in after if after[name] != others[name]} <= {hurt.name}


def test_what_a_killed_build_left_is_cleared(motion: Manifest, tmp_path: Path) -> None:
    config, built = folder_of(motion, tmp_path / "own"), tmp_path / "built"
    for name in ("work/batch-3.spool", "shards/.0badc0de.77.tmp.arrow", ".manifest.77.tmp.parquet"):
        (built / name).parent.mkdir(parents=True, exist_ok=True)
        (built / name).write_bytes(b"half")
    manifest = build_dataset(config, "own", built)
    names = {path.relative_to(built).as_posix() for path in built.rglob("*")}
    assert names == {
        *("build.jsonl", "build.lock", "manifest.parquet", "shards", "source.parquet"),
        *(f"shards/{shard.name}" for shard in manifest.shards),
    }


def test_two_builds_of_one_dataset_do_not_meet(motion: Manifest, tmp_path: Path) -> None:
    config = folder_of(motion, tmp_path / "own")
    with (
        exclusive(tmp_path / "built" / "build.lock", 1, "the dataset"),
        pytest.raises(LockHeldError, match=f"dataset own is in use by .* pid {os.getpid()}"),
    ):
        build_dataset(config, "own", tmp_path / "built")


# --- a full disk -------------------------------------------------------------------------------------------


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    motion: Manifest, tmp_path: Path
) -> None:
    config = folder_of(motion, tmp_path / "own")
    with small_disk(tmp_path / "disk", 64) as disk:
        with pytest.raises(StoreWriteError, match=r"need about \d.* KiB, \d.* KiB are free; .*disk"):
            build_dataset(config, "own", disk / "built")
        assert not (disk / "built" / SHARDS).exists()


def test_a_disk_that_gets_full_stops_the_build_cleanly(motion: Manifest, tmp_path: Path) -> None:
    """Room is there when the build starts; then something else takes it."""
    config = folder_of(motion, tmp_path / "own")
    undisturbed = build_dataset(config, "own", tmp_path / "undisturbed")
    with small_disk(tmp_path / "disk", 4096) as disk:

        def fill(now: BuildProgress) -> None:
            if now.done == 3:
                fill_up(disk / "other")

        with pytest.raises(
            StoreWriteError, match=r"cannot write \(No space left on device\); .*same command"
        ):
            build_dataset(config, "own", disk / "built", progress=fill)
        assert not (disk / "built" / "manifest.parquet").exists()
        whole = {shard.name: shard.bytes for shard in undisturbed.shards}
        for path in (disk / "built" / SHARDS).glob("*.arrow"):
            assert path.stat().st_size == whole[path.name]
        (disk / "other").unlink()
        again = build_dataset(config, "own", disk / "built")
        assert again == undisturbed
        for shard in again.shards:
            there = (disk / "built" / SHARDS / shard.name).read_bytes()
            assert there == (tmp_path / "undisturbed" / SHARDS / shard.name).read_bytes()
        assert not list((disk / "built").rglob(".*")) + list((disk / "built").rglob("*.spool"))
