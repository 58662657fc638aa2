"""How sure an accuracy is: by the number of videos, and by the spread of several seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, fmean, variance
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95
SMALL_SHARE = 0.1
"""A seeds' part of the variance below this share of the videos' part hardly widens a quantile."""


UNKNOWN_WITHIN = 0.25
"""The share of a video's variance that seeds are taken to disagree about where no predictions are known."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval that holds the true value at the asked level, in percent or points."""

    estimate: float
    low: float
    high: float


@cache
def normal_quantile(level: float = LEVEL) -> float:
    """Return the value that a standard normal variable exceeds, either way, with probability 1 - level."""
    return NormalDist().inv_cdf(0.5 + level / 2)


@cache
def student_quantile(level: float, degrees: float) -> float:
    """Return the value that Student's t exceeds, either way, with probability 1 - level.

    Raises:
        ValueError: a level outside (0, 1), or degrees of freedom that are not positive.
    """
    from scipy.special import stdtrit

    if not 0 < level < 1 or not degrees > 0:
        raise ValueError(f"level {level}, df {degrees}; student_quantile; give 0 < level < 1 and df > 0")
    return float(stdtrit(degrees, 0.5 + level / 2))


@cache
def accuracy_interval(accuracy: float, videos: float, level: float = LEVEL) -> Interval:
    """Return the mid-p interval of one accuracy that was measured on independent videos.

    It inverts the exact binomial test and counts half of the observed outcome's probability (Lancaster 1961;
    Berry and Armitage 1995): Wilson's interval covers 84 % of accuracies close to 0 or 100, this one 92 %.

    Args:
        accuracy: percent.
        videos: how many; need not be whole, as an effective number is not.
        level: the probability with which such intervals hold the true value.

    Raises:
        ValueError: no videos, or an accuracy outside 0…100.
    """
    if not videos > 0 or not 0 <= accuracy <= 100:
        raise ValueError(f"{accuracy} % of {videos} videos; accuracy_interval; give 0…100 % and videos > 0")
    hits, tail = accuracy / 100 * videos, (1 - level) / 2
    low = 0.0 if accuracy == 0 else _share_with_tail(hits, videos, tail)
    high = 1.0 if accuracy == 100 else _share_with_tail(hits, videos, 1 - tail)
    return Interval(accuracy, min(accuracy, 100 * low), max(accuracy, 100 * high))


def _share_with_tail(hits: float, trials: float, tail: float) -> float:
    """The true share at which more hits, and half of as many, have this probability; by bisection."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        if _upper_mid_p(hits, trials, middle) < tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _upper_mid_p(hits: float, trials: float, share: float) -> float:
    """P(X > hits) + P(X = hits) / 2 of a binomial variable, by the incomplete beta function."""
    from scipy.special import betainc

    at_least = betainc(hits, trials - hits + 1, share) if hits > 0 else 1.0
    more = betainc(hits + 1, trials - hits, share) if hits < trials else 0.0
    return float(at_least + more) / 2


def mean_over_seeds(
    accuracies: Sequence[float], videos: int, *, within: float | None = None, level: float = LEVEL
) -> Interval:
    """Return the mean of trainings with different seeds and an interval for other seeds and other videos.

    Videos and seeds are crossed random effects, for all seeds are measured on the same videos: the variance
    is that of a video, less what seeds disagree about, over the videos, plus that between seeds over these
    (`squared_half_width`). It is brought to the scale of a share by the effective number of videos (Korn and
    Graubard 1998): bounded to 0…100, never of width zero. One seed tells nothing of others: its interval is
    that of the videos alone.

    Args:
        accuracies: percent, one a seed.
        videos: how many each seed was measured on.
        within: `within_video_variance` of the seeds' predictions. Without predictions a quarter of a video's
            variance is taken, which is less than what trainings show: the interval is rather too wide.
        level: the probability with which such intervals hold the true value.

    Raises:
        ValueError: no accuracies, no videos, or an accuracy outside 0…100.
    """
    if not accuracies:
        raise ValueError("no accuracies; mean_over_seeds; give at least one")
    mean, seeds = fmean(accuracies), len(accuracies)
    if seeds == 1:
        return accuracy_interval(mean, videos, level)
    binary = _never_zero(mean, videos)
    within = binary * UNKNOWN_WITHIN if within is None else min(within, binary)
    # The seeds' spread holds their own variance and, of each video, the part that `within` takes from it.
    of_videos, of_seeds = (binary - within) / videos, variance(accuracies) / 100**2 / seeds
    squared = squared_half_width(of_videos, [(of_seeds, seeds - 1)], level)
    effective = binary * normal_quantile(level) ** 2 / squared if squared else math.inf
    return accuracy_interval(mean, min(effective, videos * seeds), level)


def one_seed_interval(
    accuracy: float, videos: int, deviation: float, degrees: int, level: float = LEVEL
) -> Interval:
    """Return the interval for a model of which one training is known, its seeds' spread from elsewhere.

    As `mean_over_seeds`, with the spread of other models' seeds (a published result is one training too).

    Args:
        accuracy: percent.
        videos: how many it was measured on.
        deviation: the standard deviation between seeds, points.
        degrees: the degrees of freedom that the deviation was estimated with.
        level: the probability with which such intervals hold the true value.
    """
    binary = _never_zero(accuracy, videos)
    squared = squared_half_width(binary / videos, [((deviation / 100) ** 2, degrees)], level)
    return accuracy_interval(accuracy, binary * normal_quantile(level) ** 2 / squared, level)


def _never_zero(accuracy: float, videos: float) -> float:
    """Share × (1 - share) after two hits and two misses were added: never 0 (Agresti and Coull 1998)."""
    share = (accuracy / 100 * videos + 2) / (videos + 4)
    return share * (1 - share)


def squared_half_width(
    of_videos: float, of_seeds: Sequence[tuple[float, int]], level: float = LEVEL
) -> float:
    """Return the squared half width for a sum of variances: one well known, and some of few seeds.

    With the quantiles z and t it is z² A + Σ (z² + (t² - z²) w) B, w = B / (B + A/10), for the variance A of
    the videos and B of each mean over seeds. For two seeds Satterthwaite's degrees of freedom cover down to
    88 %, Banerjee's (1960) z² A + Σ t² B up to 98.7 %, this 94.7 to 97.7 % (`docs/statistics.md`).

    Args:
        of_videos: the variance that is known well.
        of_seeds: the estimated variances of means over seeds, with their degrees of freedom.
        level: the probability with which such intervals hold the true value.
    """
    z = normal_quantile(level) ** 2
    total = z * (of_videos + sum(part for part, _ in of_seeds))
    for part, degrees in of_seeds:
        if part > 0:
            weight = part / (part + SMALL_SHARE * of_videos)
            total += (student_quantile(level, degrees) ** 2 - z) * part * weight
    return total


def within_video_variance(right: NDArray[np.bool_]) -> float:
    """Return how much seeds disagree about single videos: the mean over videos of the variance over seeds.

    Args:
        right: which videos each seed got right, (videos, seeds) with at least two seeds.

    Raises:
        ValueError: fewer than two seeds, or no videos.
    """
    if right.ndim != 2 or right.shape[0] == 0 or right.shape[1] < 2:
        raise ValueError(
            f"shape {right.shape}; within_video_variance; give (videos, seeds) with 2 seeds or more"
        )
    return float(right.astype(float).var(axis=1, ddof=1).mean())
