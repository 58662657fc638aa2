"""Whether the storage has room for a frame store, asked before anything is read."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from catalog.storage.atomic import StoreWriteError
from trainables.data.ingest.plan import IngestPlan

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
            f"the frames of {videos} videos need about {in_words(needed)}, {in_words(free)} are free; "
            f"{directory}; make room, use another --storage, or lower --short-side or --quality"
        )


def in_words(count: float) -> str:
    """`count` bytes with a binary prefix, e.g. `4.5 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} TiB"
