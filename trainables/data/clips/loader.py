"""Batches of clips for training and evaluation, prepared ahead of use by a few threads.

What a clip shows depends on (seed, epoch, video) alone, never on the number of threads or workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.clips.augment import Cut, cut_of, eval_views, train_view
from trainables.data.clips.rand_augment import drawn
from trainables.data.clips.ring import Batch, ClipBuffer, ClipRing, eval_shape, train_shape
from trainables.data.clips.sampling import eval_indices, train_indices
from trainables.data.frames.manifest import Video
from trainables.data.frames.reader import FrameReader
from trainables.recipe.cell_spec import Evaluation, Recipe

_AHEAD = 2  # batches being prepared while one is used: bounds memory, and makes a slow consumer hold us back
_TRAVELLING = 1  # one more on its way to an accelerator (`trainables.training.execution.upload`)
_CHUNK = 4  # clips a task: a toy clip takes less time than handing it to a thread

LARGEST_RING_BYTES = 24 << 30

# Told apart so that the order of an epoch and the clip of video 0 do not come from one stream of numbers.
_ORDER, _CLIP = 0, 1

Batches = Generator[Batch, None, None]
_Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class ClipSource:
    """Which frames (C, T) of a video become its clips, and what is cut out of them."""

    video: Video
    numbers: NDArray[np.int64]
    cut: Cut


_Choose = Callable[[int], ClipSource]


def train_ring(videos: Sequence[Video], recipe: Recipe, frames: int, world: int, pin: bool) -> ClipRing:
    """Buffers for one worker's training batches of any epoch; `pin` where a GPU copies from them."""
    size = -(-min(recipe.batch_size, len(videos)) // world)
    return _ring((size, 1, frames, *train_shape(videos, recipe), 3), pin)


def eval_ring(videos: Sequence[Video], evaluation: Evaluation, frames: int, pin: bool) -> ClipRing:
    """Buffers for one worker's evaluation batches."""
    size = min(_videos_a_batch(evaluation), max(1, len(videos)))
    return _ring((size, evaluation.clips, frames, *eval_shape(videos, evaluation), 3), pin)


def _ring(shape: tuple[int, ...], pin: bool) -> ClipRing:
    count = _AHEAD + 1
    needed = count * prod(shape)
    if pin and needed + _TRAVELLING * prod(shape) <= LARGEST_RING_BYTES:
        count += _TRAVELLING
    if needed > LARGEST_RING_BYTES:
        clips = f"{shape[0]} x {shape[1]} clips of {shape[2]} frames of up to {shape[4]} x {shape[3]} pixels"
        raise ValueError(
            f"buffers of {needed / 2**30:.0f} GiB for {clips}; loader; "
            "build the dataset with a smaller short_side, or lower batch_size"
        )
    return ClipRing(shape, count, pin)


def num_train_steps(num_videos: int, batch_size: int) -> int:
    """Steps of one epoch: whole global batches; one smaller batch where there are fewer videos than that."""
    return max(1, num_videos // batch_size)


def train_batches(
    videos: Sequence[Video],
    recipe: Recipe,
    frames: int,
    reader: FrameReader,
    *,
    seed: int,
    epoch: int,
    rank: int,
    world: int,
    threads: int = 1,
    first_step: int = 0,
    ring: ClipRing | None = None,
) -> Batches:
    """One epoch's clips of this rank: every `world`-th of each global batch of a (seed, epoch) shuffle.

    The last incomplete global batch is dropped, and of a batch that all videos together do not fill what the
    workers cannot share equally. `first_step` leaves out the steps before it: the others are the same as in a
    whole epoch. Close the generator to end its threads early.

    Raises:
        ValueError: no videos, or a global batch that cannot give every worker a clip.
        ReadError: a video that cannot be read, by name.
    """
    size = min(recipe.batch_size, len(videos))
    _check_world(rank, world)
    if size < world:
        raise ValueError(
            f"a batch of {size} clips cannot feed {world} workers; training data; "
            "raise batch_size, add videos or use fewer workers"
        )
    # Workers' gradients count equally, and they wait for each other in every accumulated piece of a share.
    size -= size % world
    order = _order(len(videos), recipe.repeated_augmentation, np.random.default_rng([seed, epoch, _ORDER]))
    steps = range(first_step, num_train_steps(len(videos), recipe.batch_size))
    plan = [order[step * size : (step + 1) * size][rank::world] for step in steps]
    repeats = recipe.repeated_augmentation

    def choose(place: int) -> ClipSource:
        index, again = divmod(place, repeats)
        # The first clip of a video is the one that it has without repetitions.
        stream = [seed, epoch, _CLIP, index, *([again] if again else [])]
        return train_clip(videos[index], recipe, frames, np.random.default_rng(stream))

    ring = ring or train_ring(videos, recipe, frames, world, pin=False)
    return _Prefetch(ring, reader, choose, recipe.crop_size, repeats).batches(plan, threads)


def _order(videos: int, repeats: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The clips of an epoch in order, as many as there are videos: video x repeats + number of the clip.

    With repeated augmentation (Hoffer et al., 2020) that many clips of one video follow each other, and an
    epoch has the first videos of its shuffle alone (Touvron et al., 2021).
    """
    order = rng.permutation(videos)
    return (order[:, None] * repeats + np.arange(repeats)).reshape(-1)[:videos]


def eval_batches(
    videos: Sequence[Video],
    evaluation: Evaluation,
    frames: int,
    reader: FrameReader,
    *,
    rank: int,
    world: int,
    threads: int = 1,
    ring: ClipRing | None = None,
) -> Batches:
    """All test views of this rank's videos, `videos[rank::world]`: each video once, none dropped or padded.

    A batch has as many videos as give `evaluation.batch_size` views, at least one. A rank may have none.

    Raises:
        ReadError: a video that cannot be read, by name.
    """
    _check_world(rank, world)
    own = np.arange(len(videos))[rank::world]
    size = _videos_a_batch(evaluation)
    plan = [own[start : start + size] for start in range(0, len(own), size)]

    def choose(index: int) -> ClipSource:
        video = videos[index]
        numbers = eval_indices(
            video.frames, frames, evaluation.sampling, evaluation.sampling_rate, evaluation.clips
        )
        views = eval_views(video.width, video.height, evaluation)
        return ClipSource(video, numbers, cut_of(views, video.width, video.height))

    ring = ring or eval_ring(videos, evaluation, frames, pin=False)
    return _Prefetch(ring, reader, choose, evaluation.crop_size).batches(plan, threads)


def train_clip(video: Video, recipe: Recipe, frames: int, rng: np.random.Generator) -> ClipSource:
    """Draw a training clip of a video."""
    numbers = train_indices(video.frames, frames, recipe.sampling, recipe.sampling_rate, rng)
    view = train_view(video.width, video.height, recipe, rng)
    if recipe.rand_augment:
        view = replace(view, operations=drawn(recipe.rand_augment, recipe.rand_augment_magnitude, rng))
    return ClipSource(video, numbers[None], cut_of((view,), video.width, video.height))


def _videos_a_batch(evaluation: Evaluation) -> int:
    return max(1, evaluation.batch_size // (evaluation.clips * evaluation.crops))


def _check_world(rank: int, world: int) -> None:
    if not 0 <= rank < world:
        raise ValueError(f"rank {rank} of {world} workers; loader; ranks go from 0 to world - 1")


@dataclass
class _Pending:
    buffer: ClipBuffer
    indices: NDArray[np.int64]
    tasks: list[Future[list[ClipSource]]]


@dataclass(frozen=True)
class _Prefetch:
    """Fills the ring's buffers in threads, a few batches ahead of the one in use."""

    ring: ClipRing
    reader: FrameReader
    choose: _Choose
    size: int
    repeats: int = 1

    def batches(self, plan: Sequence[NDArray[np.int64]], threads: int) -> Batches:
        pending: deque[_Pending] = deque()
        pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")
        try:
            for indices in plan:
                pending.append(self._start(indices, pool))
                if len(pending) > _AHEAD:
                    yield self._finish(pending.popleft())
            while pending:
                yield self._finish(pending.popleft())
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, indices: NDArray[np.int64], pool: ThreadPoolExecutor) -> _Pending:
        buffer = self.ring.next_buffer()
        pixels = buffer.pixels.numpy()
        tasks = [
            pool.submit(self._fill, pixels[at : at + _CHUNK], indices[at : at + _CHUNK].tolist())
            for at in range(0, len(indices), _CHUNK)
        ]
        return _Pending(buffer, indices, tasks)

    def _fill(self, targets: _Pixels, indices: list[int]) -> list[ClipSource]:
        sources = [self.choose(index) for index in indices]
        for target, source in zip(targets, sources, strict=False):
            copy_clips(source, self.reader, target)
        return sources

    def _finish(self, pending: _Pending) -> Batch:
        sources = [source for task in pending.tasks for source in task.result()]
        labels = [source.video.label for source in sources]
        return Batch(
            pixels=pending.buffer.pixels[: len(sources)],
            cuts=[source.cut for source in sources],
            # From memory that is not pinned even a copy of some bytes may wait for the device.
            labels=torch.tensor(labels, dtype=torch.int64, pin_memory=pending.buffer.pinned),
            indices=torch.from_numpy(pending.indices // self.repeats),
            size=self.size,
            buffer=pending.buffer,
        )


def copy_clips(source: ClipSource, reader: FrameReader, target: _Pixels) -> None:
    """Put the cut's rectangle of every frame into `target` (C, T, H, W, 3); each is decoded once."""
    numbers, places = _once_each(source.numbers.reshape(-1))
    box = source.cut.source
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    rows_of_frames = target.reshape(-1, *target.shape[2:])[:, : box.height, : box.width]
    for frame, wanted in zip(reader.frames(source.video, numbers), places, strict=True):
        for place in wanted:
            rows_of_frames[place] = frame[rows, columns]


def _once_each(numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], Sequence[Sequence[int]]]:
    """The different frame numbers in order, and the places in `numbers` of each."""
    if (numbers[1:] > numbers[:-1]).all():
        return numbers, [(place,) for place in range(len(numbers))]
    unique, where = np.unique(numbers, return_inverse=True)
    places: list[list[int]] = [[] for _ in unique]
    for place, number in enumerate(where.tolist()):
        places[number].append(place)
    return unique, places
