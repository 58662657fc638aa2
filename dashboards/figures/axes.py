"""How far axes reach, and where points stand that share a place: every interval is seen, whole."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from dashboards.figures.panels import Row
from dashboards.render.plain_figure import Trace

_STEP = 0.015
"""Between the intervals of neighbours that share a place, as a share of the axis: 3 pixels in print."""
_WIDEST = 0.15
"""What all points of one place take at most, as a share of the axis."""
_MARGIN = 0.08
_LEAST_SPAN = 5.0
_SYMBOL = 2.0
"""Room below 0 and above 100 % for the symbols of points, in points of accuracy."""


def side_by_side(places: Sequence[float], *, log: bool = False, span: float | None = None) -> list[float]:
    """Return the places of points on an axis, with small steps between those that share one.

    Args:
        places: where each point belongs, in the order in which those of one place shall stand.
        log: whether the axis is logarithmic; then all places are above 0.
        span: the length of the axis in its unit, octaves where it is logarithmic; without one that between
            the first and the last place, and 1 where there is but one.
    """
    if not places:
        return []
    ends = (min(places), max(places))
    reach = math.log2(ends[1] / ends[0]) if log else ends[1] - ends[0]
    length = span or reach or 1.0
    counts, seen = Counter(places), Counter[float]()
    found = []
    for place in places:
        others = counts[place] - 1
        step = min(_STEP, _WIDEST / others) * length if others else 0.0
        away = (seen[place] - others / 2) * step
        seen[place] += 1
        found.append(round(place * 2**away if log else place + away, 9) if away else place)
    return found


def placed(
    rows: Sequence[Row], column: str, *, log: bool = False, span: float | None = None
) -> list[dict[str, Any]]:
    """Return rows with their `place` on the axis of a column, those of one value `side_by_side`."""
    places = side_by_side([row[column] for row in rows], log=log, span=span)
    return [{**row, "place": place} for row, place in zip(rows, places, strict=True)]


def kept_apart(values: Sequence[float], gap: float) -> list[float]:
    """Return values moved as little as makes any two of them at least `gap` apart, in the given order."""
    order = sorted(range(len(values)), key=values.__getitem__)
    moved = list(values)
    for place, after in pairwise(order):
        moved[after] = max(moved[after], moved[place] + gap)
    back = sum(moved[place] - values[place] for place in order) / len(order) if order else 0.0
    return [one - back for one in moved]


def interval_ends(traces: Iterable[Trace]) -> list[float]:
    """Return all y values of traces and the ends of their bars of error."""
    return [end for trace in traces for end in _ends(trace)]


def _ends(trace: Trace) -> Iterator[float]:
    spans = trace.get("error_y") or {}
    none = [None] * len(trace["y"])
    aways = (spans.get("array") or none, spans.get("arrayminus") or none)
    for y, up, down in zip(trace["y"], *aways, strict=True):
        if y is not None:
            yield from (y - (down or 0.0), y, y + (up or 0.0))


def accuracy_range(traces: Iterable[Trace], *others: float) -> list[float]:
    """Return the ends of an axis of accuracies (percent) with all intervals of these traces, and `others`."""
    values = [*interval_ends(traces), *others]
    low, high = min(values), max(values)
    margin = _MARGIN * max(high - low, _LEAST_SPAN)
    return [max(low - margin, -_SYMBOL), min(high + margin, 100 + _SYMBOL)]


def room_for_numbers(traces: Sequence[Trace], room: float) -> list[float]:
    """Return the ends of a y axis that begins at 0, with `room` (a share of what is drawn) for numbers."""
    values = [0.0, *interval_ends(traces)]
    low, high = min(values), max(values)
    beyond = room * (high - low)
    return [low - beyond if low else 0.0, high + beyond if high else 0.0]
