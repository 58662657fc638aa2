"""The finished cells of a catalog: what is done, and what the plan compares keys with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from orchestrator.planning.plan_model import DoneCell
from orchestrator.planning.reasons import Known
from orchestrator.scheduling.memory_reduction import Easing
from orchestrator.study.key_difference import KnownCell

if TYPE_CHECKING:
    from catalog import Catalog

_FINISHED = """
    WITH RECURSIVE wanted AS (
        SELECT key, parent_key FROM recorded.cells WHERE $names IS NULL OR list_contains($names, cell)
        UNION
        SELECT cells.key, cells.parent_key
        FROM wanted JOIN recorded.cells AS cells ON cells.key = wanted.parent_key
    )
    SELECT
        any_value(planned.cell) AS cell, key, list(planned.study ORDER BY planned.time) AS studies,
        any_value(planned.key_parts) AS key_parts, any_value(finished.time) AS finished
    FROM recorded.cells AS planned
    JOIN recorded.finished AS finished USING (key)
    SEMI JOIN wanted USING (key)
    GROUP BY key ORDER BY key
"""


def finished_cells(catalog: Catalog) -> Mapping[str, DoneCell]:
    """The finished cells by key, with what is left of their checkpoints."""
    from catalog.queries.finished import done_cells, removed_checkpoints

    removed = removed_checkpoints(catalog)
    return {
        key: DoneCell(
            key,
            cell.evaluation,
            frozenset(
                which
                for which, epoch in (("best", cell.best_epoch), ("last", cell.epochs))
                if epoch in removed.get(key, ())
            ),
        )
        for key, cell in done_cells(catalog).items()
    }


_EASED = """
    SELECT key, alone, accumulation FROM recorded.attempts_started
    QUALIFY attempt = max(attempt) OVER (PARTITION BY key)
"""


def eased_before(catalog: Catalog) -> Mapping[str, Easing]:
    """How the cells that ran out of memory were tried the last time, by key, whoever tried."""
    rows = catalog.query(_EASED).to_pylist()
    return {row["key"]: Easing(row["alone"], row["accumulation"]) for row in rows if row["alone"]}


def known_cells(catalog: Catalog, names: Sequence[str] | None) -> Known:
    """The finished cells with one of these names (None: all) and their ancestors, from whatever plan."""
    rows = catalog.query(_FINISHED, {"names": None if names is None else list(names)}).to_pylist()
    return Known(
        tuple(
            KnownCell(
                row["cell"], row["key"], tuple(row["studies"]), json.loads(row["key_parts"]), row["finished"]
            )
            for row in rows
        )
    )
