from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainables.data.frames.frame_format import ORIGINALS
from trainables.data.frames.manifest import Manifest
from trainables.data.frames.reader import DecordReader, KeptFrames, ReadError
from trainables.data.frames.store_reader import FrameStoreReader, open_reader
from trainables.data.ingest.decode import pictures

ALL = np.arange(32)


def test_kept_and_not_kept_videos_give_the_same_frames(motion: Manifest) -> None:
    kept, not_kept = KeptFrames(DecordReader()), DecordReader()
    for video in motion.videos[:3]:
        for indices in (ALL, np.array([5, 5, 2, 31]), np.array([0])):
            for decoder in ("decord", "pyav"):
                frames = not_kept.read(replace(video, decoder=decoder), indices)
                assert frames.dtype == np.uint8
                assert (frames == kept.read(video, indices)).all()


def test_the_caller_owns_what_it_gets(motion: Manifest) -> None:
    reader = KeptFrames(DecordReader())
    first = reader.read(motion.videos[0], ALL)
    kept = first.copy()
    first[:] = 0
    assert (reader.read(motion.videos[0], ALL) == kept).all()


def test_what_is_kept_needs_no_file(motion: Manifest, tmp_path: Path) -> None:
    video = motion.videos[0]
    kept, not_kept = KeptFrames(DecordReader()), DecordReader()
    expected = [reader.read(video, ALL[3:5]) for reader in (kept, not_kept)]
    Path(video.path).rename(tmp_path / "away.mp4")
    try:
        assert (kept.read(video, ALL[3:5]) == expected[0]).all()
        with pytest.raises(ReadError):
            not_kept.read(video, ALL[3:5])
    finally:
        (tmp_path / "away.mp4").rename(video.path)


def test_only_a_dataset_that_fits_whole_is_kept_in_memory(motion: Manifest, tmp_path: Path) -> None:
    size = len(motion.videos) * 32 * 48 * 48 * 3
    path = tmp_path / "manifest.parquet"
    assert isinstance(open_reader(motion, path, memory_bytes=size), KeptFrames)
    assert isinstance(open_reader(motion, path, memory_bytes=size - 1), FrameStoreReader)
    direct = replace(motion, frame_format=ORIGINALS)
    assert isinstance(open_reader(direct, path, memory_bytes=0), DecordReader)


def test_several_threads_may_read_at_once(motion: Manifest) -> None:
    reader, lone = KeptFrames(DecordReader()), DecordReader()
    expected = [lone.read(video, ALL[::3]) for video in motion.videos]
    jobs = list(range(len(motion.videos))) * 4
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: reader.read(motion.videos[i], ALL[::3]), jobs))
    assert all((expected[i] == frames).all() for i, frames in zip(jobs, found, strict=True))


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("decoder", ["decord", "pyav"])
def test_a_file_that_changed_since_the_build_is_named(
    motion: Manifest, tmp_path: Path, kept: bool, decoder: str
) -> None:
    video = replace(motion.videos[0], decoder=decoder)  # type: ignore[arg-type]
    reader = KeptFrames(DecordReader()) if kept else DecordReader()
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
