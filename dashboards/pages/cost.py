"""What the grid costs: hours planned and spent, utilisation, when it will be done, and what failed."""

from __future__ import annotations

from catalog.queries.training import costs_by_axis, failures_by_kind, utilisation
from dashboards.figures.cost_by_axis import costs_of_all, draw_cost_by_axis
from dashboards.figures.cost_front import cost_front_data, draw_cost_front
from dashboards.figures.failures import draw_failures
from dashboards.figures.figure import Scope
from dashboards.figures.utilisation import draw_utilisation
from dashboards.pages.blocks import Block, Figure, Text
from dashboards.pages.overview import totals
from dashboards.pages.request import PageRequest, in_parallel

TITLE = "Cost"


def blocks(request: PageRequest) -> list[Block]:
    """Return the totals, hours by axis, utilisation, accuracy against hours, and failures."""
    axes, used, front, failed = in_parallel(
        lambda: costs_by_axis(request.catalog, request.filters),
        lambda: utilisation(request.catalog, request.filters),
        lambda: cost_front_data(request.catalog, Scope(request.filters)),
        lambda: failures_by_kind(request.catalog, request.filters),
    )
    return [
        Text("totals", totals(costs_of_all(axes))),
        Figure(
            "cost-by-axis",
            "Hours by axis",
            draw_cost_by_axis(axes, request.theme),
            axes,
            "Spent so far (filled) and expected for the whole (outlined), at the pace of finished cells.",
        ),
        Figure("utilisation", "Utilisation", draw_utilisation(used, request.theme), used),
        Figure(
            "cost-front",
            "Accuracy by hours",
            draw_cost_front(front, request.theme),
            front,
            "A model's hours include those of the shorter clip lengths that it was finetuned from; the line "
            "joins the models that no mean of the same or a lower cost beats (filled symbols). Bars of error "
            "are 95 % intervals from videos and seeds: where they overlap, another run can order the models "
            "otherwise.",
        ),
        Figure("failures", "Failures by kind", draw_failures(failed, request.theme), failed),
    ]
