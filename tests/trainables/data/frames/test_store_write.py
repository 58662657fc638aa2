"""Shards: cut where the next video would not fit, named by their content, the same bytes each time."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import simplejpeg

from catalog.storage.atomic import StoreWriteError
from catalog.storage.sizes import bytes_text
from tests.support.clips import SHARED_VIDEOS
from tests.support.shards import write_shard
from trainables.data.datasets import SyntheticMotion
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.manifest import Manifest
from trainables.data.frames.shard import ShardFrames
from trainables.data.frames.spool import SpoolTarget, SpoolWriter
from trainables.data.frames.write import DecodedVideo, ShardWriter, shard_writer
from trainables.data.ingest.batch import BatchRecord, BatchTask, VideoDone, VideoRecord
from trainables.data.ingest.build_log import BuildLog
from trainables.data.ingest.plan import IngestPlan, _estimate, plan_ingest
from trainables.data.ingest.probe import Probed, Rejected
from trainables.data.ingest.probe_child import estimate_bytes
from trainables.data.ingest.run import LocalThreads, check_space

SMALL = FrameFormat(shard_mb=1)
MEBI = 1 << 20


def source(name: str, frames: int) -> DecodedVideo:
    return DecodedVideo(name, frames, "decord", 8, 8)


def put(writer: ShardWriter, name: str, jpegs: list[bytes]) -> None:
    """What a decoding process does: write behind what is there, then say the sizes."""
    keep = writer.keep
    with Path(keep.spool).open("r+b") as spool:
        spool.seek(keep.offset)
        spool.write(b"".join(jpegs))
    writer.add(source(name, len(jpegs)), [len(jpeg) for jpeg in jpegs])


def test_videos_come_back_from_where_they_were_put(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    videos = {f"v{n}": [rng.bytes(1000 * (1 + n)) for _ in range(40 + n)] for n in range(12)}
    with shard_writer(tmp_path / "shards", tmp_path / "work" / "spool", SMALL) as writer:
        for name, jpegs in videos.items():
            put(writer, name, jpegs)
        writer.flush()
    assert list((tmp_path / "work").iterdir()) == []
    assert len(writer.shards) > 3
    for shard in writer.shards:
        path = tmp_path / "shards" / shard.name
        assert (shard.bytes, shard.sha256) == (
            path.stat().st_size,
            sha256(path.read_bytes()).hexdigest(),
        )
        assert shard.bytes <= MEBI
        assert len(ShardFrames(path)) == shard.frames
    for place, jpegs in zip(writer.locations, videos.values(), strict=True):
        frames = ShardFrames(tmp_path / "shards" / place.shard)
        assert [bytes(frames.jpeg(place.first_row + row)) for row in range(len(jpegs))] == jpegs


def test_no_shard_is_larger_than_asked_unless_one_video_is(tmp_path: Path) -> None:
    sizes = [MEBI // 2, MEBI // 2 - 5000, 5000, 3 * MEBI, 10, 10]
    with shard_writer(tmp_path / "s", tmp_path / "spool", SMALL) as writer:
        for number, size in enumerate(sizes):
            put(writer, f"v{number}", [bytes(size)])
        writer.flush()
    assert [shard.frames for shard in writer.shards] == [2, 1, 1, 2]
    assert [place.first_row for place in writer.locations] == [0, 1, 0, 0, 0, 1]
    assert [shard.bytes > MEBI for shard in writer.shards] == [False, False, True, False]


def test_the_same_videos_give_the_same_file_under_the_same_name(tmp_path: Path) -> None:
    jpegs = [[bytes([n]) * (n + 3) for n in range(5)], [b"x" * 70]]
    for folder in ("one", "two"):
        with shard_writer(tmp_path / folder, tmp_path / "spool", SMALL) as writer:
            for number, video in enumerate(jpegs):
                put(writer, f"v{number}", video)
            writer.flush()
    (one,), (two,) = (list((tmp_path / folder).iterdir()) for folder in ("one", "two"))
    assert one.name == two.name
    assert one.read_bytes() == two.read_bytes()
    write_shard(tmp_path / "plain", jpegs, SMALL.identity)
    assert (tmp_path / "plain").read_bytes() == one.read_bytes()
    for other in (SMALL.model_copy(update={"quality": 84}), FrameFormat(shard_mb=1, short_side=None)):
        with shard_writer(tmp_path / "three", tmp_path / "spool", other) as writer:
            for number, video in enumerate(jpegs):
                put(writer, f"v{number}", video)
            writer.flush()
        assert writer.shards[0].name != one.name


def test_an_empty_batch_leaves_no_shard(tmp_path: Path) -> None:
    with shard_writer(tmp_path / "s", tmp_path / "spool", SMALL) as writer:
        writer.flush()
    assert writer.shards == []
    assert not (tmp_path / "s").exists()
    assert not (tmp_path / "spool").exists()


def test_a_spool_forgets_what_another_left(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.write_bytes(b"A" * 100 + b"left by a crash" * 999)
    writer = SpoolWriter(SpoolTarget(str(spool), 100, FrameFormat()))
    grey, black = np.full((32, 32, 3), 90, np.uint8), np.zeros((32, 32, 3), np.uint8)
    writer.add(grey)
    writer.add(black)
    sizes = writer.finish()
    content = spool.read_bytes()
    assert len(content) == 100 + sum(sizes)
    assert content[:100] == b"A" * 100
    assert np.abs(simplejpeg.decode_jpeg(content[100 : 100 + sizes[0]]).astype(int) - grey).max() <= 2
    with pytest.raises(StoreWriteError, match="No such file"):
        SpoolWriter(SpoolTarget(str(tmp_path / "gone"), 0, FrameFormat()))


def test_records_survive_their_trip() -> None:
    probes = (Probed(3, 29.97, 4, 5, "pyav"), Rejected("damaged: 1 decoder errors"))
    record = BatchRecord(7, tuple(VideoRecord("aa", probe) for probe in probes), ())
    assert BatchRecord.from_json(7, record.to_json()) == record


# --- batches -----------------------------------------------------------------------------------------------


def paths_of(motion: Manifest) -> tuple[Path, ...]:
    return tuple(Path(video.path) for video in motion.videos)


def test_batches_hold_every_video_once_in_order(motion: Manifest, tmp_path: Path) -> None:
    videos = paths_of(motion) * 3
    plan = plan_ingest(videos, tmp_path, FrameFormat(), BuildLog(tmp_path / "log"))
    assert [path for batch in plan.batches for path in batch] == list(videos)
    assert {len(batch) for batch in plan.batches[:-1]} == {6}  # of 84, so that 16 batches or so come of it
    assert [task.videos for task in plan.tasks] == list(plan.batches)
    assert plan.done == ()


def test_the_guess_for_small_files_is_of_the_right_size(
    motion: Manifest, motion_config: SyntheticMotion, tmp_path: Path
) -> None:
    plan = plan_ingest(paths_of(motion), tmp_path, motion_config.frame_format, BuildLog(tmp_path / "log"))
    truth = sum(shard.bytes for shard in motion.shards)
    assert 0.5 < plan.expected_bytes / truth < 3


def test_the_estimate_is_made_once(real_videos: Path, tmp_path: Path) -> None:
    """A file that changes between a build that is killed and the next must not move the others' batches."""
    log, copies = BuildLog(tmp_path / "log"), []
    for number in range(40):
        copies.append(tmp_path / f"{number}.mp4")
        copies[-1].symlink_to(real_videos / "mmaction2__test.mp4")
    first = plan_ingest(copies, tmp_path, FrameFormat(shard_mb=8), log)
    assert len(first.batches[0]) == 1  # 6 MB each: two would not fit
    for path in copies:
        path.unlink()
        path.write_bytes(b"changed")
    again = plan_ingest(copies, tmp_path, FrameFormat(shard_mb=8), BuildLog(tmp_path / "log"))
    assert (again.batches, again.expected_bytes) == (first.batches, first.expected_bytes)
    fresh = plan_ingest(copies, tmp_path, FrameFormat(shard_mb=8), BuildLog(tmp_path / "other"))
    assert fresh.batches != first.batches


def test_real_clips_are_estimated_well(real_videos: Path, tmp_path: Path) -> None:
    """Of a clip's bytes only key frames are decoded, so a single clip may be off; many are not."""
    if real_videos != SHARED_VIDEOS:
        pytest.skip("made clips are no measure of how well real ones are estimated, which are not here")
    videos = tuple(path for path in sorted(real_videos.glob("*__*")) if "corrupted" not in path.name)
    tasks = [BatchTask(0, videos, tmp_path / "shards", tmp_path / "spool", FrameFormat())]
    truth = [event.bytes for event in LocalThreads().run(tasks) if isinstance(event, VideoDone)]
    estimates = [estimate_bytes(path, FrameFormat()) or 0 for path in videos]
    assert all(0.6 < estimate / true < 1.7 for estimate, true in zip(estimates, truth, strict=True))
    assert 0.9 < sum(estimates) / sum(truth) < 1.2
    assert estimate_bytes(tmp_path / "none.mp4", FrameFormat()) is None


def test_too_little_room_is_told_before_anything_is_read(motion: Manifest, tmp_path: Path) -> None:
    plan = plan_ingest(paths_of(motion), tmp_path, FrameFormat(quality=100), BuildLog(tmp_path / "log"))
    check_space(plan, tmp_path)
    huge = BatchTask(0, plan.batches[0], tmp_path, tmp_path, FrameFormat(), 1 << 60)
    with pytest.raises(StoreWriteError, match=r"need about \d+\.\d\d TiB, .* are free"):
        check_space(type(plan)((huge,), (), plan.keys, plan.batches), tmp_path)


def test_room_is_needed_for_the_shards_a_margin_and_what_is_in_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = tuple(BatchTask(number, (), tmp_path, tmp_path, FrameFormat(), 1000) for number in range(3))
    needed = int(1.05 * 3000) + 2 * 1000  # two batches at a time
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=needed))
    check_space(IngestPlan(tasks, (), (), ()), tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(StoreWriteError, match="make room"):
        check_space(IngestPlan(tasks, (), (), ()), tmp_path)


def test_an_estimate_is_from_videos_all_along_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the middle of each of sixteen parts: lists go class by class. What cannot be read counts not."""
    asked: list[int] = []

    class Worker:
        def estimate(self, path: Path, _: FrameFormat) -> int | None:
            asked.append(int(path.name))
            return None if path.name == "2" else 2 * int(path.name)

        def close(self) -> None:
            asked.append(-1)

    monkeypatch.setattr("trainables.data.ingest.plan.ProbeWorker", Worker)
    found = _estimate([Path(str(number)) for number in range(64)], FrameFormat())
    assert asked == [*range(2, 64, 4), -1]
    assert found == sum(2 * number for number in range(6, 64, 4)) // 15


def test_bytes_have_a_binary_prefix() -> None:
    assert [bytes_text(count) for count in (0, 1023, 1024, 1536 << 20, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 GiB",
        "3.00 TiB",
    ]
