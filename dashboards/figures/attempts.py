"""The attempts at one cell: when, where, how they ended, and where their logs are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from dashboards.figures.tables import draw_table
from dashboards.render.theme import AUTO, Theme, empty_figure

if TYPE_CHECKING:
    import pyarrow as pa

TITLES = {
    "attempt": "attempt",
    "state": "state",
    "started": "started (UTC)",
    "seconds": "seconds",
    "host": "host",
    "driver": "driver",
    "error": "error",
    "log": "log",
}


def attempts_data(catalog: Catalog, key: str) -> pa.Table:
    """Return one row an attempt at a cell, the first one first."""
    return catalog.query("FROM attempts WHERE key = $key ORDER BY attempt", {"key": key})


def draw_attempts(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw the attempts as a table."""
    rows = [
        {**row, "started": f"{row['started']:%Y-%m-%d %H:%M:%S}" if row["started"] else ""}
        for row in table.to_pylist()
    ]
    if not rows:
        return empty_figure("This cell has not been tried yet.", theme)
    return draw_table(rows, TITLES, theme)
