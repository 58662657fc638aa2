"""Writing the videos of a toy dataset as files, each once."""

from __future__ import annotations

import json
from pathlib import Path

from trainables.data import synthetic
from trainables.data.build_log import BuildLog
from trainables.data.build_progress import Counter, Progress
from trainables.data.datasets import Entry, Listing
from trainables.data.encode import write_h264
from trainables.data.files import sha256_of
from trainables.data.store_spool import writing


def generate(
    config: synthetic.Synthetic, directory: Path, log: BuildLog, progress: Progress | None
) -> Listing:
    """Make the videos that are not there or have changed, under `directory/videos`; list them all.

    Raises:
        StoreWriteError: the storage is full or broken.
    """
    classes, items = synthetic.class_names(config), synthetic.items(config)
    counter = Counter("generating", len(items), progress)
    entries = []
    for item in items:
        path = directory / "videos" / item.split / classes[item.label] / f"{item.number:05d}.mp4"
        with writing(path):
            _make(config, item, path, log)
        entries.append(Entry(path, item.split, item.label))
        counter.step()
    return Listing(classes, tuple(entries))


def _make(config: synthetic.Synthetic, item: synthetic.Item, path: Path, log: BuildLog) -> None:
    sizes = (config.kind, synthetic.VERSION, config.size, config.frames_per_segment, config.fps, config.seed)
    key = json.dumps(["made", *sizes, item.split, item.label, item.number])
    made = log.get(key)
    if made is None or not path.is_file() or sha256_of(path) != made["sha256"]:
        write_h264(synthetic.render(config, item), config.fps, config.frames_per_segment, path)
        log.put(key, {"sha256": sha256_of(path)})
