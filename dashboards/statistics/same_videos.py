"""Two models on the same videos: what they got right, the difference with its interval, McNemar's test.

Pure functions of plain numbers. What each one assumes, and its source: `docs/statistics.md`, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dashboards.statistics import (
    LEVEL,
    Interval,
    normal_quantile,
    squared_half_width,
    within_video_variance,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one training's predictions say of every video, in order; `videos` names their list."""

    videos: str
    by_video: NDArray[np.float64]


def on_same_videos(
    sides: Sequence[Sequence[str]], outcomes: Mapping[str, Outcome]
) -> list[NDArray[np.float64]] | None:
    """Return the outcomes of each side's trainings (their keys), (videos, seeds) each.

    None where those of one are not known, or not all are of the same videos.
    """
    import numpy as np

    known = [[outcomes[key] for key in keys if key in outcomes] for keys in sides]
    complete = all(found and len(found) == len(keys) for found, keys in zip(known, sides, strict=True))
    if not complete or len({one.videos for found in known for one in found}) != 1:
        return None
    return [np.stack([one.by_video for one in found], axis=1) for found in known]


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
    """Test whether two models have the same accuracy: only the videos on which they disagree tell.

    Where both are right alone equally often, mid-p is 1 less half of that outcome's probability; models that
    never disagree have p = 1.
    """
    few = min(counts.only_first, counts.only_second)
    trials = counts.only_first + counts.only_second
    if trials == 0:
        return Mcnemar(1.0, 1.0)
    log_all = math.lgamma(trials + 1) - trials * math.log(2)
    chances = [
        math.exp(log_all - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)) for hits in range(few + 1)
    ]
    if 2 * few == trials:
        return Mcnemar(1.0, 1 - chances[-1] / 2)
    tail = 2 * math.fsum(chances)
    return Mcnemar(min(1.0, tail), min(1.0, tail - chances[-1]))


def paired_difference(counts: PairedCounts, level: float = LEVEL) -> Interval:
    """Return first - second (points) of two trained models on the same videos, by Bonett and Price (2012).

    Wald's interval after a video was added for which the first alone is right, and one for the second alone.
    It speaks of these two trainings; what other seeds would give it does not know.

    Raises:
        ValueError: no videos.
    """
    videos = counts.videos
    if videos == 0:
        raise ValueError("no videos; paired_difference; give the models at least one video in common")
    first, second = counts.only_first, counts.only_second
    centre, squared = _with_one_each(first - second, first + second, videos)
    half = normal_quantile(level) * math.sqrt(squared)
    return _points((first - second) / videos, centre, half)


def _with_one_each(total: float, squares: float, videos: int) -> tuple[float, float]:
    """Mean of per-video differences and its variance, a video of +1 and one of -1 added."""
    mean = total / (videos + 2)
    return mean, ((squares + 2) / (videos + 2) - mean**2) / (videos + 2)


def _points(difference: float, centre: float, half: float) -> Interval:
    low, high = max(-1.0, centre - half), min(1.0, centre + half)
    return Interval(100 * difference, 100 * min(low, difference), 100 * max(high, difference))


def paired_difference_over_seeds(
    first: NDArray[np.bool_], second: NDArray[np.bool_], level: float = LEVEL
) -> Interval:
    """Return first - second (points), each a mean over its seeds, on the same videos.

    Videos and seeds are crossed random effects: the variance is that of the videos' differences, less what
    seeds disagree about, plus those of the means over seeds, both models' seeds taken to spread alike. With
    one seed each it is `paired_difference`.

    Args:
        first: which videos each seed of the first model got right, (videos, seeds).
        second: the same of the second model; the rows are the same videos.
        level: the probability with which such intervals hold the true value.

    Raises:
        ValueError: no videos or no seeds, or different numbers of videos.
    """
    if first.shape[0] != second.shape[0] or 0 in (*first.shape, *second.shape):
        raise ValueError(f"{first.shape}, {second.shape}; paired_difference_over_seeds; give the same videos")
    differences = first.mean(axis=1) - second.mean(axis=1)
    videos = len(differences)
    centre, squared = _with_one_each(float(differences.sum()), float((differences**2).sum()), videos)
    share = 1 / first.shape[1] + 1 / second.shape[1]
    spread, within, degrees = _pooled([one for one in (first, second) if one.shape[1] > 1])
    # The seeds' means hold what seeds disagree about already.
    of_videos = max(squared - within * share / videos, 2 / (videos + 2) ** 2)
    half = math.sqrt(squared_half_width(of_videos, [(spread * share, degrees)], level))
    return _points(float(differences.mean()), centre, half)


def _pooled(models: Sequence[NDArray[np.bool_]]) -> tuple[float, float, int]:
    """Of models with several seeds: variance between seeds, variance of a video over them, degrees."""
    degrees = [right.shape[1] - 1 for right in models]
    total = max(1, sum(degrees))
    spread = sum(n * float(right.mean(axis=0).var(ddof=1)) for n, right in zip(degrees, models, strict=True))
    within = sum(n * within_video_variance(right) for n, right in zip(degrees, models, strict=True))
    return spread / total, within / total, total
