"""Batches of clips for training and evaluation, prepared ahead of use by a few threads.

What a clip shows depends on (seed, epoch, video) alone, never on the number of threads or workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.data.augment import eval_views, train_view
from trainables.data.manifest import Video
from trainables.data.pixels import cut_into
from trainables.data.reader import FrameReader
from trainables.data.sampling import eval_indices, train_indices
from trainables.recipe import Evaluation, Recipe

_AHEAD = 2  # batches being prepared while one is used: bounds memory, and makes a slow consumer hold us back
_CHUNK = 4  # clips a task: a cached toy clip takes less time than handing it to a thread

# Told apart so that the order of an epoch and the clip of video 0 do not come from one stream of numbers.
_ORDER, _CLIP = 0, 1


@dataclass(frozen=True)
class Batch:
    """Clips of one step, not normalised.

    `clips`: uint8 (N,3,T,S,S) in training, (N,V,3,T,S,S) in evaluation with V = clips x crops, clip by clip;
    `labels`: int64 (N,); `indices`: int64 (N,), places in the sequence of videos that was given.
    """

    clips: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor


Batches = Generator[Batch, None, None]
_Load = Callable[[torch.Tensor, int], None]


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
) -> Batches:
    """One epoch's clips of this rank: every `world`-th of each global batch of a (seed, epoch) shuffle.

    The last incomplete global batch is dropped. Close the generator to end its threads early.

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
    order = np.random.default_rng([seed, epoch, _ORDER]).permutation(len(videos))
    steps = num_train_steps(len(videos), recipe.batch_size)
    plan = [order[step * size : (step + 1) * size][rank::world] for step in range(steps)]

    def load(target: torch.Tensor, index: int) -> None:
        video = videos[index]
        rng = np.random.default_rng([seed, epoch, _CLIP, index])
        numbers = train_indices(video.frames, frames, recipe.sampling, recipe.sampling_rate, rng)
        view = train_view(video.width, video.height, recipe, rng)
        cut_into(target, reader.read(video, numbers), view, recipe.crop_size)

    shape = (3, frames, recipe.crop_size, recipe.crop_size)
    return _prefetched(plan, shape, load, videos, threads)


def eval_batches(
    videos: Sequence[Video],
    evaluation: Evaluation,
    frames: int,
    reader: FrameReader,
    *,
    rank: int,
    world: int,
    threads: int = 1,
) -> Batches:
    """All test views of this rank's videos, `videos[rank::world]`: each video once, none dropped or padded.

    A batch has as many videos as give `evaluation.batch_size` views, at least one. A rank may have none.

    Raises:
        ReadError: a video that cannot be read, by name.
    """
    _check_world(rank, world)
    own = np.arange(len(videos))[rank::world]
    views = evaluation.clips * evaluation.crops
    size = max(1, evaluation.batch_size // views)
    plan = [own[start : start + size] for start in range(0, len(own), size)]

    def load(target: torch.Tensor, index: int) -> None:
        video = videos[index]
        clips = eval_indices(
            video.frames, frames, evaluation.sampling, evaluation.sampling_rate, evaluation.clips
        )
        # one read for all clips, so that a long video is decoded once
        pixels = reader.read(video, clips.reshape(-1)).reshape(
            evaluation.clips, frames, video.height, video.width, 3
        )
        crops = eval_views(video.width, video.height, evaluation)
        for place in range(views):
            clip, crop = divmod(place, len(crops))
            cut_into(target[place], pixels[clip], crops[crop], evaluation.crop_size)

    shape = (views, 3, frames, evaluation.crop_size, evaluation.crop_size)
    return _prefetched(plan, shape, load, videos, threads)


def _check_world(rank: int, world: int) -> None:
    if not 0 <= rank < world:
        raise ValueError(f"rank {rank} of {world} workers; loader; ranks go from 0 to world - 1")


@dataclass
class _Pending:
    batch: Batch
    tasks: list[Future[None]]


def _prefetched(
    plan: Iterable[NDArray[np.int64]],
    shape: tuple[int, ...],
    load: _Load,
    videos: Sequence[Video],
    threads: int,
) -> Batches:
    def fill(clips: torch.Tensor, indices: list[int]) -> None:
        for target, index in zip(clips, indices, strict=True):
            load(target, index)

    def start(indices: NDArray[np.int64]) -> _Pending:
        numbers = indices.tolist()
        clips = torch.empty((len(numbers), *shape), dtype=torch.uint8)
        labels = torch.tensor([videos[index].label for index in numbers], dtype=torch.int64)
        tasks = [
            pool.submit(fill, clips[at : at + _CHUNK], numbers[at : at + _CHUNK])
            for at in range(0, len(numbers), _CHUNK)
        ]
        return _Pending(Batch(clips, labels, torch.from_numpy(indices.copy())), tasks)

    pending: deque[_Pending] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="loader")
    try:
        for indices in plan:
            pending.append(start(indices))
            if len(pending) > _AHEAD:
                yield _finished(pending.popleft())
        while pending:
            yield _finished(pending.popleft())
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finished(pending: _Pending) -> Batch:
    for task in pending.tasks:
        task.result()
    return pending.batch
