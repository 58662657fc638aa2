"""What a study as planned can tell apart, and how many seeds and hours a smaller difference would need."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, variance
from typing import TYPE_CHECKING, Any

from catalog.names import count_text
from dashboards.statistics.power import (
    ASSUMED,
    MOST_SEEDS,
    Design,
    Variances,
    detectable,
    seeds_needed,
    videos_needed,
)
from orchestrator.planning.forecast import Forecast
from orchestrator.planning.plan_model import Plan

if TYPE_CHECKING:
    from catalog import Catalog

_LARGEST = 100.0  # points: accuracies cannot differ by more
MOST_MODELS = 24
"""Of more models than this on a dataset the first are compared: 276 pairs say how often two disagree."""

Row = Mapping[str, Any]
MeasuredVariances = tuple[Variances, str]
"""Variances, and which of them are measured, in words."""


@dataclass(frozen=True)
class DatasetPower:
    """What two models' difference on one dataset has to be (points) to be seen with a power of 80 %.

    `seeds_needed` and `videos_needed` are for the asked difference, None where none are enough; `unit_hours`
    are those of all the study's cells on the dataset with that many seeds, None where not known.
    """

    dataset: str
    seeds: int
    videos: int
    variances: Variances
    origin: str
    detectable: float
    asked: float | None = None
    seeds_needed: int | None = None
    videos_needed: int | None = None
    unit_hours: float | None = None


def study_power(
    plan: Plan,
    videos: Mapping[str, int | None],
    variances: Mapping[str, MeasuredVariances],
    asked: float | None = None,
    forecast: Forecast | None = None,
    given: Callable[[Variances], Variances] | None = None,
) -> list[DatasetPower]:
    """Return a row a dataset whose number of evaluation videos is known.

    Args:
        plan: the study's plan.
        videos: evaluation videos by dataset.
        variances: by dataset, and where they come from (`measured_variances`); assumed for others.
        asked: a difference, in points.
        forecast: gives what the seeds cost.
        given: makes of what is known or assumed what the user assumes.
    """
    found = []
    for dataset in sorted({one.cell.dataset for one in plan.cells}):
        count = videos.get(dataset)
        if count:
            known, origin = variances.get(dataset, (ASSUMED, "assumed"))
            if given is not None:
                known, origin = given(known), "as given"
            seeds = len({one.cell.seed for one in plan.cells if one.cell.dataset == dataset})
            smallest = detectable(Design(seeds, count), known)
            row = DatasetPower(dataset, seeds, count, known, origin, smallest)
            found.append(row if asked is None else _for_difference(row, asked, plan, forecast))
    return found


def _for_difference(row: DatasetPower, asked: float, plan: Plan, forecast: Forecast | None) -> DatasetPower:
    seeds = seeds_needed(asked, row.videos, row.variances)
    hours = _hours(plan, row.dataset, forecast) if forecast else None
    return replace(
        row,
        asked=asked,
        seeds_needed=seeds,
        videos_needed=videos_needed(asked, row.seeds, row.variances),
        unit_hours=None if seeds is None or hours is None else hours / row.seeds * seeds,
    )


def _hours(plan: Plan, dataset: str, forecast: Forecast) -> float | None:
    names = [one.cell.name for one in plan.cells if one.cell.dataset == dataset]
    hours = [forecast.cells[name].unit_hours for name in names]
    known = [one for one in hours if one is not None]
    return sum(known) if len(known) == len(hours) else None


def measured_variances(catalog: Catalog, datasets: Collection[str]) -> dict[str, MeasuredVariances]:
    """Return by dataset what one's own results say of seeds and videos; what they do not say is assumed."""
    from catalog.queries.claims import claimed_grid, right_predictions

    own = [row for row in claimed_grid(catalog).to_pylist() if row["source"] == "own" and row["keys"]]
    models = {
        dataset: [row for row in own if row["dataset"] == dataset]
        for dataset in sorted({row["dataset"] for row in own} & {*datasets})
    }
    keys = {
        dataset: {key for row in rows[:MOST_MODELS] for key in row["keys"]}
        for dataset, rows in models.items()
    }
    right = right_predictions(catalog, sorted(set().union(*keys.values()))).to_pylist() if keys else []
    return {
        dataset: _variances(rows, _same_videos([one for one in right if one["key"] in keys[dataset]]))
        for dataset, rows in models.items()
    }


def _same_videos(rows: Sequence[Row]) -> dict[str, Sequence[bool]]:
    """Which videos each cell got right, of the cells that were measured on the most common videos."""
    names = [row["videos"] for row in rows]
    usual = max(names, key=names.count, default=None)
    return {row["key"]: row["correct"] for row in rows if row["videos"] == usual}


def _variances(models: Sequence[Row], right: Mapping[str, Sequence[bool]]) -> MeasuredVariances:
    seeds = [pair for row in models for pair in combinations([key for key in row["keys"] if key in right], 2)]
    firsts = [next((key for key in row["keys"] if key in right), None) for row in models]
    others = list(combinations([key for key in firsts if key is not None], 2))
    within = _disagreement(seeds, right)
    between = _disagreement(others, right)
    known = replace(
        ASSUMED,
        within=ASSUMED.within if within is None else within / 2,
        disagreement=ASSUMED.disagreement if between is None else between,
    )
    spread = _seeds_deviation(models, known.within)
    origin = f"seeds {'assumed' if spread is None else 'measured'}, videos " + (
        "assumed" if between is None else "measured"
    )
    return (known if spread is None else replace(known, seeds=spread)), origin


def _disagreement(pairs: Iterable[tuple[str, str]], right: Mapping[str, Sequence[bool]]) -> float | None:
    """The mean share of videos that exactly one of a pair gets right; None without pairs."""
    shares = [
        fmean(one != other for one, other in zip(right[first], right[second], strict=True))
        for first, second in pairs
    ]
    return fmean(shares) if shares else None


def _seeds_deviation(models: Sequence[Row], within: float) -> float | None:
    """The deviation between seeds (points), pooled over models, beyond what single videos explain."""
    several = [row for row in models if len(row["top1"] or ()) > 1 and row["videos"]]
    degrees = sum(len(row["top1"]) - 1 for row in several)
    if not degrees:
        return None
    beyond = [
        (len(row["top1"]) - 1) * (variance(row["top1"]) - 100**2 * within / row["videos"]) for row in several
    ]
    return float(max(0.0, sum(beyond) / degrees) ** 0.5)


def power_lines(rows: Sequence[DatasetPower], unit: str) -> list[str]:
    """Return what can be told apart, a line a dataset, and what the asked difference would need."""
    if not rows:
        return ["no dataset's number of evaluation videos is known yet: build one, and ask again"]
    lines = [line for row in rows for line in (summary(row), *_asked(row, unit))]
    return [*lines, *seed_lines(rows)]


def weakest(rows: Sequence[DatasetPower], more: str = "actiongrid power") -> list[str]:
    """Return a line about the dataset on which least can be told apart, one on few seeds; none if not known.

    `more` is the command that says more.
    """
    row = max(rows, key=lambda one: one.detectable, default=None)
    if row is None:
        return []
    return [f"{summary(row)}; `{more}` reckons with other differences", *seed_lines([row])]


def seed_lines(rows: Sequence[DatasetPower]) -> list[str]:
    """Return what one seed or two seeds cannot say; nothing of three and more."""
    seeds = {row.seeds for row in rows}
    lines = []
    if 1 in seeds:
        lines.append(
            "one seed: how far the seeds' own results spread is not counted; `seed: [0, 1, 2]` shows it"
        )
    if 2 in seeds:
        lines.append(
            "two seeds: their spread is estimated from a single difference, so that their interval is wider "
            "than needed (by a factor t of 12.7; of three seeds 4.3): take three or more"
        )
    return lines


def summary(row: DatasetPower) -> str:
    """Return in one line what the study as planned can tell apart on a dataset."""
    design = f"with {count_text(row.seeds, 'seed')} and {count_text(row.videos, 'validation video')}"
    if row.detectable > _LARGEST:
        none = "no difference between two models can be shown: even one of 100 points could be chance"
        return f"{row.dataset}: {design} {none} ({_origin(row)})"
    return (
        f"{row.dataset}: {design} two models that truly differ by "
        f"{row.detectable:.1f} points are told apart in 8 of 10 studies ({_origin(row)})"
    )


def _origin(row: DatasetPower) -> str:
    return f"{row.origin}{'; one seed shows no spread of seeds' if row.seeds == 1 else ''}"


def _asked(row: DatasetPower, unit: str) -> list[str]:
    if row.asked is None:
        return []
    known = row.variances
    spread = (
        f"  reckoned with {known.seeds:.2g} points between seeds, {100 * known.disagreement:.0f} % of videos "
        "on which exactly one of two models is right (the mean over all pairs of models on the dataset where "
        f"measured: {row.origin}), {200 * known.within:.0f} % for two seeds of one model"
    )
    if row.seeds_needed is None:
        videos = "no number of validation videos"
        if row.videos_needed is not None:
            videos = count_text(row.videos_needed, "validation video")
        more = f"no number of seeds up to {MOST_SEEDS} on these validation videos"
        need = f"{more}; {videos} with {count_text(row.seeds, 'seed')}"
    else:
        hours = "" if row.unit_hours is None else f": {row.unit_hours:.3g} {unit}-hours for all its cells"
        need = f"{count_text(row.seeds_needed, 'seed')} a cell{hours}"
    return [f"  enough for {row.asked:g} points: {need}", spread]
