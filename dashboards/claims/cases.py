"""What a claim is judged on: its cases, each a number made of the accuracies of a few models."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import fmean

from catalog.claims.model import MEASURE, AxisValue, Claim
from catalog.names import axes_words, dataset_label, is_other_axis, label, name_part

Place = tuple[AxisValue | None, ...]
"""The values of a result's axes, in the order of the claim's."""
OtherAxes = tuple[tuple[str, str], ...]
"""The values of the other axes of a result's study, by axis (docs/axes.md)."""
Values = Mapping[str, AxisValue | None]
Step = tuple[tuple[AxisValue, AxisValue], ...]
"""The two values that are compared, along each compared axis."""


@dataclass(frozen=True)
class Result:
    """What is known of one model: accuracies (percent) of its finished seeds; none is a missing result.

    `videos` is on how many each seed was measured, None where nobody says; `keys` are those of one's own
    cells, in the order of `top1`. `variant` says what else tells it from results at the same place; empty
    where it is alone there.
    """

    place: Place
    top1: tuple[float, ...] = ()
    top5: tuple[float, ...] = ()
    macs: float | None = None
    videos: int | None = None
    keys: tuple[str, ...] = ()
    planned_seeds: int = 1
    other_axes: OtherAxes = ()
    variant: str = ""


@dataclass(frozen=True)
class Quantity:
    """A number, and its slopes: how it changes with each (measure, result) that it is made of.

    It cannot be more than `most`.
    """

    value: float
    slopes: Mapping[tuple[str, Result], float] = field(default_factory=dict)
    most: float = math.inf

    def plus(self, other: Quantity, times: float) -> Quantity:
        """Return this + `times` · other."""
        slopes = dict(self.slopes)
        for part, slope in other.slopes.items():
            slopes[part] = slopes.get(part, 0.0) + times * slope
        return Quantity(self.value + times * other.value, slopes)

    def beyond(self, other: Quantity) -> Quantity:
        """Return how much this is more than other, in percent of it.

        Raises:
            ZeroDivisionError: other is 0.
        """
        share = self.value / other.value
        slopes = Quantity(0.0).plus(self, 100 / other.value).plus(other, -100 * share / other.value).slopes
        return Quantity(100 * (share - 1), slopes)


@dataclass(frozen=True)
class Case:
    """One instance of a claim: the quantities of which it is the mean, or what is missing for it."""

    name: str
    quantities: tuple[Quantity, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def value(self) -> float | None:
        """The number that the claim's bounds are about."""
        return None if self.missing else fmean(one.value for one in self.quantities)


def cases_of(claim: Claim, results: Sequence[Result]) -> list[Case]:
    """Return the cases of a claim in a set of results (of one study, or of one paper).

    Values that the claim names must occur: where they do not, the case is there and says what it misses. Of
    evaluations the cases are the models for which all that is compared was measured.
    """
    asked = _Asked(claim, results)
    steps = list(product(*(claim.pairs(axis) for axis in claim.compare)))
    groups: dict[str, list[Case]] = {}
    for step, values in product(steps, asked.combinations()):
        kept = {axis: value for axis, value in values.items() if axis not in claim.average_over}
        groups.setdefault(_case_name(claim, kept, step), []).append(asked.case(values, step))
    cases = [_mean(name, group) for name, group in groups.items()]
    # Nobody plans to measure every model in every way: only those count that were.
    measured = [case for case in cases if not case.missing] if claim.results == "evaluations" else []
    return measured or cases


def _mean(name: str, group: Sequence[Case]) -> Case:
    missing = [one for case in group for one in case.missing]
    quantities = tuple(one for case in group for one in case.quantities)
    return Case(name, () if missing else quantities, tuple(dict.fromkeys(missing)))


class _Asked:
    """A set of results, and what a claim asks of it."""

    def __init__(self, claim: Claim, results: Sequence[Result]) -> None:
        self._claim = claim
        # Axes that the claim does not name are axes too: what differs in one is never compared nor averaged.
        others = dict.fromkeys(axis for one in results for axis, _ in one.other_axes)
        self._others = [*dict.fromkeys([*others, *claim.other_axes])]
        self._results = {self._place(one): one for one in results}
        self._axes = [*claim.axes, *self._others]
        self._free = [axis for axis in self._axes if axis not in claim.compare]

    def _place(self, one: Result) -> Place:
        others = dict(one.other_axes)
        return (*one.place, *(others.get(axis) for axis in self._others))

    def combinations(self) -> list[Values]:
        """Return the values of the free axes that occur, and those that the claim names and nothing has."""
        found = {tuple(values.values()): values for values in self._occurring()}
        named = [axis for axis in self._free if axis in self._claim.where]
        occurring = {tuple(values[axis] for axis in named) for values in found.values()}
        wanted = product(*(self._claim.where[axis] for axis in named)) if named else ()
        absent = [dict(zip(named, values, strict=True)) for values in wanted if values not in occurring]
        return [*found.values(), *absent]

    def _occurring(self) -> Iterator[Values]:
        claim = self._claim
        compared = {axis: claim.compared(axis) for axis in claim.compare if axis != MEASURE}
        allowed = {**claim.where, **compared}
        for place in self._results:
            values = dict(zip(self._axes, place, strict=True))
            # TSN is what Φ and Ψ are measured against.
            baseline = values.get("module") == "tsn" and bool({"phi", "psi"} & claim.measures)
            left_out = any(values[axis] in values_of for axis, values_of in claim.without.items())
            wanted = all(values[axis] in values_of for axis, values_of in allowed.items())
            if wanted and not (baseline or left_out):
                yield {axis: values[axis] for axis in self._free}

    def case(self, values: Values, step: Step) -> Case:
        """Return the difference (of differences …) between the two ends of a step."""
        name = _case_name(self._claim, values, step)
        if len(values) < len(self._free):
            return Case(name, missing=(name,))
        signs = list(product((1, -1), repeat=len(step)))
        ends = [self._in_order({**values, **self._end(step, one)}) for one in signs]
        parts = [self._quantity(one) for one in ends]
        missing = [result_name(one) for one, part in zip(ends, parts, strict=True) if part is None]
        known = [part for part in parts if part is not None]
        if missing:
            return Case(name, missing=tuple(dict.fromkeys(missing)))
        if self._claim.relative:
            return Case(name, (known[0].beyond(known[1]),))
        total = Quantity(0.0)
        for one, part in zip(signs, known, strict=True):
            total = total.plus(part, math.prod(one))
        return Case(name, (total,))

    def _in_order(self, values: Values) -> Values:
        # Names of cells have other axes in the order of their study.
        return {axis: values[axis] for axis in (*self._axes, MEASURE) if axis in values}

    def _end(self, step: Step, signs: tuple[int, ...]) -> Values:
        ends = [pair[0] if sign == 1 else pair[1] for pair, sign in zip(step, signs, strict=True)]
        return dict(zip(self._claim.compare, ends, strict=True))

    def _quantity(self, values: Values) -> Quantity | None:
        measure = str(values.get(MEASURE, self._claim.measure))
        result = self._result(values)
        if measure == "macs":
            return Quantity(result.macs / 1e9) if result and result.macs else None
        if measure not in ("phi", "psi"):
            return None if result is None else _accuracy(result, measure)
        tsn = self._result({**values, "module": "tsn", "temporal_pooling": False})
        if result is None or tsn is None:
            return None
        mine, base = _accuracy(result, "top1"), _accuracy(tsn, "top1")
        return None if mine is None or base is None else _CONTRIBUTIONS[measure](mine, base)

    def _result(self, values: Values) -> Result | None:
        return self._results.get(tuple(values[axis] for axis in self._axes))


def _accuracy(result: Result, measure: str) -> Quantity | None:
    seeds = result.top5 if measure == "top5" else result.top1
    return Quantity(fmean(seeds), {(measure, result): 1.0}) if seeds else None


def _spatial(mine: Quantity, tsn: Quantity) -> Quantity | None:
    """Φ of Equation 1: TSN's accuracy as a share of the larger one; not defined where both have 0 %."""
    larger = max(tsn.value, mine.value)
    if not larger:
        return None
    share = min(1.0, tsn.value / larger)
    slopes = Quantity(0.0).plus(tsn, 1 / larger).plus(mine, -share / larger).slopes
    return Quantity(share, slopes, most=1.0)


def _temporal(mine: Quantity, tsn: Quantity) -> Quantity | None:
    """Ψ of Equation 1: what is gained of what TSN leaves open; not defined where TSN has 100 %."""
    left = 100 - tsn.value
    if not left:
        return None
    share = (mine.value - tsn.value) / left
    slopes = Quantity(0.0).plus(mine, 1 / left).plus(tsn, (share - 1) / left).slopes
    return Quantity(share, slopes)


_CONTRIBUTIONS = {"phi": _spatial, "psi": _temporal}


def result_name(values: Values) -> str:
    """Return what people call the result with these values of axes."""
    if "table" in values:
        return ", ".join(str(values[axis]) for axis in ("table", "row", "column"))
    model = "-".join(word for axis in _MODEL if (word := _word(axis, values[axis])))
    protocol = [_word(axis, values[axis]) for axis in _PROTOCOL if axis in values]
    others = name_part((axis, str(value)) for axis, value in values.items() if _is_other(axis, value))
    return " ".join([f"{model}@{values['dataset']}{others}", *protocol])


def _is_other(axis: str, value: AxisValue | None) -> bool:
    return value is not None and is_other_axis(axis)


_MODEL = ("module", "backbone", "temporal_pooling", "frames")
_PROTOCOL = ("sampling", "clips", "crops", "crop_size")
_WORDS = {"frames": "f{}", "clips": "{} clips", "crops": "{} crops", "crop_size": "{} px"}
_MEASURES = {"top1": "top-1", "top5": "top-5", "phi": "Φ", "psi": "Ψ", "macs": "MACs"}


def _case_name(claim: Claim, values: Values, step: Step) -> str:
    here = " ".join(words for axis, value in values.items() if (words := _word(axis, value)))
    # Where all cases compare the same two, the claim says it once.
    compared = (
        compared_words(claim, step) if any(len(claim.pairs(axis)) > 1 for axis in claim.compare) else ""
    )
    return ": ".join(filter(None, [here, compared])) or "all"


def compared_words(claim: Claim, step: Step) -> str:
    """Return what a step compares: `ResNet50 − ResNet18`."""
    pairs = zip(claim.compare, step, strict=True)
    return " and ".join(
        f"{_word(axis, first) or 'no tp'} − {_word(axis, second) or 'no tp'}"
        for axis, (first, second) in pairs
    )


def _word(axis: str, value: AxisValue | None) -> str:
    if axis == "temporal_pooling":
        return "tp" if value else ""
    if axis == MEASURE:
        return _MEASURES[str(value)]
    if axis == "dataset":
        return dataset_label(str(value))
    if axis in ("module", "backbone"):
        return label(str(value))
    if is_other_axis(axis):
        return axes_words([(axis, str(value))]) if _is_other(axis, value) else ""
    return _WORDS.get(axis, "{}").format(value)
