"""The one promise of each toy dataset, on the plan, on the pixels drawn and on the pixels decoded."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from trainables.data.clips.sampling import eval_indices
from trainables.data.datasets import SyntheticAppearance, SyntheticMotion
from trainables.data.frames.manifest import Manifest, Video
from trainables.data.frames.reader import DecordReader
from trainables.data.ingest.synthetic_videos import MOTION_CLASSES, Item, items, render, row_order, write_h264

DOWN, UP, HOP, FLIP = range(4)


def decoded(video: Video) -> NDArray[np.uint8]:
    return DecordReader().read(video, np.arange(video.frames))


def by_number(manifest: Manifest) -> dict[tuple[str, str], list[Video]]:
    """The videos that share all but their class, in label order."""
    groups = defaultdict(list)
    for video in sorted(manifest.videos, key=lambda v: v.label):
        groups[video.split, Path(video.path).name].append(video)
    return groups


@pytest.mark.parametrize("label", range(4))
def test_every_class_visits_every_row_once_from_any_row(label: int) -> None:
    orders = [row_order(label, np.random.default_rng(seed)) for seed in range(300)]
    assert all(sorted(order) == list(range(8)) for order in orders)
    # no row is likelier at any time: a frame's place in time tells nothing either
    for segment in range(8):
        counts = np.bincount([order[segment] for order in orders], minlength=8)
        assert counts.min() > 15


def test_the_steps_are_the_classes() -> None:
    steps = {
        label: {tuple(np.diff(row_order(label, np.random.default_rng(seed))) % 8) for seed in range(100)}
        for label in range(4)
    }
    assert steps[DOWN] == {(1,) * 7}
    assert steps[UP] == {(7,) * 7}
    assert steps[HOP] == {(3,) * 7, (5,) * 7}
    assert steps[FLIP] == {(4, 5, 4, 5, 4, 5, 4), (4, 3, 4, 3, 4, 3, 4)}


def test_the_decoded_frames_of_one_number_are_one_set_for_all_classes(motion: Manifest) -> None:
    """After compression too: so any order-blind model gives all four classes one answer, 25 % right."""
    groups = by_number(motion)
    assert len(groups) == 7
    for videos in groups.values():
        assert [video.label for video in videos] == [0, 1, 2, 3]
        sets = [sorted(frame.tobytes() for frame in decoded(video)) for video in videos]
        assert sets[0] == sets[1] == sets[2] == sets[3]
        for frames in (8, 16):
            clips = [decoded(v)[eval_indices(v.frames, frames, "uniform", 1, 1)[0]] for v in videos]
            sampled = [sorted(frame.tobytes() for frame in clip) for clip in clips]
            assert sampled[0] == sampled[1] == sampled[2] == sampled[3]


def blob_rows(video: Video) -> NDArray[np.float64]:
    """Where the brightest place of each segment is, as a fraction of the height."""
    frames = decoded(video).astype(np.float64).mean(axis=3)
    moving = np.abs(frames - np.median(frames, axis=0))
    heights = np.arange(video.height) + 0.5
    rows = (moving**2).sum(axis=2)
    centres = (rows * heights).sum(axis=1) / rows.sum(axis=1) / video.height
    return centres.reshape(8, -1).mean(axis=1)


def guess_from_order(video: Video) -> int:
    steps = np.rint(np.diff(blob_rows(video)) / 0.09).astype(int) % 8
    votes = {DOWN: (steps == 1).sum(), UP: (steps == 7).sum(), FLIP: (steps == 4).sum() * 1.7}
    votes[HOP] = ((steps == 3) | (steps == 5)).sum()
    return max(votes, key=lambda label: votes[label])


def test_the_order_of_the_decoded_frames_tells_the_class(motion: Manifest) -> None:
    right = [guess_from_order(video) == video.label for video in motion.videos]
    assert np.mean(right) > 0.9


def test_a_single_frame_of_motion_tells_nothing_but_of_appearance_the_class() -> None:
    shapes = SyntheticAppearance()
    for number in range(5):
        first = [render(shapes, Item(shapes.kind, "val", label, number, 0)) for label in range(4)]
        for a in range(4):
            for b in range(a):
                # in every frame the pictures differ, and clearly
                assert (np.abs(first[a].astype(int) - first[b]).mean(axis=(1, 2, 3)) > 1).all()


def test_appearance_moves_alike_in_all_classes(appearance: Manifest) -> None:
    for videos in by_number(appearance).values():
        paths = []
        for video in videos:
            frames = decoded(video).astype(np.float64)
            still = np.abs(frames - frames[0]).max() > 20
            assert still  # it does move
            rows = np.abs(frames - np.median(frames, axis=(1, 2), keepdims=True)).sum(axis=(2, 3))
            paths.append((rows * np.arange(video.height)).sum(axis=1) / rows.sum(axis=1))
        for path in paths[1:]:
            assert np.corrcoef(paths[0], path)[0, 1] > 0.9


def test_a_crop_of_seven_eighths_shows_the_blob_wherever_it_lies() -> None:
    config = SyntheticMotion()
    cut = config.size - int(config.size * 0.875)
    for number in range(20):
        frames = render(config, Item(config.kind, "train", 0, number, 0)).astype(int)
        blob = np.abs(frames - np.median(frames, axis=0)).max(axis=3) > 60
        assert blob.any(axis=(1, 2)).all()
        centres = [np.argwhere(mask).mean(axis=0) for mask in blob]
        assert min(centre.min() for centre in centres) > cut
        assert max(centre.max() for centre in centres) < config.size - cut


def test_a_video_does_not_depend_on_how_many_there_are() -> None:
    few, many = SyntheticMotion(train_per_class=1), SyntheticMotion(train_per_class=9)
    assert items(few)[0] == items(many)[0]
    assert len(items(many)) == len(MOTION_CLASSES) * (9 + 24)
    other = render(SyntheticMotion(seed=1), Item("synthetic-motion", "train", 0, 0, 1))
    assert (other != render(few, items(few)[0])).any()


def test_encoding_is_repeatable_and_nearly_lossless(tmp_path: Path, motion: Manifest) -> None:
    config = SyntheticMotion()
    frames = render(config, items(config)[0])
    for name in ("a.mp4", "b.mp4"):
        write_h264(frames, config.fps, config.frames_per_segment, tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    assert Path(motion.videos[0].path).read_bytes() == (tmp_path / "a.mp4").read_bytes()
    # half of the colour resolution is gone, so edges differ; on the whole 2 of 255 levels
    assert np.abs(decoded(motion.videos[0]).astype(int) - frames).mean() < 3
