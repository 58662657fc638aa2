"""Pause, resume and cancel: what commands mean for the cells of a running study (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class Standing(StrEnum):
    """Why a cell is not started although it could be."""

    PAUSED = "paused"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Command:
    """One command: `action` is pause, resume or cancel, `cells` a pattern of names, `who` gave it."""

    id: str
    action: str
    cells: str
    who: str = ""


def standings(names: Iterable[str], commands: Sequence[Command]) -> dict[str, Standing]:
    """The cells that commands, given in this order, hold up. What is cancelled stays so."""
    found: dict[str, Standing] = {}
    cells = tuple(names)
    for command in commands:
        for name in matching(cells, command.cells):
            if command.action == "cancel":
                found[name] = Standing.CANCELLED
            elif command.action == "pause":
                found.setdefault(name, Standing.PAUSED)
            elif found.get(name) is Standing.PAUSED:
                del found[name]
    return found


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """The names that a pattern with `*` and `?` matches, letters as they are."""
    return [name for name in names if fnmatchcase(name, pattern)]


def cancelled(standing: Mapping[str, Standing], parents: Mapping[str, str | None]) -> frozenset[str]:
    """Of the cells in `parents` the cancelled ones, and those that wait for one; `parents` by name."""
    return with_descendants((name for name in parents if standing.get(name) is Standing.CANCELLED), parents)


def with_descendants(names: Iterable[str], parents: Mapping[str, str | None]) -> frozenset[str]:
    """These cells and all that wait for one of them, directly or not; `parents` by name."""
    found = frozenset(names)
    while more := frozenset(name for name, parent in parents.items() if parent in found) - found:
        found |= more
    return found
