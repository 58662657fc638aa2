"""Sets of results that may be compared, and their parts: where a study varies how its cells are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from catalog.claims.model import Claim
from catalog.names import axes_words
from dashboards.claims.cases import OtherAxes, Result
from dashboards.statistics.same_videos import Outcome

Source = Literal["own", "published"]
Predictions = Mapping[str, Outcome]
"""Which videos cells got right (1, else 0), by the cells' keys."""


@dataclass(frozen=True, eq=False)
class Set:
    """Results that may be compared: those of one study or a part of it, or of one paper.

    `results` are by the kind that claims name (`grid`, `evaluations`, `printed`).
    """

    source: Source
    study: str
    results: Mapping[str, Sequence[Result]]
    predictions: Predictions = field(default_factory=dict)


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
