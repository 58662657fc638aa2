"""Why a cell has to run again: which field of its key, or of an ancestor's, moved since then (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from orchestrator.study.cells import Cell
from orchestrator.study.key_difference import PARENT, Difference, KnownCell, describe, nearest


@dataclass(frozen=True)
class Known:
    """The finished cells of a catalog that a study's cells may be compared with."""

    cells: tuple[KnownCell, ...] = ()

    @cached_property
    def by_name(self) -> Mapping[str, tuple[KnownCell, ...]]:
        """Those with one name: the same position of the grid, in whatever version."""
        found: dict[str, tuple[KnownCell, ...]] = {}
        for one in self.cells:
            found[one.cell] = (*found.get(one.cell, ()), one)
        return found

    @cached_property
    def by_key(self) -> Mapping[str, KnownCell]:
        """Every one by its key."""
        return {one.key: one for one in self.cells}


class Planned(Protocol):
    """What is asked of an ancestor that was planned before."""

    @property
    def cell(self) -> Cell:
        """The cell."""

    @property
    def key_parts(self) -> Mapping[str, Any]:
        """What its key is made of."""


@dataclass(frozen=True)
class Change:
    """Why a cell that was once finished has to run again, and the result that its new one will supersede."""

    reason: str
    supersedes: KnownCell
    differences: tuple[Difference, ...] = field(default=())


def change_since(
    cell: Cell, parts: Mapping[str, Any], before: Sequence[Planned], known: Known, study: str
) -> Change | None:
    """What changed since the nearest finished cell of the same name; None where there is none.

    Args:
        cell: the cell that has to run.
        parts: its key's parts today.
        before: the planned cells of its chain with fewer frames, in order.
        known: the finished cells.
        study: the study that is planned; a comparison with another study's cell says so.
    """
    found = nearest(parts, known.by_name.get(cell.name, ()))
    if found is None:
        return None
    old, differences = found
    own = [one for one in differences if one.field != PARENT]
    if own:
        reason = _at_stage(own, cell)
        reason += "; its parent changed too" if len(own) < len(differences) else ""
    else:
        reason = f"parent changed{_started_by(old, before, known)}"
    elsewhere = "" if study in old.studies else f"; compared with study {old.studies[0]}"
    return Change(reason + elsewhere, old, differences)


def _at_stage(own: Sequence[Difference], cell: Cell) -> str:
    *most, last = dict.fromkeys(one.kind for one in own)
    kinds = f"{', '.join(most)} and {last}" if most else last
    return f"{kinds} changed at stage f{cell.frames}, {describe(own)}"


def _started_by(old: KnownCell, before: Sequence[Planned], known: Known) -> str:
    """Which ancestor's change made the cell's key another, as the end of a sentence."""
    whose = "it"
    for ancestor in reversed(before):
        former = known.by_key.get(old.parent_key or "")
        if former is None:
            return f": {ancestor.cell.name} is not the one that it was trained from"
        if former.cell != ancestor.cell.name:
            return f": {whose} was {former.cell}, now {ancestor.cell.name}"
        found = nearest(ancestor.key_parts, [former])
        own = [one for one in found[1] if one.field != PARENT] if found else []
        if own:
            return f": {_at_stage(own, ancestor.cell)}"
        old, whose = former, f"that of {former.cell}"
    return ""
