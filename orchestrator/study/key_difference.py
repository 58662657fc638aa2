"""What tells two keys apart: their parts, field by field, and the finished cell that is nearest (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
    """A finished cell of the catalog: what its key was made of. `finished` is in seconds since 1970.

    `studies` are those that planned it, the first one first.
    """

    cell: str
    key: str
    studies: tuple[str, ...]
    key_parts: Mapping[str, Any]
    finished: float

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


def nearest(
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
