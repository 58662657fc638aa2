"""The sets of results that claims are judged on, from a catalog: each study of one's own, each paper."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from catalog.queries.claims import claimed_grid, claimed_numbers, right_predictions
from catalog.queries.filters import ALL, Filters, Source
from dashboards.claims.cases import Result
from dashboards.claims.judge import Predicted, Predictions, Set
from dashboards.claims.model import AXES

if TYPE_CHECKING:
    from catalog import Catalog

Row = Mapping[str, Any]


def result_sets(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> list[Set]:
    """Return one's own studies, then the literature; of one's own at least an empty set."""
    rows = claimed_grid(catalog, filters).to_pylist()
    own = [row for row in rows if row["source"] == "own"]
    found: list[Set] = []
    if source != "published":
        found += [_own(catalog, study, _of(own, study)) for study in _studies(own)] or [Set("own", "", {})]
    if source != "own":
        found += _published(catalog, [row for row in rows if row["source"] == "published"])
    return found


def _own(catalog: Catalog, study: str, rows: Sequence[Row]) -> Set:
    grid = [_grid(row) for row in rows]
    keys = [key for one in grid for key in one.keys]
    top1 = {key: top1 for one in grid for key, top1 in zip(one.keys, one.top1, strict=False)}
    predictions = _predictions(right_predictions(catalog, keys).to_pylist(), top1) if keys else {}
    return Set("own", study, {"grid": grid}, predictions)


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
    )


def _printed(row: Row) -> Result:
    return Result(
        place=(row["source_table"], row["source_row"], row["source_column"]),
        top1=(row["top1"],),
        macs=row["macs"],
        videos=row["val_videos"],
    )


def _predictions(rows: Sequence[Row], top1: Mapping[str, float]) -> Predictions:
    """Which videos the cells got right: of the checkpoint whose accuracy is the one that is reported."""
    import numpy as np

    return {
        row["key"]: Predicted(row["videos"], np.array(row["correct"], dtype=bool))
        for row in rows
        if math.isclose(100 * fmean(row["correct"]), top1[row["key"]], abs_tol=1e-6)
    }
