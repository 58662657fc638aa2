"""Writing the videos of a toy dataset as files, each once."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from catalog.storage.atomic import sha256_of, writing
from trainables.data.datasets import Entry, Listing
from trainables.data.ingest.build_log import BuildLog
from trainables.data.ingest.progress import Counter, Progress
from trainables.data.synthetic import videos as synthetic
from trainables.data.synthetic.encode import write_h264

_MOST_THREADS = 4


def generate(
    config: synthetic.Synthetic, directory: Path, log: BuildLog, progress: Progress | None
) -> Listing:
    """Make the videos that are not there or have changed, under `directory/videos`; list them all.

    Raises:
        StoreWriteError: the storage is full or broken.
    """
    classes, items = synthetic.class_names(config), synthetic.items(config)
    counter = Counter("generating", len(items), progress)
    paths = [
        directory / "videos" / item.split / classes[item.label] / f"{item.number:05d}.mp4" for item in items
    ]
    pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), "generate")
    try:
        for made in pool.map(lambda item, path: _made(config, item, path, log), items, paths):
            if made is not None:
                log.put(*made)
            counter.step()
    finally:
        # As a context manager the pool would make all videos that wait before it lets a Ctrl-C through.
        pool.shutdown(cancel_futures=True)
    entries = (Entry(path, item.split, item.label) for item, path in zip(items, paths, strict=True))
    return Listing(classes, tuple(entries))


def _made(
    config: synthetic.Synthetic, item: synthetic.Item, path: Path, log: BuildLog
) -> tuple[str, dict[str, str]] | None:
    """Make one video; what the log is to note of it, None where it stands."""
    sizes = (config.kind, synthetic.VERSION, config.size, config.frames_per_segment, config.fps, config.seed)
    key = json.dumps(["made", *sizes, item.split, item.label, item.number])
    known = log.get(key)
    with writing(path):
        if known is not None and path.is_file() and sha256_of(path) == known["sha256"]:
            return None
        write_h264(synthetic.render(config, item), config.fps, config.frames_per_segment, path)
        return key, {"sha256": sha256_of(path)}
