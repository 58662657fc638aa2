"""Reading a batch of videos into the frame store: the same work for a thread here and a task elsewhere."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from catalog.storage.atomic import sha256_of
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.shard import Shard
from trainables.data.frames.write import DecodedVideo, FrameLocation, ShardWriter, shard_writer
from trainables.data.ingest.build_log import file_stamp
from trainables.data.ingest.probe import Probe, Probed, Rejected, from_json, to_json
from trainables.data.ingest.probe_worker import ProbeWorker

_NOWHERE = FrameLocation("", 0)


@dataclass(frozen=True)
class BatchTask:
    """Videos to be read together, into about one shard.

    Shards go into the folder `shards`, what waits into `spool`. `expected_bytes` is an estimate.
    """

    number: int
    videos: tuple[Path, ...]
    shards: Path
    spool: Path
    frame_format: FrameFormat
    expected_bytes: int = 0


@dataclass(frozen=True)
class VideoDone:
    """One video of a batch has been read: its place in the batch, whether it is usable, bytes kept of it."""

    batch: int
    place: int
    usable: bool
    bytes: int


@dataclass(frozen=True)
class VideoRecord:
    """What reading a video found, and where its frames are kept; no hash where there is no file."""

    sha256: str
    probe: Probe
    place: FrameLocation = _NOWHERE


@dataclass(frozen=True)
class BatchRecord:
    """What reading a batch gave: a record for each of its videos, in their order, and the shards."""

    batch: int
    videos: tuple[VideoRecord, ...]
    shards: tuple[Shard, ...]

    def to_json(self) -> dict[str, Any]:
        """A plain object for a log."""
        videos = [
            {"sha256": one.sha256, "probe": to_json(one.probe), "place": asdict(one.place)}
            for one in self.videos
        ]
        return {"videos": videos, "shards": [asdict(shard) for shard in self.shards]}

    @classmethod
    def from_json(cls, batch: int, fields: dict[str, Any]) -> BatchRecord:
        """What `to_json` gave."""
        videos = (
            VideoRecord(one["sha256"], from_json(one["probe"]), FrameLocation(**one["place"]))
            for one in fields["videos"]
        )
        return cls(batch, tuple(videos), tuple(Shard(**shard) for shard in fields["shards"]))


Event = VideoDone | BatchRecord
Events = Generator[Event, None, None]


class Executor(Protocol):
    """Does batches somewhere, several at a time."""

    def run(self, tasks: Sequence[BatchTask]) -> Events:
        """Every video's and every batch's end, as they come; closing the generator stops the work.

        Raises:
            StoreWriteError: the storage takes no more.
        """
        ...


def ingest(task: BatchTask, worker: ProbeWorker) -> Iterator[Event]:
    """Read one batch: each of its videos, then the batch's record. The same task gives the same shards.

    Raises:
        AbortedError: the worker was stopped.
        StoreWriteError: the storage takes no more.
    """
    records = []
    store = task.frame_format.mode == "store"
    with shard_writer(task.shards, task.spool, task.frame_format) if store else nullcontext() as writer:
        for place, path in enumerate(task.videos):
            record, kept = _read(path, worker, writer)
            records.append(record)
            yield VideoDone(task.number, place, isinstance(record.probe, Probed), kept)
        if writer is not None:
            writer.flush()
            records = _placed(records, writer.locations)
    yield BatchRecord(task.number, tuple(records), tuple(writer.shards) if writer is not None else ())


def _read(path: Path, worker: ProbeWorker, writer: ShardWriter | None) -> tuple[VideoRecord, int]:
    """A video's record, still without its place, and the bytes that were kept."""
    before = file_stamp(path)
    content = _hash(path)
    kept = worker.probe(path, writer.keep if writer is not None else None)
    if file_stamp(path) != before:
        return VideoRecord(content, Rejected("unreadable: the file changed while it was read")), 0
    probe = kept.probe
    if writer is not None and isinstance(probe, Probed):
        writer.add(DecodedVideo(content, probe.frames, probe.decoder, probe.width, probe.height), kept.sizes)
    return VideoRecord(content, probe), sum(kept.sizes)


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return ""  # missing or unreadable: the decoder says why


def _placed(records: list[VideoRecord], places: Sequence[FrameLocation]) -> list[VideoRecord]:
    """The records with the places, which are of the usable videos only."""
    found = iter(places)
    return [
        replace(record, place=next(found)) if isinstance(record.probe, Probed) else record
        for record in records
    ]
