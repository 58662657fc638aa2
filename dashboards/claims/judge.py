"""Judges claims on sets of results: holds, fails, or cannot be told. Pure functions of plain data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from statistics import fmean
from typing import TYPE_CHECKING, Literal

from catalog.claims.model import Cases, Claim
from catalog.names import axes_words
from dashboards.claims.cases import Case, OtherAxes, Quantity, Result, cases_of
from dashboards.statistics import LEVEL, Interval, mean_over_seeds
from dashboards.statistics.same_videos import Outcome, on_same_videos, paired_difference_over_seeds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


Source = Literal["own", "published"]
Predictions = Mapping[str, Outcome]
"""Which videos cells got right (1, else 0), by the cells' keys."""


class Verdict(StrEnum):
    """What results say about a claim."""

    HOLDS = "holds"
    FAILS = "fails"
    UNKNOWN = "cannot be told"


NO_CLAIMS: Mapping[str, Sequence[Claim]] = {}


@dataclass(frozen=True, eq=False)
class Set:
    """Results that may be compared: those of one study or a part of it, or of one paper.

    `results` are by the kind that claims name (`grid`, `evaluations`, `printed`).
    """

    source: Source
    study: str
    results: Mapping[str, Sequence[Result]]
    predictions: Predictions = field(default_factory=dict)


@dataclass(frozen=True)
class JudgedCase:
    """A case with what it says: of the number alone, and with its uncertainty.

    `paired` says that its interval is that of a difference on the same videos.
    """

    case: Case
    interval: Interval | None
    as_measured: Verdict
    beyond_uncertainty: Verdict
    paired: bool = False

    @property
    def seeds(self) -> int:
        """The fewest seeds that one of its results has; 0 where one is missing."""
        parts = [result for one in self.case.quantities for _, result in one.slopes]
        return min((len(one.top1) for one in parts), default=0)


@dataclass(frozen=True)
class Judgement:
    """A claim judged on a set of results.

    `as_measured` takes every number for exact; `beyond_uncertainty` says only what the intervals allow. The
    verdict is the latter for one's own results. A paper's numbers are single trainings, and how far another
    training would be is not known, so that no interval holds the truth: its verdict is the former.
    """

    claim: Claim
    source: Source
    study: str
    cases: tuple[JudgedCase, ...]
    as_measured: Verdict
    beyond_uncertainty: Verdict

    @property
    def is_told(self) -> bool:
        """Whether there are results for any of its cases."""
        return any(one.as_measured is not Verdict.UNKNOWN for one in self.cases)

    @property
    def verdict(self) -> Verdict:
        """The one that counts."""
        return self.as_measured if self.source == "published" else self.beyond_uncertainty


def judge(claim: Claim, of: Set) -> Judgement:
    """Judge a claim on one set of results.

    That every case holds is shown if each one's interval lies within the bounds (an intersection-union test:
    no correction needed). That one of them fails is shown only by an interval that is corrected for their
    number (Bonferroni); for `some` it is the other way round, and `most` needs both.
    """
    cases = cases_of(claim, of.results.get(claim.results, ()))
    judged = tuple(_judged(claim, case, of.predictions, len(cases)) for case in cases)
    measured = quantified(claim.cases, [one.as_measured for one in judged])
    beyond = quantified(claim.cases, [one.beyond_uncertainty for one in judged])
    return Judgement(claim, of.source, of.study, judged, measured, beyond)


def quantified(cases: Cases, verdicts: Sequence[Verdict]) -> Verdict:
    """Return whether every case, most of them (more than half) or some of them hold, as far as is known."""
    held, failed = verdicts.count(Verdict.HOLDS), verdicts.count(Verdict.FAILS)
    number = len(verdicts)
    if number == 0:
        return Verdict.UNKNOWN
    needed = {"every": number, "most": number // 2 + 1, "some": 1}[cases]
    if held >= needed:
        return Verdict.HOLDS
    return Verdict.FAILS if failed > number - needed else Verdict.UNKNOWN


def _judged(claim: Claim, case: Case, predictions: Predictions, cases: int) -> JudgedCase:
    value = case.value
    if value is None:
        return JudgedCase(case, None, Verdict.UNKNOWN, Verdict.UNKNOWN)
    measured = Verdict.HOLDS if claim.expect.allows(value) else Verdict.FAILS
    interval = case_interval(case, predictions)
    if interval is None:
        return JudgedCase(case, None, measured, Verdict.UNKNOWN)
    beyond = _beyond(claim, interval)
    corrected = {"every": (Verdict.FAILS,), "some": (Verdict.HOLDS,), "most": (Verdict.HOLDS, Verdict.FAILS)}
    if cases > 1 and beyond in corrected[claim.cases]:
        wider = case_interval(case, predictions, 1 - (1 - LEVEL) / cases)
        beyond = beyond if wider is None else _beyond(claim, wider)
    return JudgedCase(case, interval, measured, beyond, _is_paired(case, predictions))


def _beyond(claim: Claim, interval: Interval) -> Verdict:
    if claim.expect.holds_all(interval.low, interval.high):
        return Verdict.HOLDS
    return Verdict.FAILS if claim.expect.holds_none(interval.low, interval.high) else Verdict.UNKNOWN


def case_interval(case: Case, predictions: Predictions, level: float = LEVEL) -> Interval | None:
    """Return the interval of a case that misses nothing; None where on how many videos is not known.

    A difference of two models on the same videos is paired by video. A mean over cases has the mean of their
    intervals: measured on the same videos, several models are not surer than one.
    """
    found = [_interval(one, predictions, level) for one in case.quantities]
    known = [one for one in found if one is not None]
    if not known or len(known) < len(found):
        return None
    means = [fmean(getattr(one, part) for one in known) for part in ("estimate", "low", "high")]
    return Interval(*means)


def _interval(quantity: Quantity, predictions: Predictions, level: float) -> Interval | None:
    pair = _pair(quantity, predictions)
    if pair is not None:
        return paired_difference_over_seeds(*pair, level)
    low = high = 0.0
    for (measure, result), slope in quantity.slopes.items():
        one = _accuracy_interval(result, measure, level)
        if one is None:
            return None
        ends = sorted((slope * (one.low - one.estimate), slope * (one.high - one.estimate)))
        low, high = math.hypot(low, ends[0]), math.hypot(high, ends[1])
    return Interval(quantity.value, quantity.value - low, min(quantity.value + high, quantity.most))


def _accuracy_interval(result: Result, measure: str, level: float) -> Interval | None:
    seeds = result.top5 if measure == "top5" else result.top1
    return mean_over_seeds(seeds, result.videos, level=level) if result.videos else None


def _is_paired(case: Case, predictions: Predictions) -> bool:
    return all(_pair(one, predictions) is not None for one in case.quantities)


def _pair(quantity: Quantity, predictions: Predictions) -> tuple[NDArray[np.bool_], NDArray[np.bool_]] | None:
    """The predictions of a plain difference in top-1, (videos, seeds) each, where all of them are known."""
    by_slope = {slope: part for part, slope in quantity.slopes.items()}
    if len(quantity.slopes) != 2 or set(by_slope) != {1.0, -1.0}:
        return None
    sides = [by_slope[slope] for slope in (1.0, -1.0)]
    if any(measure != "top1" or len(result.keys) != len(result.top1) for measure, result in sides):
        return None
    found = on_same_videos([result.keys for _, result in sides], predictions)
    return None if found is None else (found[0] > 0.5, found[1] > 0.5)


def judge_all(
    claims: Sequence[Claim], sets: Sequence[Set], of_studies: Mapping[str, Sequence[Claim]] = NO_CLAIMS
) -> list[Judgement]:
    """Judge every claim on every set, and a study's own ones on its results and on the published ones.

    Where several places hold the same claim, it is judged once on each set. A claim that names other axes is
    judged on the sets that have them, if any has; by values of those that it does not name each set is judged
    part by part.
    """
    asked = [pair for claim in claims for pair in _asked(claim, sets)]
    for study, own in of_studies.items():
        concerned = [one for one in sets if one.source == "published" or one.study == study]
        for claim in own:
            asked += [pair for pair in _asked(claim, concerned) if pair not in asked]
    return [judge(claim, part) for claim, one in asked for part in parts(one, claim)]


def _asked(claim: Claim, sets: Sequence[Set]) -> list[tuple[Claim, Set]]:
    found = [one for one in sets if has_axes(one, claim)]
    # Nobody has them: said once, and not by silence.
    none = [Set(one.source, "", {}) for one in sets[:1]]
    return [(claim, one) for one in found or none]


def has_axes(of: Set, claim: Claim) -> bool:
    """Return whether the results are of a study that has the other axes which a claim names."""
    known = {axis for results in of.results.values() for one in results for axis, _ in one.other_axes}
    return known.issuperset(claim.other_axes)


def parts(of: Set, claim: Claim) -> list[Set]:
    """Return the parts of what a claim is about in a set, each with one value of the axes it does not name.

    Claims over models are about models that are trained alike. A part has the values of other axes behind
    its study's name: `rates (lr 0.01)`; where nothing varies that the claim does not name, the set is its
    only part.
    """
    results = of.results.get(claim.results, ())
    found: dict[tuple[OtherAxes, str], list[Result]] = {}
    for one in results:
        unnamed = tuple(pair for pair in one.other_axes if pair[0] not in claim.other_axes)
        found.setdefault((unnamed, one.variant), []).append(one)
    varied = _varied([unnamed for unnamed, _ in found])
    if not varied and len(found) < 2:
        return [of]
    return [
        replace(
            of,
            study=_part_name(of.study, unnamed, varied, variant),
            results={claim.results: found[unnamed, variant]},
        )
        for unnamed, variant in sorted(found)
    ]


def _varied(found: Sequence[OtherAxes]) -> set[str]:
    """The axes of which there is more than one value."""
    values: dict[str, set[str]] = {}
    for one in found:
        for axis, text in one:
            values.setdefault(axis, set()).add(text)
    return {axis for axis, texts in values.items() if len(texts) > 1}


def _part_name(study: str, axes: OtherAxes, varied: set[str], variant: str) -> str:
    words = ", ".join(filter(None, [axes_words(pair for pair in axes if pair[0] in varied), variant]))
    return f"{study} ({words})" if words else study
