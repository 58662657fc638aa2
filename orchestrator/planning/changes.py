"""What changed since a cell was finished: keys field by field, and why it has to run again (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from orchestrator.study.cells import Cell

PARENT = "initial.parent"
# Of a field that one of two keys does not have at all.
ABSENT = "nothing"

_KINDS = {
    "recipe": "recipe",
    "data": "training data",
    "model": "model",
    "seed": "seed",
    "initial": "starting point",
    "batch_statistics_shards": "resources",
}
_WORDY = 12  # characters of a hash that tell it apart


@dataclass(frozen=True)
class KnownCell:
    """A finished cell of the catalog. `finished` is in seconds since 1970.

    `studies` are those that planned it, the first one first; `parts_json` is what its key was made of.
    """

    cell: str
    key: str
    studies: tuple[str, ...]
    parts_json: str
    finished: float

    @cached_property
    def key_parts(self) -> Mapping[str, Any]:
        """What its key was made of; read when first asked for, as most known cells are compared with none."""
        parts: dict[str, Any] = json.loads(self.parts_json)
        return parts

    @property
    def parent_key(self) -> str | None:
        """The key of the cell that it started from."""
        parent = self.key_parts.get("initial", {}).get("parent")
        return None if parent is None else str(parent)


@dataclass(frozen=True)
class Difference:
    """One field of a key that changed, by its dotted name."""

    field: str
    before: Any
    after: Any

    @property
    def kind(self) -> str:
        """What the field belongs to, in words: recipe, training data, code and so on."""
        if self.field.endswith("version") or self.field in ("train_step", "format"):
            return "code"
        return _KINDS.get(self.field.split(".", maxsplit=1)[0], "setting")

    @property
    def words(self) -> str:
        """Its last name with both values: `lr 0.01 → 0.02`."""
        return f"{self.field.rpartition('.')[2]} {_short(self.before)} → {_short(self.after)}"

    def __str__(self) -> str:
        return f"{self.field} ({_short(self.before)} → {_short(self.after)})"


def flatten(parts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The parts' leaves by dotted name, such as `recipe.lr`; a list is one leaf."""
    return dict(_leaves(parts, prefix))


def _leaves(parts: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in parts.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value


def key_difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Difference, ...]:
    """The fields that differ between the parts of two keys, in the order of their names."""
    old, new = flatten(before), flatten(after)
    return tuple(
        Difference(field, old.get(field, ABSENT), new.get(field, ABSENT))
        for field in sorted(old.keys() | new.keys())
        if old.get(field, ABSENT) != new.get(field, ABSENT)
    )


def nearest_cell(
    parts: Mapping[str, Any], known: Iterable[KnownCell]
) -> tuple[KnownCell, tuple[Difference, ...]] | None:
    """The finished cell with the fewest differing fields, of equals the newest, and what differs.

    A parent's key counts after everything else: it follows from a change somewhere before.
    """
    compared = [(one, key_difference(one.key_parts, parts)) for one in known]
    if not compared:
        return None

    def distance(pair: tuple[KnownCell, tuple[Difference, ...]]) -> tuple[int, int, float, str]:
        cell, differences = pair
        own = sum(difference.field != PARENT for difference in differences)
        return own, len(differences), -cell.finished, cell.key

    return min(compared, key=distance)


def describe(differences: Sequence[Difference]) -> str:
    """Differences on one line: `field recipe.lr (0.01 → 0.02)`, or several fields."""
    fields = ", ".join(str(difference) for difference in differences)
    return f"field{'s' if len(differences) > 1 else ''} {fields}"


def _short(value: Any) -> str:  # noqa: ANN401 - a leaf of JSON
    text = str(value)
    is_hash = len(text) >= 32 and all(character in "0123456789abcdef" for character in text)
    return f"{text[:_WORDY]}…" if is_hash else text


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
    found = nearest_cell(parts, known.by_name.get(cell.name, ()))
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
        found = nearest_cell(ancestor.key_parts, [former])
        own = [one for one in found[1] if one.field != PARENT] if found else []
        if own:
            return f": {_at_stage(own, ancestor.cell)}"
        old, whose = former, f"that of {former.cell}"
    return ""
