"""How a dataset's videos are cut into batches, which of these are done, and if there is room."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from catalog.storage.atomic import StoreWriteError
from catalog.storage.layout import SHARDS
from catalog.storage.sizes import bytes_text
from trainables.data.frames.check import Damage
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.shard import FORMAT
from trainables.data.ingest.batch import BatchRecord, BatchTask
from trainables.data.ingest.build_log import BuildLog, file_stamp
from trainables.data.ingest.probe import VERSION
from trainables.data.ingest.probe_worker import ProbeWorker

WORK = "work"  # the folder of what is half done, beside the manifest; each build empties it
_SAMPLE = 16
_FEW_BYTES = 8 << 20
_GROWTH = 8  # JPEGs at the usual settings against H.264: 8 for Kinetics, 5 for Something-Something's VP9
_FEWEST_BATCHES = 16  # so that small datasets, too, keep several workers busy
_LARGEST_BATCH = 4096  # bounds what one task has to do again after a kill


@dataclass(frozen=True)
class IngestPlan:
    """Every batch of a dataset: those still to be done and the records of those that are done."""

    tasks: tuple[BatchTask, ...]
    done: tuple[BatchRecord, ...]
    keys: tuple[str, ...]  # of each batch in the log, by its number
    batches: tuple[tuple[Path, ...], ...]  # the videos of each, by its number

    @property
    def expected_bytes(self) -> int:
        """Of what is still to be written, about."""
        return sum(task.expected_bytes for task in self.tasks)


def plan_ingest(
    videos: Sequence[Path], directory: Path, frame_format: FrameFormat, log: BuildLog
) -> IngestPlan:
    """Consecutive batches of about one shard each, from an estimate on a few of the videos.

    The estimate is made once for a list of videos and noted in the log, so that a build that goes on makes
    the same batches even where one of these files has changed since.
    """
    settings = _settings(frame_format)
    a_video = _bytes_a_video(videos, settings, frame_format, log)
    size = _batch_size(len(videos), a_video, frame_format)
    batches = tuple(tuple(videos[start : start + size]) for start in range(0, len(videos), size))
    damage = Damage(directory)
    tasks, done, keys = [], [], []
    for number, batch in enumerate(batches):
        stamps = [[str(path), *file_stamp(path)] for path in batch]
        keys.append(_key("batch", settings, stamps))
        record = _standing(log, keys[-1], number, damage)
        if record is not None:
            done.append(record)
            continue
        spool = directory / WORK / f"batch-{number}.spool"
        expected = a_video * len(batch)
        tasks.append(BatchTask(number, batch, directory / SHARDS, spool, frame_format, expected))
    return IngestPlan(tuple(tasks), tuple(done), tuple(keys), batches)


def _batch_size(videos: int, a_video: int, frame_format: FrameFormat) -> int:
    """Depends on nothing but the data, so that any machine makes the same batches."""
    in_a_shard = (frame_format.shard_mb << 20) // a_video if a_video else _LARGEST_BATCH
    return max(1, min(in_a_shard, math.ceil(videos / _FEWEST_BATCHES), _LARGEST_BATCH))


def _bytes_a_video(
    videos: Sequence[Path], settings: list[object], frame_format: FrameFormat, log: BuildLog
) -> int:
    """Mean bytes of a stored video, 0 where none is stored or can be read."""
    if frame_format.mode == "direct" or not videos:
        return 0
    key = _key("estimate", settings, [str(path) for path in videos])
    known = log.get(key)
    if known is None:
        known = {"bytes": _guess(videos) or _estimate(videos, frame_format)}
        log.put(key, known)
    return int(known["bytes"])


def _guess(videos: Sequence[Path]) -> int:
    """Mean bytes of a stored video from the originals' sizes, where they are few; else 0.

    Batches of so little come out the same whatever it is, and starting a decoder would take longer than it is
    worth.
    """
    total = sum(file_stamp(path)[0] for path in videos)
    return total * _GROWTH // len(videos) if total <= _FEW_BYTES else 0


def _estimate(videos: Sequence[Path], frame_format: FrameFormat) -> int:
    """Mean bytes of a stored video, from some that lie evenly spaced in the list."""
    step = max(1, len(videos) // _SAMPLE)
    sample = videos[step // 2 :: step][:_SAMPLE]
    worker = ProbeWorker()
    try:
        sizes = [worker.estimate(path, frame_format) for path in sample]
    finally:
        worker.close()
    found = [size for size in sizes if size is not None]
    return sum(found) // len(found) if found else 0


def _standing(log: BuildLog, key: str, number: int, damage: Damage) -> BatchRecord | None:
    """The record of a batch that was done before and whose shards are all still there, whole."""
    fact = log.get(key)
    if fact is None:
        return None
    record = BatchRecord.from_json(number, fact)
    return record if all(damage.stands(shard) for shard in record.shards) else None


def _key(kind: str, settings: list[object], of: object) -> str:
    return json.dumps([kind, *settings, sha256(json.dumps(of).encode()).hexdigest()])


def _settings(frame_format: FrameFormat) -> list[object]:
    return [VERSION, FORMAT, frame_format.identity, frame_format.shard_mb]


def batch_facts_begin(frame_format: FrameFormat) -> str:
    """How the keys of all batches begin that were read with these settings, whichever videos they hold."""
    return json.dumps(["batch", *_settings(frame_format)]).removesuffix("]")


_MARGIN = 1.05


def check_space(plan: IngestPlan, directory: Path) -> None:
    """Compare what is to be written, the batches in work counted twice, with what is free.

    Raises:
        StoreWriteError: too little is free; names both figures.
    """
    largest = max((task.expected_bytes for task in plan.tasks), default=0)
    in_work = min(len(plan.tasks), os.cpu_count() or 1) * largest
    needed = int(plan.expected_bytes * _MARGIN) + in_work
    free = shutil.disk_usage(directory).free
    if needed > free:
        videos = sum(len(task.videos) for task in plan.tasks)
        raise StoreWriteError(
            f"the frames of {videos} videos need about {bytes_text(needed)}, {bytes_text(free)} are free",
            directory,
            "make room, use another --storage, or lower --short-side or --quality",
        )
