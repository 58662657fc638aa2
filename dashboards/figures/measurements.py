"""What stands behind accuracies of some protocol: what was measured of every training, and by video."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from catalog import Catalog
from catalog.queries.accuracies import measurements_behind, trainings_behind
from catalog.queries.filters import Filters
from catalog.queries.predictions import outcomes_by_video, outcomes_of_evaluations
from dashboards.figures.figure import MOST_ANSWERS, Scope
from dashboards.render.comparison import NOTHING, Outcomes, Result, outcomes_of, result_of, within_of
from dashboards.render.uncertainty import MEAN, Accuracy, with_intervals, with_within

if TYPE_CHECKING:
    import pyarrow as pa

Row = Mapping[str, Any]

_MODEL = ("study", "dataset", "module", "backbone", "temporal_pooling", "frames")


class Measurements:
    """The results behind the rows of one's own in `measured_accuracies`, found by model and experiment."""

    def __init__(self, catalog: Catalog, filters: Filters) -> None:
        """Of all that pass the filters."""
        self._catalog, self._filters = catalog, filters
        self._evaluations: set[str] = set()

    @cached_property
    def _known(self) -> dict[tuple[Any, ...], Row]:
        rows = measurements_behind(self._catalog, self._filters).to_pylist()
        self._evaluations.update(one for row in rows for one in row["evaluations"] if one)
        return {_place(row, row["experiment"], row["evaluated"]): row for row in rows}

    def result(self, row: Row, experiment: int, measured_by: str) -> Result:
        """Return what the trainings of an own row gave, by seed; `NOTHING` where no measurement is it."""
        found = self._known.get(_place(row, experiment, measured_by != "training"))
        return NOTHING if found is None else _result(found)

    def of_mean(self, row: Row, accuracy: Accuracy) -> Result:
        """Return what the seeds of an own row's mean gave; `NOTHING` of one training, or where nothing is it.

        Several studies may have an experiment, and what stands on a page may be named otherwise than they
        are: the measurement is known by the number of seeds and their mean.
        """
        seeds = _seeds(row, accuracy)
        if seeds < 2 or row[accuracy.name] is None:
            return NOTHING
        for found in self._alike(row):
            result = _result(found)
            if len(result.values) == seeds and math.isclose(result.mean, row[accuracy.name], abs_tol=1e-6):
                return result
        return NOTHING

    def _alike(self, row: Row) -> Sequence[Row]:
        """What was measured of a row's experiment in any study; without `measured_by` it is the training."""
        if "measured_by" in row:
            evaluated = row["measured_by"] != "training"
            return self._by_measurement.get((_model(row), row["experiment"], evaluated), ())
        return self._by_training.get((_model(row), row["experiment"]), ())

    @cached_property
    def _by_measurement(self) -> dict[tuple[Any, ...], list[Row]]:
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in self._known.values():
            groups.setdefault((_model(row), row["experiment"], row["evaluated"]), []).append(row)
        return groups

    @cached_property
    def _by_training(self) -> dict[tuple[Any, ...], list[Row]]:
        groups: dict[tuple[Any, ...], list[Row]] = {}
        for row in trainings_behind(self._catalog, self._filters).to_pylist():
            groups.setdefault((_model(row), row["experiment"]), []).append(row)
        return groups

    def within(
        self, rows: Sequence[Row], accuracy: Accuracy, most: int | None = MOST_ANSWERS
    ) -> list[float | None]:
        """Return the `within_video_variance` behind the mean of every row, read from the predictions.

        None for one training, where they are not known, and everywhere where together they are more than
        `most` answers to a video. `rows` have the columns of models, `experiment`, and `measured_by` where
        it is not the training; without `source` they are one's own.
        """
        counts = [_seeds(row, accuracy) for row in rows]
        answers = sum(
            seeds * (row[accuracy.videos] or 0) for row, seeds in zip(rows, counts, strict=True) if seeds > 1
        )
        # One seed needs no predictions, nor any query.
        if not answers or (most is not None and answers > most):
            return [None] * len(rows)
        results = [self.of_mean(row, accuracy) for row in rows]
        outcomes = self.outcomes(results)
        return [within_of(result, outcomes) for result in results]

    def outcomes(self, results: Iterable[Result]) -> Outcomes:
        """Return which videos each training got right, where the predictions are known."""
        names = {name for result in results for name in result.keys}
        evaluations = self._evaluations & names
        by_key = outcomes_by_video(self._catalog, sorted(names - evaluations)).to_pylist()
        by_name = outcomes_of_evaluations(self._catalog, sorted(evaluations)).to_pylist()
        return outcomes_of([*by_key, *({**row, "key": row["evaluation"]} for row in by_name)])


def means_with_intervals(
    catalog: Catalog, scope: Scope, table: pa.Table, *others: Accuracy, mean: Accuracy = MEAN
) -> pa.Table:
    """Return a table of models with the intervals of `mean`, those that a pivot prints, and of `others`.

    What the seeds of a mean disagree about is read from their predictions (`Measurements.within`).
    """
    # Of many thousand models nobody makes rows of Python's to find that there is nothing to read.
    if _is_readable(table, mean, scope.answers):
        within = Measurements(catalog, scope.filters).within(table.to_pylist(), mean, scope.answers)
        table = with_within(table, mean, within)
    return with_intervals(table, mean, *others)


def _is_readable(table: pa.Table, mean: Accuracy, most: int | None) -> bool:
    """Whether there are means over seeds, and not more answers to videos than `most`."""
    import pyarrow.compute as pc

    seeds = pc.fill_null(table.column(str(mean.seeds)), 1)
    several = pc.if_else(pc.greater(seeds, 1), seeds, 0)
    answers = pc.sum(pc.multiply(several, pc.fill_null(table.column(mean.videos), 0))).as_py() or 0
    return answers > 0 and (most is None or answers <= most)


def _result(found: Row) -> Result:
    if "evaluations" not in found:
        return result_of(found)
    known = zip(found["keys"], found["evaluations"], strict=True)
    names = tuple(evaluation or key for key, evaluation in known)
    return Result(tuple(found["values"]), found["eval_videos"], names)


def _seeds(row: Row, accuracy: Accuracy) -> int:
    """How many seeds of one's own an accuracy is the mean of; 1 of what is published."""
    own = accuracy.seeds is not None and row.get("source", "own") == "own"
    return int(row[str(accuracy.seeds)] or 1) if own else 1


def _model(row: Row) -> tuple[Any, ...]:
    return tuple(row[axis] for axis in _MODEL[1:])


def _place(row: Row, experiment: int, evaluated: bool) -> tuple[Any, ...]:
    return (*(row[axis] for axis in _MODEL), experiment, evaluated)
