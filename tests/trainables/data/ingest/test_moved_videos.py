"""Videos that stand elsewhere now: read and compared, but decoded and stored only where they differ."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from catalog.storage.layout import BUILD_LOG_FILE, SHARDS
from tests.trainables.data.ingest.test_store_build import files_in, folder_of
from trainables.data.datasets import FolderDataset
from trainables.data.frames.check import verify
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.manifest import Manifest, read_manifest
from trainables.data.ingest.batch import BatchRecord, BatchTask, Events, VideoRecord
from trainables.data.ingest.build import build_dataset
from trainables.data.ingest.build_log import BuildLog
from trainables.data.ingest.plan import OtherBuilds, _is_of_content
from trainables.data.ingest.probe import Rejected
from trainables.data.ingest.run import LocalThreads, ReadVideos, read_all


class Decoded(LocalThreads):
    """Threads that note which videos they were given, by name."""

    def __init__(self) -> None:
        super().__init__(1)
        self.names: list[str] = []

    def run(self, tasks: Sequence[BatchTask]) -> Events:
        self.names += [path.name for task in tasks for path in task.videos]
        return super().run(tasks)


class Hung(LocalThreads):
    """Threads for which the decoder hangs at what is no video."""

    def run(self, tasks: Sequence[BatchTask]) -> Events:
        for event in super().run(tasks):
            record = isinstance(event, BatchRecord)
            yield replace(event, videos=tuple(map(self._hung, event.videos))) if record else event

    @staticmethod
    def _hung(video: VideoRecord) -> VideoRecord:
        usable = not isinstance(video.probe, Rejected)
        return video if usable else replace(video, probe=Rejected("the decoder hung: no frame in 60 s"))


@pytest.fixture(scope="module")
def built(motion: Manifest, tmp_path_factory: pytest.TempPathFactory) -> tuple[FolderDataset, Path]:
    """Twelve videos and a file that is none, as they were declared, and the folder of their build."""
    root = tmp_path_factory.mktemp("built")
    config = folder_of(motion, root / "own").model_copy(update={"allow_missing": 0.1})
    (root / "own" / "a" / "bad.mp4").write_text("no video")
    build_dataset(config, "own", root / "old")
    return config, root / "old"


class Moved:
    """That dataset in another place: the build's copy in `old`, and copies of its videos in `here`."""

    def __init__(self, root: Path, config: FolderDataset, old: Path) -> None:
        self.old, self.new, self.here = root / "old", root / "new", root / "here"
        self.said: list[str] = []
        self.decoded = Decoded()
        shutil.copytree(old, self.old)
        shutil.copytree(config.path, self.here)
        self.before = read_manifest(self.old / "manifest.parquet")
        self.config = config.model_copy(update={"path": str(self.here)})

    def build(self, folder: Path | None = None, config: FolderDataset | None = None) -> Manifest:
        others = OtherBuilds((self.old, self.new), say=self.said.append)
        chosen, target = config or self.config, folder or self.new
        return build_dataset(chosen, "own", target, executor=self.decoded, others=others)

    def build_old_in_batches_of_five(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("trainables.data.ingest.plan._FEWEST_BATCHES", 3)
        shutil.rmtree(self.old)
        before = shutil.copytree(self.here, self.here.with_name("before"))
        config = self.config.model_copy(update={"path": str(before)})
        self.before = build_dataset(config, "own", self.old)
        assert len(self.before.shards) == 3

    def shared(self, manifest: Manifest) -> list[bool]:
        """Of each shard, whether it is the earlier build's file itself."""
        old, new = files_in(self.old), files_in(self.new)
        return [new[shard.name] == old.get(shard.name) for shard in manifest.shards]


@pytest.fixture
def moved(tmp_path: Path, built: tuple[FolderDataset, Path], monkeypatch: pytest.MonkeyPatch) -> Moved:
    monkeypatch.setattr("trainables.data.ingest.plan._FEW_BYTES", 0)  # as of a large dataset: by decoding
    return Moved(tmp_path, *built)


def is_whole(manifest: Manifest, directory: Path) -> bool:
    """Whether all shards are as they were built, and no others are there."""
    checked = list(verify(manifest, directory, 1))
    names = {path.name for path in (directory / SHARDS).iterdir()}
    return all(one.problem is None for one in checked) and names == {one.name for one in manifest.shards}


def no_estimate(*_: object) -> int:
    raise AssertionError("a video was decoded for an estimate")


def test_moved_videos_are_not_decoded_again(moved: Moved, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.data.ingest.plan._estimate", no_estimate)
    manifest = moved.build()
    assert moved.decoded.names == []
    assert moved.said == ["13 videos are those of old: not decoded again"]
    assert all(moved.shared(manifest)) and is_whole(manifest, moved.new)
    names = [Path(one.path).relative_to(moved.here).as_posix() for one in manifest.videos]
    assert names == ["/".join(Path(one.path).parts[-2:]) for one in moved.before.videos]
    assert [replace(one, path="") for one in manifest.videos] == [
        replace(one, path="") for one in moved.before.videos
    ]
    assert (manifest.hash("train"), manifest.hash("val"), len(manifest.quarantined)) == (
        moved.before.hash("train"),
        moved.before.hash("val"),
        1,
    )
    moved.said.clear()
    assert moved.build() == manifest and moved.said == [], "what stands is not looked into again"


def test_files_with_a_new_time_alone_are_not_decoded_again(moved: Moved) -> None:
    moved.build()
    before = files_in(moved.new)
    for path in moved.here.rglob("*.mp4"):
        os.utime(path, (1e9, 1e9))
    shutil.rmtree(moved.old)
    moved.build()
    assert (moved.decoded.names, files_in(moved.new)) == ([], before)
    assert moved.said[-1] == "13 videos are those of new: not decoded again"


@pytest.mark.parametrize("many", [False, True])
def test_a_changed_video_costs_its_own_batch(
    moved: Moved, motion: Manifest, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if many:
        moved.build_old_in_batches_of_five(monkeypatch)
    changed = Path(moved.before.split("train")[2].path).name
    shutil.copy(motion.videos[-1].path, next(moved.here.rglob(changed)))
    manifest = moved.build()
    size = 5 if many else 1
    assert changed in moved.decoded.names and len(moved.decoded.names) == size
    rest = f"{size} {'are' if many else 'is'} decoded"
    assert moved.said == [f"{13 - size} videos are those of old: not decoded again; {rest}"]
    assert sum(not one for one in moved.shared(manifest)) == 1 and is_whole(manifest, moved.new)
    again = build_dataset(moved.config, "own", moved.new.with_name("fresh"))
    assert [one.sha256 for one in manifest.videos] == [one.sha256 for one in again.videos]
    assert manifest.hash("train") == again.hash("train") != moved.before.hash("train")


def test_a_video_that_came_in_between_is_decoded_alone(
    moved: Moved, motion: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainables.data.ingest.plan._FEWEST_BATCHES", 3)
    first, added = tuple(sorted(moved.here.rglob("*.mp4"))), moved.here / "added.mp4"
    shutil.copy(motion.videos[-1].path, added)
    one, two = moved.old.with_name("one"), moved.old.with_name("two")

    def read(videos: tuple[Path, ...], folder: Path, *others: Path) -> ReadVideos:
        log, given = BuildLog(folder / BUILD_LOG_FILE), OtherBuilds(others)
        return read_all(videos, moved.config.frame_format, folder, log, moved.decoded, None, given)

    before = read(first, one)
    assert (len(moved.decoded.names), len(before.shards)) == (13, 3)
    moved.decoded.names.clear()
    after = read((*first[:5], added, *first[5:]), two, one)
    assert moved.decoded.names == ["added.mp4"]
    assert {path: after.videos[path] for path in first} == before.videos
    assert (len(after.shards), set(before.shards) < set(after.shards)) == (4, True)
    assert read(tuple(after.videos), two) == after and moved.decoded.names == ["added.mp4"]


def test_a_video_of_another_class_now_has_its_new_label(moved: Moved) -> None:
    (moved.here / "a" / "2.mp4").rename(moved.here / "b" / "2.mp4")
    manifest = moved.build()
    assert moved.decoded.names == []
    labels = {Path(one.path).name: manifest.classes[one.label] for one in manifest.videos}
    assert labels["2.mp4"] == "b"
    fresh = build_dataset(moved.config, "own", moved.new.with_name("fresh"))
    hashes = [[one.hash("train"), one.hash("val")] for one in (manifest, fresh, moved.before)]
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("damage", ["bit", "cut", "gone"])
def test_a_damaged_shard_is_not_taken(moved: Moved, damage: str) -> None:
    hurt = moved.old / SHARDS / moved.before.shards[1].name
    whole = hurt.read_bytes()
    if damage == "gone":
        hurt.unlink()
    else:
        hurt.write_bytes(whole[:-8] if damage == "cut" else bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]]))
    manifest = moved.build()
    assert len(moved.decoded.names) == 1
    assert (moved.new / SHARDS / hurt.name).read_bytes() == whole
    assert is_whole(manifest, moved.new) and moved.shared(manifest).count(False) == 1


def test_damage_of_a_shared_shard_is_mended_in_each_build(moved: Moved) -> None:
    manifest = moved.build()
    shard = moved.new / SHARDS / manifest.shards[0].name
    whole = shard.read_bytes()
    shard.write_bytes(bytes([*whole[:900], whole[900] ^ 1, *whole[901:]]))
    assert not is_whole(manifest, moved.new) and not is_whole(moved.before, moved.old)
    assert moved.build() == manifest and is_whole(manifest, moved.new)
    assert len(moved.decoded.names) == 1
    moved.build(moved.old)
    assert len(moved.decoded.names) == 1, "the whole one beside it is taken"
    assert is_whole(moved.before, moved.old)


def test_without_links_the_shards_are_copied(moved: Moved, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr("os.link", refused)
    manifest = moved.build()
    assert moved.decoded.names == []
    assert not any(moved.shared(manifest)) and is_whole(manifest, moved.new)


def test_other_settings_are_another_store(moved: Moved) -> None:
    finer = moved.config.model_copy(update={"frame_format": FrameFormat(quality=90)})
    moved.build(config=finer)
    assert (len(moved.decoded.names), moved.said) == (13, [])


KILLED = """
import os, signal, sys
from pathlib import Path
from trainables.data.datasets import FolderDataset
from trainables.data.ingest.build import build_dataset
from trainables.data.ingest.build_log import BuildLog
from trainables.data.ingest.plan import OtherBuilds

def strike(now):
    if now.stage == "reading" and now.done == 5:
        os.kill(os.getpid(), signal.SIGKILL)

config = FolderDataset.model_validate_json(sys.argv[1])
others = OtherBuilds((Path(sys.argv[3]),))
build_dataset(config, "own", Path(sys.argv[2]), others=others, progress=strike)
"""


def test_killed_in_between_it_is_no_complete_build_and_goes_on(moved: Moved) -> None:
    arguments = [moved.config.model_dump_json(), str(moved.new), str(moved.old)]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (moved.new / "manifest.parquet").exists()
    (moved.new / SHARDS / ".half.0123.tmp.arrow").write_bytes(b"half")  # as if killed while it copied
    manifest = moved.build()
    assert moved.decoded.names == [] and is_whole(manifest, moved.new)
    assert manifest.hash("train") == moved.before.hash("train")
    assert moved.said == ["9 videos are those of old: not decoded again"]


@pytest.mark.parametrize(
    ("sha256", "reason", "holds"),
    [
        ("ab", "damaged: 3 decoder errors; the first: x", True),
        ("ab", "unreadable: Invalid data found when processing input", True),
        ("ab", "unreadable: the file changed while it was read", False),
        ("ab", "unreadable: Input/output error", False),
        ("ab", "unreadable: Too many open files", False),
        ("ab", "the decoder hung: no frame in 60 s", False),
        ("", "missing: no such file", False),
    ],
)
def test_only_what_follows_from_the_bytes_is_taken(sha256: str, reason: str, holds: bool) -> None:
    assert _is_of_content(VideoRecord(sha256, Rejected(reason))) is holds


def test_a_video_at_which_the_decoder_hung_is_decoded_again(moved: Moved) -> None:
    shutil.rmtree(moved.old)
    before = build_dataset(moved.config, "own", moved.old, executor=Hung())
    manifest = moved.build()
    assert moved.decoded.names == ["bad.mp4"]
    reasons = [one.reason for build in (before, manifest) for one in build.quarantined]
    assert [reason.startswith("the decoder hung") for reason in reasons] == [True, False]
