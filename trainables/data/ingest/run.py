"""Reading all of a dataset's videos, on threads here or elsewhere; what an earlier build has done stands."""

from __future__ import annotations

import os
import shutil
from collections import Counter as Tally
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Literal

from catalog.storage.atomic import StoreWriteError
from catalog.storage.sizes import bytes_text
from trainables.data.frames.check import Damage
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.shard import Shard
from trainables.data.ingest.batch import BatchRecord, BatchTask, Event, Events, Executor, VideoRecord, ingest
from trainables.data.ingest.build_log import BuildLog
from trainables.data.ingest.plan import (
    WORK,
    EarlierBatch,
    EarlierBuilds,
    IngestPlan,
    OtherBuilds,
    plan_ingest,
)
from trainables.data.ingest.probe_worker import SILENCE_SECONDS, ProbeWorker

if TYPE_CHECKING:
    from trainables.data.ingest.batch import BatchRecord, Event


Stage = Literal["generating", "comparing", "reading", "verifying"]


@dataclass(frozen=True)
class BuildProgress:
    """Videos (verifying: files) done of a stage's, those of an earlier build among them, and the bad ones.

    `bytes` are those that this build has put into the frame store, or has read again.
    """

    stage: Stage
    total: int
    done: int = 0
    standing: int = 0
    quarantined: int = 0
    bytes: int = 0


Progress = Callable[[BuildProgress], None]


class Counter:
    """Counts what happens and tells `progress` of it; a batch that is done again counts once."""

    def __init__(self, stage: Stage, total: int, progress: Progress | None) -> None:
        self._now = BuildProgress(stage, total)
        self._progress = progress
        self._places: dict[int, int] = {}  # of each batch: videos counted

    def step(self) -> None:
        """One more video."""
        self.reach(self._now.done + 1)

    def reach(self, done: int) -> None:
        """So many videos so far."""
        if done > self._now.done:
            self._tell(replace(self._now, done=done))

    def standing(self, records: Iterable[BatchRecord]) -> None:
        """Batches that an earlier build has done."""
        from trainables.data.ingest.probe import Rejected

        videos = [video for record in records for video in record.videos]
        bad = sum(isinstance(video.probe, Rejected) for video in videos)
        if videos:
            now, more = self._now, len(videos)
            bad += now.quarantined
            self._tell(replace(now, done=now.done + more, standing=now.standing + more, quarantined=bad))

    def count(self, event: Event) -> None:
        """One more video of a batch; batches as a whole say nothing new."""
        from trainables.data.ingest.batch import VideoDone

        if isinstance(event, VideoDone) and event.place == self._places.get(event.batch, 0):
            self._places[event.batch] = event.place + 1
            now = self._now
            bad = now.quarantined + (not event.usable)
            self._tell(replace(now, done=now.done + 1, quarantined=bad, bytes=now.bytes + event.bytes))

    def _tell(self, now: BuildProgress) -> None:
        self._now = now
        if self._progress is not None:
            self._progress(now)


@dataclass(frozen=True)
class ReadVideos:
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
    others: OtherBuilds | None = None,
) -> ReadVideos:
    """Read the videos that no record stands for; each batch is noted in the log as soon as it is done.

    Of those whose bytes were read before, here or in `others`, what was found then holds.

    Raises:
        StoreWriteError: the storage is too small (before anything is decoded), or takes no more.
    """
    others = others or OtherBuilds()
    comparing = Counter("comparing", len(videos), progress)
    earlier = EarlierBuilds(directory, log, frame_format, others, comparing.reach)
    plan = plan_ingest(videos, directory, frame_format, log, earlier)
    records = {record.batch: record for record in plan.done}
    counter = Counter("reading", len(videos), progress)
    counter.standing(plan.done)
    if plan.tasks:
        damage = Damage(directory)
        for record in _records(plan, earlier, others.say, directory, executor, counter):
            log.put(plan.keys[record.batch], record.to_json())
            for shard in record.shards:
                if damage.is_noted(shard.name):
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
    return ReadVideos(found, tuple(shards.values()))


def _records(
    plan: IngestPlan,
    earlier: EarlierBuilds,
    say: Callable[[str], None],
    directory: Path,
    executor: Executor,
    counter: Counter,
) -> Iterator[BatchRecord]:
    """The records of all batches that are to be done: those of earlier builds, then what is decoded."""
    taken: dict[int, EarlierBatch] = {}
    for one in earlier.take(plan.tasks):
        taken[one.record.batch] = one
        counter.standing([one.record])
        yield one.record
    left = replace(plan, tasks=tuple(task for task in plan.tasks if task.number not in taken))
    for line in _taken_lines(list(taken.values()), left):
        say(line)
    if left.tasks:
        check_space(left, directory)
        yield from _run(left, executor, counter)


def _taken_lines(taken: Sequence[EarlierBatch], left: IngestPlan) -> list[str]:
    """What need not be decoded again, in words; one line for each build that had it, the largest first."""
    counts = Tally[str]()
    for one in taken:
        counts[one.folder.name] += len(one.record.videos)
    decoded = sum(len(task.videos) for task in left.tasks)
    rest = f"; {decoded} {'is' if decoded == 1 else 'are'} decoded" if decoded else ""
    lines = [
        f"{count} video{' is one' if count == 1 else 's are those'} of {name}: not decoded again"
        for name, count in counts.most_common()
    ]
    return [*lines[:-1], *(f"{line}{rest}" for line in lines[-1:])]


def _run(plan: IngestPlan, executor: Executor, counter: Counter) -> Iterator[BatchRecord]:
    with closing(executor.run(plan.tasks)) as events:
        for event in events:
            counter.count(event)
            if isinstance(event, BatchRecord):
                yield event


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


_MAX_WORKERS = 4  # each holds decord and its libraries: some 450 MB


class LocalThreads:
    """An executor of `workers` threads (default: one a CPU, at most 4, and at most so many as `most`)."""

    def __init__(
        self, workers: int | None = None, silence_seconds: float = SILENCE_SECONDS, most: int | None = None
    ) -> None:
        self._workers = workers or min(_MAX_WORKERS, os.cpu_count() or 1, most or _MAX_WORKERS)
        self._silence = silence_seconds

    def run(self, tasks: Sequence[BatchTask]) -> Events:
        """See `Executor`; closing the iterator kills the decoding processes in the middle of their work."""
        waiting = deque(tasks)
        events: SimpleQueue[Event | BaseException | None] = SimpleQueue()
        workers = [ProbeWorker(self._silence) for _ in range(min(self._workers, len(tasks)))]
        threads = [Thread(target=_work, args=(waiting, worker, events), daemon=True) for worker in workers]
        for thread in threads:
            thread.start()
        try:
            running = len(threads)
            while running:
                event = events.get()
                if isinstance(event, BaseException):
                    raise event
                if event is None:
                    running -= 1
                else:
                    yield event
        finally:
            for worker in workers:
                worker.abort()
            for thread in threads:
                thread.join()


def _work(
    waiting: deque[BatchTask], worker: ProbeWorker, events: SimpleQueue[Event | BaseException | None]
) -> None:
    """Do batches while there are any; then, or where one fails, the end of this thread."""
    try:
        while waiting:
            try:
                task = waiting.popleft()
            except IndexError:
                break
            for event in ingest(task, worker):
                events.put(event)
    except BaseException as error:
        events.put(error)
    else:
        events.put(None)
    finally:
        worker.close()
