"""Which of the listed videos make the dataset, which are quarantined and why, and whether enough is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.data.datasets import (
    SPLITS,
    DatasetConfig,
    DatasetError,
    Entry,
    Listing,
    SyntheticAppearance,
    SyntheticMotion,
)
from trainables.data.frames.manifest import Manifest, Quarantined, Video

if TYPE_CHECKING:
    from trainables.data.frames.frame_format import FrameFormat
    from trainables.data.ingest.batch import VideoRecord
    from trainables.data.ingest.run import Found

_NAMED = 20  # quarantined videos that an error names; the others it counts


def judged(config: DatasetConfig, name: str, listing: Listing, found: Found) -> Manifest:
    """The manifest of all that was listed and read; what the listing left out is quarantined too."""
    if isinstance(config, SyntheticMotion | SyntheticAppearance):
        min_frames, allow_missing = config.frames, 0.0
    else:
        min_frames, allow_missing = config.min_frames, config.allow_missing
    videos = []
    quarantined = [Quarantined(one.path, one.reason) for one in listing.left_out]
    for entry in listing.entries:
        video = _video(entry, found.videos[entry.path], config.frame_format, min_frames)
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
        shards=found.shards,
        allow_missing=allow_missing,
    )


def _video(
    entry: Entry, record: VideoRecord, frame_format: FrameFormat, min_frames: int
) -> Video | Quarantined:
    from trainables.data.ingest.probe import Rejected

    path, probe = str(entry.path.absolute()), record.probe
    if isinstance(probe, Rejected):
        return Quarantined(path, probe.reason)
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


def check(manifest: Manifest, listed: int) -> None:
    """Refuse a dataset of which too little is left.

    Raises:
        DatasetError: too many quarantined videos, a split without videos, a class without training videos.
    """
    bad = manifest.quarantined
    if len(bad) > manifest.allow_missing * listed:
        names = "".join(f"\n  {q.path}: {q.reason}" for q in bad[:_NAMED])
        more = f"\n  and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise DatasetError(
            f"{len(bad)} of {listed} videos cannot be used, more than allow_missing = "
            f"{manifest.allow_missing:g}; dataset {manifest.name}; mend or remove them, or raise "
            f"allow_missing:{names}{more}"
        )
    for split in SPLITS:
        if not manifest.split(split):
            raise DatasetError(
                f"no usable {split} video; dataset {manifest.name}; add videos or change the split"
            )
    present = {video.label for video in manifest.split("train")}
    lost = [name for label, name in enumerate(manifest.classes) if label not in present]
    if lost:
        raise DatasetError(
            f"classes without a usable training video: {', '.join(lost)}; dataset {manifest.name}; "
            "add videos or remove the classes"
        )
