"""Who holds which cells, and what people commanded: what `actiongrid status` adds to the journals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from catalog.queries.drivers import commands_in_force
from catalog.storage.shared_files import notes_of
from orchestrator.coordination.drivers import Watch
from orchestrator.coordination.lease import Leases
from orchestrator.coordination.requests import Command, standings

if TYPE_CHECKING:
    from catalog import Catalog
    from catalog.storage.layout import Layout


def held_by(layout: Layout, keys: Iterable[str]) -> dict[str, str]:
    """The drivers that hold cells, in words, by the cells' keys. Who is known to be dead holds nothing."""
    watch = Watch(notes_of(layout.drivers))
    leases = Leases(notes_of(layout.leases), "", watch.is_dead)
    found = {}
    for key in keys:
        owner = leases.look(key).owner
        if owner is not None and not watch.is_dead(owner):
            record = watch.record(owner)
            found[key] = str(record) if record is not None else owner
    return found


def commanded(catalog: Catalog, rows: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """`paused` or `cancelled` by study and cell, of the rows whose cells have no result."""
    commands: dict[str, list[Command]] = {}
    for row in commands_in_force(catalog).to_pylist():
        commands.setdefault(row["study"], []).append(Command("", row["action"], row["cells"], row["who"]))
    found: dict[tuple[str, str], str] = {}
    open_rows = [row for row in rows if row["state"] != "done"]
    for study, given in commands.items():
        names = [row["cell"] for row in open_rows if row["study"] == study]
        found |= {(study, name): str(one) for name, one in standings(names, given).items()}
    return found
