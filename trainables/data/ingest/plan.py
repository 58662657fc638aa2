"""How a dataset's videos are cut into batches, and which of these are done.

Done is what this build has read before, and what another build has read of the same bytes with the same
settings, as where a folder was moved: its shards are linked, or copied where the file system has no links.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from typing import Any

from catalog.storage.atomic import replaced_atomically, sha256_of
from catalog.storage.errors import OUTAGES
from catalog.storage.layout import BUILD_LOG_FILE, MANIFEST_FILE, SHARDS, SOURCE_FILE, escaped
from trainables.data.frames.check import Damage
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.manifest import ManifestError, read_manifest
from trainables.data.frames.shard import FORMAT, Shard
from trainables.data.ingest.batch import BatchRecord, BatchTask, VideoRecord
from trainables.data.ingest.build_log import BuildLog, Source, file_stamp, is_as_noted, read_source
from trainables.data.ingest.probe import VERSION, Rejected
from trainables.data.ingest.probe_worker import ProbeWorker

WORK = "work"  # the folder of what is half done, beside the manifest; each build empties it
_SAMPLE = 16
_FEW_BYTES = 8 << 20
_GROWTH = 8  # JPEGs at the usual settings against H.264: 8 for Kinetics, 5 for Something-Something's VP9
_FEWEST_BATCHES = 16  # so that small datasets, too, keep several workers busy
_LARGEST_BATCH = 4096  # bounds what one task has to do again after a kill
_THREADS = 4  # that compare files
# how the reasons begin of what may come out otherwise the next time
_CHANCE = (
    "missing",
    "the decoder ",
    "unreadable: the file changed",
    "unreadable: MemoryError",
    *sorted(f"unreadable: {os.strerror(one)}" for one in OUTAGES),
)


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
    videos: Sequence[Path],
    directory: Path,
    frame_format: FrameFormat,
    log: BuildLog,
    earlier: EarlierBuilds | None = None,
) -> IngestPlan:
    """Consecutive batches: those of earlier builds, the others of about one shard each.

    The cut is made once for a list of videos, by an estimate on a few of them, and noted in the log, so that
    a build that goes on makes the same batches even where one of these files has changed since.
    """
    settings = _settings(frame_format)
    a_video, sizes = _cut(videos, settings, frame_format, log, earlier)
    batches = tuple(
        tuple(videos[end - size : end]) for size, end in zip(sizes, accumulate(sizes), strict=True)
    )
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


def _cut(
    videos: Sequence[Path],
    settings: list[object],
    frame_format: FrameFormat,
    log: BuildLog,
    earlier: EarlierBuilds | None,
) -> tuple[int, list[int]]:
    """Mean bytes of a stored video, 0 where nothing is stored or can be read, and each batch's videos."""
    key = _key("estimate", settings, [str(path) for path in videos])
    known = log.get(key)
    if known is None:
        runs = earlier.runs(videos) if earlier is not None else []
        known = _cut_along(runs, len(videos), frame_format) if runs else {}
        if not runs and frame_format.mode == "store" and videos:
            known = {"bytes": _guess(videos) or _estimate(videos, frame_format)}
        if known:
            log.put(key, known)
    a_video = int(known.get("bytes", 0))
    return a_video, known.get("sizes") or _even(len(videos), _batch_size(len(videos), a_video, frame_format))


def _cut_along(
    runs: Sequence[tuple[int, EarlierBatch]], videos: int, frame_format: FrameFormat
) -> dict[str, Any]:
    """The cut of so many videos that keeps the batches of earlier builds, by their first videos' places."""
    stored = sum(shard.bytes for _, one in runs for shard in one.record.shards)
    a_video = stored // sum(len(one.record.videos) for _, one in runs)
    size, at, sizes = _batch_size(videos, a_video, frame_format), 0, list[int]()
    for start, one in runs:
        sizes += [*_even(start - at, size), len(one.record.videos)]
        at = start + len(one.record.videos)
    return {"bytes": a_video, "sizes": [*sizes, *_even(videos - at, size)]}


def _even(videos: int, size: int) -> list[int]:
    """So many videos in batches of this size; the last one may be smaller."""
    return [min(size, videos - start) for start in range(0, videos, size)]


def _batch_size(videos: int, a_video: int, frame_format: FrameFormat) -> int:
    """Depends on nothing but the data, so that any machine makes the same batches."""
    in_a_shard = (frame_format.shard_mb << 20) // a_video if a_video else _LARGEST_BATCH
    return max(1, min(in_a_shard, math.ceil(videos / _FEWEST_BATCHES), _LARGEST_BATCH))


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


@dataclass(frozen=True)
class EarlierBatch:
    """A batch that was read before, in the build of this folder."""

    folder: Path
    record: BatchRecord

    @property
    def contents(self) -> tuple[str, ...]:
        """The SHA-256 of each of its videos."""
        return tuple(video.sha256 for video in self.record.videos)


@dataclass(frozen=True)
class OtherBuilds:
    """Folders in which the dataset was built before, as of videos that stood elsewhere.

    `fetch` brings a file of theirs that may lie on another machine, if it can. `say` gets a line of what
    need not be decoded again. Without `link` files are copied, also one that stands onto itself: a copy is
    as new as what was decoded, by which a bucket's publishing tells what has to go up.
    """

    folders: tuple[Path, ...] = ()
    fetch: Callable[[Path], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    link: bool = True


class EarlierBuilds:
    """What was read before with the same settings: by the build of `folder`, whose `log` it is, and others.

    `compared` is told of how many videos the content was found.
    """

    def __init__(
        self,
        folder: Path,
        log: BuildLog,
        frame_format: FrameFormat,
        others: OtherBuilds,
        compared: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._folder, self._log, self._format = folder, log, frame_format
        self._others, self._compared = others, compared
        self._damage = Damage(folder)
        self._contents: dict[Path, tuple[tuple[int, int], str]] = {}  # of files, with their stamps

    @cached_property
    def _before(self) -> _Before:
        """Only where something has to be read: the logs of a large dataset are large."""
        before = _Before(self._folder, self._log, self._format)
        for folder in self._others.folders:
            if folder.absolute() != self._folder.absolute():
                before.add(folder, BuildLog(folder / BUILD_LOG_FILE))
        return before

    def runs(self, videos: Sequence[Path]) -> list[tuple[int, EarlierBatch]]:
        """The batches that consecutive ones of these videos are, by the place of their first video."""
        if not self._before.batches:
            return []
        contents, found, at = list[str](), [], 0
        with _threads() as pool:
            for content in pool.map(self._content, videos):
                contents.append(content)
                self._compared(len(self._contents))
        while at < len(contents):
            one = next(self._before.beginning(contents, at), None)
            if one is not None:
                found.append((at, one))
            at += 1 if one is None else len(one.contents)
        return found

    def take(self, tasks: Sequence[BatchTask]) -> Iterator[EarlierBatch]:
        """The batches that were read before, with the tasks' numbers; their shards are in place then."""
        if tasks and self._before.batches:
            with _threads() as pool:
                for one in pool.map(self._taken, tasks):
                    self._compared(len(self._contents))
                    if one is not None:
                        yield one

    def _taken(self, task: BatchTask) -> EarlierBatch | None:
        contents = [self._content(path) for path in task.videos]
        for one in self._before.beginning(contents, 0):
            if len(one.contents) == len(contents) and all(
                self._has(one.folder, shard) for shard in one.record.shards
            ):
                return replace(one, record=replace(one.record, batch=task.number))
        return None

    def _has(self, folder: Path, shard: Shard) -> bool:
        """Whether the shard is here as it was built, after it was brought from the folder if need be."""
        source, target = folder / SHARDS / shard.name, self._folder / SHARDS / shard.name
        link = self._others.link
        if self._damage.stands(shard) and (link or _brought(target, target, shard.sha256, link)):
            return True
        if folder == self._folder:
            return False
        was_here = source.exists()
        self._others.fetch(source)
        whole = _brought(source, target, shard.sha256, link)
        if not whole and not was_here:
            source.unlink(missing_ok=True)  # damaged elsewhere: here its size would tell that it stands
        return whole

    def _content(self, path: Path) -> str:
        """The SHA-256 of a file; empty where it cannot be read or has a size that none had before."""
        stamp = file_stamp(path)
        known = self._contents.get(path)
        if known is None or known[0] != stamp:
            known = (stamp, self._read(path, stamp[0]))
            self._contents[path] = known
        return known[1]

    def _read(self, path: Path, size: int) -> str:
        known = self._before.noted(path)
        if known is not None or not self._before.may_have(size):
            return known or ""
        try:
            return sha256_of(path)
        except OSError:
            return ""


class _Before:
    """What the builds of some folders have read: batches by the first video's content, and their files."""

    def __init__(self, folder: Path, log: BuildLog, frame_format: FrameFormat) -> None:
        self.batches: defaultdict[str, list[EarlierBatch]] = defaultdict(list)
        self._begin = batch_facts_begin(frame_format)
        self._sizes: set[int] | None = set()  # of the files; None where not all are known
        self._noted: list[tuple[Source, dict[str, str]]] = []  # each build's source, and contents by path
        self.add(folder, log)

    def add(self, folder: Path, log: BuildLog) -> None:
        """Add what the build of this folder has read, but what its manifest no longer names."""
        records = [BatchRecord.from_json(0, fact) for fact in log.beginning(self._begin)]
        told = [one for one in records if one.videos and all(map(_is_of_content, one.videos))]
        if not told:
            return
        named: set[str] | None = None
        source = read_source(folder / SOURCE_FILE)
        with suppress(ManifestError):  # a damaged one or none yet: then the files are read
            manifest = read_manifest(folder / MANIFEST_FILE)
            named = {shard.name for shard in manifest.shards}
            self._noted.append((source or {}, {video.path: video.sha256 for video in manifest.videos}))
        if source is None or self._sizes is None:
            self._sizes = None
        else:
            self._sizes |= {one.size for one in source.values()}
        for record in reversed(told):  # the newest first
            if named is None or named.issuperset(shard.name for shard in record.shards):
                self.batches[record.videos[0].sha256].append(EarlierBatch(folder, record))

    def beginning(self, contents: Sequence[str], at: int) -> Iterator[EarlierBatch]:
        """The batches of just these contents from there on."""
        for one in self.batches.get(contents[at], ()):
            if one.contents == tuple(contents[at : at + len(one.contents)]):
                yield one

    def noted(self, path: Path) -> str | None:
        """The SHA-256 of a file that is as one of the builds noted it."""
        name = escaped(str(path))
        found = (known[name] for source, known in self._noted if name in known and is_as_noted(path, source))
        return next(found, None)

    def may_have(self, size: int) -> bool:
        """Whether one of the files may have had so many bytes."""
        return self._sizes is None or size in self._sizes


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """Threads that compare files; a Ctrl-C waits only for the files that are being read."""
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="compare")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _is_of_content(video: VideoRecord) -> bool:
    """Whether reading the same bytes again gives the same: not where something else went wrong."""
    reason = video.probe.reason if isinstance(video.probe, Rejected) else ""
    return bool(video.sha256) and not reason.startswith(_CHANCE)


def _brought(source: Path, target: Path, expected: str, link: bool) -> bool:
    """Put a shard of another build into its place, if it has the expected SHA-256; whether it has."""
    try:
        with replaced_atomically(target) as temporary:
            if not link or not _linked(source, temporary):
                shutil.copyfile(source, temporary)
            if sha256_of(temporary) != expected:
                raise OSError("not as it was built")
    except OSError:  # also of a full disk: what is then decoded says so
        return False
    return True


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:  # no links on this file system, or to others' files
        return False
    return True
