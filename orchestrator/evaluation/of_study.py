"""The finished cells that a study evaluates (`evaluates` of its file), its own or another study's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.names import is_other_axis
from catalog.queries.cells import cells_to_evaluate
from catalog.storage.layout import command_on
from orchestrator.evaluation.cells import CellChoiceError, FinishedCell, finished_cell
from orchestrator.evaluation.jobs import Wanted
from orchestrator.study.cells import expand

if TYPE_CHECKING:
    from pathlib import Path

    from catalog import Catalog
    from orchestrator.study.model import AxisValue, CellMatch, EvaluatedCells, Study


@dataclass(frozen=True)
class CellsOfStudy:
    """The cells that one entry of `evaluates` means.

    `study` is whose they are, `own` whether it is the one that evaluates them, `cells` how many are meant, as
    far as is known. `wanted` are the protocols to measure each finished one with; none: what their trainings
    measured is enough. `unfinished` are names of those that the storage knows.
    """

    study: str
    own: bool
    cells: int
    finished: tuple[FinishedCell, ...]
    unfinished: tuple[str, ...]
    wanted: tuple[Wanted, ...]

    def asked(self) -> list[tuple[FinishedCell, Wanted]]:
        """Every measurement of the finished ones."""
        return [(cell, wanted) for cell in self.finished for wanted in self.wanted]


def cells_of_study(study: Study, catalog: Catalog) -> tuple[CellsOfStudy, ...]:
    """The cells that `study` evaluates, entry after entry; only those of current plans count."""
    return tuple(_cells_of(study, one, catalog) for one in study.evaluates)


def require_cells(found: tuple[CellsOfStudy, ...], catalog: Catalog) -> None:
    """Raise where an entry means no cell that the storage knows.

    Raises:
        CellChoiceError: The study was never submitted to this storage, or none of its cells matches.
    """
    for one in found:
        if one.cells == 0:
            known = cells_to_evaluate(catalog, one.study).num_rows
            what = f"none of its {known} cells matches" if known else "it was never run on this storage"
            raise CellChoiceError(
                f"no cells of study {one.study} to evaluate: {what}",
                catalog.storage,
                f"run it first: {command_on(catalog.storage, 'run', one.study)}",
            )


_NAMED = 3
"""Cells that a line names."""


def evaluated_lines(found: Sequence[CellsOfStudy], storage: Path) -> list[str]:
    """Which finished cells a study evaluates, how often, and what to run for those that are not finished."""
    lines = []
    for one in found:
        again = command_on(storage, "run", one.study)
        there = f"cells of {one.study}: {len(one.finished)} of {one.cells} finished"
        if one.cells == 0:
            lines.append(f"evaluates cells of {one.study}, which this storage does not have: {again}")
        elif one.wanted:
            lines.append(f"evaluates {there}; protocols: {len(one.wanted)}")
        else:
            lines.append(f"needs no more than what was measured in training of {there}")
        if one.unfinished and not one.own:
            names = ", ".join(one.unfinished[:_NAMED]) + (", …" if len(one.unfinished) > _NAMED else "")
            lines.append(f"  not finished: {names}: {again}")
    return lines


def _cells_of(study: Study, entry: EvaluatedCells, catalog: Catalog) -> CellsOfStudy:
    name = entry.study or study.name
    rows = [
        row
        for row in cells_to_evaluate(catalog, name).to_pylist()
        if row["current"] and (entry.where is None or entry.where.matches(_axes(row, entry.where)))
    ]
    wanted = [
        Wanted(protocol=fields, average=one.average, checkpoint=one.checkpoint)
        for one in entry.protocols
        for fields in one.fields()
    ]
    own = name == study.name
    return CellsOfStudy(
        name,
        own,
        sum(entry.where is None or entry.where.matches(cell.axes) for cell in expand(study))
        if own
        else len(rows),
        tuple(finished_cell(row) for row in rows if row["done"]),
        tuple(row["cell"] for row in rows if not row["done"]),
        tuple(wanted),
    )


def _axes(row: Mapping[str, Any], where: CellMatch) -> dict[str, AxisValue]:
    """A planned cell's values by the axes that `where` names; recipe fields as it is trained with them."""
    config = json.loads(row["config"])
    return {name: _other(config, name) if is_other_axis(name) else row[name] for name in where.named}


def _other(config: Mapping[str, Any], name: str) -> AxisValue:
    field = name.removeprefix("recipe.")
    value = config["recipe"][field] if field != name else config.get("axes", {}).get(name)
    return tuple(value) if isinstance(value, list) else value
