"""`actiongrid plan`: what would run, why, and what it costs. Runs nothing."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from orchestrator.commands.common import (
    JsonOption,
    PackingOption,
    StorageOption,
    StudyArgument,
    WeightsOption,
    storage_path,
    wide_console,
)
from orchestrator.planning.gpu_share import share_lines
from orchestrator.planning.plan import Plan, plan_json
from orchestrator.planning.plan_model import Totals
from orchestrator.terminal.forecast_text import forecast_lines, work


def plan(
    study: StudyArgument,
    storage: StorageOption = None,
    weights_dir: WeightsOption = None,
    gpu: Annotated[
        str | None,
        typer.Option("--gpu", help="Reckon with this GPU, such as h100; default: what ran here, else a100."),
    ] = None,
    rates: Annotated[
        Path | None,
        typer.Option("--rates", help="Reckon with measured rates: the JSON of benchmarks/train_step.py."),
    ] = None,
    price: Annotated[
        str | None, typer.Option("--price", help="Price of a GPU-hour, such as 2.5/gpu-hour.")
    ] = None,
    goal: Annotated[
        float | None,
        typer.Option("--goal", min=0.0, help="GPU-hours to keep to: name the cells that stand in the way."),
    ] = None,
    packing: PackingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every cell's state and reason, what the study costs and on how many GPUs; runs nothing."""
    from orchestrator.planning.forecast import make_forecast, on_gpus
    from orchestrator.planning.forecast_cells import make_goal
    from orchestrator.planning.price import parse_price
    from orchestrator.planning.rates_choice import choose_rates
    from orchestrator.planning.storage_plan import plan_and_measure
    from orchestrator.study.load import load_study
    from orchestrator.terminal.forecast_cells_text import goal_lines, largest_lines

    unit_price = None if price is None else parse_price(price)
    planned, measured = plan_and_measure(load_study(study), storage_path(storage), weights_dir, packing)
    chosen = choose_rates(measured, on_gpus=on_gpus(planned), gpu=gpu, file=rates)
    forecast = make_forecast(planned, chosen, unit_price)
    kept_to = None if goal is None else make_goal(planned, forecast, goal)
    if as_json:
        printed = plan_json(planned, forecast)
        typer.echo(json.dumps(printed if kept_to is None else printed | {"goal": asdict(kept_to)}))
        return
    console = wide_console()
    show_plan(planned, console)
    lines = forecast_lines(forecast)
    if rates is not None:
        lines += ["", *largest_lines(planned, forecast)]
    if kept_to is not None:
        lines += ["", *goal_lines(forecast, kept_to)]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def show_plan(planned: Plan, console: Console) -> None:
    """Print the plan as a table with totals below."""
    table = Table(box=None, pad_edge=False)
    for column in ("cell", "state", "params", "GMACs", "work", "reason"):
        table.add_column(column, justify="left" if column in ("cell", "state", "reason") else "right")
    for one in planned.cells:
        params = f"{one.params / 1e6:.2f} M" if one.params is not None else "?"
        flops = work(one.flops) if one.flops is not None else "?"
        table.add_row(one.cell.name, str(one.state), params, f"{one.macs / 1e9:.3f}", flops, one.reason)
    console.print(table)
    for line in (*totals_lines(planned.totals), *share_lines(planned)):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    older = sum(one.supersedes is not None for one in planned.cells)
    if older:
        line = f"{older} cells have results under an older key: they stay, `actiongrid explain CELL` compares"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def totals_lines(totals: Totals) -> list[str]:
    """Cells by state, cost, critical path and missing datasets, a line each."""
    states = ", ".join(f"{count} {state}" for state, count in totals.by_state.items())
    lines = [
        f"{totals.cells} cells in {totals.chains} chains: {states}",
        f"one clip of every cell: {totals.macs / 1e9:,.1f} GMACs; training and evaluation: "
        f"{work(totals.flops)}, of which {work(totals.flops_left)} left",
    ]
    if totals.cells_of_unknown_cost:
        lines.append(
            f"{totals.cells_of_unknown_cost} cells of unknown cost: their datasets are not built yet"
        )
    if totals.critical_path is not None:
        path = totals.critical_path
        lines.append(f"critical path: {path.chain} ({len(path.cells)} cells, {work(path.flops)})")
    missing = totals.missing_datasets
    return lines + [f"dataset {one.name} is missing ({one.cells} cells): {one.how}" for one in missing]
