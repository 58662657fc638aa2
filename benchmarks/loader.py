"""Clips per CPU-second of five ways from videos to augmented training clips, on one core, in one run.

    .venv/bin/python benchmarks/loader.py [--shape kinetics|ssv2] [--frames N] [--json]

Shapes: `kinetics` 340 x 256 H.264, 10 s, 30 fps, groups of 250 with B-frames; `ssv2` 427 x 240 VP9 .webm,
4 s, 12 fps. Readers, all with uniform sampling and the same crops:

- frame_store: ours, uint8 rectangles in the ring's memory, ready for the upload. frame_store_loader: the
  same as a cell uses it, with threads, ring and batches, that is with the transport into the training
  process. frame_store_224 also resizes them on the CPU, as a cell does that has no GPU.
- decord, pyav (read in sequence), torchcodec (where it is installed): the originals; then the same rectangle.
- jpeg_pil: as the paper's code does it: one JPEG file a frame, PIL's crop, resize and flip for each frame,
  then a normalised float tensor, all on the CPU. jpeg_pil_uint8 stops at the resized bytes.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image

from trainables.data.clips.augment import View, cut_of, train_view
from trainables.data.clips.loader import ClipSource, copy_clips, train_batches, train_ring
from trainables.data.clips.resample import views_one_by_one
from trainables.data.clips.sampling import train_indices
from trainables.data.frames.frame_format import FrameFormat, reduced
from trainables.data.frames.manifest import Video
from trainables.data.frames.shard import write_jpegs
from trainables.data.frames.store_reader import FrameStoreReader
from trainables.data.ingest.decode import open_pyav
from trainables.recipe.cell_spec import Recipe

RECIPE = Recipe(batch_size=8)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
VIDEOS = 4
SLICES = 5
_AHEAD = 4
Pictures = NDArray[np.uint8]


@dataclass(frozen=True)
class Shape:
    """What a dataset's videos look like; the bit rate gives pictures of the usual size in bytes."""

    width: int
    height: int
    fps: int
    frames: int
    codec: str
    suffix: str
    options: dict[str, str]


SHAPES = {
    "kinetics": Shape(
        340, 256, 30, 300, "libx264", "mp4", {"crf": "23", "g": "250", "bf": "3", "preset": "medium"}
    ),
    "ssv2": Shape(
        427,
        240,
        12,
        48,
        "libvpx-vp9",
        "webm",
        {"crf": "33", "b": "0", "deadline": "realtime", "cpu-used": "6"},
    ),
}


def main() -> None:
    """Make the videos, measure every reader, print a table or JSON rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), action="append")
    parser.add_argument("--frames", type=int, action="append")
    parser.add_argument("--seconds", type=float, default=3.0, help="CPU-seconds a measurement")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    rows = []
    for name in options.shape or sorted(SHAPES):
        with tempfile.TemporaryDirectory() as folder:
            dataset = prepare(SHAPES[name], Path(folder))
            for frames in options.frames or (8, 16, 32, 64):
                measured = measure(dataset, frames, options.seconds)
                rows += [
                    {
                        "shape": name,
                        "frames": frames,
                        "reader": reader,
                        "clips_per_cpu_second": round(rate, 2),
                    }
                    for reader, rate in measured.items()
                ]
                if not options.json:
                    show(name, frames, measured)
    if options.json:
        print(json.dumps(rows, indent=1))


def show(shape: str, frames: int, rates: dict[str, float]) -> None:
    """One line a reader, with the frame store's advantage over it."""
    for reader, rate in rates.items():
        factor = rates["frame_store"] / rate
        print(f"{shape:9} T={frames:<3} {reader:18} {rate:9.1f} clips/CPU-s   frame_store is {factor:6.1f} x")


@dataclass(frozen=True)
class Dataset:
    """The same videos as originals, as JPEG files and as a frame store."""

    videos: tuple[Video, ...]
    jpegs: Path
    shards: Path


def texture(rng: np.random.Generator, height: int, width: int, fine: float) -> NDArray[np.float64]:
    """Smooth random colours in three sizes of structure, (height, width, 3), around 0."""
    made = np.zeros((height, width, 3))
    for cell, weight in ((64, 60.0), (16, 30.0), (5, fine)):
        corners = rng.normal(0, 1, (height // cell + 2, width // cell + 2, 3))
        rows, columns = np.arange(height) / cell, np.arange(width) / cell
        top, left = rows.astype(int), columns.astype(int)
        across = (columns - left)[None, :, None]
        upper, lower = (
            corners[row][:, left] * (1 - across) + corners[row][:, left + 1] * across
            for row in (top, top + 1)
        )
        down = (rows - top)[:, None, None]
        made += weight * (upper * (1 - down) + lower * down)
    return made


def scene(shape: Shape, seed: int) -> Iterator[Pictures]:
    """A moving camera, six discs that move by themselves, a little noise.

    As heavy as real clips: 0.6 MB a Kinetics-shaped video (real ones 0.6 to 1.4), 16 kB a JPEG (real 16).
    """
    rng = np.random.default_rng(seed)
    margin, side = 64, 72
    back = texture(rng, shape.height + margin, shape.width + margin, fine=10)
    discs = [
        (texture(rng, side, side, fine=18), rng.uniform(0.02, 0.12, 2), rng.uniform(0, 6, 2))
        for _ in range(6)
    ]
    y, x = np.mgrid[:side, :side] - side / 2
    inside = (y**2 + x**2 < (side / 2) ** 2)[..., None]
    for frame in range(shape.frames):
        top = int(margin / 2 * (1 + np.cos(frame / 23)))
        left = int(margin / 2 * (1 + np.sin(frame / 17)))
        view = back[top : top + shape.height, left : left + shape.width].copy()
        for disc, speed, phase in discs:
            reach = np.array([shape.height - side, shape.width - side]) / 2
            row, column = (reach * (1 + np.sin(frame * speed + phase))).astype(int)
            part = view[row : row + side, column : column + side]
            part[:] = np.where(inside, disc, part)
        noise = rng.normal(0, 5, (shape.height, shape.width, 1))
        yield np.clip(128 + view + noise, 0, 255).astype(np.uint8)


def prepare(shape: Shape, folder: Path) -> Dataset:
    """Write the originals, then everything else from what they decode to."""
    kept = FrameFormat()
    videos = []
    for number in range(VIDEOS):
        path = folder / f"{number}.{shape.suffix}"
        encode(shape, path, number)
        pictures = list(decoded(path))
        width, height = kept.size_of(shape.width, shape.height)
        shard = f"{number}.arrow"
        encoded = [
            simplejpeg.encode_jpeg(
                np.ascontiguousarray(reduced(p, width, height)),
                quality=kept.quality,
                colorsubsampling=kept.subsampling,
            )
            for p in pictures
        ]
        jpegs = pa.py_buffer(b"".join(encoded))
        write_jpegs(folder / "shards" / shard, [len(one) for one in encoded], jpegs, kept.identity)
        files = folder / "jpegs" / str(number)
        files.mkdir(parents=True)
        for place, jpeg in enumerate(encoded):
            (files / f"{place:05d}.jpg").write_bytes(jpeg)
        sized = (len(pictures), float(shape.fps), width, height)
        videos.append(Video(str(path), "train", 0, *sized, str(number), "decord", shard, 0))
    return Dataset(tuple(videos), folder / "jpegs", folder / "shards")


def encode(shape: Shape, path: Path, seed: int) -> None:
    """Write one video as such datasets are distributed."""
    with av.open(path, "w") as container:
        stream = container.add_stream(shape.codec, rate=Fraction(shape.fps))
        stream.width, stream.height, stream.pix_fmt = shape.width, shape.height, "yuv420p"
        stream.codec_context.options = shape.options
        for picture in scene(shape, seed):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def decoded(path: Path) -> Iterator[Pictures]:
    """All pictures of a file."""
    with open_pyav(str(path)) as (container, stream):
        for frame in container.decode(stream):
            yield frame.to_ndarray(format="rgb24")


Clip = Callable[[Video, NDArray[np.int64], View], object]


def measure(dataset: Dataset, frames: int, seconds: float) -> dict[str, float]:
    """Clips per CPU-second of every reader: the median of slices, in each of which all take their turn."""
    clips = {"frame_store": store_clip(dataset, frames)} | clip_readers(dataset)
    running = {name: single_clips(clip, dataset, frames) for name, clip in clips.items()}
    running |= {
        "frame_store_loader": loaded_clips(dataset, frames, resize=False),
        "frame_store_224": loaded_clips(dataset, frames, resize=True),
    }
    for made in running.values():
        next(made)  # what is done once: opening, importing
    slices = [
        {name: slice_rate(made, seconds / SLICES) for name, made in running.items()} for _ in range(SLICES)
    ]
    return {name: float(np.median([one[name] for one in slices])) for name in running}


def slice_rate(made: Iterator[int], seconds: float) -> float:
    """Go on for some CPU-seconds of this process, all of its threads.

    A loader prepares a few batches ahead: it starts in the midst of that, as it ends, and what it still does
    afterwards is waited for, so that it is nobody else's.
    """
    for _ in range(_AHEAD):
        next(made)
    clips, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        clips += next(made)
    settle()
    return clips / spent


def settle() -> None:
    """Return when no thread of this process works any more."""
    busy = 1.0
    while busy > 0.01:
        before = time.process_time()
        time.sleep(0.1)
        busy = time.process_time() - before


def store_clip(dataset: Dataset, frames: int) -> Clip:
    """Our reading without the loader around it."""
    reader = FrameStoreReader(dataset.shards)
    target = train_ring(dataset.videos, RECIPE, frames, 1, pin=False).next_buffer().pixels.numpy()[0]

    def clip(video: Video, indices: NDArray[np.int64], view: View) -> object:
        source = ClipSource(video, indices[None], cut_of((view,), video.width, video.height))
        copy_clips(source, reader, target)
        return target

    return clip


def loaded_clips(dataset: Dataset, frames: int, *, resize: bool) -> Iterator[int]:
    """Batch after batch of the real loader; gives the number of clips in each."""
    videos = dataset.videos * 16
    reader, ring = FrameStoreReader(dataset.shards), train_ring(videos, RECIPE, frames, 1, pin=False)
    for epoch in count():
        for batch in train_batches(
            videos, RECIPE, frames, reader, seed=0, epoch=epoch, rank=0, world=1, threads=1, ring=ring
        ):
            if resize:
                views_one_by_one(batch.pixels, batch.cuts, batch.size)
            yield len(batch.labels)


def single_clips(clip: Clip, dataset: Dataset, frames: int) -> Iterator[int]:
    """One clip after the other, drawn as the loader draws them."""
    for number in count():
        video = dataset.videos[number % VIDEOS]
        rng = np.random.default_rng([0, number])
        indices = train_indices(video.frames, frames, RECIPE.sampling, RECIPE.sampling_rate, rng)
        clip(video, indices, train_view(video.width, video.height, RECIPE, rng))
        yield 1


def clip_readers(dataset: Dataset) -> dict[str, Clip]:
    """The other ways; each gives one clip."""
    readers: dict[str, Clip] = {
        "decord": decord_clip,
        "jpeg_pil": lambda *clip: normalised(jpeg_pil_clip(dataset.jpegs, *clip)),
        "jpeg_pil_uint8": lambda *clip: jpeg_pil_clip(dataset.jpegs, *clip),
        "pyav": pyav_clip,
    }
    try:
        from torchcodec.decoders import VideoDecoder

        VideoDecoder(dataset.videos[0].path)  # finds out here that there is no FFmpeg that it could use
    except (ImportError, OSError, RuntimeError):
        return readers

    def torchcodec_clip(video: Video, indices: NDArray[np.int64], view: View) -> object:
        decoder = VideoDecoder(video.path, num_ffmpeg_threads=1, dimension_order="NHWC")
        return rectangle(decoder.get_frames_at(indices.tolist()).data.numpy(), view)

    return readers | {"torchcodec": torchcodec_clip}


def rectangle(frames: Pictures, view: View) -> Pictures:
    """What our loader copies, too; the rest is the device's work."""
    box = view.box
    return frames[:, box.top : box.top + box.height, box.left : box.left + box.width].copy()


def decord_clip(video: Video, indices: NDArray[np.int64], view: View) -> object:
    """Open, seek to each wanted frame, close."""
    import decord

    return rectangle(decord.VideoReader(video.path, num_threads=1).get_batch(indices).asnumpy(), view)


def pyav_clip(video: Video, indices: NDArray[np.int64], view: View) -> object:
    """Read from the start to the last wanted frame."""
    wanted, kept = set(indices.tolist()), {}
    with open_pyav(video.path) as (container, stream):
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                kept[number] = frame.to_ndarray(format="rgb24")
            if number == indices[-1]:
                break
    return rectangle(np.stack([kept[number] for number in indices.tolist()]), view)


def normalised(pictures: Pictures) -> torch.Tensor:
    """Bytes (T, H, W, 3) to what a network takes, float32 (3, T, H, W)."""
    floats = torch.from_numpy(pictures).permute(3, 0, 1, 2).contiguous().float().div(255)
    return floats.sub_(torch.tensor(MEAN).view(3, 1, 1, 1)).div_(torch.tensor(STD).view(3, 1, 1, 1))


def jpeg_pil_clip(folder: Path, video: Video, indices: NDArray[np.int64], view: View) -> Pictures:
    """Frame by frame with PIL, uint8 (T, size, size, 3)."""
    box, size = view.box, (RECIPE.crop_size, RECIPE.crop_size)
    edges = (box.left, box.top, box.left + box.width, box.top + box.height)
    pictures = []
    for number in indices.tolist():
        with Image.open(folder / Path(video.path).stem / f"{number:05d}.jpg") as file:
            picture = file.convert("RGB").crop(edges).resize(size, Image.Resampling.BILINEAR)
        pictures.append(picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if view.flip else picture)
    return np.stack([np.asarray(picture) for picture in pictures])


if __name__ == "__main__":
    main()
