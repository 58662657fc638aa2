"""How sure an accuracy or a difference is: by the number of videos, and by the spread of several seeds.

Pure functions of plain numbers, in percent and points. What each one assumes, and its source:
`docs/statistics.md`. It imports nothing of the project.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LEVEL = 0.95
_STEPS = 2**50
SMALL_SHARE = 0.1
"""A seeds' part of the variance below this share of the videos' part hardly widens a quantile."""

UNKNOWN_WITHIN = 1 / 3
"""The share of a video's variance that seeds are taken to disagree about where no predictions are known: that
of two seeds that disagree on 16 % of the videos, as `power` assumes, at an accuracy around 60 %."""


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval that holds the true value at the asked level, in percent or points."""

    estimate: float
    low: float
    high: float


def interval_in_words(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """Return `52.1 to 71.6`, or with signs; empty where the interval is not known."""
    form = "+.1f" if signed else ".1f"
    return "" if low is None or high is None else f"{low:{form}} to {high:{form}}"


def accuracy_in_words(
    accuracy: float, bounds: tuple[float | None, float | None] | None, about: str = "", decimals: int = 2
) -> str:
    """Return an accuracy (percent), its interval, what it is from: `62.50 % (52.1 to 71.6; 96 videos)`."""
    said = "; ".join(filter(None, (interval_in_words(*(bounds or (None, None))), about)))
    return f"{accuracy:.{decimals}f} % ({said})" if said else f"{accuracy:.{decimals}f} %"


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
    _require_share(videos, accuracy)
    hits, tail = accuracy / 100 * videos, (1 - level) / 2
    low = 0.0 if accuracy == 0 else _share_with_tail(hits, videos, tail)
    high = 1.0 if accuracy == 100 else _share_with_tail(hits, videos, 1 - tail)
    return Interval(accuracy, min(accuracy, 100 * low), max(accuracy, 100 * high))


def _require_share(videos: float, *accuracies: float) -> None:
    for accuracy in accuracies:
        if not videos > 0 or not 0 <= accuracy <= 100:
            raise ValueError(f"{accuracy} % of {videos} videos; an interval; give 0…100 % and videos > 0")


def _share_with_tail(hits: float, trials: float, tail: float) -> float:
    """The true share at which more hits, and half of as many, have this probability."""
    # Not scipy.optimize: to import it took a sixth of what `status` takes with 100,000 cells.
    found = bisect_left(range(_STEPS), tail, key=lambda step: _upper_mid_p(hits, trials, step / _STEPS))
    return found / _STEPS


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
    (`squared_half_width`). Of the latter a part is known well: what follows from seeds disagreeing about
    single videos (`_chance_share`). It is brought to the scale of a share by Wilson's interval (1927) with
    the effective number of videos (Korn and Graubard 1998): bounded to 0…100, never of width zero. One seed
    tells nothing of others: its interval is that of the videos alone.

    Args:
        accuracies: percent, one a seed.
        videos: how many each seed was measured on.
        within: `within_video_variance` of the seeds' predictions. Without predictions a third of a video's
            variance is taken; where seeds disagree about more, the interval is rather too wide.
        level: the probability with which such intervals hold the true value.

    Raises:
        ValueError: no accuracies, no videos, or an accuracy outside 0…100.
    """
    if not accuracies:
        raise ValueError("no accuracies; mean_over_seeds; give at least one")
    _require_share(videos, *accuracies)
    deviation = stdev(accuracies) if len(accuracies) > 1 else 0.0
    return mean_over_seeds_from(
        fmean(accuracies), videos, len(accuracies), deviation, within=within, level=level
    )


def mean_over_seeds_from(
    mean: float,
    videos: int,
    seeds: int = 1,
    deviation: float = 0.0,
    *,
    within: float | None = None,
    level: float = LEVEL,
) -> Interval:
    """Return `mean_over_seeds` of trainings of which the mean and the sample deviation are known.

    Args:
        mean: percent.
        videos: how many each seed was measured on.
        seeds: how many trainings.
        deviation: the standard deviation of their accuracies, points.
        within: as `mean_over_seeds` takes it.
        level: the probability with which such intervals hold the true value.

    Raises:
        ValueError: no videos, or a mean outside 0…100.
    """
    if seeds == 1:
        return accuracy_interval(mean, videos, level)
    _require_share(videos, mean)
    answers = videos * seeds
    # Where no answer is wrong, or none right, it cancels out.
    binary = mean / 100 * (1 - mean / 100) or 1.0
    within = binary * UNKNOWN_WITHIN if within is None else min(within, binary)
    # The seeds' spread holds their own variance and, of each video, the part that `within` takes from it.
    chance = _chance_share(videos) * within / answers
    of_videos = (binary - within) / videos + chance
    of_seeds = max(0.0, (deviation / 100) ** 2 / seeds - chance)
    squared = squared_half_width(of_videos, [(of_seeds, seeds - 1)], level)
    effective = binary * normal_quantile(level) ** 2 / squared if squared else math.inf
    return _wilson(mean, min(effective, answers), level)


def _chance_share(videos: int) -> float:
    """How much of what seeds disagree about is taken out of the variance between their accuracies.

    By simulation (`benchmarks/interval_coverage.py`); of many videos little: there seeds' own variance
    dominates, and where it looks small by chance, only its large quantile makes up for it.
    """
    return 1 / (1.2 + videos / 50)


def _wilson(accuracy: float, videos: float, level: float) -> Interval:
    """Wilson's interval (1927), percent; `videos` need not be whole."""
    share, z = accuracy / 100, normal_quantile(level) ** 2 / videos
    centre = (share + z / 2) / (1 + z)
    half = math.sqrt(share * (1 - share) * z + z * z / 4) / (1 + z)
    # Rounding must not put an end of 0 or 100 on the wrong side of the accuracy.
    low, high = max(0.0, 100 * (centre - half)), min(100.0, 100 * (centre + half))
    return Interval(accuracy, min(accuracy, low), max(accuracy, high))


def effective_videos(
    accuracy: float, videos: int, deviation: float, degrees: int, level: float = LEVEL
) -> float:
    """Return the number of videos for `accuracy_interval` of a model of which one training is known.

    They alone would leave as much open as its videos do together with other models' seeds, whose spread is
    known (as `mean_over_seeds`; a published result is one training too).

    Args:
        accuracy: percent.
        videos: how many it was measured on.
        deviation: the standard deviation between seeds, points.
        degrees: the degrees of freedom that the deviation was estimated with.
        level: the probability with which such intervals hold the true value.
    """
    binary = _never_zero(accuracy, videos)
    squared = squared_half_width(binary / videos, [((deviation / 100) ** 2, degrees)], level)
    return binary * normal_quantile(level) ** 2 / squared


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


def unpaired_difference(first: Interval, second: Interval) -> Interval:
    """Return first - second of two independent estimates from the interval of each, in their unit.

    The method of variance estimates recovery (Newcombe 1998, method 10; Zou and Donner 2008): it takes any
    two intervals of one level, of videos alone or over seeds. For results on the same videos whose
    predictions are not known it errs on the wide side.
    """
    difference = first.estimate - second.estimate
    down = math.hypot(first.estimate - first.low, second.high - second.estimate)
    up = math.hypot(first.high - first.estimate, second.estimate - second.low)
    return Interval(difference, difference - down, difference + up)


def holm(values: Sequence[float]) -> list[float]:
    """Correct p-values for having asked several times (Holm 1979), in the order that they came in.

    NaN is a question that could not be asked: it stays NaN and counts for nothing.
    """
    asked = [index for index, value in enumerate(values) if not math.isnan(value)]
    corrected = [math.nan] * len(values)
    largest = 0.0
    for place, index in enumerate(sorted(asked, key=lambda one: values[one])):
        largest = max(largest, min(1.0, (len(asked) - place) * values[index]))
        corrected[index] = largest
    return corrected
