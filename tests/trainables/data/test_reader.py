from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainables.data.decode import pictures
from trainables.data.manifest import Manifest
from trainables.data.reader import DecordReader, ReadError

ALL = np.arange(32)


def test_kept_and_not_kept_videos_give_the_same_frames(motion: Manifest) -> None:
    kept, not_kept = DecordReader(), DecordReader(cache_bytes=1000)
    for video in motion.videos[:3]:
        for indices in (ALL, np.array([5, 5, 2, 31]), np.array([0])):
            for decoder in ("decord", "pyav"):
                frames = not_kept.read(replace(video, decoder=decoder), indices)
                assert frames.dtype == np.uint8
                assert (frames == kept.read(video, indices)).all()
    assert kept.cached_bytes == 3 * 32 * 48 * 48 * 3
    assert not_kept.cached_bytes == 0


def test_the_caller_owns_what_it_gets(motion: Manifest) -> None:
    reader = DecordReader()
    first = reader.read(motion.videos[0], ALL)
    kept = first.copy()
    first[:] = 0
    assert (reader.read(motion.videos[0], ALL) == kept).all()


def test_the_cache_stays_within_its_bound_and_drops_the_oldest(motion: Manifest, tmp_path: Path) -> None:
    size = 32 * 48 * 48 * 3
    reader = DecordReader(cache_bytes=8 * size)
    for video in (*motion.videos[:8], motion.videos[0], *motion.videos[8:10]):
        reader.read(video, ALL[:2])
        assert reader.cached_bytes <= 8 * size
    moved = [replace(video, path=str(tmp_path / "gone.mp4")) for video in motion.videos]
    assert reader.cached_bytes == 8 * size
    # what is kept needs no file; a file that is gone shows what is not
    for number, present in ((0, True), (1, False), (2, False), (3, True), (9, True)):
        path = Path(motion.videos[number].path)
        path.rename(moved[number].path)
        try:
            if present:
                reader.read(motion.videos[number], ALL[:1])
            else:
                with pytest.raises(ReadError):
                    reader.read(motion.videos[number], ALL[:1])
        finally:
            Path(moved[number].path).rename(path)


def test_several_threads_may_read_at_once(motion: Manifest) -> None:
    reader, lone = DecordReader(cache_bytes=9 * 32 * 48 * 48 * 3), DecordReader()
    expected = [lone.read(video, ALL[::3]) for video in motion.videos]
    jobs = list(range(len(motion.videos))) * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: reader.read(motion.videos[i], ALL[::3]), jobs))
    assert all((expected[i] == frames).all() for i, frames in zip(jobs, found, strict=True))
    assert reader.cached_bytes <= 9 * 32 * 48 * 48 * 3


@pytest.mark.parametrize("cache_bytes", [1 << 30, 0])
@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_a_file_that_changed_since_the_build_is_named(
    motion: Manifest, tmp_path: Path, cache_bytes: int, decoder: str
) -> None:
    video = replace(motion.videos[0], decoder=decoder)  # type: ignore[arg-type]
    reader = DecordReader(cache_bytes)
    with pytest.raises(ReadError, match="33 were expected"):
        reader.read(replace(video, frames=33), np.arange(33))
    with pytest.raises(ReadError, match="31 were expected"):
        reader.read(replace(video, frames=31), np.arange(31))
    with pytest.raises(ReadError, match=str(video.path)):
        reader.read(replace(video, width=50), ALL)
    text = tmp_path / "text.mp4"
    text.write_text("no video\n" * 50)
    with pytest.raises(ReadError, match=str(text)):
        reader.read(replace(video, path=str(text)), ALL)
    with pytest.raises(ReadError, match="frames within the video"):
        reader.read(video, np.array([32]))
    with pytest.raises(ReadError, match="frames within the video"):
        reader.read(video, np.array([-1]))


def test_rotation_is_applied_by_both_decoders(real_videos: Path) -> None:
    path = str(real_videos / "decord__video_90.mov")
    ours, theirs = list(pictures(path, "pyav")), list(pictures(path, "decord"))
    assert len(ours) == len(theirs) == 3
    for one, other in zip(ours, theirs, strict=True):
        assert one is not None
        assert other is not None
        assert one.shape == (568, 320, 3)
        assert (one == other).all()
