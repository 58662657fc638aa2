"""What the grid costs: hours planned and spent, utilisation, when it will be done, and what failed."""

from __future__ import annotations

from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboards.app_blocks import Block, Figure, Text, message
from dashboards.figures.cost_by_axis import cost_by_axis_data, draw_cost_by_axis
from dashboards.figures.cost_front import cost_front_data, draw_cost_front
from dashboards.figures.failures import draw_failures, failures_data
from dashboards.figures.grid import duration
from dashboards.figures.relations import ask, chosen_cells
from dashboards.figures.utilisation import draw_utilisation, utilisation_data
from dashboards.pages.view import View

TITLE = "Cost"

_TOTALS = """
    SELECT
        count(*) AS cells, count(*) FILTER (state = 'done') AS done,
        count(*) FILTER (state = 'running') AS running, sum(seconds * gpus) / 3600 AS gpu_hours,
        sum(seconds * cpus) / 3600 AS cpu_hours,
        sum(greatest(expected_seconds - seconds, 0)) FILTER (state <> 'done') AS seconds_left,
        sum(greatest(expected_seconds - seconds, 0) * gpus) FILTER (state <> 'done') / 3600 AS gpu_hours_left,
        sum(greatest(expected_seconds - seconds, 0) * cpus) FILTER (state <> 'done') / 3600 AS cpu_hours_left,
        count(*) FILTER (expected_seconds IS NULL) AS unknown
    FROM chosen
"""


def blocks(view: View) -> list[Block]:
    """Return the totals, hours by axis, utilisation, accuracy against hours, and failures."""
    totals = ask(view.catalog, chosen_cells(view.filters, "cell_costs"), _TOTALS)
    axes = cost_by_axis_data(view.catalog, view.filters)
    used = utilisation_data(view.catalog, view.filters)
    front = cost_front_data(view.catalog, view.filters)
    failed = failures_data(view.catalog, view.filters)
    return [
        Text("totals", _totals(totals.to_pylist()[0])),
        Figure(
            "cost-by-axis",
            "Hours by axis",
            draw_cost_by_axis(axes, view.theme),
            axes,
            "Spent so far (filled) and expected for the whole (outlined), at the pace of finished cells.",
        ),
        Figure("utilisation", "Utilisation", draw_utilisation(used, view.theme), used),
        Figure(
            "cost-front",
            "Accuracy by hours",
            draw_cost_front(front, view.theme),
            front,
            "A model's hours include those of the shorter clip lengths that it was finetuned from; the line "
            "joins the models that none beats at the same or a lower cost.",
        ),
        Figure("failures", "Failures by kind", draw_failures(failed, view.theme), failed),
    ]


def _totals(row: dict[str, Any]) -> Component:
    if not row["cells"]:
        return message("No cell has been planned in this storage yet, or none passes the filters.")
    kind, unit = ("gpu", "GPU-hours") if row["gpu_hours"] else ("cpu", "CPU-core-hours")
    facts = [
        f"{row['done']:,} of {row['cells']:,} cells are done",
        f"{row[f'{kind}_hours'] or 0:,.2f} {unit} spent",
    ]
    if row["done"] < row["cells"]:
        facts.append(_left(row, kind, unit))
    return html.Ul([html.Li(fact) for fact in facts], className="counts")


def _left(row: dict[str, Any], kind: str, unit: str) -> str:
    hours = row[f"{kind}_hours_left"]
    if hours is None:
        return "what is left cannot be told before the first cell has finished"
    text = f"about {hours:,.2f} {unit} left"
    if row["unknown"]:
        text += f" (without {row['unknown']:,} cells of unknown cost)"
    if row["running"]:
        text += f": {duration(row['seconds_left'] / row['running'])} with {row['running']} cells at a time"
    return text
