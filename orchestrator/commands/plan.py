"""`actiongrid plan`: what would run, why, and what it costs. Runs nothing."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.table import Table

from orchestrator.commands.common import (
    JsonOption,
    StorageOption,
    StudyArgument,
    WeightsOption,
    storage_path,
    wide_console,
)
from orchestrator.plan import Plan, plan_json
from orchestrator.plan_model import Totals


def plan(
    study: StudyArgument,
    storage: StorageOption = None,
    weights_dir: WeightsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show every cell's state and reason, MACs, parameters and the critical path; runs nothing."""
    from orchestrator.study import load_study
    from orchestrator.submission import plan_study

    planned = plan_study(load_study(study), storage_path(storage), weights_dir)
    if as_json:
        typer.echo(json.dumps(plan_json(planned)))
        return
    show_plan(planned, wide_console())


def show_plan(planned: Plan, console: Console) -> None:
    """Print the plan as a table with totals below."""
    table = Table(box=None, pad_edge=False)
    for column in ("cell", "state", "params", "GMACs", "EFLOP", "reason"):
        table.add_column(column, justify="left" if column in ("cell", "state", "reason") else "right")
    for one in planned.cells:
        params = f"{one.params / 1e6:.2f} M" if one.params is not None else "?"
        flops = f"{one.flops / 1e18:.3g}" if one.flops is not None else "?"
        table.add_row(one.cell.name, str(one.state), params, f"{one.macs / 1e9:.3f}", flops, one.reason)
    console.print(table)
    for line in totals_lines(planned.totals):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def totals_lines(totals: Totals) -> list[str]:
    """Cells by state, cost, critical path and missing datasets, a line each."""
    states = ", ".join(f"{count} {state}" for state, count in totals.by_state.items())
    lines = [
        f"{totals.cells} cells in {totals.chains} chains: {states}",
        f"one clip of every cell: {totals.macs / 1e12:.2f} TMACs; training and evaluation: "
        f"{totals.flops / 1e18:.4g} EFLOP, of which {totals.flops_left / 1e18:.4g} left",
    ]
    if totals.cells_of_unknown_cost:
        lines.append(
            f"{totals.cells_of_unknown_cost} cells of unknown cost: their datasets are not built yet"
        )
    if totals.critical_path is not None:
        path = totals.critical_path
        lines.append(f"critical path: {path.chain} ({len(path.cells)} cells, {path.flops / 1e18:.4g} EFLOP)")
    missing = totals.missing_datasets
    return lines + [f"dataset {one.name} is missing ({one.cells} cells): {one.how}" for one in missing]
