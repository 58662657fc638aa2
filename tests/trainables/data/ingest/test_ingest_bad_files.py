"""Bad files: quarantined with a reason or read to where they are sound; no crash, hang or wrong frame."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.exact_videos import CASES, FRAMES, number_in, write
from trainables.data.datasets import CsvDataset, DatasetError
from trainables.data.ingest.build import build_dataset
from trainables.data.ingest.decode import pictures
from trainables.data.ingest.probe import Probed, Rejected
from trainables.data.ingest.probe_worker import ProbeWorker

BY_NAME = {case.name: case for case in CASES}
# These notice what happens to their bytes. HEVC, VP8 and VP9 cannot (trainables/data/ingest/probe.py says
# so).
NOTICE = ("h264 gop 250.mp4", "h264 gop 12.mkv", "h264 gop 12.flv", "h264 fragmented.mp4", "mpeg4 b.avi")
CONTAINERS = (*NOTICE, "vp9.webm", "mpeg2 b.mpg", "hevc.mkv", "av1.mkv")
SEEDS = 8


@pytest.fixture(scope="module")
def worker() -> Iterator[ProbeWorker]:
    one = ProbeWorker(silence_seconds=30)
    yield one
    one.close()


def content_of(name: str, folder: Path) -> bytes:
    write(BY_NAME[name], folder / name)
    return (folder / name).read_bytes()


@pytest.mark.parametrize("name", CONTAINERS)
def test_half_a_file_is_quarantined(name: str, worker: ProbeWorker, tmp_path: Path) -> None:
    content = content_of(name, tmp_path)
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    probe = worker.probe(tmp_path / name).probe
    assert isinstance(probe, Rejected)
    assert probe.reason.startswith(("damaged: ", "unreadable: "))


def test_half_a_transport_stream_is_a_shorter_video(worker: ProbeWorker, tmp_path: Path) -> None:
    content = content_of("h264 gop 12.ts", tmp_path)
    path = tmp_path / "half.ts"
    path.write_bytes(content[: len(content) // 2])
    probe = worker.probe(path).probe
    assert isinstance(probe, Probed)
    numbers = [number_in(picture) for picture in pictures(str(path), probe.decoder) if picture is not None]
    assert len(numbers) == probe.frames < FRAMES
    # the last ones may miss a neighbour that was to come after them in the file
    assert numbers[:-3] == list(range(probe.frames - 3))
    assert None not in numbers


@pytest.mark.parametrize("name", NOTICE)
def test_damaged_bytes_never_give_wrong_frames(name: str, worker: ProbeWorker, tmp_path: Path) -> None:
    content = content_of(name, tmp_path)
    sound = [picture.tobytes() for picture in pictures(str(tmp_path / name), "pyav") if picture is not None]
    rejected = 0
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        damaged = bytearray(content)
        for place in rng.integers(len(content) // 8, len(content), 6):
            damaged[place] ^= int(rng.integers(1, 256))
        path = tmp_path / f"damaged {seed}{Path(name).suffix}"
        path.write_bytes(damaged)
        probe = worker.probe(path).probe
        if isinstance(probe, Rejected):
            assert ": " in probe.reason
            rejected += 1
            continue
        found = [picture.tobytes() for picture in pictures(str(path), "pyav") if picture is not None]
        assert found == sound
    assert rejected >= SEEDS - 2


def test_a_lost_packet_of_a_transport_stream_is_noticed(worker: ProbeWorker, tmp_path: Path) -> None:
    content = content_of("h264 gop 12.ts", tmp_path)
    path = tmp_path / "lost.ts"
    path.write_bytes(content[: 188 * 40] + content[188 * 41 :])
    assert isinstance(worker.probe(path).probe, Rejected)


def test_a_dataset_of_good_and_bad_files_keeps_the_good_with_their_labels(tmp_path: Path) -> None:
    whole = content_of("h264 gop 12.mp4", tmp_path)
    index = whole.index(b"moov") - 4
    bad = {
        "empty.mp4": (b"", "unreadable: the file is empty"),
        "text.mkv": (b"not a video\n" * 300, "unreadable: "),
        "zeros.mp4": (bytes(5000), "unreadable: "),
        "no moov.mp4": (whole[:index], "unreadable: "),
        "half.mp4": (whole[: len(whole) // 2], "unreadable: "),
        "noise.avi": (np.random.default_rng(0).bytes(9000), "unreadable: "),
    }
    rows = ["path,label,split", "gone.mp4,a,train"]
    for number in range(6):
        (tmp_path / f"good {number}.mp4").write_bytes(whole + bytes(number))
        rows.append(f"good {number}.mp4,{'ab'[number % 2]},{'val' if number > 3 else 'train'}")
    for number, (name, (content, _)) in enumerate(bad.items()):
        (tmp_path / name).write_bytes(content)
        rows.append(f"{name},{'ab'[number % 2]},train")
    (tmp_path / "all.csv").write_text("\n".join(rows))
    config = CsvDataset(path=str(tmp_path / "all.csv"), allow_missing=0.6)
    manifest = build_dataset(config, "mixed", tmp_path / "built")
    assert {Path(video.path).name: video.label for video in manifest.videos} == {
        f"good {number}.mp4": number % 2 for number in range(6)
    }
    reasons = {Path(video.path).name: video.reason for video in manifest.quarantined}
    assert set(reasons) == {*bad, "gone.mp4"}
    for name, (_, reason) in bad.items():
        assert reasons[name].startswith(reason), reasons[name]
    with pytest.raises(DatasetError, match=r"7 of 13 videos cannot be used[\s\S]*gone\.mp4: missing"):
        build_dataset(config, "mixed", tmp_path / "built", allow_missing=0.5)
