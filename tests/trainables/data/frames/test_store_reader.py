"""Reading the frame store: the right frames, bounded memory, clear errors."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

import trainables.data.frames.shard as shards_of
from catalog.storage.atomic import StoreReadError, sha256_of
from catalog.storage.errors import FailureKind
from tests.support.shards import write_shard
from trainables.data.clips.loader import train_batches, train_ring
from trainables.data.clips.resample import views_one_by_one
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.manifest import Manifest, Video
from trainables.data.frames.reader import ReadError
from trainables.data.frames.shard import Shard, ShardError, ShardFrames
from trainables.data.frames.store_reader import FrameStoreReader, LocalCopyError, copy_shards
from trainables.recipe.cell_spec import Recipe

SIZES = ((64, 48), (48, 64), (80, 40), (33, 17))


def pictures(width: int, height: int, seed: int, frames: int = 12) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(30, 226, (frames, height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width].copy()


def jpegs(frames: NDArray[np.uint8]) -> list[bytes]:
    return [simplejpeg.encode_jpeg(frame, quality=95, colorsubsampling="444") for frame in frames]


def build(folder: Path, sizes: Sequence[tuple[int, int]] = SIZES, shards: int = 2) -> Manifest:
    videos: list[Video] = []
    listed: list[Shard] = []
    per_shard = -(-len(sizes) // shards)
    for start in range(0, len(sizes), per_shard):
        name, row, contents = f"{start:03d}.arrow", 0, []
        for number, (width, height) in list(enumerate(sizes))[start : start + per_shard]:
            contents.append(jpegs(pictures(width, height, number)))
            sized = (12, 8.0, width, height, str(number), "decord", name, row)
            videos.append(Video(f"{number}.mp4", "train", number % 2, *sized))  # type: ignore[arg-type]
            row += 12
        frames = write_shard(folder / name, contents, "test")
        size = (folder / name).stat().st_size
        listed.append(Shard(name, sha256_of(folder / name), frames, size))
    return Manifest("toy", ("a", "b"), tuple(videos), (), FrameFormat(), tuple(listed))


def test_every_frame_comes_from_its_own_place(tmp_path: Path) -> None:
    manifest = build(tmp_path)
    reader = FrameStoreReader(tmp_path)
    for number, video in enumerate(manifest.videos):
        expected = pictures(video.width, video.height, number)
        indices = np.array([11, 0, 5, 5])
        found = reader.read(video, indices)
        assert found.shape == (4, video.height, video.width, 3)
        # the lossy step moves a picture by a few grey levels, another frame is far away
        assert np.abs(found.astype(int) - expected[indices]).mean() < 4
        assert np.abs(found.astype(int) - expected[(indices + 1) % 12]).mean() > 20


def test_threads_share_a_reader(tmp_path: Path) -> None:
    manifest = build(tmp_path)
    reader = FrameStoreReader(tmp_path)
    numbers = np.arange(12)
    expected = [reader.read(video, numbers) for video in manifest.videos]
    jobs = [i % len(SIZES) for i in range(200)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: reader.read(manifest.videos[i], numbers), jobs))
    assert all((expected[i] == frames).all() for i, frames in zip(jobs, found, strict=True))


def test_the_same_jpegs_give_the_same_file_and_no_temporary_stays(tmp_path: Path) -> None:
    contents = [jpegs(pictures(64, 48, 1)), jpegs(pictures(40, 40, 2))]
    for name in ("one", "two"):
        assert write_shard(tmp_path / name, contents, "x") == 24
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    manifest = build(tmp_path)
    video = manifest.videos[0]
    reader = FrameStoreReader(tmp_path)
    wrongs = ({"shard": "gone.arrow"}, {"width": 65}, {"first_row": 999})
    for wrong in (replace(video, **change) for change in wrongs):  # type: ignore[arg-type]
        with pytest.raises(ReadError, match=r"data verify"):
            reader.read(wrong, np.arange(3))
    with pytest.raises(ReadError, match="frames within the video"):
        reader.read(video, np.array([12]))
    (tmp_path / "text.arrow").write_text("no shard\n" * 50)
    (tmp_path / "empty.arrow").touch()
    for name in ("text.arrow", "empty.arrow", "absent.arrow"):
        with pytest.raises(ShardError, match=name):
            ShardFrames(tmp_path / name)
    torn = [[b"no jpeg at all"] * 12]
    write_shard(tmp_path / "torn.arrow", torn, "test")
    with pytest.raises(ReadError, match=r"0\.mp4 in shard torn\.arrow"):
        reader.read(replace(video, shard="torn.arrow"), np.arange(2))


def _resident() -> int:
    """Bytes of this process in memory, mapped files included."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def test_resident_memory_does_not_grow_with_epochs_or_the_dataset(tmp_path: Path) -> None:
    """Noise does not compress: 48 videos of some 3 MB, read whole, must not add up."""
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (200, 200, 3), dtype=np.uint8) for _ in range(40)]
    one = [simplejpeg.encode_jpeg(frame, quality=98, colorsubsampling="444") for frame in noise]
    videos = []
    for shard in range(6):
        write_shard(tmp_path / f"{shard}.arrow", [one] * 8, "test")
        for place in range(8):
            sized = (40, 8.0, 200, 200, f"{shard}-{place}", "decord", f"{shard}.arrow", 40 * place)
            videos.append(Video("x.mp4", "train", 0, *sized))  # type: ignore[arg-type]
    total = sum((tmp_path / f"{shard}.arrow").stat().st_size for shard in range(6))
    assert total > 120e6
    recipe = Recipe(batch_size=8, crop_size=64, crop_scales=(1.0,))
    reader, ring = FrameStoreReader(tmp_path), train_ring(videos, recipe, 8, 1, pin=False)

    def epoch(number: int) -> int:
        keywords = {"seed": 0, "epoch": number, "rank": 0, "world": 1}
        for _ in train_batches(videos, recipe, 8, reader, **keywords, threads=2, ring=ring):  # type: ignore[arg-type]
            pass
        return _resident()

    first = epoch(0)
    later = [epoch(number) for number in range(1, 6)]
    assert max(later) - first < 0.1 * total


def test_a_local_copy_is_made_once_and_checked(tmp_path: Path) -> None:
    store, disk = tmp_path / "store", tmp_path / "disk"
    store.mkdir()
    manifest = build(store)
    folder = copy_shards(manifest, store, disk)
    for shard in manifest.shards:
        assert sha256_of(folder / shard.name) == shard.sha256
    stamps = {shard.name: (folder / shard.name).stat().st_mtime_ns for shard in manifest.shards}
    (folder / manifest.shards[0].name).unlink()
    assert copy_shards(manifest, store, disk) == folder
    assert (folder / manifest.shards[1].name).stat().st_mtime_ns == stamps[manifest.shards[1].name]
    video = manifest.videos[0]
    expected = FrameStoreReader(store).read(video, np.arange(12))
    assert (FrameStoreReader(folder).read(video, np.arange(12)) == expected).all()
    damaged = store / manifest.shards[1].name
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with pytest.raises(LocalCopyError, match=str(damaged)):
        copy_shards(manifest, store, tmp_path / "other")
    huge = replace(manifest, shards=(replace(manifest.shards[0], name="x", bytes=1 << 60),))
    with pytest.raises(LocalCopyError, match="do not fit"):
        copy_shards(huge, store, tmp_path / "third")


TRANSIENT = (errno.EIO, errno.ESTALE, errno.EACCES, errno.EMFILE, errno.ETIMEDOUT)


class Failing:
    """Raises an OSError in place of its first `times` calls."""

    def __init__(self, action: Callable[..., Any], number: int, times: int) -> None:
        self._action, self._number, self._left = action, number, times

    def __call__(self, *args: Any, **named: Any) -> Any:
        if self._left > 0:
            self._left -= 1
            raise OSError(self._number, os.strerror(self._number), str(args[0]))
        return self._action(*args, **named)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Retries without waiting; the pauses that were asked for."""
    pauses: list[float] = []
    monkeypatch.setattr("catalog.storage.outage.time.sleep", pauses.append)
    return pauses


def first_batch(folder: Path, manifest: Manifest) -> list[float]:
    recipe = Recipe(epochs=1, batch_size=4, crop_size=16, lr=0.1)
    batches = train_batches(
        manifest.videos, recipe, 4, FrameStoreReader(folder), seed=0, epoch=1, rank=0, world=1, threads=2
    )
    with closing(batches):
        views = (views_one_by_one(batch.pixels, batch.cuts, batch.size) for batch in batches)
        return [float(clips.double().sum()) for clips in views]


@pytest.mark.parametrize("place", ["_mapped", "pa.ipc.open_file"])
@pytest.mark.parametrize("number", TRANSIENT)
def test_a_fault_of_the_storage_is_tried_again_in_the_loaders_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_pauses: list[float], number: int, place: str
) -> None:
    manifest = build(tmp_path)
    expected = first_batch(tmp_path, manifest)
    name = f"trainables.data.frames.shard.{place}"
    action = shards_of._mapped if place == "_mapped" else shards_of.pa.ipc.open_file
    monkeypatch.setattr(name, Failing(action, number, 3))
    assert first_batch(tmp_path, manifest) == expected
    assert len(no_pauses) == 3
    monkeypatch.setattr(name, Failing(action, number, 1000))
    with pytest.raises(StoreReadError, match=r"5 times in 4 s.*arrow") as raised:
        first_batch(tmp_path, manifest)
    assert raised.value.failure_kind is FailureKind.STORAGE


@pytest.mark.parametrize("number", TRANSIENT)
def test_a_batch_that_cannot_be_read_is_the_storages_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_pauses: list[float], number: int
) -> None:
    manifest = build(tmp_path)
    expected = first_batch(tmp_path, manifest)
    failing = Failing(ShardFrames.jpeg, number, 2)

    def jpeg(frames: ShardFrames, row: int) -> memoryview:
        found: memoryview = failing(frames, row)
        return found

    monkeypatch.setattr(ShardFrames, "jpeg", jpeg)
    assert first_batch(tmp_path, manifest) == expected
    assert len(no_pauses) <= 1


def test_a_shard_that_is_no_shard_is_the_datas_fault_at_once(tmp_path: Path, no_pauses: list[float]) -> None:
    manifest = build(tmp_path)
    for content in (b"", b"ARROW1", bytes(5000), (tmp_path / "000.arrow").read_bytes()[:-300]):
        (tmp_path / "000.arrow").write_bytes(content)
        with pytest.raises(ReadError) as raised:
            next(FrameStoreReader(tmp_path).frames(manifest.videos[0], np.arange(2)))
        assert raised.value.failure_kind is FailureKind.DATA
    assert no_pauses == []


def test_while_one_thread_waits_for_the_storage_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = build(tmp_path)
    reader, waiting, over = FrameStoreReader(tmp_path), Event(), Event()
    mapped = shards_of._mapped

    def stuck(path: Path) -> Any:
        if path.name == manifest.videos[0].shard:
            waiting.set()
            assert over.wait(20)
        return mapped(path)

    monkeypatch.setattr("trainables.data.frames.shard._mapped", stuck)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(reader.read, manifest.videos[0], np.arange(2))
        assert waiting.wait(20)
        assert manifest.videos[-1].shard != manifest.videos[0].shard
        try:
            assert len(reader.read(manifest.videos[-1], np.arange(2))) == 2
        finally:
            over.set()
        assert len(slow.result()) == 2
