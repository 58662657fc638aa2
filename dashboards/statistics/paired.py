"""Two models on the same videos: which differences in accuracy are more than chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dashboards.statistics.intervals import LEVEL, Interval

RESAMPLES = 10_000


@dataclass(frozen=True)
class PairedCounts:
    """How many videos both models got right, only the first, only the second, neither."""

    both: int
    only_first: int
    only_second: int
    neither: int

    @property
    def videos(self) -> int:
        """All videos."""
        return self.both + self.only_first + self.only_second + self.neither


@dataclass(frozen=True)
class Mcnemar:
    """McNemar's test, two-sided: exact, and mid-p (Fagerland et al. 2013), which is less cautious."""

    exact: float
    mid_p: float


def paired_counts(first: Sequence[bool], second: Sequence[bool]) -> PairedCounts:
    """Count the videos by who got them right; both sequences in the order of the same videos.

    Raises:
        ValueError: different numbers of videos.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} against {len(second)} videos; paired_counts; give the same videos")
    one, two = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    return PairedCounts(
        int((one & two).sum()), int((one & ~two).sum()), int((~one & two).sum()), int((~one & ~two).sum())
    )


def mcnemar(counts: PairedCounts) -> Mcnemar:
    """Test whether two models have the same accuracy: only the videos on which they disagree tell."""
    few = min(counts.only_first, counts.only_second)
    trials = counts.only_first + counts.only_second
    log_all = math.lgamma(trials + 1) - trials * math.log(2)
    chances = [
        math.exp(log_all - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)) for hits in range(few + 1)
    ]
    tail = 2 * math.fsum(chances)
    return Mcnemar(min(1.0, tail), min(1.0, tail - chances[-1]))


def bootstrap_difference(
    counts: PairedCounts, *, resamples: int = RESAMPLES, seed: int = 0, level: float = LEVEL
) -> Interval:
    """Return the difference in accuracy (first - second, points of percent) and its bootstrap interval.

    Videos are drawn with replacement. A draw of all videos is a draw from the four counts, so that no video
    has to be touched; the interval is the percentiles' one, the same for the same seed.

    Raises:
        ValueError: no videos.
    """
    videos = counts.videos
    if videos == 0:
        raise ValueError("no videos; bootstrap_difference; give the models at least one video in common")
    shares = np.array([counts.only_first, counts.only_second, counts.both + counts.neither]) / videos
    draws = np.random.default_rng(seed).multinomial(videos, shares, size=resamples)
    differences = 100 * (draws[:, 0] - draws[:, 1]) / videos
    low, high = np.quantile(differences, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(100 * (counts.only_first - counts.only_second) / videos, float(low), float(high))


def holm(values: Sequence[float]) -> list[float]:
    """Correct p-values for having asked several times (Holm 1979), in the order that they came in."""
    corrected = [0.0] * len(values)
    largest = 0.0
    for place, index in enumerate(sorted(range(len(values)), key=lambda one: values[one])):
        largest = max(largest, min(1.0, (len(values) - place) * values[index]))
        corrected[index] = largest
    return corrected
