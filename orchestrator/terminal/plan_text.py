"""A plan and its forecast as text: cells, sums, shares by axis, time against the number of GPUs."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence

from catalog.names import axis_name, count_text
from catalog.storage.layout import command_on
from catalog.storage.sizes import bytes_text
from orchestrator.planning.forecast import (
    Amount,
    AxisShare,
    CellHours,
    Forecast,
    Goal,
    bases,
    largest_cells,
)
from orchestrator.planning.plan_model import Plan, Totals
from orchestrator.scheduling.makespan import GpuCount
from orchestrator.study.cells import chosen_on
from orchestrator.terminal.text import (
    aligned_columns,
    flops_text,
    hours_text,
    percent_text,
    time_text,
)

UNKNOWN = "?"
_BAR = 48  # characters of the longest bar


def forecast_lines(forecast: Forecast) -> list[str]:
    """What is left to pay for, an empty line between its parts; nothing left is one line."""
    if not forecast.left.cells:
        return sum_lines(forecast)
    return [*sum_lines(forecast), "", *share_table(forecast), "", *count_lines(forecast)]


def sum_lines(forecast: Forecast) -> list[str]:
    """Hours, money, checkpoints and the longest chain; what is not known is `?`."""
    left, whole = forecast.left, forecast.whole
    kept = _known(bytes_text(whole.checkpoint_bytes), whole.unknown_checkpoints, whole.cells)
    if not left.cells:
        return [f"nothing is left to do; checkpoints: {kept}"]
    lines = [
        f"left to do: {_hours(forecast)}{_money(forecast)}; rates {forecast.rates.origin}",
        f"checkpoints: {kept} when all cells are done",
    ]
    if forecast.critical is not None and left.unknown_cells < left.cells:
        lines.append(f"longest chain: {time_text(forecast.critical.seconds)} for {forecast.critical.chain}")
    return lines


def _hours(forecast: Forecast) -> str:
    left = forecast.left
    hours = _known(hours_text(left.unit_hours), left.unknown_cells, left.cells, f"{forecast.unit}-hours")
    return f"{hours} {forecast.unit}-hours" if hours == UNKNOWN else hours


def _money(forecast: Forecast) -> str:
    left = forecast.left
    if left.money is None or left.unknown_cells == left.cells:
        return ""
    return f", {left.money:,.2f} at {forecast.price:g} a GPU-hour"


def _known(text: str, unknown: int, cells: int, unit: str = "") -> str:
    """A sum with its unit, and of how many cells it is without; `?` where none is known."""
    if unknown and unknown == cells:
        return UNKNOWN
    said = f"{text} {unit}".rstrip()
    return f"{said} and {UNKNOWN} for {count_text(unknown, 'cell')}" if unknown else said


def share_table(forecast: Forecast, most: int | None = None, width: int | None = None) -> list[str]:
    """What is left by each axis's values: in `most` lines those that take most; too wide, it has no MACs."""
    if not forecast.left.cells:
        return []
    money = forecast.price is not None and forecast.on_gpus
    head = ["left, by axis", "", "cells", "MACs", f"{forecast.unit}-hours", ""]
    rows = [[*head, *(["money"] if money else []), "checkpoints"]]
    for shares, more in _chosen_shares(forecast.shares, most):
        for place, share in enumerate(shares):
            name = "" if place else axis_name(share.axis)
            rows.append(_share_row(share, name, forecast.left, money=money))
        if more:
            rows.append(["", f"and {more} more", *[""] * (len(rows[0]) - 2)])
    lines = aligned_columns(rows)
    if width is not None and max(map(len, lines)) > width:
        lines = aligned_columns([[*row[:3], *row[4:]] for row in rows])
    return lines


def _share_row(share: AxisShare, axis: str, whole: Amount, *, money: bool) -> list[str]:
    left = share.left
    known = left.unknown_cells < left.cells
    return [
        axis,
        share.value,
        str(left.cells),
        percent_text(left.macs, whole.macs),
        hours_text(left.unit_hours) if known else UNKNOWN,
        percent_text(left.unit_hours, whole.unit_hours) if known else UNKNOWN,
        *([f"{left.money or 0:,.2f}" if known else UNKNOWN] if money else []),
        bytes_text(left.checkpoint_bytes) if left.unknown_checkpoints < left.cells else UNKNOWN,
    ]


def _chosen_shares(shares: Sequence[AxisShare], most: int | None) -> list[tuple[list[AxisShare], int]]:
    """By axis the values that are shown, and how many more there are; with the head in `most` lines."""
    axes: dict[str, list[AxisShare]] = {}
    for share in shares:
        axes.setdefault(share.axis, []).append(share)
    lines = {axis: len(values) for axis, values in axes.items()}
    while most is not None and sum(lines.values()) > most - 1 and max(lines.values()) > 2:
        lines[max(lines, key=lambda axis: lines[axis])] -= 1
    chosen = []
    for axis, values in axes.items():
        kept = values
        if lines[axis] < len(values):
            largest = sorted(values, key=lambda one: -one.left.unit_hours)[: lines[axis] - 1]
            kept = [one for one in values if one in largest]
        chosen.append((kept, len(values) - len(kept)))
    return chosen


def count_lines(forecast: Forecast, most: int | None = None) -> list[str]:
    """Time on 1, 2, 4 … GPUs, as far as more help; in `most` lines without those in the middle."""
    unit = "GPUs" if forecast.on_gpus else "CPUs"
    left = forecast.left
    if not left.cells:
        return []
    if left.unknown_cells == left.cells:
        return [f"time on 1, 2, 4 … {unit}: {UNKNOWN}, the cells' work is not known before data are built"]
    rows = [row for row in forecast.counts if forecast.enough is None or row.count <= forecast.enough]
    longest = max((row.seconds for row in rows if row.seconds), default=0.0)
    lines = [_count_line(row, longest) for row in rows]
    after = [f"without {count_text(left.unknown_cells, 'cell')} of unknown work"] * bool(left.unknown_cells)
    if forecast.enough is not None:
        after.append(f"more than {forecast.enough} {unit} do not help: the longest chain sets the time")
    if most is not None and len(lines) > (room := most - 1 - len(after)):
        lines = [*lines[: room - 3], "    …", *lines[-2:]]
    return [f"{unit:>5}  {'time':>9}", *lines, *after]


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
        f"rates of the {count_text(len(cells), 'cell')} left come from: {counts}",
    ]


def goal_lines(forecast: Forecast, goal: Goal) -> list[str]:
    """Whether the goal is kept to, and what stands in the way, by cell."""
    asked = f"{hours_text(goal.unit_hours)} {forecast.unit}-hours"
    needs = hours_text(forecast.left.unit_hours)
    if forecast.left.unit_hours <= goal.unit_hours:
        return [f"goal of {asked}: kept to, {needs} are needed"]
    if goal.needed_tflops is None:
        return [f"goal of {asked}: {needs} are needed; to start the cells takes as long already"]
    below = f"{count_text(len(goal.cells), 'cell')} below that stand{'s' * (len(goal.cells) == 1)}"
    return [
        f"goal of {asked}: {needs} are needed; at {goal.needed_tflops:.1f} TFLOP/s throughout it would be "
        f"kept to; {below} in the way:",
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


def cell_lines(planned: Plan) -> list[str]:
    """Every cell with its state, cost and reason, in columns; nothing is cut."""
    rows = [["cell", "state", "reason", "params", "GMACs", "work"]]
    for one in planned.cells:
        params = f"{one.params / 1e6:.2f} M" if one.params is not None else UNKNOWN
        flops = flops_text(one.flops) if one.flops is not None else UNKNOWN
        rows.append([one.cell.name, str(one.state), one.reason, params, f"{one.macs / 1e9:.3f}", flops])
    without_reason = aligned_columns([[*row[:2], *row[3:]] for row in rows])
    return [f"{line}  {row[2]}" for line, row in zip(_padded(without_reason), rows, strict=True)]


def _padded(lines: list[str]) -> list[str]:
    longest = max(map(len, lines))
    return [line.ljust(longest) for line in lines]


def work_line(totals: Totals) -> str:
    """MACs of one clip of every cell, and the work of training and evaluation, in all and left."""
    unknown = totals.cells_of_unknown_cost
    work = _known(flops_text(totals.flops), unknown, totals.cells)
    left = "" if work == UNKNOWN else f", {flops_text(totals.flops_left)} left"
    return f"one clip of every cell: {totals.macs / 1e9:,.1f} GMACs; work: {work}{left}"


def older_lines(plan: Plan, storage: str | None = None) -> list[str]:
    """How many cells have results that their new ones will supersede."""
    known = [one for one in plan.cells if not one.key_is_provisional]
    older = [one.cell.name for one in known if one.supersedes is not None]
    if not older:
        return []
    have = "cell has" if len(older) == 1 else "cells have"
    words = ("explain", older[0])
    compare = shlex.join(("actiongrid", *words)) if storage is None else command_on(storage, *words)
    return [f"{len(older)} {have} results under an older key: they stay, `{compare}` compares"]


def otherwise_lines(epochs: Sequence[int]) -> list[str]:
    """That cells were begun as the study was before; `epochs` are the last ones of each, in order."""
    if not epochs:
        return []
    low, high = epochs[0], epochs[-1]
    many = f"{low}" if low == high else f"{low} to {high}"
    each = " each" if len(epochs) > 1 else ""
    were = "was" if len(epochs) == 1 else "were"
    cells, many = count_text(len(epochs), "cell"), f"{many} epoch{'s' if high > 1 else ''}{each}"
    return [
        f"{cells} with {many} {were} begun with another recipe or other videos: these epochs are not used"
    ]


def unsure_lines(finished: int, begun: int) -> list[str]:
    """That cells of these names were trained, nobody knows yet whether on the same videos."""
    if not finished + begun:
        return []
    what = [f"{count} {word}" for count, word in ((finished, "finished"), (begun, "begun")) if count]
    return [
        f"under the same names: {' and '.join(what)}; whether they count is known once their datasets are "
        "built (data build, or run): where the videos are the same, nothing is trained again"
    ]


def choice_lines(plan: Plan) -> list[str]:
    """On which videos best epochs are chosen, and how many cells start from one that was chosen so."""
    counts = Counter(one.cell.choose_on for one in plan.cells)
    children = Counter(
        one.cell.choose_on for one in plan.cells if one.cell.parent and one.cell.recipe.inherit == "best"
    )
    return [_choice_line(share, children[share]) for share in counts]


def _choice_line(share: float | None, children: int) -> str:
    start = "cell starts" if children == 1 else "cells start"
    started = f"; {children} {start} from an epoch chosen so" if children else ""
    if share is None and children:
        started += (
            "; such accuracies are a little too good: with `choose_on: 10%` in the study, a tenth of its "
            "training videos chooses instead, and is not trained on"
        )
    return f"best epochs are chosen on {chosen_on(share)}{started}"


def share_lines(plan: Plan) -> list[str]:
    """How many cells were given which share, and what decided; nothing where the study said how many GPUs."""
    found = Counter((one.share.gpus, one.share.rule) for one in plan.cells if one.share)
    return [
        f"{count_text(count, 'cell')} with {gpus:g} of a GPU each, decided by {rule}"
        for (gpus, rule), count in sorted(found.items())
    ]
