"""The sets of results that claims are judged on, from a catalog: each study of one's own, each paper."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from catalog.claims.load import ClaimsError, claim_problems
from catalog.claims.model import AXES, Claim, ClaimFile
from catalog.field_errors import Problem
from catalog.queries.claims import (
    claimed_evaluations,
    claimed_grid,
    claimed_numbers,
    claims_of_studies,
    right_predictions,
)
from catalog.queries.filters import ALL, Filters, Source
from dashboards.claims.cases import Result
from dashboards.claims.judge import Judgement, Predictions, Set, judge_all
from dashboards.statistics.same_videos import Outcome

if TYPE_CHECKING:
    from catalog import Catalog

Row = Mapping[str, Any]


def judgements(
    catalog: Catalog,
    claims: Sequence[Claim],
    filters: Filters = ALL,
    source: Source = "both",
    named: Callable[[Claim], bool] = lambda claim: True,
) -> list[Judgement]:
    """Judge claims on all results, and those of studies on their own; of all of them those that are `named`.

    Of the filters, studies count.

    Raises:
        ClaimsError: another version submitted claims that this one cannot judge.
    """
    own = {study: [*filter(named, of)] for study, of in study_claims(catalog, filters).items()}
    return judge_all([*filter(named, claims)], result_sets(catalog, filters, source), own)


def study_claims(catalog: Catalog, filters: Filters = ALL) -> Mapping[str, tuple[Claim, ...]]:
    """Return the claims of every study's own, as it was submitted last.

    Raises:
        ClaimsError: as `judgements`.
    """
    rows = claims_of_studies(catalog, filters).to_pylist()
    return {row["study"]: _submitted(row["study"], row["claims"]) for row in rows}


def _submitted(study: str, claims: str) -> tuple[Claim, ...]:
    source = f"study {study}, as it was submitted"
    try:
        found = ClaimFile.model_validate_json(f'{{"claims": {claims}}}', strict=True).claims
    except ValidationError as error:
        what = "cannot be read, as another version of ActionGrid wrote them; submit the study again"
        raise ClaimsError.of(source, [Problem(("claims",), what)]) from error
    if problems := claim_problems(found):
        raise ClaimsError.of(source, problems)
    return found


def result_sets(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> list[Set]:
    """Return one's own studies, then the literature; of one's own at least an empty set."""
    rows = claimed_grid(catalog, filters).to_pylist()
    own = [row for row in rows if row["source"] == "own"]
    found: list[Set] = []
    if source != "published":
        measured = claimed_evaluations(catalog, filters).to_pylist() if own else []
        found += [_own(catalog, study, _of(own, study), measured) for study in _studies(own)]
        found += [] if own else [Set("own", "", {})]
    if source != "own":
        found += _published(catalog, [row for row in rows if row["source"] == "published"])
    return found


def _own(catalog: Catalog, study: str, rows: Sequence[Row], evaluations: Sequence[Row]) -> Set:
    results = {
        "grid": [_grid(row) for row in rows],
        "evaluations": [_evaluation(row) for row in _of(evaluations, study)],
    }
    return Set("own", study, results, _predictions(catalog, rows))


def _published(catalog: Catalog, grid: Sequence[Row]) -> list[Set]:
    numbers = claimed_numbers(catalog).to_pylist()
    papers = _studies([*grid, *numbers])
    return [
        Set(
            "published",
            paper,
            {
                "grid": [_grid(row) for row in _of(grid, paper)],
                "printed": [_printed(row) for row in _of(numbers, paper)],
            },
        )
        for paper in papers
    ]


def _studies(rows: Iterable[Row]) -> list[str]:
    return sorted({row["study"] for row in rows})


def _of(rows: Sequence[Row], study: str) -> list[Row]:
    return [row for row in rows if row["study"] == study]


def _grid(row: Row) -> Result:
    return Result(
        place=tuple(row[axis] for axis in AXES["grid"]),
        top1=tuple(row["top1"] or ()),
        top5=tuple(row["top5"] or ()),
        macs=row["macs"],
        videos=row["videos"],
        keys=tuple(row["keys"] or ()),
        planned_seeds=row["planned_seeds"],
        other_axes=tuple(row["other_axes"]),
        variant=row["variant"],
    )


def _printed(row: Row) -> Result:
    return Result(
        place=(row["source_table"], row["source_row"], row["source_column"]),
        top1=(row["top1"],),
        macs=row["macs"],
        videos=row["val_videos"],
    )


def _evaluation(row: Row) -> Result:
    return Result(
        place=tuple(row[axis] for axis in AXES["evaluations"]),
        top1=tuple(row["top1"]),
        macs=row["macs"],
        videos=row["videos"],
        other_axes=tuple(row["other_axes"]),
    )


def _predictions(catalog: Catalog, rows: Sequence[Row]) -> Predictions:
    """Which videos the cells got right, where that is known of the checkpoint whose accuracy is reported."""
    import numpy as np

    reported = {
        key: (row["checkpoint"], top1)
        for row in rows
        for key, top1 in zip(row["keys"] or (), row["top1"] or (), strict=False)
    }
    found = right_predictions(catalog, list(reported)).to_pylist() if reported else []
    return {
        row["key"]: Outcome(row["videos"], np.array(row["correct"], float))
        for row in found
        if _is_reported(row, *reported[row["key"]])
    }


def _is_reported(row: Row, checkpoint: str, top1: float) -> bool:
    # Predictions that do not give the reported accuracy are of something else.
    return checkpoint in row["checkpoints"] and math.isclose(100 * fmean(row["correct"]), top1)
