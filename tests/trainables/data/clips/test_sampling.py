"""Sampling against a slow, literal reading of docs/protocol.md §7."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from trainables.data.clips.sampling import EvalMode, TrainMode, clip_offsets, eval_indices, train_indices

lengths = st.integers(1, 2000)
clip_lengths = st.integers(1, 64)
rates = st.integers(1, 8)
seeds = st.integers(0, 2**32 - 1)
numbers_of_clips = st.integers(1, 12)


class Highest:
    """A source of numbers that always gives the largest one allowed, or the smallest."""

    def __init__(self, highest: bool) -> None:
        self.highest = highest

    def integers(
        self, low: Any, high: Any = None, size: int | None = None, dtype: type = np.int64
    ) -> NDArray[np.int64]:
        low, high = (np.zeros_like(low), low) if high is None else (low, high)
        value = np.asarray(high) - 1 if self.highest else np.asarray(low)
        return np.broadcast_to(value, value.shape if size is None else (size,)).astype(dtype)


@given(lengths, clip_lengths, seeds, rates, st.sampled_from(["uniform", "uniform_shared_offset", "dense"]))
def test_training_indices_are_in_range_and_repeatable(
    n: int, t: int, seed: int, rate: int, mode: TrainMode
) -> None:
    first = train_indices(n, t, mode, rate, np.random.default_rng(seed))
    assert first.shape == (t,)
    assert first.dtype == np.int64
    assert first.min() >= 0
    assert first.max() < n
    if mode != "dense":
        assert (np.diff(first) >= 0).all()
    assert (first == train_indices(n, t, mode, rate, np.random.default_rng(seed))).all()


@given(lengths, clip_lengths)
def test_uniform_training_reaches_both_ends_of_every_segment(n: int, t: int) -> None:
    low = train_indices(n, t, "uniform", 1, Highest(False))  # type: ignore[arg-type]
    high = train_indices(n, t, "uniform", 1, Highest(True))  # type: ignore[arg-type]
    if n < t:
        assert (low == 0).all()
        assert (high == n - 1).all()
        return
    for x in range(t):
        assert low[x] == math.floor(Fraction(x * n, t))
        assert high[x] == math.floor(Fraction((x + 1) * n, t)) - 1
    # the segments leave no frame out
    assert low[0] == 0
    assert high[-1] == n - 1
    assert (low[1:] == high[:-1] + 1).all()


@given(lengths, clip_lengths, seeds)
def test_shared_offset_is_one_offset_for_all_segments(n: int, t: int, seed: int) -> None:
    found = train_indices(n, t, "uniform_shared_offset", 1, np.random.default_rng(seed)).tolist()
    s = n // t
    if s >= 1:
        assert found in [[x * s + o for x in range(t)] for o in range(s)]


@given(lengths, clip_lengths, rates, seeds)
def test_dense_training_is_one_window_modulo_the_length(n: int, t: int, rate: int, seed: int) -> None:
    found = train_indices(n, t, "dense", rate, np.random.default_rng(seed)).tolist()
    starts = range(n - rate * t) if n > rate * t else [0]
    assert found[0] in starts
    assert found == [(found[0] + rate * x) % n for x in range(t)]


@given(lengths, clip_lengths, rates)
def test_dense_training_reaches_its_first_and_its_last_start(n: int, t: int, rate: int) -> None:
    low = train_indices(n, t, "dense", rate, Highest(False))  # type: ignore[arg-type]
    high = train_indices(n, t, "dense", rate, Highest(True))  # type: ignore[arg-type]
    assert low[0] == 0
    assert high[0] == (n - rate * t - 1 if n > rate * t else 0)


def drawn(mode: TrainMode, n: int, t: int, rate: int = 1, draws: int = 4000) -> NDArray[np.int64]:
    rng = np.random.default_rng(5)
    return np.stack([train_indices(n, t, mode, rate, rng) for _ in range(draws)])


def assert_equally_often(values: NDArray[np.int64], choices: range) -> None:
    """Each choice as often as any other: chi-squared, which one draw in a million would exceed by chance."""
    counts = np.array([(values == choice).sum() for choice in choices])
    assert counts.sum() == len(values)
    assert stats.chisquare(counts).pvalue > 1e-6


def test_every_start_of_a_window_is_drawn_equally_often() -> None:
    clips = drawn("dense", n=50, t=8, rate=4)
    assert_equally_often(clips[:, 0], range(18))


@pytest.mark.parametrize("mode", ["uniform", "uniform_shared_offset"])
def test_every_frame_of_a_segment_is_drawn_equally_often(mode: TrainMode) -> None:
    clips = drawn(mode, n=48, t=8)
    for segment in range(8):
        assert_equally_often(clips[:, segment], range(6 * segment, 6 * segment + 6))


def test_segments_are_drawn_independently_unless_they_share_their_offset() -> None:
    for mode, together in (("uniform", False), ("uniform_shared_offset", True)):
        clips = drawn(mode, n=48, t=8)  # type: ignore[arg-type]
        offsets = clips - 6 * np.arange(8)
        assert (offsets == offsets[:, :1]).all() == together
        if not together:
            between = np.corrcoef(offsets[:, 0], offsets[:, 5])[0, 1]
            assert abs(between) < 0.1


def test_draws_of_a_video_shorter_than_the_clip_are_drawn_equally_often() -> None:
    assert_equally_often(drawn("uniform", n=5, t=8).ravel(), range(5))


@given(lengths, clip_lengths, numbers_of_clips)
def test_uniform_evaluation_is_the_documented_rule(n: int, t: int, clips: int) -> None:
    found = eval_indices(n, t, "uniform", 1, clips)
    assert found.shape == (clips, t)
    assert found.min() >= 0
    assert found.max() < n
    assert (np.diff(found, axis=1) >= 0).all()
    assert (found == eval_indices(n, t, "uniform", 1, clips)).all()
    if n <= t:
        draws = [np.random.default_rng(clip).integers(n, size=t) for clip in range(clips)]
        assert found.tolist() == [sorted(draw.tolist()) for draw in draws]
        return
    tick = n / t
    for clip, o in enumerate(range(math.floor(-clips / 2) + 1, math.floor(clips / 2) + 1)):
        o_clamped = min(max(o, -tick / 2), tick / 2 - 1e-4)
        assert found[clip].tolist() == [int(tick / 2 + o_clamped + tick * x) for x in range(t)]


@given(lengths, clip_lengths, rates, numbers_of_clips)
def test_dense_evaluation_spreads_its_starts(n: int, t: int, rate: int, clips: int) -> None:
    found = eval_indices(n, t, "dense", rate, clips).tolist()
    last = max(0, n - rate * t)
    for clip in range(clips):
        start = math.floor(Fraction(clip * last, clips - 1)) if clips > 1 else 0
        # evenly spaced in floating point: a start that is a whole number may come out one lower
        assert found[clip] in [[(s + rate * x) % n for x in range(t)] for s in (start, max(0, start - 1))]
    assert found[0][0] == 0
    if clips > 1:
        assert found[-1][0] == last


@pytest.mark.parametrize(
    ("clips", "offsets"),
    [(1, [0]), (2, [0, 1]), (3, [-1, 0, 1]), (10, [-4, -3, -2, -1, 0, 1, 2, 3, 4, 5])],
)
def test_clip_offsets_as_documented(clips: int, offsets: list[int]) -> None:
    assert clip_offsets(clips).tolist() == offsets


def test_known_clips() -> None:
    assert eval_indices(32, 8, "uniform", 1, 1).tolist() == [[2, 6, 10, 14, 18, 22, 26, 30]]
    assert eval_indices(100, 4, "dense", 2, 3).tolist() == [[0, 2, 4, 6], [46, 48, 50, 52], [92, 94, 96, 98]]
    assert eval_indices(8, 8, "uniform", 1, 1).tolist() != [
        list(range(8))
    ]  # drawn with replacement from N = T on
    short = eval_indices(3, 8, "uniform", 1, 2)
    assert short[0].tolist() != short[1].tolist()


def test_every_frame_of_a_video_can_be_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = {int(i) for _ in range(400) for i in train_indices(37, 8, "uniform", 1, rng)}
    assert drawn == set(range(37))
    shared = {int(i) for _ in range(400) for i in train_indices(37, 8, "uniform_shared_offset", 1, rng)}
    assert shared == set(range(32))


@pytest.mark.parametrize(("n", "t", "rate"), [(0, 8, 1), (8, 0, 1), (8, 8, 0)])
def test_sizes_below_one_are_refused(n: int, t: int, rate: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        train_indices(n, t, "uniform", rate, np.random.default_rng(0))
    with pytest.raises(ValueError, match="must be at least 1"):
        eval_indices(n, t, "dense", rate, 1)


def test_unknown_modes_are_refused() -> None:
    mode: EvalMode = "unifrom"  # type: ignore[assignment]
    with pytest.raises(ValueError, match="unifrom"):
        eval_indices(9, 8, mode, 1, 1)
    with pytest.raises(ValueError, match="unifrom"):
        train_indices(9, 8, mode, 1, np.random.default_rng(0))
