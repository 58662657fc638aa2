"""Φ̄ and Ψ̄ of Equation 1 with the intervals that the videos and seeds of their accuracies allow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from statistics import fmean
from typing import TYPE_CHECKING

from catalog import Catalog
from catalog.queries.accuracies import contribution_pairs, contributions
from dashboards.figures.figure import EVERYTHING, Scope
from dashboards.figures.measurements import Measurements
from dashboards.figures.panels import Row
from dashboards.render.uncertainty import Accuracy, with_intervals, with_within

if TYPE_CHECKING:
    import pyarrow as pa

_OWN = Accuracy("top1", seeds="seeds", std="top1_std")
_TSN = Accuracy("tsn_top1", "tsn_eval_videos", seeds="tsn_seeds", std="tsn_top1_std")

Equation = Callable[[float, float], float | None]
Pair = tuple[Equation, bool]
"""One of Equation 1's two parts, of a module's accuracy and TSN's; and whether it is about pooled models."""


def spatial(top1: float, tsn: float) -> float | None:
    """Return Φ of Equation 1, of a module's and TSN's accuracy (percent); None where both are 0."""
    return tsn / max(top1, tsn) if max(top1, tsn) > 0 else None


def temporal(top1: float, tsn: float) -> float | None:
    """Return Ψ of Equation 1, of a module's and TSN's accuracy (percent); None where TSN has 100 %."""
    return (top1 - tsn) / (100 - tsn) if tsn < 100 else None


_PARTS: dict[str, Pair] = {
    "phi": (spatial, False),
    "psi_ta": (temporal, False),
    "psi_ta_tp": (temporal, True),
}


def pairs_with_intervals(catalog: Catalog, scope: Scope = EVERYTHING) -> pa.Table:
    """Return `contribution_pairs` with the 95 % intervals of both accuracies (percent)."""
    filters = scope.filters.without("temporal_pooling")
    table = contribution_pairs(catalog, filters, scope.source)
    measurements, rows = Measurements(catalog, filters), table.to_pylist()
    unpooled = {"module": "tsn", "temporal_pooling": False}
    baselines = [{**row, **unpooled, "experiment": row["tsn_experiment"]} for row in rows]
    for accuracy, sides in ((_OWN, rows), (_TSN, baselines)):
        table = with_within(table, accuracy, measurements.within(sides, accuracy, scope.answers))
    return with_intervals(table, _OWN, _TSN)


def contributions_data(catalog: Catalog, scope: Scope = EVERYTHING) -> pa.Table:
    """Return `contributions` with the 95 % interval of each average, `phi_low`, `phi_high` and so on.

    `most_seeds` is the largest number of seeds that one of its accuracies is the mean of.

    An average's bounds are the means of its pairs' bounds, as if all pairs erred together: they share their
    videos, and what cannot be told to be independent is not taken to be. They are empty where a pair's
    accuracies have no interval, because nobody knows on how many videos they were measured.
    """
    import pyarrow as pa

    table = contributions(catalog, scope.filters, scope.source)
    pairs: dict[tuple[str, ...], list[Row]] = {}
    for pair in pairs_with_intervals(catalog, scope).to_pylist():
        pairs.setdefault(_line(pair), []).append(pair)
    lines = [pairs.get(_line(row), []) for row in table.to_pylist()]
    for metric, (equation, pooled) in _PARTS.items():
        bounds = [
            mean_bounds(equation, (p for p in line if p["temporal_pooling"] == pooled)) for line in lines
        ]
        place = table.column_names.index(metric) + 1
        for offset, name in enumerate(("low", "high")):
            values = pa.array([bound and bound[offset] for bound in bounds], pa.float64())
            table = table.add_column(place + offset, f"{metric}_{name}", values)
    seeds = [[pair[name] or 1 for pair in line for name in ("seeds", "tsn_seeds")] for line in lines]
    most = pa.array([max(line, default=1) for line in seeds], pa.int64())
    return table.append_column("most_seeds", most)


def mean_bounds(equation: Equation, pairs: Iterable[Row]) -> tuple[float, float] | None:
    """Return the means of the bounds of all pairs that have a value; None where one has no bounds."""
    known = [p for p in pairs if p["top1"] is not None and p["tsn_top1"] is not None]
    bounds = [pair_bounds(equation, p) for p in known if equation(p["top1"], p["tsn_top1"]) is not None]
    kept = [bound for bound in bounds if bound is not None]
    if not kept or len(kept) < len(bounds):
        return None
    return fmean(low for low, _ in kept), fmean(high for _, high in kept)


def pair_bounds(equation: Equation, pair: Row) -> tuple[float, float] | None:
    """Return the 95 % interval of Φ or Ψ of one pair, whose accuracies have their own intervals.

    What each accuracy's bound alone would change is added in squares (Zou and Donner 2008, MOVER).
    """
    value = equation(pair["top1"], pair["tsn_top1"])
    if value is None or pair["top1_low"] is None or pair["tsn_top1_low"] is None:
        return None
    by_own = [equation(pair[f"top1_{end}"], pair["tsn_top1"]) for end in ("low", "high")]
    by_tsn = [equation(pair["top1"], pair[f"tsn_top1_{end}"]) for end in ("low", "high")]
    changes = [[one - value for one in ends if one is not None] for ends in (by_own, by_tsn)]
    below = math.hypot(*(min(0.0, *change) for change in changes))
    above = math.hypot(*(max(0.0, *change) for change in changes))
    return value - below, min(1.0, value + above)


def _line(row: Row) -> tuple[str, ...]:
    return row["source"], row["study"], row["dataset"], row["module"]
