"""Crops, flips and resizing as in docs/protocol.md §7, the same for all frames of a clip.

Rectangles only: `trainables.data.clips.loader` copies them, `trainables.data.clips.resample` resizes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product

import numpy as np

from trainables.recipe.cell_spec import Evaluation, Recipe
from trainables.recipe.plug_ins import AugmentationInfo, code_of

VERSION = "1"

SNAP_PIXELS = 2  # a candidate side this near to the crop size becomes the crop size: no resize is needed


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, from its top left corner."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True)
class View:
    """How a clip is cut: resize to (width, height) `scaled` first, take `box` there, flip it at the end.

    `operations` are RandAugment's on the finished view (`trainables.data.clips.rand_augment`).
    """

    scaled: tuple[int, int]
    box: Box
    flip: bool = False
    operations: tuple[tuple[str, float], ...] = ()


def train_view(width: int, height: int, recipe: Recipe, rng: np.random.Generator) -> View:
    """Draw one training crop of a (width, height) video.

    Raises:
        ValueError: `random_short_side` with sides smaller than the crop.
        PlugInError: the augmentation is another package's, and that is not here.
    """
    if recipe.augmentation == "multi_scale_crop":
        scaled = (width, height)
        box = multi_scale_box(width, height, recipe.crop_size, recipe.crop_scales, rng)
    elif recipe.augmentation == "random_short_side":
        scaled, box = _random_short_side(width, height, recipe, rng)
    else:
        view: View = _plug_in(recipe.augmentation)(width, height, recipe, rng)
        return view
    return View(scaled, box, flip=bool(rng.random() < recipe.flip))


@lru_cache(maxsize=4)
def _plug_in(name: str) -> Callable[..., View]:
    """Another package's way to cut, looked up once for all clips."""
    cut: Callable[..., View] = code_of(AugmentationInfo, name)
    return cut


def multi_scale_box(
    width: int, height: int, crop_size: int, scales: tuple[float, ...], rng: np.random.Generator
) -> Box:
    """Sides are the shorter side times one of `scales`, at 13 places (docs/protocol.md §7, TSN style)."""
    sides = crop_sides(min(width, height), crop_size, scales)
    pairs = [
        (sides[i], sides[j]) for i, j in product(range(len(sides)), range(len(sides))) if abs(i - j) <= 1
    ]
    crop_width, crop_height = pairs[int(rng.integers(len(pairs)))]
    places = fixed_places(width - crop_width, height - crop_height)
    left, top = places[int(rng.integers(len(places)))]
    return Box(left, top, crop_width, crop_height)


def crop_sides(base: int, crop_size: int, scales: tuple[float, ...]) -> list[int]:
    """Candidate sides int(base*s); one within 2 px of the crop size becomes it, where the picture allows."""
    sides = [max(1, int(base * scale)) for scale in scales]
    return [
        crop_size if abs(side - crop_size) <= SNAP_PIXELS and crop_size <= base else side for side in sides
    ]


def fixed_places(free_width: int, free_height: int) -> list[tuple[int, int]]:
    """The 13 (left, top) places: corners, centre, edge centres, quarter points, on a grid of quarters."""
    x, y = free_width // 4, free_height // 4
    grid = [
        (0, 0),
        (4, 0),
        (0, 4),
        (4, 4),
        (2, 2),
        (0, 2),
        (4, 2),
        (2, 4),
        (2, 0),
        (1, 1),
        (3, 1),
        (1, 3),
        (3, 3),
    ]
    return [(column * x, row * y) for column, row in grid]


def _random_short_side(
    width: int, height: int, recipe: Recipe, rng: np.random.Generator
) -> tuple[tuple[int, int], Box]:
    low, high = recipe.short_side_range
    size = recipe.crop_size
    if not size <= low <= high:
        raise ValueError(
            f"the shorter side must not be smaller than the crop; short_side_range ({low}, {high}) with "
            f"crop_size {size}; give a range from {size} up"
        )
    scaled = resized(width, height, int(rng.integers(low, high + 1)))
    left, top = int(rng.integers(scaled[0] - size + 1)), int(rng.integers(scaled[1] - size + 1))
    return scaled, Box(left, top, size, size)


def resized(width: int, height: int, short_side: int) -> tuple[int, int]:
    """(width, height) when the shorter side becomes `short_side`; the longer one is truncated."""
    if width <= height:
        return short_side, int(short_side * height / width)
    return int(short_side * width / height), short_side


def eval_views(width: int, height: int, evaluation: Evaluation) -> tuple[View, ...]:
    """The test crops of a (width, height) video, in the documented order.

    1: centre. 3: left, right, centre (top, bottom, centre if portrait). 5: four corners and centre.
    10: those 5, then their flips.

    Raises:
        ValueError: the crop is larger than the shorter side.
    """
    size = evaluation.crop_size
    if size > evaluation.short_side:
        raise ValueError(
            f"the crop is larger than the picture; crop_size {size} with short_side {evaluation.short_side}; "
            "make short_side at least crop_size"
        )
    scaled = resized(width, height, evaluation.short_side)
    right, bottom = scaled[0] - size, scaled[1] - size
    centre = (round(right / 2), round(bottom / 2))
    corners = [(0, 0), (right, 0), (0, bottom), (right, bottom)]
    if scaled[0] >= scaled[1]:
        ends = [(0, centre[1]), (right, centre[1])]
    else:
        ends = [(centre[0], 0), (centre[0], bottom)]
    places = {1: [centre], 3: [*ends, centre], 5: [*corners, centre], 10: [*corners, centre]}[
        evaluation.crops
    ]
    views = tuple(View(scaled, Box(left, top, size, size)) for left, top in places)
    if evaluation.crops == 10:
        views += tuple(View(view.scaled, view.box, flip=True) for view in views)
    return views


VIEWS_VERSION = "1"  # of the pixels of views: of `cut_of` here and of `trainables.data.clips.resample`


@dataclass(frozen=True)
class Cut:
    """The rectangle `source` of every frame of a clip, and the views of that rectangle."""

    source: Box
    views: tuple[View, ...]


def cut_of(views: Sequence[View], width: int, height: int) -> Cut:
    """The smallest rectangle of a (width, height) frame that gives `views` exactly.

    Where the frame is resized before it is cropped, that is all of it: pixels beside a crop weigh in.
    """
    if any(view.scaled != (width, height) for view in views):
        return Cut(Box(0, 0, width, height), tuple(views))
    left = min(view.box.left for view in views)
    top = min(view.box.top for view in views)
    right = max(view.box.left + view.box.width for view in views)
    bottom = max(view.box.top + view.box.height for view in views)
    source = Box(left, top, right - left, bottom - top)
    return Cut(source, tuple(_moved(view, source) for view in views))


def _moved(view: View, source: Box) -> View:
    box = view.box
    inside = Box(box.left - source.left, box.top - source.top, box.width, box.height)
    return replace(view, scaled=(source.width, source.height), box=inside)
