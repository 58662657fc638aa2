"""RandAugment and repeated augmentation: what they do to clips, and what decides it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.toy import build_toy
from trainables.data.clips.augment import Box, Cut, View, cut_of
from trainables.data.clips.loader import train_batches
from trainables.data.clips.rand_augment import OPERATIONS, applied, drawn, with_operations
from trainables.data.clips.resample import views_one_by_one
from trainables.data.frames.manifest import Manifest
from trainables.data.frames.store_reader import open_reader
from trainables.recipe.cell_spec import Recipe

RECIPE = Recipe(epochs=1, batch_size=4, crop_size=32, crop_scales=(1.0, 0.875))


def picture() -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(30, 200, (3, 1, 24, 24), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_changes_all_frames_alike(name: str) -> None:
    still = picture().expand(3, 4, 24, 24)
    made = applied(still, ((name, 0.9),))
    assert made.shape == still.shape and made.dtype == torch.uint8
    assert all(torch.equal(made[:, 0], made[:, frame]) for frame in range(1, 4))
    assert torch.equal(made, still) == (name == "identity")


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"auto_contrast", "equalize"}))
def test_an_operation_without_strength_leaves_a_clip_as_it_is(name: str) -> None:
    clip = picture().repeat(1, 2, 1, 1)
    away = (applied(clip, ((name, 0.0),)).int() - clip.int()).abs().max()
    assert away <= 1


def test_colours_follow_the_whole_clip_and_not_each_frame() -> None:
    dark, bright = picture() // 4, picture() // 4 + 180
    made = applied(torch.cat([dark, bright], dim=1), (("contrast", -0.9),)).float()
    assert made[:, 1].mean() > made[:, 0].mean() + 5, "frames keep the order of their brightness"
    stretched = applied(torch.cat([dark, bright], dim=1), (("auto_contrast", 1.0),))
    assert stretched[:, 0].max() < stretched[:, 1].min()


def test_operations_are_drawn_by_the_generator_alone() -> None:
    first = [drawn(3, 7, np.random.default_rng(seed)) for seed in range(200)]
    assert first == [drawn(3, 7, np.random.default_rng(seed)) for seed in range(200)]
    used = [one for operations in first for one in operations]
    assert {name for name, _ in used} == set(OPERATIONS)
    assert {abs(strength) for _, strength in used} == {0.7}
    assert {strength for name, strength in used if name == "rotate"} == {-0.7, 0.7}
    assert {strength for name, strength in used if name == "solarize"} == {0.7}


def test_grey_levels_of_an_accelerator_are_rounded_first() -> None:
    cut = Cut(Box(0, 0, 24, 24), (View((24, 24), Box(0, 0, 24, 24), operations=(("solarize", 0.5),)),))
    clip = picture()[None, None]
    floats = with_operations(clip.float() + 0.3, (cut,))
    assert torch.equal(floats, with_operations(clip.clone(), (cut,)).float())


def test_a_cut_keeps_the_operations() -> None:
    view = View((48, 48), Box(8, 8, 32, 32), flip=True, operations=(("rotate", 0.5),))
    (kept,) = cut_of((view,), 48, 48).views
    assert (kept.operations, kept.flip, kept.box) == (view.operations, True, Box(0, 0, 32, 32))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    folder = tmp_path_factory.mktemp("data")
    return folder, build_toy(folder)


def clips(
    data: tuple[Path, Manifest],
    recipe: Recipe,
    *,
    epoch: int = 1,
    rank: int = 0,
    world: int = 1,
    first: int = 0,
) -> list[tuple[list[int], torch.Tensor]]:
    """The videos of each batch with its views, operations applied."""
    folder, manifest = data
    videos = manifest.split("train")
    place = {"rank": rank, "world": world, "first_step": first}
    batches = train_batches(
        videos, recipe, 8, open_reader(manifest, folder / "manifest.json", None), seed=0, epoch=epoch, **place
    )
    return [
        (batch.indices.tolist(), with_operations(views_one_by_one(batch.pixels, batch.cuts, 32), batch.cuts))
        for batch in batches
    ]


def test_a_batch_has_several_clips_of_each_of_its_videos(data: tuple[Path, Manifest]) -> None:
    once, twice = clips(data, RECIPE), clips(data, RECIPE.model_copy(update={"repeated_augmentation": 2}))
    assert len(twice) == len(once)
    for videos, views in twice:
        assert videos[::2] == videos[1::2] and len(set(videos)) == len(videos) / 2
        assert not torch.equal(views[0], views[1])
    first = dict(zip(once[0][0], once[0][1], strict=True))
    for video, clip in zip(twice[0][0][::2], twice[0][1][::2], strict=True):
        if video in first:
            assert torch.equal(clip, first[video]), "a video's first clip is the one without repetitions"


def test_clips_do_not_depend_on_workers_or_on_where_an_epoch_goes_on(data: tuple[Path, Manifest]) -> None:
    recipe = RECIPE.model_copy(update={"repeated_augmentation": 2, "rand_augment": 2})
    whole = clips(data, recipe)
    assert all(torch.equal(a[1], b[1]) for a, b in zip(clips(data, recipe, first=1), whole[1:], strict=True))
    halves = [clips(data, recipe, rank=rank, world=2) for rank in range(2)]
    for step, (videos, views) in enumerate(whole):
        for rank in range(2):
            assert halves[rank][step][0] == videos[rank::2]
            assert torch.equal(halves[rank][step][1], views[rank::2])
    assert [videos for videos, _ in clips(data, recipe, epoch=2)] != [videos for videos, _ in whole]
