"""Sums over planned cells: states, work, the critical path, the datasets that are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.planning.plan_model import (
    CriticalPath,
    DatasetState,
    MissingDataset,
    PlannedCell,
    State,
    Totals,
)


def make_totals(cells: Sequence[PlannedCell], datasets: Mapping[str, DatasetState]) -> Totals:
    """Sum up planned cells; `datasets` is by name."""
    states = Counter(planned.state for planned in cells)
    return Totals(
        cells=len(cells),
        chains=len({planned.cell.chain_id for planned in cells}),
        by_state={state: states[state] for state in State},
        macs=sum(planned.macs for planned in cells),
        flops=_flops(cells),
        flops_left=_flops(_left(cells)),
        cells_of_unknown_cost=sum(planned.flops is None for planned in cells),
        critical_path=_critical_path(_left(cells)),
        missing_datasets=_missing(cells, datasets),
    )


def _left(cells: Iterable[PlannedCell]) -> list[PlannedCell]:
    return [planned for planned in cells if planned.state is not State.DONE]


def _flops(cells: Iterable[PlannedCell]) -> int:
    return sum(planned.flops or 0 for planned in cells)


def _critical_path(left: Sequence[PlannedCell]) -> CriticalPath | None:
    chains: dict[str, list[PlannedCell]] = {}
    for planned in left:
        chains.setdefault(planned.cell.chain_id, []).append(planned)
    if not chains:
        return None
    longest = max(chains, key=lambda chain: _flops(chains[chain]))
    members = chains[longest]
    return CriticalPath(longest, tuple(planned.cell.name for planned in members), _flops(members))


def _missing(
    cells: Sequence[PlannedCell], datasets: Mapping[str, DatasetState]
) -> tuple[MissingDataset, ...]:
    waiting = Counter(planned.cell.dataset for planned in cells)
    states = (datasets[name] for name in waiting)
    return tuple(
        MissingDataset(state.name, state.how, waiting[state.name], state.buildable)
        for state in states
        if not state.built
    )
