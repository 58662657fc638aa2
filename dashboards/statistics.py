"""How sure a difference is: intervals, paired tests, means over seeds. Pure functions of plain numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, fmean, stdev

import numpy as np

LEVEL = 0.95
RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval that holds the true value at the asked level, in its own unit."""

    estimate: float
    low: float
    high: float


def wilson_interval(hits: int, trials: int, level: float = LEVEL) -> Interval:
    """Return Wilson's interval of a proportion, as shares between 0 and 1 (Wilson 1927).

    Raises:
        ValueError: no trials, or more hits than trials.
    """
    if not 0 <= hits <= trials or trials == 0:
        raise ValueError(f"{hits} of {trials} is no share; wilson_interval; give 0 ≤ hits ≤ trials > 0")
    z = NormalDist().inv_cdf(0.5 + level / 2)
    share = hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Return the mean of independent runs and Student's interval; one value alone has an infinite one.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no values; mean_interval; give at least one")
    mean, count = fmean(values), len(values)
    if count == 1:
        return Interval(mean, -math.inf, math.inf)
    half = student_quantile(0.5 + level / 2, count - 1) * stdev(values) / math.sqrt(count)
    return Interval(mean, mean - half, mean + half)


@cache
def student_quantile(probability: float, degrees: int) -> float:
    """Return the value below which Student's t lies with a probability of at least one half, by bisection.

    Raises:
        ValueError: a probability outside [0.5, 1), or no degree of freedom.
    """
    if not 0.5 <= probability < 1 or degrees < 1:
        raise ValueError(f"p = {probability}, df = {degrees}; student_quantile; give 0.5 ≤ p < 1 and df ≥ 1")
    low, high = 0.0, 1.0
    while _student_cdf(high, degrees) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if _student_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _student_cdf(t: float, degrees: int) -> float:
    """P(T ≤ t) for t ≥ 0: the finite series of Abramowitz and Stegun, 26.7.3 and 26.7.4."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2 == 1
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for step in range((degrees - 1) // 2 if odd else degrees // 2):
        total += term
        first = 2 * step + 2 if odd else 2 * step + 1
        term *= first / (first + 1) * cosine * cosine
    inside = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return 0.5 + inside / 2


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
