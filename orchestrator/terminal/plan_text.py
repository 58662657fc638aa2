"""A plan and its forecast as text: cells, sums, shares by axis, time against the number of GPUs."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.table import Table

from orchestrator.planning.forecast import CellHours, Forecast, Goal, bases, largest_cells
from orchestrator.planning.plan_model import MissingDataset, Plan, Totals
from orchestrator.scheduling.makespan import GpuCount
from orchestrator.study.cells import chosen_on
from orchestrator.terminal.text import (
    aligned_columns,
    flops_text,
    hours_text,
    percent_text,
    time_text,
)
from trainables.data.ingest.plan import bytes_text

_BAR = 48  # characters of the longest bar


def forecast_lines(forecast: Forecast) -> list[str]:
    """What is left to pay for, an empty line between its parts; nothing left is one line."""
    if not forecast.left.cells:
        return [f"nothing is left to do; checkpoints: {bytes_text(forecast.whole.checkpoint_bytes)}"]
    return [*_sums(forecast), "", *_shares(forecast), "", *_counts(forecast)]


def _sums(forecast: Forecast) -> list[str]:
    left = forecast.left
    money = "" if left.money is None else f", {left.money:,.2f} at {forecast.price:g} a GPU-hour"
    lines = [
        f"left to do: {hours_text(left.unit_hours)} {forecast.unit}-hours{money}; "
        f"rates {forecast.rates.origin}",
        f"checkpoints: {bytes_text(forecast.whole.checkpoint_bytes)} when all cells are done",
    ]
    if forecast.critical is not None:
        lines.append(f"longest chain: {time_text(forecast.critical.seconds)} for {forecast.critical.chain}")
    return lines


def _shares(forecast: Forecast) -> list[str]:
    money = forecast.price is not None and forecast.on_gpus
    head = ["left, by axis", "", "cells", "MACs", f"{forecast.unit}-hours", ""]
    rows = [[*head, *(["money"] if money else []), "checkpoints"]]
    axis = ""
    for share in forecast.shares:
        rows.append(
            [
                share.axis.replace("_", " ") if share.axis != axis else "",
                share.value,
                str(share.left.cells),
                percent_text(share.left.macs, forecast.left.macs),
                hours_text(share.left.unit_hours),
                percent_text(share.left.unit_hours, forecast.left.unit_hours),
                *([f"{share.left.money or 0:,.2f}"] if money else []),
                bytes_text(share.left.checkpoint_bytes),
            ]
        )
        axis = share.axis
    return aligned_columns(rows)


def _counts(forecast: Forecast) -> list[str]:
    unit = "GPUs" if forecast.on_gpus else "CPUs"
    known = [row.seconds for row in forecast.counts if row.seconds]
    longest = max(known, default=0.0)
    lines = [f"{unit:>5}  {'time':>9}"] + [_count_line(row, longest) for row in forecast.counts]
    if forecast.enough is not None:
        lines.append(f"more than {forecast.enough} {unit} do not help: the longest chain sets the time")
    return lines


def _count_line(row: GpuCount, longest: float) -> str:
    if row.seconds is None:
        return f"{row.count:>5}  {'-':>9}  some cell needs more"
    bar = "#" * max(1, round(_BAR * row.seconds / longest)) if longest > 0 else ""
    return f"{row.count:>5}  {time_text(row.seconds):>9}  {bar}"


_SHOWN = 12  # cells; --json has all of them


def largest_lines(plan: Plan, forecast: Forecast) -> list[str]:
    """The cells that take most, and what the rates of all of them were measured on."""
    cells = largest_cells(plan, forecast)
    counts = ", ".join(f"{count} {basis}" for basis, count in bases(plan, forecast).items())
    return [
        *_table(forecast, "largest cells", cells, over=False),
        f"rates of the {len(cells)} cells left come from: {counts}",
    ]


def goal_lines(forecast: Forecast, goal: Goal) -> list[str]:
    """Whether the goal is kept to, and what stands in the way, by cell."""
    asked = f"{hours_text(goal.unit_hours)} {forecast.unit}-hours"
    needs = hours_text(forecast.left.unit_hours)
    if forecast.left.unit_hours <= goal.unit_hours:
        return [f"goal of {asked}: kept to, {needs} are needed"]
    if goal.needed_tflops is None:
        return [f"goal of {asked}: {needs} are needed; to start the cells takes as long already"]
    return [
        f"goal of {asked}: {needs} are needed; at {goal.needed_tflops:.1f} TFLOP/s throughout it would be "
        f"kept to; {len(goal.cells)} cells below that stand in the way:",
        *_table(forecast, "cells too slow", goal.cells, over=True),
    ]


def _table(forecast: Forecast, title: str, cells: tuple[CellHours, ...], *, over: bool) -> list[str]:
    head = [title, "rate of", f"{forecast.unit}-hours", "", "TFLOP/s"]
    rows = [[*head, *(["hours over"] if over else [])]]
    for one in cells[:_SHOWN]:
        figures = [hours_text(one.unit_hours), percent_text(one.share, 1.0), f"{one.tflops:.1f}"]
        rows.append([one.cell, one.basis, *figures, *([hours_text(one.over)] if over else [])])
    more = len(cells) - _SHOWN
    return aligned_columns(rows) + ([f"and {more} more; --json has them all"] if more > 0 else [])


def show_plan(planned: Plan, console: Console) -> None:
    """Print the plan as a table with totals below."""
    table = Table(box=None, pad_edge=False)
    for column in ("cell", "state", "params", "GMACs", "work", "reason"):
        table.add_column(column, justify="left" if column in ("cell", "state", "reason") else "right")
    for one in planned.cells:
        params = f"{one.params / 1e6:.2f} M" if one.params is not None else "?"
        flops = flops_text(one.flops) if one.flops is not None else "?"
        table.add_row(one.cell.name, str(one.state), params, f"{one.macs / 1e9:.3f}", flops, one.reason)
    console.print(table)
    for line in (*totals_lines(planned.totals), *choice_lines(planned), *share_lines(planned)):
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
        f"{flops_text(totals.flops)}, of which {flops_text(totals.flops_left)} left",
    ]
    if totals.cells_of_unknown_cost:
        lines.append(
            f"{totals.cells_of_unknown_cost} cells of unknown cost: their datasets are not built yet"
        )
    if totals.critical_path is not None:
        path = totals.critical_path
        lines.append(f"critical path: {path.chain} ({len(path.cells)} cells, {flops_text(path.flops)})")
    return lines + [_missing_line(one) for one in totals.missing_datasets]


def _missing_line(one: MissingDataset) -> str:
    if one.changed:
        return f"dataset {one.name}: {one.changed}: {one.cells} cell{'s' if one.cells > 1 else ''} to run"
    return f"dataset {one.name} is missing ({one.cells} cells): {one.how}"


def choice_lines(plan: Plan) -> list[str]:
    """On which videos best epochs are chosen, and how many cells start from one that was chosen so."""
    counts = Counter(one.cell.choose_on for one in plan.cells)
    children = Counter(
        one.cell.choose_on for one in plan.cells if one.cell.parent and one.cell.recipe.inherit == "best"
    )
    return [_choice_line(share, children[share]) for share in counts]


def _choice_line(share: float | None, children: int) -> str:
    started = f"; {children} cells start from an epoch chosen so" if children else ""
    way_out = "; choose_on: 10% holds training videos out for that" if share is None and children else ""
    return f"best epochs are chosen on {chosen_on(share)}{started}{way_out}"


def share_lines(plan: Plan) -> list[str]:
    """How many cells were given which share, and what decided; nothing where the study said how many GPUs."""
    found = Counter((one.share.gpus, one.share.rule) for one in plan.cells if one.share)
    return [
        f"{count} cell{'s' if count > 1 else ''} with {gpus:g} of a GPU each, decided by {rule}"
        for (gpus, rule), count in sorted(found.items())
    ]
