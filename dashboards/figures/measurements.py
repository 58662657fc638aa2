"""What stands behind accuracies of some protocol: what was measured of every training, and by video."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from catalog import Catalog
from catalog.queries.accuracies import measurements_behind
from catalog.queries.filters import Filters
from catalog.queries.predictions import outcomes_by_video, outcomes_of_evaluations
from dashboards.render.comparison import NOTHING, Outcomes, Result, outcomes_of

Row = Mapping[str, Any]

_MODEL = ("study", "dataset", "module", "backbone", "temporal_pooling", "frames")


class Measurements:
    """The results behind the rows of one's own in `measured_accuracies`, found by model and experiment."""

    def __init__(self, catalog: Catalog, filters: Filters) -> None:
        """Of all that pass the filters."""
        self._catalog, self._filters = catalog, filters

    @cached_property
    def _known(self) -> dict[tuple[Any, ...], Row]:
        rows = measurements_behind(self._catalog, self._filters).to_pylist()
        return {_place(row, row["experiment"], row["evaluated"]): row for row in rows}

    def result(self, row: Row, experiment: int, measured_by: str) -> Result:
        """Return what the trainings of an own row gave, by seed; `NOTHING` where no measurement is it."""
        found = self._known.get(_place(row, experiment, measured_by != "training"))
        if found is None:
            return NOTHING
        known = zip(found["keys"], found["evaluations"], strict=True)
        names = tuple(evaluation or key for key, evaluation in known)
        return Result(tuple(found["values"]), found["eval_videos"], names)

    def outcomes(self, results: Iterable[Result]) -> Outcomes:
        """Return which videos each training got right, where the predictions are known."""
        names = {name for result in results for name in result.keys}
        evaluations = {one for row in self._known.values() for one in row["evaluations"]} & names
        by_key = outcomes_by_video(self._catalog, sorted(names - evaluations)).to_pylist()
        by_name = outcomes_of_evaluations(self._catalog, sorted(evaluations)).to_pylist()
        return outcomes_of([*by_key, *({**row, "key": row["evaluation"]} for row in by_name)])


def _place(row: Row, experiment: int, evaluated: bool) -> tuple[Any, ...]:
    return (*(row[axis] for axis in _MODEL), experiment, evaluated)
