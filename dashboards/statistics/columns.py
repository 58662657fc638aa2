"""Intervals of many accuracies and differences at once: columns of numbers in, the two ends as columns out.

The same numbers as those of `dashboards.statistics` one by one, to 1e-12 points. Percent and points; NaN is a
number that is not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dashboards.statistics import (
    LEVEL,
    Interval,
    effective_videos,
    mean_over_seeds_from,
    unpaired_difference,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Column = NDArray[np.float64]
    Ends = tuple[Column, Column]

_SMALLEST = 1e-300
_FEW = 2_000
"""So many are sooner found by halving than scipy.optimize is imported, which takes half a second."""
_HALVINGS = 50
_ROOM = 1e-9
"""By which part the quantiles between which a share is looked for are drawn apart, against rounding."""


def accuracy_intervals(accuracies: Column, videos: Column, level: float = LEVEL) -> Ends:
    """Return the lower and the upper ends of `accuracy_interval` (percent) of many accuracies at once.

    They are the same to 1e-12 points; each pair of accuracy and videos is reckoned once. NaN where an
    accuracy is not finite, or its number of videos is not known (NaN or 0).

    Raises:
        ValueError: an accuracy outside 0…100.
    """
    known = np.isfinite(accuracies) & (videos > 0)
    pairs, places = np.unique(np.stack([accuracies[known], videos[known]]), axis=1, return_inverse=True)
    values, trials = pairs
    if ((values < 0) | (values > 100)).any():
        raise ValueError("accuracies outside 0…100 %; accuracy_intervals; give percent")
    hits, tail = values / 100 * trials, (1 - level) / 2
    low = np.where(values == 0, 0.0, _shares_with_tail(hits, trials, tail))
    high = np.where(values == 100, 1.0, _shares_with_tail(hits, trials, 1 - tail))
    ends = np.full((2, len(accuracies)), np.nan)
    ends[:, known] = np.stack([np.minimum(values, 100 * low), np.maximum(values, 100 * high)])[:, places]
    return ends[0], ends[1]


def _shares_with_tail(hits: Column, trials: Column, tail: float) -> Column:
    """As `_share_with_tail`, of many; where all or none of the trials were hits it says nothing."""
    if len(hits) <= _FEW:
        return _bisected(hits, trials, tail)
    from scipy.optimize import elementwise
    from scipy.special import betaincinv

    # Where P(X >= hits) and where P(X > hits) are the tail: their mean is so in between.
    below = np.where(hits > 0, betaincinv(hits, trials - hits + 1, tail), 0.0)
    above = np.where(hits < trials, betaincinv(hits + 1, trials - hits, tail), 1.0)
    bracket = (below * (1 - _ROOM), np.minimum(1.0, above * (1 + _ROOM)))
    tolerances = {"xatol": 1e-14, "fatol": 0.0}
    found = elementwise.find_root(_beyond, bracket, args=(hits, trials, tail), tolerances=tolerances)
    # Of a millionth of a hit the lower end is smaller than any number that a computer tells from 0.
    return np.asarray(np.where(np.isnan(found.x) & (below < _SMALLEST), 0.0, found.x), dtype=float)


def _bisected(hits: Column, trials: Column, tail: float) -> Column:
    low, high = np.zeros(len(hits)), np.ones(len(hits))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        beyond = _beyond(middle, hits, trials, tail) > 0
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return high


def _beyond(share: Column, hits: Column, trials: Column, tail: float) -> Column:
    """By how much `_upper_mid_p` is above a tail, of many."""
    from scipy.special import betainc

    at_least = np.where(hits > 0, betainc(hits, trials - hits + 1, share), 1.0)
    more = np.where(hits < trials, betainc(hits + 1, trials - hits, share), 0.0)
    return np.asarray((at_least + more) / 2 - tail, dtype=float)


def mean_intervals(
    accuracies: Column, videos: Column, seeds: Column, deviations: Column, within: Column | None = None
) -> Ends:
    """Return the ends of `mean_over_seeds_from` of many means; one seed or NaN seeds are one training.

    NaN where an accuracy is not finite, or its number of videos is not known. Deviations are points; `within`
    is NaN where the predictions of a mean are not known.
    """
    low, high = accuracy_intervals(accuracies, videos)
    for place in np.flatnonzero(np.isfinite(low) & (seeds > 1)):
        known = None if within is None or np.isnan(within[place]) else float(within[place])
        deviation = np.nan_to_num(deviations[place])
        span = mean_over_seeds_from(
            accuracies[place], int(videos[place]), int(seeds[place]), deviation, within=known
        )
        low[place], high[place] = span.low, span.high
    return low, high


def differences_to_published(own: tuple[Column, ...], published: Column, published_videos: Column) -> Ends:
    """Return the ends of own minus published top-1 (points): of independent results (`unpaired_difference`).

    A published result is one training too: it may lie as far from others as one's own seeds do, whose
    deviation widens its side (`effective_videos`).

    Args:
        own: as `mean_intervals` takes them.
        published: percent.
        published_videos: on how many; where nobody knows (NaN), as many as one's own.
    """
    top1, videos, seeds, deviations = own[:4]
    counted = np.where(published_videos > 0, published_videos, videos)
    known = np.isfinite(published) & (counted > 0)
    for place in np.flatnonzero(known & (seeds > 1) & (deviations > 0)):
        counted[place] = effective_videos(
            published[place], int(counted[place]), deviations[place], int(seeds[place]) - 1
        )
    ours, theirs = mean_intervals(*own), accuracy_intervals(published, counted)
    ends = np.full((2, len(top1)), np.nan)
    for place in np.flatnonzero(np.isfinite(ours[0]) & np.isfinite(theirs[0])):
        other = Interval(published[place], theirs[0][place], theirs[1][place])
        span = unpaired_difference(Interval(top1[place], ours[0][place], ours[1][place]), other)
        ends[:, place] = span.low, span.high
    return ends[0], ends[1]
