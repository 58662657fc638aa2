"""What a whole storage holds, in a few rows: studies, states, settings, failures, videos left out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from catalog.catalog import Catalog

if TYPE_CHECKING:
    import pyarrow as pa

_STUDIES = "SELECT study FROM recorded.studies UNION SELECT study FROM recorded.cells ORDER BY study"
_STATES = "SELECT state, count(*) AS n FROM cells WHERE current OR state = 'done' GROUP BY state"
_AXES = """
    SELECT list(DISTINCT seed ORDER BY seed) AS seeds, list(DISTINCT dataset ORDER BY dataset) AS datasets
    FROM cells
"""
_CONFIGS = """
    SELECT DISTINCT config::VARCHAR AS value FROM cells WHERE current OR state = 'done' ORDER BY 1
"""
_RECORDED = "SELECT DISTINCT {column}::VARCHAR AS value FROM results WHERE {column} IS NOT NULL ORDER BY 1"
_FAILURES = """
    SELECT failures.* FROM failures JOIN cells USING (key) WHERE cells.current ORDER BY state DESC, cell
"""


def studies_of(catalog: Catalog) -> list[str]:
    """Return the studies with cells or submissions, by name."""
    return [str(name) for name in catalog.query(_STUDIES).column("study").to_pylist()]


def counts_by_state(catalog: Catalog) -> Mapping[str, int]:
    """Return how many cells are in which state, of those that are planned today or finished."""
    return {row["state"]: row["n"] for row in catalog.query(_STATES).to_pylist()}


def has_results(catalog: Catalog) -> bool:
    """Return whether any cell has finished, planned here or not."""
    return len(catalog.query("FROM results LIMIT 1")) > 0


def seeds_and_datasets(catalog: Catalog) -> tuple[list[int], list[str]]:
    """Return the seeds and the data sets of all cells, each once, in order."""
    (row,) = catalog.query(_AXES).to_pylist()
    return row["seeds"] or [], row["datasets"] or []


def distinct_configurations(catalog: Catalog) -> list[dict[str, Any]]:
    """Return the configurations of the cells that are planned today or finished, each once."""
    return _values(catalog.query(_CONFIGS))


def distinct_records(catalog: Catalog, column: Literal["versions", "hardware"]) -> list[dict[str, Any]]:
    """Return what results say of their library versions or hardware, each once."""
    return _values(catalog.query(_RECORDED.format(column=column)))


def failed_and_blocked(catalog: Catalog) -> pa.Table:
    """Return the failed and blocked cells of today's plans with their reasons."""
    return catalog.query(_FAILURES)


def quarantined_videos(catalog: Catalog) -> pa.Table:
    """Return the videos that could not be used, with the reasons."""
    return catalog.query("FROM quarantined ORDER BY dataset, path")


def _values(table: pa.Table) -> list[dict[str, Any]]:
    return [json.loads(value) for value in table.column("value").to_pylist()]
