"""Writing the videos of a toy dataset as H.264 .mp4 files, each once and with the same bytes every time."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from catalog.storage.atomic import replaced_atomically, sha256_of, writing
from trainables.data.datasets import Entry, Listing
from trainables.data.ingest import synthetic_videos as synthetic
from trainables.data.ingest.build_log import BuildLog
from trainables.data.ingest.run import Counter, Progress

QP = 12  # of 51: hardly any loss


def write_h264(frames: NDArray[np.uint8], fps: int, gop: int, path: Path) -> None:
    """Write frames, uint8 (T,H,W,3) with even sizes, as H.264 in mp4 (yuv420p, no B-frames).

    Every `gop` frames a closed group of pictures starts, and the quantiser is constant: what a frame looks
    like after compression depends on no frame outside its group.
    """
    with (
        replaced_atomically(path, durable=False) as temporary,
        av.open(temporary, "w", container_options={"fflags": "+bitexact"}) as container,
    ):
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = 1  # another number of threads would give other bytes
        context.gop_size = gop
        context.options = {
            "qp": str(QP),
            "preset": "veryfast",
            "x264-params": f"keyint={gop}:min-keyint={gop}:scenecut=0:open-gop=0:bframes=0:threads=1",
        }
        for picture in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


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
