"""What a planner asks of the catalog: finished cells and failures, as typed events by key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

from catalog.catalog import Catalog
from catalog.codec import FIELD_TYPES
from catalog.events import CellFailed, CellFinished, Event

E = TypeVar("E", bound=Event)


def done_cells(catalog: Catalog) -> Mapping[str, CellFinished]:
    """Return the result of every finished cell by its key."""
    return _by_key(catalog, CellFinished, "FROM recorded.finished")


def failed_cells(catalog: Catalog) -> Mapping[str, CellFailed]:
    """Return the latest failure by key, of the cells that are not finished."""
    latest = """
        FROM recorded.failed ANTI JOIN recorded.finished USING (key)
        QUALIFY row_number() OVER (PARTITION BY key ORDER BY attempt DESC) = 1
    """
    return _by_key(catalog, CellFailed, latest)


def removed_checkpoints(catalog: Catalog) -> Mapping[str, frozenset[int]]:
    """Return the epochs whose checkpoints were removed, by the key of the finished cell."""
    rows = catalog.query("SELECT key, list(epoch) AS epochs FROM recorded.checkpoints_removed GROUP BY key")
    return {row["key"]: frozenset(row["epochs"]) for row in rows.to_pylist()}


def attempts_made(catalog: Catalog) -> Mapping[str, int]:
    """Return the highest attempt number started so far, by key."""
    rows = catalog.query("SELECT key, max(attempt) AS attempts FROM recorded.attempts_started GROUP BY key")
    return {row["key"]: row["attempts"] for row in rows.to_pylist()}


def _by_key(catalog: Catalog, event_type: type[E], sql: str) -> dict[str, E]:
    nested = [name for name, kind in FIELD_TYPES[event_type].items() if kind.base in (dict, list)]
    found = {}
    for row in catalog.query(sql).to_pylist():
        values = {name: row[name] for name in FIELD_TYPES[event_type]}
        values |= {name: json.loads(row[name]) for name in nested}
        found[row["key"]] = event_type(**values, time=row["time"])
    return found
