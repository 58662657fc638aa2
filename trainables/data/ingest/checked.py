"""From what was listed and what reading its files found to a manifest: that of a build, or of one to come."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.atomic import sha256_of
from catalog.storage.layout import escaped
from trainables.data.datasets import DatasetConfig, Entry, Listing, SyntheticAppearance, SyntheticMotion
from trainables.data.frames.manifest import Manifest, Quarantined, Video
from trainables.data.ingest.build_log import READ_AGAIN, BuildLog, Source, file_stamp, is_as_noted

if TYPE_CHECKING:
    from trainables.data.frames.frame_format import FrameFormat
    from trainables.data.frames.shard import Shard
    from trainables.data.ingest.batch import VideoRecord


def make_manifest(
    config: DatasetConfig,
    name: str,
    listing: Listing,
    records: Mapping[Path, VideoRecord],
    shards: tuple[Shard, ...],
) -> Manifest:
    """The manifest of all that was listed and read; what the listing left out is quarantined too."""
    if isinstance(config, SyntheticMotion | SyntheticAppearance):
        min_frames, allow_missing = config.frames, 0.0
    else:
        min_frames, allow_missing = config.min_frames, config.allow_missing
    videos = []
    quarantined = [Quarantined(escaped(one.path), escaped(one.reason)) for one in listing.left_out]
    for entry in listing.entries:
        video = checked_video(entry, records[entry.path], config.frame_format, min_frames)
        if isinstance(video, Video):
            videos.append(video)
        else:
            quarantined.append(video)
    return Manifest(
        name=name,
        classes=listing.classes,
        videos=tuple(videos),
        quarantined=tuple(quarantined),
        frame_format=config.frame_format,
        shards=shards,
        allow_missing=allow_missing,
        ignored=listing.ignored,
        notes=listing.notes,
    )


def checked_video(
    entry: Entry, record: VideoRecord, frame_format: FrameFormat, min_frames: int
) -> Video | Quarantined:
    """The row of a manifest for a file that was read, or why it cannot be used."""
    from trainables.data.ingest.probe import Rejected

    path, probe = escaped(str(entry.path.absolute())), record.probe
    if isinstance(probe, Rejected):
        return Quarantined(path, escaped(probe.reason))
    if probe.frames < min_frames:
        return Quarantined(path, f"too short: {probe.frames} frames, at least {min_frames}")
    width, height = frame_format.size_of(probe.width, probe.height)
    return Video(
        path=path,
        split=entry.split,
        label=entry.label,
        frames=probe.frames,
        fps=probe.fps,
        width=width,
        height=height,
        sha256=record.sha256,
        decoder=probe.decoder,
        shard=record.place.shard,
        first_row=record.place.first_row,
    )


class TooMuchToReadError(Exception):
    """Which contents the files have cannot be told without reading more than a look should."""


def manifest_expected(
    config: DatasetConfig, listing: Listing, before: Manifest, noted: Source, log: BuildLog
) -> Manifest | None:
    """The manifest that building `listing` will give, without shards; None where a file has new contents.

    Args:
        config: the dataset's declaration.
        listing: its source now.
        before: the manifest of the last build.
        noted: the source as it was then.
        log: what earlier builds read, by content.

    Raises:
        TooMuchToReadError: many files are new or changed.
    """
    contents = _contents(listing, before, noted)
    records = _records(log, config.frame_format)
    try:
        videos = {path: records[content] for path, content in contents.items()}
    except KeyError:
        return None
    return make_manifest(config, before.name, listing, videos, ())


def _contents(listing: Listing, before: Manifest, noted: Source) -> dict[Path, str]:
    """The SHA-256 of every listed file: of those that are as they were from the manifest, else read."""
    known = {video.path: video.sha256 for video in before.videos}
    found, left = {}, READ_AGAIN
    for path in dict.fromkeys(entry.path for entry in listing.entries):
        name = escaped(str(path))
        if name in known and is_as_noted(path, noted):
            found[path] = known[name]
            continue
        left -= file_stamp(path)[0]
        if left < 0:
            raise TooMuchToReadError(str(path))
        found[path] = _content(path)
    return found


def _content(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _records(log: BuildLog, frame_format: FrameFormat) -> dict[str, VideoRecord]:
    """What was read of every content in the way in which this version would read it again."""
    from trainables.data.ingest.batch import BatchRecord
    from trainables.data.ingest.plan import batch_facts_begin

    facts = log.beginning(batch_facts_begin(frame_format))
    return {
        video.sha256: video
        for fact in facts
        for video in BatchRecord.from_json(0, fact).videos
        if video.sha256
    }
