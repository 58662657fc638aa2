"""The two toy datasets' videos: what happens in each (pure plans), and its pixels.

Motion: the picture's height is cut into 8 rows and the video into 8 segments. Every class visits every row
once, from a random row on; only the order differs. The movement is vertical because the recipe flips clips
horizontally. Appearance: every frame shows the class's shape; only the shape differs.

All else is drawn per number, not per class: the videos of one number (one a class) have the same scene,
colours, size and places. So in motion they consist of the same frames, and whatever ignores the order is
exactly at chance; in appearance they move alike.
"""

from __future__ import annotations

import colorsys
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from numpy.typing import NDArray

from catalog.storage.atomic import replaced_atomically, sha256_of, writing
from trainables.data.datasets import Entry, Listing
from trainables.data.datasets.synthetic import (
    APPEARANCE_CLASSES,
    MOTION_CLASSES,
    SEGMENTS,
    SyntheticAppearance,
    SyntheticMotion,
)
from trainables.data.ingest.build_log import BuildLog
from trainables.data.ingest.run import Counter, Progress

if TYPE_CHECKING:
    from trainables.recipe.fields import Split

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float64]

_STRIPES = 2  # periods of a pattern across its patch


def _background(size: int, rng: np.random.Generator) -> Pixels:
    """A dark greyish texture of low contrast, uint8 (size, size, 3)."""
    coarse = rng.normal(0, 6, (7, 7, 3)) + rng.uniform(40, 80)
    places = np.linspace(0, 6, size)
    low = np.minimum(places.astype(np.int64), 5)
    part = (places - low)[:, None, None]
    down = coarse[low] * (1 - part) + coarse[low + 1] * part
    part = part.reshape(1, size, 1)
    texture = down[:, low] * (1 - part) + down[:, low + 1] * part
    return cast("Pixels", np.clip(texture, 0, 255).astype(np.uint8))


def _colours(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """A bright RGB colour in 0..255, and a dark one of the opposite hue; both stand out."""
    hue = float(rng.random())
    bright = colorsys.hsv_to_rgb(hue, float(rng.uniform(0.3, 0.8)), float(rng.uniform(0.9, 1)))
    dark = colorsys.hsv_to_rgb((hue + 0.5) % 1, 0.8, 0.2)
    return np.array(bright) * 255, np.array(dark) * 255


def _shape_mask(shape: str, size: int, x: Floats, y: Floats, radius: float) -> Floats:
    """Coverage 0..1 of each pixel by the shape centred at (x[t], y[t]), (T, size, size); edges are smooth."""
    grid = np.arange(size) + 0.5
    dx = grid[None, None, :] - x[:, None, None]
    dy = grid[None, :, None] - y[:, None, None]
    return cast("Floats", np.clip(0.5 - _distance(shape, dx, dy, radius), 0, 1))


def _distance(shape: str, dx: Floats, dy: Floats, radius: float) -> Floats:
    """Signed distance in pixels to the shape's edge, negative inside."""
    across, down = np.abs(dx), np.abs(dy)
    square: Floats = np.maximum(across, down) - radius
    if shape == "disc":
        return np.hypot(dx, dy) - radius
    if shape == "diamond":
        return cast("Floats", (across + down) / np.sqrt(2) - radius)
    if shape == "cross":
        return np.maximum(square, np.minimum(across, down) - radius / 3)
    period = 2 * radius / _STRIPES
    if shape == "stripes":
        return np.maximum(square, _wave(dy, period))
    if shape == "checker":
        # inside where both waves have one sign: the product's sign with the nearer edge's distance
        first, second = _wave(dx, period), _wave(dy, period)
        cells: Floats = np.sign(first * second) * np.minimum(np.abs(first), np.abs(second))
        return np.maximum(square, cells)
    return square


def _wave(offset: Floats, period: float) -> Floats:
    """Signed distance to the nearer edge of bands half a period wide."""
    return np.abs(offset / period % 1 - 0.5) * period - period / 4


def _paint(scene: Pixels, masks: Floats, colour: Floats) -> Pixels:
    """The colour laid over the scene, (H,W,3) or (T,H,W,3), where the masks (T,H,W) cover it."""
    cover = masks[..., None].astype(np.float32)  # in 32 bits: half the time
    colour = colour.astype(np.float32)
    return cast("Pixels", np.rint(scene * (1 - cover) + colour * cover).astype(np.uint8))


VERSION = "1"

Synthetic = SyntheticMotion | SyntheticAppearance

# The central part of the height in which the rows lie: a crop of 7/8 at any of its places still shows it.
_TOP, _HEIGHT = 0.14, 0.72
_BLOBS = ("disc", "square", "diamond")


@dataclass(frozen=True)
class Item:
    """One video to be generated: its class, its number within class and split, and its seed's parts."""

    kind: str
    split: Split
    label: int
    number: int
    seed: int

    def look_rng(self) -> np.random.Generator:
        """For all that the videos of one number share, whatever their class."""
        return np.random.default_rng(self._seeds)

    def order_rng(self) -> np.random.Generator:
        """For what is this video's own: from where, and which way round, the rows are visited."""
        return np.random.default_rng([*self._seeds, 1 + self.label])

    @property
    def _seeds(self) -> list[int]:
        """Independent of how many videos there are."""
        kinds, splits = ("synthetic-motion", "synthetic-appearance"), ("train", "val")
        return [self.seed, kinds.index(self.kind), splits.index(self.split), self.number]


def class_names(config: Synthetic) -> tuple[str, ...]:
    """Classes in label order."""
    return MOTION_CLASSES if isinstance(config, SyntheticMotion) else APPEARANCE_CLASSES


def items(config: Synthetic) -> tuple[Item, ...]:
    """All videos of the dataset, in manifest order."""
    counts: tuple[tuple[Split, int], ...] = (("train", config.train_per_class), ("val", config.val_per_class))
    return tuple(
        Item(config.kind, split, label, number, config.seed)
        for split, count in counts
        for label in range(len(class_names(config)))
        for number in range(count)
    )


def render(config: Synthetic, item: Item) -> Pixels:
    """The frames of one video, uint8 (frames, size, size, 3)."""
    if isinstance(config, SyntheticMotion):
        segments = _render_rows(config, item.look_rng())
        order = row_order(item.label, item.order_rng())
        return segments[order].reshape(config.frames, config.size, config.size, 3)
    return _render_appearance(config, item.label, item.look_rng())


def row_order(label: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The row of the blob in each segment: the one thing in which motion's classes differ.

    `walk-down` and `walk-up` step by +1 and -1, `hop` by +3 or -3, `flip` goes 0 4 1 5 2 6 3 7 forwards or
    backwards; all modulo 8, from a random row.
    """
    start, sign = int(rng.integers(SEGMENTS)), 1 - 2 * int(rng.integers(2))
    step = np.arange(SEGMENTS)
    name = MOTION_CLASSES[label]
    if name == "flip":
        path = (step // 2 + SEGMENTS // 2 * (step % 2))[::sign]
    else:
        path = step * {"walk-down": 1, "walk-up": -1, "hop": 3 * sign}[name]
    return (start + path) % SEGMENTS


def _render_rows(config: SyntheticMotion, rng: np.random.Generator) -> Pixels:
    """The segment that shows the blob in each row, uint8 (8, frames per segment, size, size, 3)."""
    size, frames = config.size, config.frames
    rows = np.repeat(np.arange(SEGMENTS), config.frames_per_segment)
    y = size * (_TOP + _HEIGHT * (rows + 0.5) / SEGMENTS)
    x = size * rng.uniform(0.3, 0.7) + rng.normal(0, 0.02 * size, frames)
    radius = size * rng.uniform(0.075, 0.1)
    blob = _BLOBS[int(rng.integers(len(_BLOBS)))]
    scene, (colour, _) = _background(size, rng), _colours(rng)
    pixels = _paint(scene, _shape_mask(blob, size, x, y, radius), colour)
    return pixels.reshape(SEGMENTS, config.frames_per_segment, size, size, 3)


def _render_appearance(config: SyntheticAppearance, label: int, rng: np.random.Generator) -> Pixels:
    size, name = config.size, APPEARANCE_CLASSES[label]
    x, y = _wander(config.frames, size, rng), _wander(config.frames, size, rng)
    radius = size * rng.uniform(0.18, 0.26)
    scene, (colour, second) = _background(size, rng), _colours(rng)
    outline = name if name in ("disc", "cross") else "square"
    pixels = _paint(scene, _shape_mask(outline, size, x, y, radius), colour)
    if outline == "square":
        pixels = _paint(pixels, _shape_mask(name, size, x, y, radius), second)
    return pixels


def _wander(frames: int, size: int, rng: np.random.Generator) -> Floats:
    """A coordinate that moves at a random even speed and bounces within the picture's middle."""
    low, high = 0.36 * size, 0.64 * size
    phase = rng.uniform(0, 2) + np.arange(frames) * rng.uniform(-0.15, 0.15)
    places: Floats = low + (high - low) * np.abs(phase % 2 - 1)
    return places


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


def generate(config: Synthetic, directory: Path, log: BuildLog, progress: Progress | None) -> Listing:
    """Make the videos that are not there or have changed, under `directory/videos`; list them all.

    Raises:
        StoreWriteError: the storage is full or broken.
    """
    classes, wanted = class_names(config), items(config)
    counter = Counter("generating", len(wanted), progress)
    paths = [
        directory / "videos" / item.split / classes[item.label] / f"{item.number:05d}.mp4" for item in wanted
    ]
    pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), "generate")
    try:
        for made in pool.map(lambda item, path: _made(config, item, path, log), wanted, paths):
            if made is not None:
                log.put(*made)
            counter.step()
    finally:
        # As a context manager the pool would make all videos that wait before it lets a Ctrl-C through.
        pool.shutdown(cancel_futures=True)
    entries = (Entry(path, item.split, item.label) for item, path in zip(wanted, paths, strict=True))
    return Listing(classes, tuple(entries))


def _made(config: Synthetic, item: Item, path: Path, log: BuildLog) -> tuple[str, dict[str, str]] | None:
    """Make one video; what the log is to note of it, None where it stands."""
    sizes = (config.kind, VERSION, config.size, config.frames_per_segment, config.fps, config.seed)
    key = json.dumps(["made", *sizes, item.split, item.label, item.number])
    known = log.get(key)
    with writing(path):
        if known is not None and path.is_file() and sha256_of(path) == known["sha256"]:
            return None
        write_h264(render(config, item), config.fps, config.frames_per_segment, path)
        return key, {"sha256": sha256_of(path)}
