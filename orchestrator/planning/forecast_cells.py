"""Which cells a study's hours go to, and which stand in the way of a smaller sum (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator.planning.cost import SECONDS_PER_HOUR
from orchestrator.planning.forecast import Forecast, held_units
from orchestrator.planning.plan_model import Plan, PlannedCell, State
from orchestrator.planning.rates import ASSUMED, BASES


@dataclass(frozen=True)
class CellHours:
    """What one cell that is left takes. `share` is its part of all that is left, from 0 to 1.

    `over` are the hours by which its rate is too low for a goal; negative where it is better than that.
    """

    cell: str
    unit_hours: float
    share: float
    tflops: float
    basis: str
    over: float = 0.0


@dataclass(frozen=True)
class Goal:
    """A sum of hours to be kept to. `needed_tflops` is the rate at which all that is left would take them.

    None: the cells' start-up alone takes as long. `cells` are those below that rate, the worst first.
    """

    unit_hours: float
    needed_tflops: float | None
    cells: tuple[CellHours, ...]


def largest_cells(plan: Plan, forecast: Forecast) -> tuple[CellHours, ...]:
    """All cells that are left and of known work, those that take most hours first."""
    whole = forecast.left.unit_hours
    made = [_hours(one, forecast, whole) for one in _left(plan)]
    return tuple(sorted(made, key=lambda one: -one.unit_hours))


def bases(plan: Plan, forecast: Forecast) -> Mapping[str, int]:
    """How many of the cells left have a rate that was measured on what, the most alike first."""
    found = Counter(forecast.cells[one.cell.name].rate.basis for one in _left(plan))
    return {basis: found[basis] for basis in (*BASES, ASSUMED) if found[basis]}


def make_goal(plan: Plan, forecast: Forecast, unit_hours: float) -> Goal:
    """What stands in the way of finishing what is left in `unit_hours`.

    Each cell is held against the one rate at which all of them would take just that long: what they take
    more and less adds up to what the study takes more.
    """
    left = _left(plan)
    starts = {one.cell.name: _start_up_hours(one, forecast) for one in left}
    room = unit_hours - sum(starts.values())
    if room <= 0:
        return Goal(unit_hours, None, ())
    needed = sum(one.flops or 0 for one in left) / (room * SECONDS_PER_HOUR * 1e12)
    cells = []
    for one in left:
        hours = _hours(one, forecast, forecast.left.unit_hours)
        allowed = (one.flops or 0) / (needed * 1e12 * SECONDS_PER_HOUR) if needed else 0.0
        over = hours.unit_hours - starts[one.cell.name] - allowed
        if over > 0:
            cells.append(replace(hours, over=over))
    return Goal(unit_hours, needed, tuple(sorted(cells, key=lambda one: -one.over)))


def _left(plan: Plan) -> list[PlannedCell]:
    return [one for one in plan.cells if one.state is not State.DONE and one.flops is not None]


def _hours(planned: PlannedCell, forecast: Forecast, whole: float) -> CellHours:
    name = planned.cell.name
    cost = forecast.cells[name]
    hours = cost.unit_hours or 0.0
    return CellHours(name, hours, hours / whole if whole else 0.0, cost.rate.tflops, cost.rate.basis)


def _start_up_hours(planned: PlannedCell, forecast: Forecast) -> float:
    units = held_units(planned.cell.resources, gpus=forecast.on_gpus)
    return forecast.rates.start_up_seconds * units / SECONDS_PER_HOUR
