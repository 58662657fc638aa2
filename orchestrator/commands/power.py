"""`actiongrid power`: which differences a study can tell apart, and how many seeds smaller ones need."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.common import (
    JsonOption,
    StorageOption,
    StudyArgument,
    WeightsOption,
    chosen_storage,
)

if TYPE_CHECKING:
    from dashboards.statistics.power import Variances


def power(
    study: StudyArgument,
    detect: Annotated[
        float, typer.Option("--detect", min=0.01, max=100, help="A difference between models, in points.")
    ] = 1.0,
    storage: StorageOption = None,
    seed_deviation: Annotated[
        float | None,
        typer.Option("--seed-deviation", min=0, max=50, help="Assume this deviation of seeds, in points."),
    ] = None,
    disagreement: Annotated[
        float | None,
        typer.Option(
            "--disagreement", min=0.1, max=100, help="Assume that two models disagree on these % of videos."
        ),
    ] = None,
    weights_dir: WeightsOption = None,
    gpu: Annotated[str | None, typer.Option("--gpu", help="Reckon with this GPU, as `plan` does.")] = None,
    rates: Annotated[Path | None, typer.Option("--rates", help="Measured rates, as for `plan`.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show which difference the study can tell apart, how many seeds --detect needs, and what they cost."""
    from orchestrator.planning.forecast import make_forecast, on_gpus
    from orchestrator.planning.measured import choose_rates
    from orchestrator.planning.storage_plan import plan_and_measure
    from orchestrator.planning.study_power import power_lines, power_on_storage
    from orchestrator.study.load import load_study

    root, asked = chosen_storage(storage).root, load_study(study)
    planned, measured = plan_and_measure(asked, root, weights_dir)
    chosen = choose_rates(measured, on_gpus=on_gpus(planned), gpu=gpu, file=rates)
    forecast = make_forecast(planned, chosen, None)
    told = seed_deviation is not None or disagreement is not None
    given = partial(_assumed, seed_deviation=seed_deviation, disagreement=disagreement) if told else None
    rows = power_on_storage(asked, root, planned, detect, forecast, given)
    if as_json:
        datasets = [asdict(row) for row in rows]
        typer.echo(json.dumps({"study": planned.study, "unit": forecast.unit, "datasets": datasets}))
        return
    for line in power_lines(rows, forecast.unit):
        typer.echo(line)


def _assumed(known: Variances, *, seed_deviation: float | None, disagreement: float | None) -> Variances:
    """What was measured, with what the user assumes in its place."""
    if seed_deviation is not None:
        known = replace(known, seeds=seed_deviation)
    if disagreement is None:
        return known
    # Two seeds of one model do not disagree more often than two models.
    share = disagreement / 100
    return replace(known, disagreement=share, within=min(known.within, share / 2))
