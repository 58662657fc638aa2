"""The store's frame i is the i-th shown frame, in number and content, whatever the container and codec.

What it takes is written here with the codecs of the bundled FFmpeg; the number is burnt into each picture.
"""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import simplejpeg

from catalog.storage.layout import SHARDS
from tests.support.exact_videos import CASES, HEIGHT, WIDTH, Case, burnt, number_in, write
from trainables.data.datasets import CsvDataset
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.manifest import Manifest, Video
from trainables.data.frames.shard import ShardFrames
from trainables.data.ingest.build import build_dataset

# Where decord was seen to be wrong, so that PyAV's frames have to be the stored ones.
DECORD_IS_WRONG = {
    "h264 gop 250.ts",
    "h264 gop 12.ts",
    "h264 open gop.ts",
    "h264 late start.ts",
    "h264 edit list.mp4",
    "h264 edit list long gop.mp4",
    "hevc.ts",
    "mpeg2 b.ts",
}


def missing_codec(case: Case) -> bool:
    return case.codec not in av.codecs_available


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Path]:
    folder = tmp_path_factory.mktemp("exact")
    rows = ["path,label,split"]
    for number, case in enumerate(CASES):
        if not missing_codec(case):
            write(case, folder / case.name)
            rows.append(f"{case.name},{number % 2},{'val' if number in (0, 1) else 'train'}")
    (folder / "all.csv").write_text("\n".join(rows))
    config = CsvDataset(
        path=str(folder / "all.csv"), allow_missing=0.0, frame_format=FrameFormat(quality=95, shard_mb=1)
    )
    return build_dataset(config, "exact", folder / "built"), folder / "built"


def stored(video: Video, directory: Path) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    shard = ShardFrames(directory / SHARDS / video.shard)
    rows = range(video.first_row, video.first_row + video.frames)
    return [simplejpeg.decode_jpeg(shard.jpeg(row)) for row in rows]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_stores_frame_is_the_one_shown(case: Case, built: tuple[Manifest, Path]) -> None:
    if missing_codec(case):
        pytest.skip(f"this FFmpeg cannot write {case.codec}")
    manifest, directory = built
    video = next(one for one in manifest.videos if Path(one.path).name == case.name)
    pictures = stored(video, directory)
    upright = [np.rot90(picture) if case.turned else picture for picture in pictures]
    assert [number_in(picture) for picture in upright] == list(case.shown)
    for picture, number in zip(upright, case.shown, strict=True):
        assert picture.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(picture.astype(int) - burnt(number)).mean() < 12
    size = (HEIGHT, WIDTH) if case.turned else (WIDTH, HEIGHT)
    assert (video.width, video.height) == size
    assert (video.decoder == "pyav") == (case.name in DECORD_IS_WRONG)


def test_a_wrong_frame_would_be_noticed() -> None:
    assert [number_in(burnt(number)) for number in range(60)] == list(range(60))
    blended = (burnt(10).astype(int) + burnt(21)) // 2
    assert number_in(blended.astype(np.uint8)) not in (10, 21)


def test_no_case_is_refused(built: tuple[Manifest, Path]) -> None:
    assert built[0].quarantined == ()
    assert len(built[0].videos) == sum(not missing_codec(case) for case in CASES)
