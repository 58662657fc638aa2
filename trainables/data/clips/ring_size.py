"""How large the buffers of a loader must be: the largest rectangle that any clip of a dataset can need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trainables.data.clips.augment import crop_sides, eval_views
from trainables.data.clips.cut import cut_of
from trainables.data.frames.manifest import Video
from trainables.recipe.cell_spec import Evaluation, Recipe


def train_shape(videos: Sequence[Video], recipe: Recipe) -> tuple[int, int]:
    """(height, width) that holds every training crop before it is resized."""
    if recipe.augmentation == "random_short_side":
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
