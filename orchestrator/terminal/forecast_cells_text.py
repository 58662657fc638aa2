"""The cells that a study's hours go to, as lines for the terminal."""

from __future__ import annotations

from orchestrator.planning.forecast import Forecast
from orchestrator.planning.forecast_cells import CellHours, Goal, bases, largest_cells
from orchestrator.planning.plan_model import Plan
from orchestrator.terminal.forecast_text import aligned, hours, percent

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
    asked = f"{hours(goal.unit_hours)} {forecast.unit}-hours"
    needs = hours(forecast.left.unit_hours)
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
        figures = [hours(one.unit_hours), percent(one.share, 1.0), f"{one.tflops:.1f}"]
        rows.append([one.cell, one.basis, *figures, *([hours(one.over)] if over else [])])
    more = len(cells) - _SHOWN
    return aligned(rows) + ([f"and {more} more; --json has them all"] if more > 0 else [])
