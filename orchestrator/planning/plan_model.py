"""What a plan is made of: the state of the world that it is given, what it says of every cell, its sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator.planning.changes import Difference
from orchestrator.planning.gpu_share import Share
from orchestrator.study.cells import Cell
from orchestrator.study.datasets import DatasetState


class State(StrEnum):
    """What a submission would do with a cell today."""

    DONE = "done"
    TO_RUN = "to run"
    BLOCKED = "blocked"


@dataclass(frozen=True)
class DoneCell:
    """A finished cell of the catalog. `evaluation` is its `evaluation_key`, None where it is not recorded.

    `removed` are those of its `best` and `last` checkpoints that a study's `keep` had removed.
    """

    key: str
    evaluation: str | None = None
    removed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FailureInfo:
    """How a cell failed the last time, after how many attempts."""

    error: str
    attempts: int


@dataclass(frozen=True)
class PlannedCell:
    """One cell of a plan: its key, its state with the reason, and what it costs.

    `params` and `flops` are None where the number of classes or of videos is not known yet. `macs` counts one
    clip at the recipe's crop size. `blocked_by` names what blocks it: a dataset, a backbone or another cell.
    `supersedes` is the key of the nearest finished cell of the same name, where this one is not finished;
    `differences` are the fields in which their keys differ. `share` is what an `auto` cell gets of a GPU.
    `begun` is the last epoch that earlier attempts have trained, 0 where there is none.
    `origin` is the planned cell of the study `origin_study` that it starts from, if any.
    """

    cell: Cell
    key: str
    key_parts: Mapping[str, Any]
    key_is_provisional: bool
    parent_key: str | None
    evaluation_key: str
    state: State
    reason: str
    blocked_by: str | None
    num_classes: int | None
    manifest: str | None
    params: int | None
    macs: int
    flops: int | None
    supersedes: str | None = None
    differences: tuple[Difference, ...] = ()
    share: Share | None = None
    val_hash: str = ""
    begun: int = 0
    origin: PlannedCell | None = None
    origin_study: str = ""


@dataclass(frozen=True)
class MissingDataset:
    """A dataset that is not built, how many cells wait for it, and how to get it.

    `changed`, `seen` and `problem` are as in `DatasetState`.
    """

    name: str
    how: str
    cells: int
    buildable: bool
    changed: str = ""
    seen: str = ""
    problem: str = ""


@dataclass(frozen=True)
class CriticalPath:
    """The chain with the most work left: no number of GPUs finishes the study sooner."""

    chain: str
    cells: tuple[str, ...]
    flops: int


@dataclass(frozen=True)
class Totals:
    """Sums over a plan. FLOPs are of the cells whose datasets' sizes are known; the others are counted.

    `macs` sums one clip of every cell. `flops` is the whole study's work, `flops_left` without what is done.
    """

    cells: int
    chains: int
    by_state: Mapping[State, int]
    macs: int
    flops: int
    flops_left: int
    cells_of_unknown_cost: int
    critical_path: CriticalPath | None
    missing_datasets: tuple[MissingDataset, ...]


@dataclass(frozen=True)
class Plan:
    """What a study means today."""

    study: str
    cells: tuple[PlannedCell, ...]
    totals: Totals


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
    waiting = Counter(planned.cell.dataset for planned in _left(cells))
    states = (datasets[name] for name in dict.fromkeys(planned.cell.dataset for planned in cells))
    return tuple(
        MissingDataset(
            state.name,
            state.how,
            waiting[state.name],
            state.buildable,
            state.changed,
            state.seen,
            state.problem,
        )
        for state in states
        if not state.built
    )
