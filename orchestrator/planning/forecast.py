"""What a plan costs in time, money and storage, as a whole and by axis, and on how many GPUs (pure)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from catalog.names import axis_text, is_other_axis, other_axis_value
from orchestrator.planning.cost import SECONDS_PER_HOUR, checkpoint_bytes
from orchestrator.planning.plan_model import Plan, PlannedCell, State
from orchestrator.planning.rates import ASSUMED, BASES, Rate, Rates
from orchestrator.scheduling.makespan import GpuCount, doubling_table
from orchestrator.scheduling.schedule import Task
from orchestrator.study.model import AxisValue, Resources

_NOT_SHARED = frozenset({"seed"})


@dataclass(frozen=True)
class CellForecast:
    """One cell: wall `seconds` on its own GPUs, start-up included; None where its work is not known."""

    seconds: float | None
    unit_hours: float | None
    rate: Rate
    checkpoint_bytes: int | None


@dataclass(frozen=True)
class Amount:
    """What some cells need. `unit_hours` are GPU-hours, or core-hours where no GPU is used.

    `macs` sums one clip of each cell. `unknown_cells` are those whose work is not known: the other sums are
    without them. `unknown_checkpoints` counts those whose checkpoints' size is not.
    """

    cells: int
    macs: int
    flops: int
    unit_hours: float
    money: float | None
    checkpoint_bytes: int
    unknown_cells: int = 0
    unknown_checkpoints: int = 0


@dataclass(frozen=True)
class AxisShare:
    """What is left to do with one value of an axis."""

    axis: str
    value: str
    left: Amount


@dataclass(frozen=True)
class CriticalTime:
    """The chain that takes longest, on its own GPUs."""

    chain: str
    cells: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Forecast:
    """What a plan costs. `counts` are makespans of what is left; `enough`: more GPUs do not help."""

    rates: Rates
    on_gpus: bool
    price: float | None
    whole: Amount
    left: Amount
    shares: tuple[AxisShare, ...]
    cells: Mapping[str, CellForecast]
    critical: CriticalTime | None
    counts: tuple[GpuCount, ...]
    enough: int | None

    @property
    def unit(self) -> str:
        """What is counted by the hour."""
        return "GPU" if self.on_gpus else "core"


def on_gpus(plan: Plan) -> bool:
    """Whether any cell of the plan holds a GPU."""
    return any(planned.cell.resources.gpus > 0 for planned in plan.cells)


def make_forecast(plan: Plan, rates: Rates, price: float | None = None) -> Forecast:
    """Reckon a plan with these rates; `price` is of one GPU-hour."""
    gpus = on_gpus(plan)
    cells = {planned.cell.name: cell_forecast(planned, rates, gpus=gpus) for planned in plan.cells}
    left = [planned for planned in plan.cells if planned.state is not State.DONE]

    def amount(some: Iterable[PlannedCell]) -> Amount:
        return _amount(tuple(some), cells, price if gpus else None)

    tasks, seconds = _tasks(left, cells)
    counts, enough = doubling_table(tasks, seconds, on_cpus=not gpus)
    return Forecast(
        rates=rates,
        on_gpus=gpus,
        price=price,
        whole=amount(plan.cells),
        left=amount(left),
        shares=tuple(
            AxisShare(axis, _text(axis, value), amount(some))
            for axis in _shared_axes(left)
            for value, some in _by_value(left, axis).items()
        ),
        cells=cells,
        critical=_critical(left, cells),
        counts=counts,
        enough=enough,
    )


def cell_forecast(planned: PlannedCell, rates: Rates, *, gpus: bool) -> CellForecast:
    """What one cell costs; `gpus`: its study counts GPUs, not cores."""
    rate = rates.of(planned.cell)
    recipe, units = planned.cell.recipe, held_units(planned.cell.resources, gpus=gpus)
    seconds = cell_seconds(planned.flops, rate, units, rates.start_up_seconds)
    kept = None
    if planned.params is not None:
        kept = checkpoint_bytes(planned.params, recipe.epochs, recipe.moments, planned.cell.keep)
    return CellForecast(seconds, None if seconds is None else seconds * units / SECONDS_PER_HOUR, rate, kept)


def cell_seconds(flops: float | None, rate: Rate, units: float, start_up: float) -> float | None:
    """Wall seconds of a cell on `units` GPUs or cores, at the same rate for each."""
    return None if flops is None else start_up + flops / (rate.tflops * 1e12 * units)


def held_units(resources: Resources, *, gpus: bool) -> float:
    """GPUs that a cell holds, or cores where its study uses no GPU."""
    return resources.gpus if gpus and resources.gpus > 0 else float(resources.cpus)


def _amount(some: Sequence[PlannedCell], cells: Mapping[str, CellForecast], price: float | None) -> Amount:
    costs = [cells[one.cell.name] for one in some]
    flops = [one.flops for one in some]
    sizes = [cost.checkpoint_bytes for cost in costs]
    hours = sum([cost.unit_hours or 0.0 for cost in costs])
    return Amount(
        cells=len(some),
        macs=sum([one.macs for one in some]),
        flops=sum(filter(None, flops)),
        unit_hours=hours,
        money=None if price is None else hours * price,
        checkpoint_bytes=sum(filter(None, sizes)),
        unknown_cells=flops.count(None),
        unknown_checkpoints=sizes.count(None),
    )


def _text(axis: str, value: AxisValue) -> str:
    return other_axis_value(value) if is_other_axis(axis) else axis_text(axis, value)


def _shared_axes(left: Sequence[PlannedCell]) -> Sequence[str]:
    """The axes by which costs are told; seeds cost the same."""
    return [axis for axis in (left[0].cell.axes if left else ()) if axis not in _NOT_SHARED]


def _by_value(left: Iterable[PlannedCell], axis: str) -> Mapping[AxisValue, Sequence[PlannedCell]]:
    """Cells by their value of an axis, in the order in which values first stand."""
    found: dict[AxisValue, list[PlannedCell]] = {}
    for one in left:
        found.setdefault(one.cell.value(axis), []).append(one)
    return found


def _tasks(
    left: Sequence[PlannedCell], cells: Mapping[str, CellForecast]
) -> tuple[list[Task], dict[str, float]]:
    """What is left as tasks of the schedule; a cell of unknown cost takes no time."""
    names = {planned.cell.name for planned in left}
    seconds = {name: cells[name].seconds or 0.0 for name in names}
    tasks = [
        Task(
            one.cell.name,
            one.cell.parent if one.origin is None and one.cell.parent in names else None,
            seconds[one.cell.name],
            one.cell.resources,
        )
        for one in left
    ]
    return tasks, seconds


def _critical(left: Sequence[PlannedCell], cells: Mapping[str, CellForecast]) -> CriticalTime | None:
    chains: dict[str, list[str]] = {}
    for planned in left:
        chains.setdefault(planned.cell.chain_id, []).append(planned.cell.name)
    times = [
        CriticalTime(chain, tuple(names), sum(cells[name].seconds or 0.0 for name in names))
        for chain, names in chains.items()
    ]
    return max(times, key=lambda one: one.seconds, default=None)


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
