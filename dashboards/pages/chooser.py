"""Choosing cells by name: a search field, and a list of those that pass the filters."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html
from dash.development.base_component import Component

from catalog import Catalog
from catalog.queries.filters import ALL, AXES, Filters, Where
from catalog.queries.relations import chosen_cells
from dashboards.pages.blocks import Block, Column, Table, state
from dashboards.pages.parts import cell_link
from dashboards.pages.view import View

MOST_OPTIONS = 100
"""So many names are offered at a time: those that hold what was typed."""

_LIST = """
    SELECT cell, key, state, top1, study FROM chosen
    ORDER BY dataset, module, backbone, temporal_pooling, frames, seed LIMIT 2000
"""


def chooser(view: View, name: str, keys: Sequence[str], *, several: bool = False) -> Component:
    """Return a field in which names of cells can be typed; `keys` are those chosen already."""
    title = "Cells" if several else "Cell"
    field = dcc.Dropdown(
        id={"kind": "cells", "name": name},
        options=options(view.catalog, view.filters, "", keys),
        value=list(keys) if several else (keys[0] if keys else None),
        multi=several,
        placeholder="type a part of a cell's name",
        optionHeight="auto",
    )
    return html.Div([html.Label(title, htmlFor=name), field], className="chooser")


def options(catalog: Catalog, filters: Filters, typed: str, keys: Sequence[str]) -> list[dict[str, str]]:
    """Return the cells whose name holds every word that was typed, and those chosen already."""
    chosen = _named(catalog, filters)
    words = {f"word_{place}": word.lower() for place, word in enumerate(typed.split())}
    named = " AND ".join(f"contains(lower(cell || ' ' || key), ${word})" for word in words)
    sql = f"""
        WITH {chosen.sql}
        (
            SELECT cell, key FROM chosen WHERE {named or "true"}
            ORDER BY cell, key LIMIT {MOST_OPTIONS}
        )
        UNION
        SELECT cell, key FROM recorded.cells WHERE list_contains($keys::VARCHAR[], key)
        ORDER BY cell, key
    """
    rows = catalog.query(sql, {**chosen.params, **words, "keys": list(keys)}).to_pylist()
    known = {row["key"] for row in rows}
    # The field takes away what it does not offer, and the address would change with it.
    rows += [{"cell": f"unknown cell {key}", "key": key} for key in keys if key not in known]
    return [
        {"label": row["cell"], "value": row["key"], "search": f"{row['cell']} {row['key']}"} for row in rows
    ]


def cells_block(view: View) -> Block:
    """Return the list of the cells that pass the filters."""
    chosen = chosen_cells(view.filters, "grid_cells")
    table = view.catalog.query(f"WITH {chosen.sql} {_LIST}", chosen.params)
    columns: dict[str, Column | str] = {
        "cell": Column("cell", make=lambda row: cell_link(view.address, row["key"], row["cell"])),
        "state": Column("state", state),
        "top1": "top-1",
        "study": "study",
    }
    return Table(
        "cells", "Cells", table, columns, "No cell has been planned yet, or none passes the filters."
    )


def _named(catalog: Catalog, filters: Filters) -> Where:
    """The cells to choose from, once each; states take longer: only a filter on them looks at them."""
    if filters.state:
        return chosen_cells(filters, "grid_cells")
    if filters == ALL:
        return Where("chosen AS (FROM kept.planned_keys)", {})
    where = filters.where((*AXES, "study", "seed"))
    once = f"SELECT DISTINCT cell, key FROM recorded.cells WHERE {where.sql}"
    return Where(f"chosen AS ({once})", where.params)
