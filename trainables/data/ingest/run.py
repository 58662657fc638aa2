"""Reading all of a dataset's videos: what an earlier build has done stands, the rest is done and noted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from trainables.data.frames.damage import Damage
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.shard import Shard
from trainables.data.frames.space import check_space
from trainables.data.ingest.batch import BatchRecord, Executor, VideoRecord
from trainables.data.ingest.build_log import BuildLog
from trainables.data.ingest.plan import WORK, IngestPlan, plan_ingest
from trainables.data.ingest.progress import Counter, Progress


@dataclass(frozen=True)
class Found:
    """Every video's record, and the shards in which the frames are."""

    videos: dict[Path, VideoRecord]
    shards: tuple[Shard, ...]


def read_all(
    videos: tuple[Path, ...],
    frame_format: FrameFormat,
    directory: Path,
    log: BuildLog,
    executor: Executor,
    progress: Progress | None,
) -> Found:
    """Read the videos that no record stands for; each batch is noted in the log as soon as it is done.

    Raises:
        StoreWriteError: the storage is too small (before anything is read), or takes no more.
    """
    plan = plan_ingest(videos, directory, frame_format, log)
    records = {record.batch: record for record in plan.done}
    counter = Counter("reading", len(videos), progress)
    counter.standing(plan.done)
    if plan.tasks:
        check_space(plan, directory)
        damage = Damage(directory)
        for record in _run(plan, executor, counter):
            log.put(plan.keys[record.batch], record.to_json())
            for shard in record.shards:
                damage.note(shard.name, damaged=False)
            records[record.batch] = record
        shutil.rmtree(directory / WORK, ignore_errors=True)
    in_order = [records[number] for number in range(len(plan.batches))]
    found = {
        path: video
        for record in in_order
        for path, video in zip(plan.batches[record.batch], record.videos, strict=True)
    }
    shards = {shard.name: shard for record in in_order for shard in record.shards}
    return Found(found, tuple(shards.values()))


def _run(plan: IngestPlan, executor: Executor, counter: Counter) -> Iterator[BatchRecord]:
    with closing(executor.run(plan.tasks)) as events:
        for event in events:
            counter.count(event)
            if isinstance(event, BatchRecord):
                yield event
