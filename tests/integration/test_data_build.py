"""`actiongrid data build` killed at any moment and given again, and on Ray: the same bytes each time."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.support.studies import actiongrid, command
from trainables.data.ingest.synthetic_videos import write_h264

VIDEOS, FRAMES = 36, 60


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes, and one file in it that is no video."""
    folder = tmp_path_factory.mktemp("videos")
    rows, columns = np.mgrid[0:120, 0:160]
    for number in range(VIDEOS):
        times = np.arange(FRAMES)[:, None, None]
        grey = (rows * (1 + number % 5) + columns + times * (number + 1)) % 256
        frames = np.repeat(grey[..., None].astype(np.uint8), 3, axis=3)
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        write_h264(frames, 25, 12, folder / "ab"[number % 2] / f"{number:02d}.mp4")
    (folder / "a" / "text.mp4").write_text("no video")
    return folder


def build(videos: Path, storage: Path) -> list[str]:
    return command("data", "build", "own", "--videos", videos, "--shard-mb", 1, "--storage", storage)


def dataset(storage: Path) -> Path:
    (found,) = (storage / "datasets").iterdir()
    return found


def contents(storage: Path) -> dict[str, str]:
    """Every file of the dataset but the build's own notes, by its hash."""
    root = dataset(storage)
    return {
        path.relative_to(root).as_posix(): sha256(path.read_bytes()).hexdigest()
        for path in root.rglob("*")
        if path.is_file() and path.suffix not in (".jsonl", ".lock")
    }


@pytest.fixture(scope="module")
def undisturbed(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The storage of a build that nothing disturbed, and the seconds it took."""
    storage = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    subprocess.run(build(videos, storage), check=True, capture_output=True)
    return storage, time.monotonic() - began


def noted(storage: Path) -> dict[str, int]:
    """The inodes of all shards that the build has noted as done."""
    root = dataset(storage)
    names: list[str] = []
    for line in (root / "build.jsonl").read_text().splitlines():
        try:
            fact = json.loads(line)["fact"]
        except ValueError:
            continue
        names += [shard["name"] for shard in fact.get("shards", ())]
    return {name: (root / "shards" / name).stat().st_ino for name in names}


def killed(arguments: list[str], when: Callable[[], bool]) -> bool:
    """Kill -9 the command as soon as `when` says so; whether it was still at work. No child stays behind."""
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not when():
            time.sleep(0.005)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert psutil.wait_procs(children, timeout=10)[1] == []
    return process.returncode == -signal.SIGKILL


def test_killed_at_any_moment_it_ends_with_the_same_bytes(
    videos: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    whole, seconds = undisturbed
    expected, storage = contents(whole), tmp_path / "killed"
    moments = random.Random(7)

    def shards() -> int:
        return len(list(storage.glob("datasets/*/shards/*.arrow")))

    def spooled() -> bool:
        return any(path.stat().st_size for path in storage.glob("datasets/*/work/*.spool"))

    def after(delay: float) -> Callable[[], bool]:
        deadline = time.monotonic() + delay
        return lambda: time.monotonic() > deadline

    arguments = build(videos, storage)
    assert killed(arguments, spooled)
    assert killed(arguments, lambda: shards() > 2)
    kills = 2
    for _ in range(4):
        before = noted(storage)
        kills += killed(arguments, after(moments.uniform(0.1, 0.5) * seconds))
        assert before.items() <= noted(storage).items(), "a shard that was noted as done was written again"
    assert kills >= 4
    before = noted(storage)
    subprocess.run(arguments, check=True, capture_output=True)
    assert before.items() <= noted(storage).items()
    assert contents(storage) == expected
    assert not (dataset(storage) / "work").exists()
    assert not list(dataset(storage).rglob(".*"))


def test_ctrl_c_stops_it_at_once_and_blames_no_video(
    videos: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    """As a terminal does it: the signal goes to the whole process group."""
    storage = tmp_path / "stopped"
    process = subprocess.Popen(
        build(videos, storage), stderr=subprocess.PIPE, start_new_session=True, text=True
    )
    while process.poll() is None and not any(path.stat().st_size for path in storage.rglob("*.spool")):
        time.sleep(0.01)
    subprocess.run(["kill", "-INT", "--", f"-{process.pid}"], check=True)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert said == "interrupted; give the same command again to go on\n"
    out = actiongrid(*build(videos, storage)[3:])
    assert "1 quarantined" in out
    assert contents(storage) == contents(undisturbed[0])


@pytest.mark.slow
def test_ray_tasks_give_the_same_bytes_though_their_workers_are_killed(
    videos: Path, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    from orchestrator.datasets.ingest_tasks import RayTasks
    from orchestrator.ray_runtime.session import ray_session
    from trainables.data.datasets import FolderDataset
    from trainables.data.frames.frame_format import FrameFormat
    from trainables.data.ingest.build import build_dataset
    from trainables.data.ingest.run import BuildProgress

    whole = dataset(undisturbed[0])
    target = tmp_path / "storage" / "datasets" / whole.name
    victims: list[int] = []

    def strike(now: BuildProgress) -> None:
        """After a few videos, kill a worker in the middle of its batch."""
        if now.done == 7 and not victims:
            workers = psutil.Process().children(recursive=True)
            victims.extend(one.pid for one in workers if "_ingest" in " ".join(one.cmdline()))
            psutil.Process(victims[0]).kill()

    config = FolderDataset(path=str(videos), frame_format=FrameFormat(shard_mb=1))
    with ray_session(None, cpus=2, gpus=0):
        manifest = build_dataset(config, "own", target, executor=RayTasks(), progress=strike)
    assert victims
    assert len(manifest.videos) == VIDEOS
    assert contents(tmp_path / "storage") == contents(undisturbed[0])
