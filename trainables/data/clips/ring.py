"""The preallocated buffers that clips are decoded into, how large they must be, and the batch in one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle

import torch

from trainables.data.clips.augment import Cut, crop_sides, cut_of, eval_views
from trainables.data.frames.manifest import Video
from trainables.recipe.cell_spec import Evaluation, Recipe


class ClipBuffer:
    """One buffer, uint8 (N, C, T, H, W, 3); pinned where an accelerator copies from it."""

    def __init__(self, shape: tuple[int, ...], pin: bool) -> None:
        self.pinned = pin
        self.pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=pin)
        self._copied: torch.cuda.Event | None = None

    def copied_at(self, event: torch.cuda.Event) -> None:
        """Keep the buffer as it is until `event`, which follows the copy to the device."""
        self._copied = event

    def wait(self) -> None:
        """Return once the buffer may be overwritten."""
        if self._copied is not None:
            self._copied.synchronize()
            self._copied = None


class ClipRing:
    """`count` buffers for batches of up to `shape` = (N, C, T, H, W, 3)."""

    def __init__(self, shape: tuple[int, ...], count: int, pin: bool = False) -> None:
        self.shape = shape
        self.count = count
        self._buffers: Iterator[ClipBuffer] = cycle([ClipBuffer(shape, pin) for _ in range(count)])

    def next_buffer(self) -> ClipBuffer:
        """The buffer that was handed out longest ago."""
        buffer = next(self._buffers)
        buffer.wait()
        return buffer


@dataclass(frozen=True)
class Batch:
    """Clips of one step as the loader copied them: neither resized nor normalised.

    `pixels`: uint8 (N, C, T, H, W, 3), C clips a video (1 in training), valid until the next batch is asked
    for; `cuts`: how to make the views, one a video; `labels`: int64 (N,); `indices`: int64 (N,), places in
    the sequence of videos that was given; `size`: side of the finished views.
    """

    pixels: torch.Tensor
    cuts: Sequence[Cut]
    labels: torch.Tensor
    indices: torch.Tensor
    size: int
    buffer: ClipBuffer

    @property
    def views(self) -> int:
        """Views a video, clips x crops."""
        return self.pixels.shape[1] * len(self.cuts[0].views)

    def chunks(self, pieces: int) -> Iterator[Batch]:
        """The batch in at most `pieces` parts, in order."""
        step = -(-len(self.labels) // pieces)
        for start in range(0, len(self.labels), step):
            part = slice(start, start + step)
            yield Batch(
                self.pixels[part],
                self.cuts[part],
                self.labels[part],
                self.indices[part],
                self.size,
                self.buffer,
            )


def train_shape(videos: Sequence[Video], recipe: Recipe) -> tuple[int, int]:
    """(height, width) that holds every training crop before it is resized."""
    if recipe.augmentation != "multi_scale_crop":
        return _largest(_sizes(videos))
    sides = (max(crop_sides(min(size), recipe.crop_size, recipe.crop_scales)) for size in _sizes(videos))
    return _largest((side, side) for side in sides)


def eval_shape(videos: Sequence[Video], evaluation: Evaluation) -> tuple[int, int]:
    """(height, width) that holds the test crops of every video before they are resized."""
    cuts = (cut_of(eval_views(*size, evaluation), *size).source for size in _sizes(videos))
    return _largest((box.width, box.height) for box in cuts)


def _sizes(videos: Sequence[Video]) -> set[tuple[int, int]]:
    return {(video.width, video.height) for video in videos}


def _largest(sizes: Iterable[tuple[int, int]]) -> tuple[int, int]:
    widths, heights = zip(*sizes, strict=True) if (sizes := list(sizes)) else ((1,), (1,))
    return max(heights), max(widths)
