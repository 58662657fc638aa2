"""A plan on one screen: what is missing, sums, shares by axis, time on GPUs, cells by reason (pure)."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from catalog.names import count_text
from orchestrator.planning.forecast import Forecast
from orchestrator.planning.machine import Shortage
from orchestrator.planning.plan_model import MissingDataset, Plan, PlannedCell, State
from orchestrator.terminal.plan_text import (
    choice_lines,
    count_lines,
    older_lines,
    otherwise_lines,
    share_lines,
    share_table,
    sum_lines,
    unsure_lines,
    work_line,
)
from trainables.models.pretrained import TITLES, WeightsFile
from trainables.recipe.plug_ins import plug_ins

MOST_LINES = 59
"""Lines of a plan, whatever the study."""
_NEEDS, _SUMS, _COUNTS, _FEWEST_SHARES, _FEWEST_GROUPS = 13, 14, 10, 11, 5
_LONGEST_REASON = 300  # characters; --cells has them whole


@dataclass(frozen=True)
class PlanPage:
    """What is shown of a plan. `downloads` are files of weights to fetch, `notes` lines below the sums.

    `storage` is what the user named, for commands that are advised. `otherwise` are the last epochs of cells
    that were begun as the study was before, `unsure` how many finished or begun, of which the plan knows not
    whether they count.
    """

    plan: Plan
    forecast: Forecast
    downloads: tuple[WeightsFile, ...] = ()
    shortages: tuple[Shortage, ...] = ()
    notes: tuple[str, ...] = ()
    storage: str | None = None
    otherwise: tuple[int, ...] = ()
    unsure: tuple[int, int] = (0, 0)


def page_lines(page: PlanPage, width: int | None) -> list[str]:
    """The page in at most `MOST_LINES` lines, wrapped to `width` characters (None: not at all)."""
    plan, forecast = page.plan, page.forecast
    states = ", ".join(f"{count} {state}" for state, count in plan.totals.by_state.items())
    cells, chains = count_text(plan.totals.cells, "cell"), count_text(plan.totals.chains, "chain")
    head = wrapped(f"{plan.study}: {cells} in {chains}: {states}", width)
    needs = fitted([wrapped(line, width) for line in need_lines(page)], _NEEDS, "needs")
    sums = (work_line(plan.totals), *sum_lines(forecast), *choice_lines(plan), *share_lines(plan))
    sums = (*sums, *plug_in_lines(plan), *origin_lines(plan))
    older = (*older_lines(plan, page.storage), *otherwise_lines(page.otherwise), *unsure_lines(*page.unsure))
    said = [wrapped(line, width) for line in (*sums, *older, *page.notes)]
    above = [head, needs, fitted(said, _SUMS, "notes")]
    groups = [wrapped(line, width) for line in group_lines(plan)]
    wanted = min(sum(map(len, groups)), _FEWEST_GROUPS)
    counts = count_lines(forecast, _COUNTS)
    room = MOST_LINES - _length([*above, counts]) - wanted - 2
    shares = share_table(forecast, max(room, _FEWEST_SHARES), width)
    room = MOST_LINES - _length([*above, shares, counts]) - 1
    return _joined([*above, shares, counts, fitted(groups, max(room, _FEWEST_GROUPS), "reasons; --cells")])


def wrapped(text: str, width: int | None) -> list[str]:
    """A line in pieces of at most `width` characters, broken between words alone: no name is cut."""
    if width is None:
        return [text]
    return textwrap.wrap(
        text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    ) or [""]


def fitted(items: Sequence[list[str]], most: int, what: str) -> list[str]:
    """The lines of as many items as fit into `most`; where not all do, the last line counts the others."""
    if sum(map(len, items)) <= most:
        return [line for item in items for line in item]
    lines: list[str] = []
    for number, item in enumerate(items):
        if len(lines) + len(item) > most - 1:
            return [*lines, f"and {len(items) - number} more {what}"]
        lines += item
    return lines


def _length(parts: Sequence[list[str]]) -> int:
    """Lines of the parts and of the empty ones between them."""
    full = [part for part in parts if part]
    return sum(map(len, full)) + max(len(full) - 1, 0)


def _joined(parts: Sequence[list[str]]) -> list[str]:
    lines: list[str] = []
    for part in parts:
        lines += ["", *part] if lines and part else part
    return lines


def need_lines(page: PlanPage) -> list[str]:
    """Each dataset that is not built, once; weights that are not here; what this machine lacks."""
    lines = [dataset_line(one) for one in page.plan.totals.missing_datasets]
    starters = [
        one.cell for one in page.plan.cells if one.cell.parent is None and one.state is not State.DONE
    ]
    wanted = {cell.weights for cell in starters}
    for trained_on, title in TITLES.items():
        files = [one.name for one in page.downloads if one in wanted and one.trained_on == trained_on]
        if files:
            there = "is not here and" if len(files) == 1 else "are not here and"
            lines.append(
                f"{title} weights {', '.join(files)} {there} will be downloaded; else: --weights-dir"
            )
    way_out = "run it on a cluster: --address, or actiongrid submit"
    lacking = [(one, count_text(one.cells, "cell")) for one in page.shortages]
    return [*lines, *(f"resources: the study {one} ({cells}); {way_out}" for one, cells in lacking)]


def plug_in_lines(plan: Plan) -> list[str]:
    """The plug-ins that cells use, each with its version."""
    if not plug_ins():
        return []
    used = Counter(one for planned in plan.cells for one in planned.cell.plug_ins.items())
    return [
        f"plug-in: {label}, {version}: {count_text(cells, 'cell')}"
        for (label, version), cells in sorted(used.items())
    ]


_MOST_ORIGINS = 6


def origin_lines(plan: Plan) -> list[str]:
    """The cells of another study that chains begin with, and the cells that start from each."""
    found: dict[str, tuple[PlannedCell, list[str]]] = {}
    for one in plan.cells:
        if one.origin is not None:
            head = ", new head" if one.cell.new_head else ""
            found.setdefault(one.origin.key, (one, []))[1].append(f"{one.cell.name}{head}")
    lines = [
        f"{one.origin_study}: {one.cell.parent} ({one.origin.state}) → {'; '.join(names)}"
        for one, names in found.values()
        if one.origin is not None
    ]
    more = len(lines) - _MOST_ORIGINS
    return [
        *lines[:_MOST_ORIGINS],
        *([f"and {count_text(more, 'further cell')} of {plan.study}'s parents"] if more > 0 else []),
    ]


def dataset_line(one: MissingDataset) -> str:
    """A dataset that is not built: what its source holds, or how to get it."""
    if one.changed:
        after = f"{count_text(one.cells, 'cell')} to run" if one.cells else "no cell is trained again"
        return f"dataset {one.name}: {one.changed}: {after}"
    head = f"dataset {one.name} ({count_text(one.cells, 'cell')})"
    if one.problem or one.seen:
        return f"{head}: {one.problem or one.seen}"
    return f"{head}: {one.how}" if one.buildable else f"{head} is missing: {one.how}"


def group_lines(plan: Plan) -> list[str]:
    """Cells by state and reason, those that can run first; a cell alone by its name."""
    missing = {one.name: one.problem for one in plan.totals.missing_datasets}
    groups: dict[tuple[State, str], list[str]] = {}
    for one in plan.cells:
        groups.setdefault((one.state, common_reason(one, missing)), []).append(one.cell.name)
    order = (State.TO_RUN, State.BLOCKED, State.DONE)
    ordered = sorted(groups.items(), key=lambda group: order.index(group[0][0]))
    return [
        f"{names[0] if len(names) == 1 else f'{len(names)} cells'} {state}: {reason}"
        for (state, reason), names in ordered
    ]


def common_reason(planned: PlannedCell, missing: Mapping[str, str]) -> str:
    """A cell's reason without the names of other cells.

    Of a dataset that is missing, and named above: its name, and what keeps it from being built, if anything.
    """
    name = planned.blocked_by or ""
    if planned.state is State.BLOCKED and name in missing:
        return f"dataset {name} is not built{missing[name] and f': {missing[name]}'}"
    reason = planned.reason
    for name in filter(None, (planned.cell.parent, planned.blocked_by)):
        reason = reason.replace(f" {name}", "")
    return reason if len(reason) <= _LONGEST_REASON else f"{reason[:_LONGEST_REASON]}…"
