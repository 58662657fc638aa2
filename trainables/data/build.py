"""From a dataset's configuration to its manifest: list or generate, decode every video once, quarantine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from trainables.data.build_log import BuildLog
from trainables.data.datasets import (
    SPLITS,
    CsvDataset,
    DatasetConfig,
    DatasetError,
    Entry,
    FolderDataset,
    Listing,
    OfficialDataset,
)
from trainables.data.datasets.csv import list_csv
from trainables.data.datasets.folder import list_folder
from trainables.data.files import sha256_of
from trainables.data.manifest import Manifest, Quarantined, Video, write_manifest

if TYPE_CHECKING:
    from trainables.data.probe import Probe
    from trainables.data.synthetic import Item, Synthetic

MANIFEST_NAME = "manifest.parquet"
LOG_NAME = "build.jsonl"

Progress = Callable[[int, int], None]
_NAMED = 20  # quarantined videos that an error names; the others it counts


@dataclass
class _Counter:
    """Tells `progress` of each finished step."""

    total: int
    progress: Progress | None
    done: int = 0

    def step(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


def build_dataset(
    config: DatasetConfig, name: str, directory: Path, progress: Progress | None = None
) -> Manifest:
    """Build `directory/manifest.parquet` and return it.

    Videos that stand and were judged before are not made or decoded again, so that a build that was stopped
    goes on; the manifest is written last. `progress` gets (steps done, steps in all).

    Raises:
        DatasetError: nothing to build from, too many quarantined videos, or a split left without videos.
    """
    if isinstance(config, OfficialDataset):
        how = config.info().how_to_get
        raise DatasetError(f"{config.name} cannot be built from here yet; dataset {name}; {how}")
    log = BuildLog(directory / LOG_NAME)
    if isinstance(config, FolderDataset | CsvDataset):
        listing = list_folder(config) if isinstance(config, FolderDataset) else list_csv(config)
        counter = _Counter(len(listing.entries), progress)
        allowed, min_frames = config.allow_missing, config.min_frames
    else:
        listing, counter = _generate(config, directory, log, progress)
        allowed, min_frames = 0.0, config.frames
    manifest = _judge(name, listing, _probe_all(listing.entries, log, counter), min_frames)
    _check(manifest, allowed, len(listing.entries))
    write_manifest(manifest, directory / MANIFEST_NAME)
    return manifest


def _generate(
    config: Synthetic, directory: Path, log: BuildLog, progress: Progress | None
) -> tuple[Listing, _Counter]:
    from trainables.data import synthetic

    classes, items = synthetic.class_names(config), synthetic.items(config)
    counter = _Counter(2 * len(items), progress)
    entries = []
    for item in items:
        path = directory / "videos" / item.split / classes[item.label] / f"{item.number:05d}.mp4"
        _make(config, item, path, log)
        entries.append(Entry(path, item.split, item.label))
        counter.step()
    return Listing(classes, tuple(entries)), counter


def _make(config: Synthetic, item: Item, path: Path, log: BuildLog) -> None:
    from trainables.data import synthetic
    from trainables.data.encode import write_h264

    sizes = (config.kind, synthetic.VERSION, config.size, config.frames_per_segment, config.fps, config.seed)
    key = json.dumps(["made", *sizes, item.split, item.label, item.number])
    made = log.get(key)
    if made is None or not path.is_file() or sha256_of(path) != made["sha256"]:
        write_h264(synthetic.render(config, item), config.fps, config.frames_per_segment, path)
        log.put(key, {"sha256": sha256_of(path)})


@dataclass(frozen=True)
class _Judged:
    sha256: str
    probe: Probe


def _probe_all(entries: Iterable[Entry], log: BuildLog, counter: _Counter) -> dict[Path, _Judged]:
    """Every video's content hash and probe, from the log where the file has not changed since."""
    from trainables.data.probe import VERSION, from_json, to_json
    from trainables.data.probe_worker import probe_files

    judged: dict[Path, _Judged] = {}
    keys: dict[Path, str] = {}
    for path in (entry.path for entry in entries):
        keys[path] = json.dumps(["probed", VERSION, str(path), *_stamp(path)])
        known = log.get(keys[path])
        if known is not None:
            judged[path] = _Judged(known["sha256"], from_json(known["probe"]))
            counter.step()
    for path, probe in probe_files([path for path in keys if path not in judged]):
        judged[path] = _Judged(sha256_of(path) if path.is_file() else "", probe)
        log.put(keys[path], {"sha256": judged[path].sha256, "probe": to_json(probe)})
        counter.step()
    return judged


def _stamp(path: Path) -> tuple[int, int]:
    """Size and modification time (ns): another content under the same name shows in one of them."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return status.st_size, status.st_mtime_ns


def _judge(name: str, listing: Listing, judged: dict[Path, _Judged], min_frames: int) -> Manifest:
    from trainables.data.probe import Rejected

    videos, quarantined = [], []
    for entry in listing.entries:
        path, found = str(entry.path.absolute()), judged[entry.path]
        probe = found.probe
        if isinstance(probe, Rejected):
            quarantined.append(Quarantined(path, probe.reason))
        elif probe.frames < min_frames:
            quarantined.append(Quarantined(path, f"too short: {probe.frames} frames, at least {min_frames}"))
        else:
            fields = (probe.frames, probe.fps, probe.width, probe.height, found.sha256, probe.decoder)
            videos.append(Video(path, entry.split, entry.label, *fields))
    return Manifest(name, listing.classes, tuple(videos), tuple(quarantined))


def _check(manifest: Manifest, allowed: float, listed: int) -> None:
    bad = manifest.quarantined
    if len(bad) > allowed * listed:
        names = "".join(f"\n  {q.path}: {q.reason}" for q in bad[:_NAMED])
        more = f"\n  and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise DatasetError(
            f"{len(bad)} of {listed} videos cannot be used, more than allow_missing = {allowed:g}; "
            f"dataset {manifest.name}; mend or remove them, or raise allow_missing:{names}{more}"
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
