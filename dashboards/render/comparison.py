"""Which of several results is better, and whether that can be told: differences, tests, the bold ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist, fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from dashboards.statistics import (
    LEVEL,
    Interval,
    holm,
    mean_over_seeds,
    student_quantile,
    unpaired_difference,
    within_video_variance,
)
from dashboards.statistics.same_videos import (
    Outcome,
    PairedCounts,
    mcnemar,
    on_same_videos,
    paired_difference,
    paired_difference_over_seeds,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Row = Mapping[str, Any]

SIGNIFICANT = 0.05
_AGREES = 0.01
"""Predictions belong to an accuracy that they give to within so many points."""
_SMALLEST = 2.0**-40


@dataclass(frozen=True)
class Result:
    """What trainings of one model gave: a value and the key of each, and on how many videos.

    `accuracy` tells percentages of right videos from other numbers, such as losses, which know no videos.
    """

    values: tuple[float, ...]
    videos: int | None = None
    keys: tuple[str, ...] = ()
    accuracy: bool = True

    @property
    def mean(self) -> float:
        """The mean of all trainings."""
        return fmean(self.values)


@dataclass(frozen=True)
class Difference:
    """first - second with its 95 % interval, in the results' unit, and the p-value of no difference.

    NaN where nobody can tell; `paired` says that it was counted by video, `holm` is p corrected for all that
    was asked together.
    """

    estimate: float
    low: float
    high: float
    p: float
    paired: bool
    holm: float = math.nan

    @property
    def sure(self) -> bool:
        """Whether it is told from none, corrected."""
        return self.holm < SIGNIFICANT


NOTHING = Result(())
"""No training at all: no difference to it can be told."""

Outcomes = Mapping[str, Outcome]
NO_OUTCOMES: Outcomes = {}


def result_of(row: Row) -> Result:
    """Return a row of `trainings_behind` as a result."""
    return Result(tuple(row["values"]), row["eval_videos"], tuple(row["keys"]))


def outcomes_of(rows: Iterable[Row]) -> Outcomes:
    """Return the rows of `outcomes_by_video` by key."""
    return {row["key"]: Outcome(row["videos"], np.array(row["outcomes"], np.float64)) for row in rows}


def within_of(result: Result, outcomes: Outcomes) -> float | None:
    """Return the `within_video_variance` of a result's trainings; None where predictions are not known."""
    known = [outcomes[key] for key in result.keys if key in outcomes]
    if len(known) < 2 or len(known) < len(result.values) or len({one.videos for one in known}) > 1:
        return None
    return within_video_variance(np.stack([one.by_video > 0.5 for one in known], axis=1))


def differences(
    pairs: Sequence[tuple[Result, Result]],
    outcomes: Outcomes = NO_OUTCOMES,
    families: Sequence[str] | None = None,
) -> list[Difference]:
    """Return first - second of every pair; `holm` is corrected for all of them.

    Where `families` names one for each pair, it is corrected for those of the same family.
    """
    found = [difference(first, second, outcomes) for first, second in pairs]
    names = [""] * len(pairs) if families is None else families
    for family in set(names):
        places = [place for place, name in enumerate(names) if name == family]
        for place, p in zip(places, holm([found[place].p for place in places]), strict=True):
            found[place] = replace(found[place], holm=p)
    return found


def difference(first: Result, second: Result, outcomes: Outcomes = NO_OUTCOMES) -> Difference:
    """Return first - second: by video where the predictions of both on the same videos are known.

    Otherwise accuracies are compared by their own intervals, and other numbers by Welch's test where both
    have several seeds.
    """
    if not (first.values and second.values):
        return Difference(math.nan, math.nan, math.nan, math.nan, paired=False)
    matrices = _on_same_videos(first, second, outcomes)
    if not first.accuracy:
        return _of_numbers(first, second, matrices)
    if matrices is None:
        return _unpaired(first, second)
    one, other = (matrix > 0.5 for matrix in matrices)
    if one.shape[1] == other.shape[1] == 1:
        counts = paired_counts(one[:, 0], other[:, 0])
        span = paired_difference(counts)
        return Difference(span.estimate, span.low, span.high, mcnemar(counts).mid_p, paired=True)
    return _tested(lambda level: paired_difference_over_seeds(one, other, level), paired=True)


def paired_counts(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> PairedCounts:
    """Return on how many videos both are right, only the first, only the second, neither."""
    both, either = int((first & second).sum()), int((first | second).sum())
    return PairedCounts(both, int(first.sum()) - both, int(second.sum()) - both, len(first) - either)


def significantly_best(
    groups: Sequence[Sequence[Result | None]], outcomes: Outcomes = NO_OUTCOMES, *, largest: bool = True
) -> list[int | None]:
    """Return, for every group, the place of the result that is better than all others of it; None: none is.

    Every group's best mean is tested against each other one of the group, with Holm's correction over all
    groups: all that a page shows. Where one of these differences cannot be told, nothing is best.
    """
    leaders = [_leader(group, largest) for group in groups]
    asked = [
        (number, (leading, other))
        for number, (group, leader) in enumerate(zip(groups, leaders, strict=True))
        if leader is not None and (leading := group[leader]) is not None
        for place, other in enumerate(group)
        if other is not None and place != leader
    ]
    told: dict[int, bool] = {}
    for (number, _), one in zip(asked, differences([pair for _, pair in asked], outcomes), strict=True):
        better = one.estimate > 0 if largest else one.estimate < 0
        told[number] = told.get(number, True) and one.sure and better
    return [leader if told.get(number) else None for number, leader in enumerate(leaders)]


def _leader(group: Sequence[Result | None], largest: bool) -> int | None:
    means = {place: one.mean for place, one in enumerate(group) if one is not None and one.values}
    if not means:
        return None
    return max(means, key=lambda place: means[place]) if largest else min(means, key=lambda p: means[p])


def _on_same_videos(
    first: Result, second: Result, outcomes: Outcomes
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Both results' outcomes, (videos, seeds) each; None where they are not known of the same videos."""
    for result in (first, second):
        known = [outcomes[key] for key in result.keys if key in outcomes]
        scale = 100 if result.accuracy else 1
        if len(known) != len(result.values):
            return None
        for value, one in zip(result.values, known, strict=True):
            if abs(scale * float(one.by_video.mean()) - value) > _AGREES * max(1.0, abs(value) / 100):
                return None
    found = on_same_videos((first.keys, second.keys), outcomes)
    return None if found is None else (found[0], found[1])


def _unpaired(first: Result, second: Result) -> Difference:
    if not (first.videos and second.videos):
        return Difference(first.mean - second.mean, math.nan, math.nan, math.nan, paired=False)
    spans = [(one.values, one.videos) for one in (first, second)]
    return _tested(
        lambda level: unpaired_difference(*(mean_over_seeds(*span, level=level) for span in spans)),  # type: ignore[arg-type]
        paired=False,
    )


def _tested(span_at: Callable[[float], Interval], *, paired: bool) -> Difference:
    """A difference with the p-value that its intervals imply: 1 - level of the widest one without 0."""
    span = span_at(LEVEL)
    return Difference(span.estimate, span.low, span.high, _implied_p(span_at, span), paired=paired)


def _implied_p(span_at: Callable[[float], Interval], span: Interval) -> float:
    from scipy.optimize import brentq

    def bound(bits: float) -> float:
        at = span_at(1 - 2.0**-bits)
        return at.low if span.estimate > 0 else -at.high

    if span.low <= 0 <= span.high:
        # Nothing depends on how far it is from significant: the normal distribution will do.
        towards = span.estimate - span.low if span.estimate > 0 else span.high - span.estimate
        reach = NormalDist().inv_cdf(0.5 + LEVEL / 2) * abs(span.estimate) / towards if towards else 0.0
        return max(1 - LEVEL, 2 * NormalDist().cdf(-reach))
    if bound(-math.log2(_SMALLEST)) > 0:
        return _SMALLEST
    return float(2.0 ** -brentq(bound, -math.log2(1 - LEVEL) - 0.01, -math.log2(_SMALLEST), rtol=1e-3))


def _of_numbers(
    first: Result, second: Result, matrices: tuple[NDArray[np.float64], NDArray[np.float64]] | None
) -> Difference:
    """A difference of numbers that are no shares: by video (Student), or between seeds (Welch 1947)."""
    estimate = first.mean - second.mean
    if matrices is not None and all(matrix.shape[1] == 1 for matrix in matrices):
        by_video = matrices[0][:, 0] - matrices[1][:, 0]
        videos = len(by_video)
        if videos > 1:
            error = float(by_video.std(ddof=1)) / math.sqrt(videos)
            return _by_student(estimate, error, videos - 1, paired=True)
    if min(len(first.values), len(second.values)) < 2:
        return Difference(estimate, math.nan, math.nan, math.nan, paired=False)
    parts = [(stdev(one.values) ** 2 / len(one.values), len(one.values) - 1) for one in (first, second)]
    squared = sum(part for part, _ in parts)
    degrees = squared**2 / sum(part**2 / df for part, df in parts) if squared else 1.0
    return _by_student(estimate, math.sqrt(squared), degrees, paired=False)


def _by_student(estimate: float, error: float, degrees: float, *, paired: bool) -> Difference:
    from scipy.special import stdtr

    half = student_quantile(LEVEL, degrees) * error
    p = 2 * float(stdtr(degrees, -abs(estimate) / error)) if error else float(estimate == 0)
    return Difference(estimate, estimate - half, estimate + half, p, paired=paired)
