"""Crops and flips against section 7's words, and resizing against PIL."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainables.data.augment import Box, View, crop_sides, eval_views, fixed_places, resized, train_view
from trainables.data.pixels import cut_into
from trainables.recipe import Evaluation, Recipe

sides = st.integers(20, 700)


def cut(frames: np.ndarray, view: View, size: int) -> np.ndarray:  # type: ignore[type-arg]
    target = torch.empty((3, len(frames), size, size), dtype=torch.uint8)
    cut_into(target, frames, view, size)
    return target.permute(1, 2, 3, 0).numpy()


@given(sides, sides, st.sampled_from([32, 112, 224]), st.integers(0, 2**32))
def test_multi_scale_crops_are_of_the_documented_sizes_and_places(
    width: int, height: int, size: int, seed: int
) -> None:
    recipe = Recipe(crop_size=size)
    view = train_view(width, height, recipe, np.random.default_rng(seed))
    box = view.box
    assert view.scaled == (width, height)
    assert 0 <= box.left <= box.left + box.width <= width
    assert 0 <= box.top <= box.top + box.height <= height
    base = min(width, height)
    allowed = [int(base * s) for s in (1.0, 0.875, 0.75, 0.66)]
    allowed = [size if abs(side - size) <= 2 and size <= base else side for side in allowed]
    pairs = [(allowed[i], allowed[j]) for i in range(4) for j in range(4) if abs(i - j) <= 1]
    assert len(pairs) == 10
    assert (box.width, box.height) in pairs
    grid_x, grid_y = (width - box.width) // 4, (height - box.height) // 4
    whole_steps = {(0, 0), (4, 0), (0, 4), (4, 4), (2, 2), (0, 2), (4, 2), (2, 0), (2, 4)}
    quarter_points = {(1, 1), (3, 1), (1, 3), (3, 3)}
    places = {(i * grid_x, j * grid_y) for i, j in whole_steps | quarter_points}
    assert (box.left, box.top) in places


def test_all_pairs_and_places_are_equally_likely() -> None:
    recipe = Recipe(crop_size=224)
    rng = np.random.default_rng(0)
    views = [train_view(340, 256, recipe, rng) for _ in range(13000)]
    sizes = Counter((view.box.width, view.box.height) for view in views)
    assert len(sizes) == 10
    assert max(sizes.values()) < 1.25 * min(sizes.values())
    full = Counter((v.box.left, v.box.top) for v in views if (v.box.width, v.box.height) == (224, 224))
    assert len(full) == 13
    assert 0.48 < sum(view.flip for view in views) / len(views) < 0.52


def test_sides_near_the_crop_size_become_it_where_they_fit() -> None:
    assert crop_sides(256, 224, (1.0, 0.875, 0.75, 0.66)) == [256, 224, 192, 168]
    assert crop_sides(254, 224, (1.0, 0.875)) == [254, 224]  # int(222.25) = 222
    assert crop_sides(253, 224, (1.0, 0.875)) == [253, 221]
    assert crop_sides(223, 224, (1.0,)) == [223]  # 224 would not fit


def test_there_are_thirteen_places() -> None:
    places = fixed_places(116, 32)
    assert len(set(places)) == 13
    assert {(0, 0), (116, 0), (0, 32), (116, 32), (58, 16), (29, 8)} <= set(places)


def test_random_short_side() -> None:
    recipe = Recipe(crop_size=224, augmentation="random_short_side", short_side_range=(256, 258))
    rng = np.random.default_rng(0)
    views = [train_view(320, 240, recipe, rng) for _ in range(1500)]
    assert {view.scaled for view in views} == {(341, 256), (342, 257), (344, 258)}
    assert all((view.box.width, view.box.height) == (224, 224) for view in views)
    assert {view.box.top for view in views if view.scaled[1] == 256} == set(range(33))
    small = Recipe(crop_size=300, augmentation="random_short_side", short_side_range=(256, 320))
    with pytest.raises(ValueError, match="must not be smaller than the crop"):
        train_view(320, 240, small, rng)


def test_evaluation_crops_come_in_the_documented_order() -> None:
    def places(crops: int, width: int, height: int) -> list[tuple[int, int]]:
        evaluation = Evaluation(crops=crops, crop_size=224, short_side=256)  # type: ignore[arg-type]
        return [(view.box.left, view.box.top) for view in eval_views(width, height, evaluation)]

    assert resized(340, 256, 256) == (340, 256)
    assert resized(240, 320, 256) == (256, 341)
    assert places(1, 340, 256) == [(58, 16)]
    assert places(3, 340, 256) == [(0, 16), (116, 16), (58, 16)]
    assert places(3, 256, 340) == [(16, 0), (16, 116), (16, 58)]
    five = [(0, 0), (116, 0), (0, 32), (116, 32), (58, 16)]
    assert places(5, 340, 256) == five
    assert places(10, 340, 256) == five * 2
    flips = [view.flip for view in eval_views(340, 256, Evaluation(crops=10))]
    assert flips == [False] * 5 + [True] * 5


def test_full_resolution_crops_need_no_margin() -> None:
    evaluation = Evaluation(crops=3, crop_size=256, short_side=256)
    boxes = [view.box for view in eval_views(340, 256, evaluation)]
    assert boxes == [Box(0, 0, 256, 256), Box(84, 0, 256, 256), Box(42, 0, 256, 256)]
    with pytest.raises(ValueError, match="larger than the picture"):
        eval_views(340, 256, Evaluation(crop_size=257, short_side=256))


def test_pixels_are_cut_resized_and_flipped_as_by_pil() -> None:
    rng = np.random.default_rng(3)
    frames = rng.integers(0, 256, (2, 60, 80, 3), dtype=np.uint8)
    for flip in (False, True):
        out = cut(frames, View((80, 60), Box(7, 5, 50, 42), flip), 32)
        for frame, got in zip(frames, out, strict=True):
            wanted = Image.fromarray(frame[5:47, 7:57]).resize((32, 32), Image.Resampling.BILINEAR)
            pixels = np.asarray(wanted)[:, ::-1] if flip else np.asarray(wanted)
            assert np.abs(pixels.astype(int) - got).max() <= 1


def test_a_crop_of_the_right_size_is_copied_exactly() -> None:
    frames = np.random.default_rng(3).integers(0, 256, (2, 60, 80, 3), dtype=np.uint8)
    assert (cut(frames, View((80, 60), Box(9, 4, 32, 32)), 32) == frames[:, 4:36, 9:41]).all()


def test_validation_resizes_the_whole_picture_first() -> None:
    frames = np.random.default_rng(3).integers(0, 256, (1, 60, 80, 3), dtype=np.uint8)
    (view,) = eval_views(80, 60, Evaluation(crop_size=32, short_side=36))
    whole = np.asarray(Image.fromarray(frames[0]).resize((48, 36), Image.Resampling.BILINEAR))
    assert np.abs(whole[2:34, 8:40].astype(int) - cut(frames, view, 32)[0]).max() <= 1
