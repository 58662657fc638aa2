"""What the data's rules and the evaluation give: frames, rectangles, pixels, accuracies."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from itertools import product
from typing import Any

import numpy as np
import simplejpeg

from tests.golden.models import FRAMES, Case, compute, exact_model
from tests.golden.pictures import Pictures, videos
from trainables.data.clips.augment import View, cut_of, eval_views, train_view
from trainables.data.clips.loader import eval_batches, train_batches
from trainables.data.clips.sampling import eval_indices, train_indices
from trainables.data.frames.frame_format import ORIGINALS, FrameFormat, reduced
from trainables.data.frames.spool import encoded
from trainables.recipe.cell_spec import Evaluation, Recipe
from trainables.training.evaluate import Views, predict
from trainables.training.execution.device import Normalisation
from trainables.training.result import best_epoch

SIZES = ((40, 32), (32, 40), (57, 33))


def data_cases() -> Iterator[Case]:
    """All of them."""
    yield Case("sampling", ("sampling",), list(_frames()))
    yield Case("augment", ("augment",), list(_rectangles()))
    yield Case("cuts", ("views",), list(_cuts()))
    yield Case("views", ("views", "sampling", "augment"), list(_pixels()))
    yield Case("frame format", ("frame format",), list(_kept()))
    yield Case("best epoch", ("evaluation",), list(_best()))
    for average in ("logits", "softmax"):
        yield _evaluated(average)


def _frames() -> Iterator[list[int]]:
    for number, frames, mode in product(
        (3, 8, 9, 37), (8, 16), ("uniform", "uniform_shared_offset", "dense")
    ):
        rng = np.random.default_rng([number, frames])
        yield train_indices(number, frames, mode, 2, rng).tolist()
        if mode != "uniform_shared_offset":
            for clips in (1, 3, 10):
                yield eval_indices(number, frames, mode, 2, clips).flatten().tolist()


def _rectangles() -> Iterator[list[int]]:
    for size, kind in product(SIZES, ("multi_scale_crop", "random_short_side")):
        recipe = Recipe(crop_size=24, augmentation=kind, short_side_range=(26, 40))
        rng = np.random.default_rng(5)
        yield [number for _ in range(12) for number in _numbers(train_view(*size, recipe, rng))]
    for size, crops in product(SIZES, (1, 3, 5, 10)):
        evaluation = Evaluation(crops=crops, crop_size=24, short_side=28)
        yield [number for view in eval_views(*size, evaluation) for number in _numbers(view)]


def _numbers(view: View) -> tuple[int, ...]:
    box = view.box
    return (*view.scaled, box.left, box.top, box.width, box.height, int(view.flip))


def _cuts() -> Iterator[list[int]]:
    for size, crops in product(SIZES, (1, 3, 10)):
        for short_side in (min(size), 28):
            views = eval_views(*size, Evaluation(crops=crops, crop_size=24, short_side=short_side))
            cut = cut_of(views, *size)
            box = cut.source
            inside = [number for view in cut.views for number in _numbers(view)]
            yield [box.left, box.top, box.width, box.height, *inside]


def _pixels() -> Iterator[str | float]:
    """Finished views, resized and normalised, of training and of evaluation."""
    norm = Normalisation.of("tsn", "resnet18")
    recipe = Recipe(crop_size=24, batch_size=3)
    evaluation = Evaluation(clips=2, crops=3, crop_size=24, short_side=28, batch_size=12)
    place = {"rank": 0, "world": 1}
    for batches in (
        train_batches(videos(3), recipe, FRAMES, Pictures(), seed=1, epoch=1, **place),
        eval_batches(videos(3), evaluation, FRAMES, Pictures(), **place),
    ):
        for batch in batches:
            inputs = compute().inputs(batch, norm)
            yield float(inputs.sum())
            yield from inputs[:, 1, 2, ::7, ::5].flatten().tolist()


def _kept() -> Iterator[object]:
    """The sizes in which frames are kept and their pixels, before and after JPEG."""
    (video,) = videos(1, width=90, height=60)
    (picture,) = Pictures().frames(video, np.array([4]))
    for form in (FrameFormat(short_side=32), FrameFormat(short_side=32, subsampling="444"), ORIGINALS):
        width, height = form.size_of(video.width, video.height)
        small = reduced(picture, width, height)
        yield [form.identity, width, height, _digest(small)]
        if form.mode == "store":
            yield _digest(simplejpeg.decode_jpeg(encoded(picture, form), fastdct=True, fastupsample=True))


def _best() -> Iterator[int]:
    nothing = float("nan")
    for row in ([50.0, 60.0, 60.0], [nothing, 10.0], [nothing, nothing], [70.0, 60.0, 70.0]):
        yield best_epoch([{"top1": value} for value in row])


def _evaluated(average: Any) -> Case:
    """Predictions over several clips and crops a video, and the accuracies."""
    model = compute().place(exact_model("tam", "tiny", False))
    evaluation = Evaluation(clips=2, crops=3, crop_size=32, short_side=32, batch_size=12)
    batches = eval_batches(videos(9), evaluation, FRAMES, Pictures(), rank=0, world=1)
    found = predict(model, batches, compute(), Normalisation.of("tsn", "tiny"), Views(average, keep=True))
    values: list[Any] = [found.index.tolist(), found.label.tolist(), found.top.tolist()]
    values += [found.view_top.tolist(), found.accuracy(1), found.accuracy(2), found.mean_loss]
    values += found.scores.flatten().tolist()
    components = ("evaluation", "sampling", "augment", "views", "module tam", "backbone tiny")
    return Case(f"evaluation by {average}", components, values, tolerance=1e-5)


def _digest(pixels: np.ndarray) -> str:
    return sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()[:32]
