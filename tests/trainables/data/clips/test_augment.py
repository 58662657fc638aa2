"""Crops and flips against section 7's words, and resizing against PIL."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainables.data.clips.augment import (
    Box,
    View,
    crop_sides,
    cut_of,
    eval_views,
    fixed_places,
    resized,
    train_view,
)
from trainables.data.clips.resample import views_by_products, views_one_by_one
from trainables.recipe.cell_spec import Evaluation, Recipe

sides = st.integers(20, 700)


def cut(frames: np.ndarray, view: View, size: int) -> np.ndarray:  # type: ignore[type-arg]
    height, width = frames.shape[1:3]
    found = cut_of((view,), width, height)
    box = found.source
    pixels = torch.from_numpy(frames[:, box.top : box.top + box.height, box.left : box.left + box.width])
    made = views_one_by_one(pixels[None, None], (found,), size)[0, 0]
    return made.permute(1, 2, 3, 0).numpy()


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
    lefts = [view.box.left for view in views if view.scaled[0] == 341]
    assert (min(lefts), max(lefts)) == (0, 117)
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


def _scene(width: int, height: int, frames: int, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """Pictures with edges and noise, uint8 (frames, height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (frames, height // 5 + 1, width // 5 + 1, 3), dtype=np.uint8)
    large = coarse.repeat(5, axis=1).repeat(5, axis=2)[:, :height, :width]
    return np.clip(large + rng.normal(0, 4, large.shape), 0, 255).astype(np.uint8)


VIEWS = {
    "training": (
        View((90, 60), Box(7, 3, 60, 52), flip=True),
        View((90, 60), Box(0, 0, 45, 60)),
        View((90, 60), Box(20, 10, 32, 32), flip=True),
    ),
    "evaluation": eval_views(90, 60, Evaluation(crop_size=32, short_side=36, crops=10)),
    "enlarged": eval_views(90, 60, Evaluation(crop_size=64, short_side=70, crops=3)),
    "as it is": eval_views(90, 60, Evaluation(crop_size=50, short_side=60, crops=5)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_both_forms_of_resampling_give_the_same_views(name: str) -> None:
    """Those of different videos in one batch: each view of a set as a video of its own, and all together."""
    views = VIEWS[name]
    size = {"training": 32, "evaluation": 32, "enlarged": 64, "as it is": 50}[name]
    frames = torch.from_numpy(_scene(90, 60, 3, seed=5))
    cuts = [cut_of((view,), 90, 60) for view in views]
    pixels = torch.full((len(cuts), 1, 3, 60, 90, 3), 77, dtype=torch.uint8)  # what lies beside must not show
    for target, found in zip(pixels, cuts, strict=True):
        box = found.source
        target[0, :, : box.height, : box.width] = frames[
            :, box.top : box.top + box.height, box.left : box.left + box.width
        ]
    slow = views_one_by_one(pixels, cuts, size)
    quick = views_by_products(pixels, cuts, size, torch.float32)
    assert slow.shape == quick.shape == (len(views), 1, 3, 3, size, size)
    assert (slow.float() - quick).abs().max() <= 1.01  # the slow form rounds twice
    assert (slow.float() - quick).abs().mean() < 0.4
    coarse = views_by_products(pixels, cuts, size, torch.bfloat16).float()
    assert (coarse - quick).abs().max() <= 2.0
    together = cut_of(views, 90, 60)
    box = together.source
    whole = frames[:, box.top : box.top + box.height, box.left : box.left + box.width][None, None]
    assert torch.equal(views_one_by_one(whole, (together,), size)[0], slow[:, 0])
    again = views_by_products(whole, (together,), size, torch.float32)[0]
    assert (again - quick[:, 0]).abs().max() < 0.01


@given(st.integers(20, 120), st.integers(20, 120), st.sampled_from([16, 24, 32]), st.integers(0, 2**32))
def test_a_crop_by_products_is_pils(width: int, height: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    view = train_view(width, height, Recipe(crop_size=size), rng)
    frames = _scene(width, height, 1, seed % 1000)
    found, box = cut_of((view,), width, height), view.box
    crop = frames[0, box.top : box.top + box.height, box.left : box.left + box.width]
    pil = np.asarray(Image.fromarray(crop).resize((size, size), Image.Resampling.BILINEAR))
    expected = pil[:, ::-1] if view.flip else pil
    made = views_by_products(torch.from_numpy(crop)[None, None, None], (found,), size, torch.float32)
    assert np.abs(made[0, 0, :, 0].permute(1, 2, 0).numpy() - expected).max() <= 1.01


def test_a_view_that_would_be_resized_twice_is_refused() -> None:
    view = View((40, 40), Box(0, 0, 20, 20))
    pixels = torch.zeros((1, 1, 1, 60, 60, 3), dtype=torch.uint8)
    with pytest.raises(ValueError, match="resized twice"):
        views_by_products(pixels, (cut_of((view,), 60, 60),), 32, torch.float32)
