"""What differences seeds and videos allow to see: planned before, with the intervals that are used after."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from dashboards.statistics import LEVEL, normal_quantile, squared_half_width

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

POWER = 0.8
MOST_SEEDS = 64
_STEPS = 200


@dataclass(frozen=True)
class Variances:
    """How much two models' accuracies differ by chance.

    Args:
        seeds: standard deviation between trainings with different seeds, in points, beyond what single videos
            explain.
        disagreement: share of the videos that exactly one of two trainings of different models gets right.
        within: variance of one video over the seeds of one model (`within_video_variance`), a share.
    """

    seeds: float
    disagreement: float
    within: float


ASSUMED = Variances(seeds=0.5, disagreement=0.25, within=0.08)
"""What is taken where nothing was measured: a guess of the size that published repetitions have."""


@dataclass(frozen=True)
class Design:
    """What two models are compared on: seeds each, the same videos."""

    seeds: int
    videos: int


def power(difference: float, design: Design, variances: Variances, level: float = LEVEL) -> float:
    """Return the probability that the interval of a true difference (points) leaves out 0 on its side.

    The interval is `paired_difference_over_seeds`; its width is itself random, by the seeds' few degrees of
    freedom, over which is summed. With one seed the spread between seeds is taken as known from elsewhere.
    """
    of_videos, of_seeds = _parts(design, variances)
    total = math.sqrt(of_videos + 2 * of_seeds)
    if design.seeds == 1:
        return _above(difference / 100 / total - normal_quantile(level))
    halves = _half_widths(of_videos, 2 * of_seeds, 2 * (design.seeds - 1), level)
    return sum(_above((difference / 100 - half) / total) for half in halves) / len(halves)


def _parts(design: Design, variances: Variances) -> tuple[float, float]:
    """The variance of a difference by the videos, and of one model's mean by its seeds, in shares."""
    between = max(0.0, variances.disagreement - 2 * variances.within)
    one_seed = (variances.seeds / 100) ** 2 + variances.within / design.videos
    return between / design.videos, one_seed / design.seeds


@cache
def _half_widths(of_videos: float, of_seeds: float, degrees: int, level: float) -> tuple[float, ...]:
    """Half widths that are equally likely: the seeds' spread at the quantiles of χ²."""
    from scipy.special import chdtri

    shares = [(step + 0.5) / _STEPS for step in range(_STEPS)]
    spreads = [of_seeds * float(chdtri(degrees, 1 - share)) / degrees for share in shares]
    return tuple(math.sqrt(squared_half_width(of_videos, [(one, degrees)], level)) for one in spreads)


def _above(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))


def detectable(design: Design, variances: Variances, wanted: float = POWER, level: float = LEVEL) -> float:
    """Return the smallest true difference (points) that is seen with the wanted power."""
    low, high = 0.0, 1.0
    while power(high, design, variances, level) < wanted:
        high *= 2
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle, design, variances, level) < wanted else (low, middle)
    return high


def seeds_needed(
    difference: float, videos: int, variances: Variances, wanted: float = POWER, level: float = LEVEL
) -> int | None:
    """Return how many seeds a cell needs for a difference (points); None where no 64 are enough."""
    return next(
        (
            seeds
            for seeds in range(2, MOST_SEEDS + 1)
            if power(difference, Design(seeds, videos), variances, level) >= wanted
        ),
        None,
    )


def videos_needed(
    difference: float, seeds: int, variances: Variances, wanted: float = POWER, level: float = LEVEL
) -> int | None:
    """Return how many evaluation videos these seeds need; None where no number of videos is enough."""
    most = Design(seeds, 10**9)
    if power(difference, most, variances, level) < wanted:
        return None
    low, high = 1, most.videos
    while low < high:
        middle = (low + high) // 2
        enough = power(difference, replace(most, videos=middle), variances, level) >= wanted
        low, high = (low, middle) if enough else (middle + 1, high)
    return high
