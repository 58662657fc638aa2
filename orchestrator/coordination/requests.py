"""Pause, resume, cancel and retry: what commands mean for the cells of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from catalog.queries.drivers import commands_in_force, retries_awaited

if TYPE_CHECKING:
    from catalog import Catalog


TO_BE_RETRIED = "to be retried"


class StopRequest(StrEnum):
    """What people asked for a cell: to stop after its epoch until they say so, or for good."""

    PAUSED = "paused"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class Command:
    """One command: `action` is pause, resume, cancel or retry, `cells` a pattern of names, `who` gave it."""

    id: str
    action: str
    cells: str
    who: str = ""


def stop_requests(names: Iterable[str], commands: Sequence[Command]) -> dict[str, StopRequest]:
    """What holds for the cells after these commands, in the order given. What is cancelled stays so."""
    found: dict[str, StopRequest] = {}
    cells = tuple(names)
    for command in commands:
        for name in matching(cells, command.cells):
            if command.action == "cancel":
                found[name] = StopRequest.CANCELLED
            elif command.action == "pause":
                found.setdefault(name, StopRequest.PAUSED)
            elif command.action == "resume" and found.get(name) is StopRequest.PAUSED:
                del found[name]
    return found


def retried(names: Iterable[str], commands: Iterable[Command]) -> frozenset[str]:
    """The names that one of these commands asks to try again where they failed."""
    cells = tuple(names)
    asked = (command.cells for command in commands if command.action == "retry")
    return frozenset(name for pattern in asked for name in matching(cells, pattern))


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """The names that a pattern with `*` and `?` matches, letters as they are."""
    return [name for name in names if fnmatchcase(name, pattern)]


def requested(catalog: Catalog, rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """By study and cell what was asked of those rows whose cells have no result.

    That is `paused`, `cancelled`, or, of one that has failed, `to be retried`.
    """
    commands: dict[str, list[Command]] = {}
    for row in commands_in_force(catalog).to_pylist():
        commands.setdefault(row["study"], []).append(Command("", row["action"], row["cells"], row["who"]))
    found: dict[tuple[str, str], str] = {}
    open_rows = [row for row in rows if row["state"] != "done"]
    for study, given in commands.items():
        names = [row["cell"] for row in open_rows if row["study"] == study]
        found |= {(study, name): str(one) for name, one in stop_requests(names, given).items()}
    for row in retries_awaited(catalog).to_pylist():
        if matching([row["cell"]], row["cells"]):
            found.setdefault((row["study"], row["cell"]), TO_BE_RETRIED)
    return found
