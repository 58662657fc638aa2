from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trainables.data.clips import loader
from trainables.data.clips.loader import (
    ClipSource,
    eval_batches,
    eval_ring,
    num_train_steps,
    train_batches,
    train_ring,
)
from trainables.data.clips.resample import views_one_by_one
from trainables.data.clips.ring import Batch
from trainables.data.frames.manifest import Manifest, Video
from trainables.data.frames.reader import DecordReader, Frame, FrameReader, ReadError
from trainables.recipe.cell_spec import Evaluation, Recipe

RECIPE = Recipe(batch_size=6, crop_size=32, crop_scales=(1.0, 0.875))
EVALUATION = Evaluation(crop_size=32, short_side=36, batch_size=4)


class Made(NamedTuple):
    """A batch's views, (N, V, 3, T, S, S), made before its buffer is used again."""

    views: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor


def made(batches: Iterable[Batch]) -> list[Made]:
    return [
        Made(views_one_by_one(batch.pixels, batch.cuts, batch.size), batch.labels, batch.indices)
        for batch in batches
    ]


def by_index(batches: Iterable[Made]) -> dict[int, torch.Tensor]:
    clips: dict[int, torch.Tensor] = {}
    for batch in batches:
        for index, views in zip(batch.indices.tolist(), batch.views, strict=True):
            assert index not in clips
            clips[index] = views
    return clips


def epoch_of(
    manifest: Manifest, epoch: int = 1, rank: int = 0, world: int = 1, threads: int = 1, seed: int = 0
) -> list[Made]:
    videos = manifest.split("train")
    keywords = {"seed": seed, "epoch": epoch, "rank": rank, "world": world, "threads": threads}
    return made(train_batches(videos, RECIPE, 8, DecordReader(), **keywords))


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("loader")]


def test_training_batches_have_the_promised_form(motion: Manifest) -> None:
    batches = epoch_of(motion)
    assert len(batches) == num_train_steps(16, 6) == 2
    for batch in batches:
        assert batch.views.shape == (6, 1, 3, 8, 32, 32)
        assert batch.views.dtype == torch.uint8
        labels = [motion.split("train")[i].label for i in batch.indices.tolist()]
        assert batch.labels.tolist() == labels
        assert batch.labels.dtype == batch.indices.dtype == torch.int64
        # real pictures: every clip has a bright blob and a dark scene
        assert all(clip.max() > 150 and clip.min() < 100 for clip in batch.views)


@pytest.mark.parametrize(("threads", "world"), [(4, 1), (1, 2), (3, 3)])
def test_clips_do_not_depend_on_threads_or_workers(motion: Manifest, threads: int, world: int) -> None:
    alone = epoch_of(motion)
    shares = [epoch_of(motion, rank=rank, world=world, threads=threads) for rank in range(world)]
    for step, batch in enumerate(alone):
        together = {k: v for share in shares for k, v in by_index([share[step]]).items()}
        expected = by_index([batch])
        assert together.keys() == expected.keys()
        assert all(torch.equal(expected[index], together[index]) for index in expected)
        for rank, share in enumerate(shares):
            assert share[step].indices.tolist() == batch.indices.tolist()[rank::world]


def test_epochs_and_seeds_differ_in_order_and_pixels(motion: Manifest) -> None:
    first, again = epoch_of(motion), epoch_of(motion)
    assert all(torch.equal(a.views, b.views) for a, b in zip(first, again, strict=True))
    for other in (epoch_of(motion, epoch=2), epoch_of(motion, seed=1)):
        assert [b.indices.tolist() for b in first] != [b.indices.tolist() for b in other]
        one, two = by_index(first), by_index(other)
        common = one.keys() & two.keys()
        assert common
        assert not all(torch.equal(one[i], two[i]) for i in common)


def test_every_epoch_drops_other_videos(motion: Manifest) -> None:
    seen = [set(by_index(epoch_of(motion, epoch=epoch))) for epoch in range(6)]
    assert all(len(videos) == 12 for videos in seen)
    assert set.union(*seen) == set(range(16))


VIDEOS = tuple(
    Video(f"/x/{place}.mp4", "train", place % 4, 40, 25.0, 64, 48, f"{place}") for place in range(16)
)
"""Of 40 frames of 64 x 48 pixels, which nobody reads."""


class Blank(FrameReader):
    """Black pictures of videos that do not exist."""

    def frames(self, video: Video, numbers: NDArray[np.int64]) -> Iterator[Frame]:
        return (np.zeros((video.height, video.width, 3), np.uint8) for _ in numbers)


def sources_of(recipe: Recipe, epochs: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[ClipSource]]:
    """What is drawn of each video, epoch by epoch."""
    found: dict[str, list[ClipSource]] = {video.path: [] for video in VIDEOS}
    draw = loader.train_clip

    def noted(video: Video, *others: Any) -> ClipSource:
        found[video.path].append(draw(video, *others))
        return found[video.path][-1]

    monkeypatch.setattr(loader, "train_clip", noted)
    for epoch in range(1, epochs + 1):
        for _ in train_batches(VIDEOS, recipe, 8, Blank(), seed=0, epoch=epoch, rank=0, world=1):
            pass
    assert {len(one) for one in found.values()} == {epochs}
    return found


@pytest.mark.parametrize("sampling", ["uniform", "dense"])
def test_frames_are_drawn_anew_of_each_video_in_each_epoch(
    sampling: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From their whole range: segments of 5 frames, or windows of 8 x 3 frames that begin at 0 to 15."""
    recipe = RECIPE.model_copy(update={"sampling": sampling, "sampling_rate": 3, "batch_size": 16})
    found = sources_of(recipe, 12, monkeypatch)
    starts = {path: [int(one.numbers[0, 0]) for one in sources] for path, sources in found.items()}
    expected = set(range(5)) if sampling == "uniform" else set(range(16))
    assert {start for one in starts.values() for start in one} == expected
    # Five values, or sixteen: that of twelve draws all are equal has a chance of one in 48 millions.
    assert all(len(set(one)) > 1 for one in starts.values())
    for epoch in range(12):
        assert len({one[epoch] for one in starts.values()}) > 1, "nor do all videos begin at the same place"
    numbers = np.concatenate([one.numbers for sources in found.values() for one in sources])
    assert numbers.min() >= 0 and numbers.max() < 40
    if sampling == "dense":
        assert (np.diff(numbers, axis=1) == 3).all()
    else:
        assert (numbers // 5 == np.arange(8)).all()


def test_crops_and_flips_are_drawn_anew_of_each_video_in_each_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sources_of(RECIPE.model_copy(update={"batch_size": 16, "flip": 0.5}), 12, monkeypatch)
    for of_one in [*found.values(), *zip(*found.values(), strict=True)]:
        assert len({one.cut.source for one in of_one}) > 2
        assert {one.cut.views[0].flip for one in of_one} == {False, True}
    everything = [one.cut for sources in found.values() for one in sources]
    assert 0.4 < sum(cut.views[0].flip for cut in everything) / len(everything) < 0.6
    assert {cut.source.left for cut in everything} >= {0, 16} and {cut.source.top for cut in everything} >= {
        0
    }
    assert len({cut.source.width for cut in everything}) > 1, "of several scales"


def test_an_evaluation_looks_at_the_same_frames_each_time() -> None:
    chosen: list[list[int]] = []
    for seed in (0, 1):
        np.random.seed(seed)
        batches = eval_batches(VIDEOS, EVALUATION, 8, Numbered(), rank=0, world=1)
        chosen.append([int(one) for batch in batches for one in batch.pixels[:, 0, :, 0, 0, 0].flatten()])
    # The middles of eight segments of five frames.
    assert chosen[0] == chosen[1] == [2, 7, 12, 17, 22, 27, 32, 37] * 16


class Numbered(FrameReader):
    """Pictures as bright as their number."""

    def frames(self, video: Video, numbers: NDArray[np.int64]) -> Iterator[Frame]:
        return (np.full((video.height, video.width, 3), number, np.uint8) for number in numbers)


def test_few_videos_make_one_small_batch(motion: Manifest) -> None:
    videos = motion.split("train")[:3]
    (batch,) = train_batches(videos, RECIPE, 8, DecordReader(), seed=0, epoch=0, rank=0, world=1)
    assert sorted(batch.indices.tolist()) == [0, 1, 2]
    with pytest.raises(ValueError, match="3 clips cannot feed 4 workers"):
        train_batches(videos, RECIPE, 8, DecordReader(), seed=0, epoch=0, rank=0, world=4)
    with pytest.raises(ValueError, match="rank 2 of 2"):
        train_batches(videos, RECIPE, 8, DecordReader(), seed=0, epoch=0, rank=2, world=2)


@pytest.mark.parametrize(("count", "world", "each"), [(3, 2, 1), (5, 2, 2), (5, 3, 1), (7, 2, 3)])
def test_workers_share_a_small_batch_equally(motion: Manifest, count: int, world: int, each: int) -> None:
    """Unequal shares would weigh clips unequally, and give workers unequal numbers of accumulated pieces."""
    videos = motion.split("train")[:count]
    seen: list[int] = []
    for rank in range(world):
        keywords = {"seed": 0, "epoch": 0, "rank": rank, "world": world}
        (batch,) = train_batches(videos, RECIPE, 8, DecordReader(), **keywords)  # type: ignore[arg-type]
        assert len(batch.labels) == each
        seen += batch.indices.tolist()
    assert len(set(seen)) == each * world


@pytest.mark.parametrize("count", [1, 2, 7, 11])
@pytest.mark.parametrize("world", [1, 2, 3])
def test_evaluation_covers_every_video_exactly_once(motion: Manifest, count: int, world: int) -> None:
    videos = motion.split("val")[:count]
    reader = DecordReader()
    seen: list[int] = []
    for rank in range(world):
        for batch in eval_batches(videos, EVALUATION, 8, reader, rank=rank, world=world, threads=2):
            assert batch.views == 1
            assert batch.pixels.shape[1:3] == (1, 8)
            assert batch.labels.tolist() == [videos[i].label for i in batch.indices.tolist()]
            seen += batch.indices.tolist()
    assert sorted(seen) == list(range(count))


def test_evaluation_views_are_clips_by_crops(motion: Manifest) -> None:
    videos = motion.split("val")[:2]
    many = EVALUATION.model_copy(update={"clips": 2, "crops": 10})
    batches = made(eval_batches(videos, many, 8, DecordReader(), rank=0, world=1))
    assert [len(batch.labels) for batch in batches] == [
        1,
        1,
    ]  # as many views as fit batch_size, at least one video
    views = batches[0].views[0]
    assert views.shape == (20, 3, 8, 32, 32)
    assert torch.equal(views[4], views[9].flip(-1))  # centre, and its flip
    (single,) = made(eval_batches(videos, EVALUATION, 8, DecordReader(), rank=0, world=1))
    assert torch.equal(single.views[0, 0], views[4])
    assert not torch.equal(views[4], views[14])  # the second clip looks at other frames


def test_a_video_that_fails_is_named_and_no_thread_stays(motion: Manifest) -> None:
    videos = list(motion.split("train"))
    videos[5] = replace(videos[5], path="/nowhere/lost.mp4")
    for threads in (1, 3):
        with pytest.raises(ReadError, match=r"/nowhere/lost\.mp4"):
            list(
                train_batches(
                    videos, RECIPE, 8, DecordReader(), seed=0, epoch=3, rank=0, world=1, threads=threads
                )
            )
        with pytest.raises(ReadError, match=r"/nowhere/lost\.mp4"):
            list(eval_batches(videos, EVALUATION, 8, DecordReader(), rank=0, world=1, threads=threads))
    assert loader_threads() == []


class CountingReader(FrameReader):
    """A real reader that says how far ahead of its consumer it has been asked to read."""

    def __init__(self) -> None:
        self.reader = DecordReader()
        self.reads = 0

    def frames(self, video: Video, numbers: NDArray[np.int64]) -> Iterator[Frame]:
        self.reads += 1
        return self.reader.frames(video, numbers)


def test_an_epoch_can_start_at_any_step(motion: Manifest) -> None:
    videos = motion.split("train")
    keywords = {"seed": 0, "epoch": 1, "rank": 0, "world": 1}
    recipe = RECIPE.model_copy(update={"batch_size": 3})
    whole = made(train_batches(videos, recipe, 8, DecordReader(), **keywords))
    rest = made(train_batches(videos, recipe, 8, DecordReader(), **keywords, first_step=2))
    assert len(rest) == len(whole) - 2 == 3
    for one, other in zip(whole[2:], rest, strict=True):
        assert one.indices.tolist() == other.indices.tolist()
        assert torch.equal(one.views, other.views)


def test_one_ring_serves_many_epochs_and_its_buffers_are_used_in_turn(motion: Manifest) -> None:
    videos = motion.split("train")
    ring = train_ring(videos, RECIPE, 8, 1, pin=False)
    assert ring.shape == (6, 1, 8, 48, 48, 3)
    places: set[int] = set()
    for epoch in (1, 2, 3):
        keywords = {"seed": 0, "epoch": epoch, "rank": 0, "world": 1}
        batches = train_batches(videos, RECIPE, 8, DecordReader(), **keywords, threads=3, ring=ring)
        clips: dict[int, torch.Tensor] = {}
        for batch in batches:
            places.add(batch.pixels.data_ptr())
            clips |= by_index(made([batch]))
        expected = by_index(epoch_of(motion, epoch=epoch))
        assert all(torch.equal(expected[index], clips[index]) for index in expected)
    assert len(places) == ring.count == 3


def test_a_ring_is_no_larger_than_the_largest_crops(motion: Manifest) -> None:
    whole = replace(motion.videos[0], width=340, height=256)
    recipe = Recipe(batch_size=6, crop_size=224)
    assert train_ring([whole] * 9, recipe, 16, 2, pin=False).shape == (3, 1, 16, 256, 256, 3)
    one_crop = Evaluation(batch_size=4)
    assert eval_ring([whole] * 9, one_crop, 8, pin=False).shape == (4, 1, 8, 224, 224, 3)
    ten = Evaluation(batch_size=60, clips=2, crops=3, crop_size=256)
    assert eval_ring([whole] * 99, ten, 8, pin=False).shape == (10, 2, 8, 256, 340, 3)
    # resized before it is cropped: all of the picture is needed
    assert eval_ring([whole], Evaluation(short_side=300), 8, pin=False).shape[3:5] == (256, 340)


def test_a_slow_consumer_holds_the_loader_back_and_closing_ends_it(motion: Manifest) -> None:
    reader = CountingReader()
    videos = motion.split("train") * 10
    batches = train_batches(videos, RECIPE, 8, reader, seed=0, epoch=0, rank=0, world=1, threads=4)
    next(batches)
    assert loader_threads() != []
    time.sleep(1.0)
    assert reader.reads <= 3 * 6  # the one in use and two ahead, of 26
    batches.close()
    assert loader_threads() == []


def test_buffers_that_no_machine_should_hold_are_refused(motion: Manifest) -> None:
    huge = replace(motion.videos[0], width=3840, height=2160)
    with pytest.raises(ValueError, match=r"GiB for 72 x 1 clips of 64 frames of up to 2160 x 2160 pixels"):
        train_ring([huge] * 72, Recipe(), 64, 1, pin=False)
