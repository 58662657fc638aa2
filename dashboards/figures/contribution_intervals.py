"""Φ̄ and Ψ̄ of Equation 1 with the intervals that the videos and seeds of their accuracies allow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from statistics import fmean

from dashboards.figures.panels import Row

Equation = Callable[[float, float], float | None]
Pair = tuple[Equation, bool]
"""One of Equation 1's two parts, of a module's accuracy and TSN's; and whether it is about pooled models."""


def spatial(top1: float, tsn: float) -> float | None:
    """Return Φ of Equation 1, of a module's and TSN's accuracy (percent); None where both are 0."""
    return tsn / max(top1, tsn) if max(top1, tsn) > 0 else None


def temporal(top1: float, tsn: float) -> float | None:
    """Return Ψ of Equation 1, of a module's and TSN's accuracy (percent); None where TSN has 100 %."""
    return (top1 - tsn) / (100 - tsn) if tsn < 100 else None


PARTS: dict[str, Pair] = {
    "phi": (spatial, False),
    "psi_ta": (temporal, False),
    "psi_ta_tp": (temporal, True),
}


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
