"""Choosing cells by name: a search field, and a list of those that pass the filters."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html
from dash.development.base_component import Component

from catalog import Catalog
from catalog.queries.choices import cells_to_choose, cells_with_words
from catalog.queries.filters import Filters
from dashboards.pages.blocks import Block, Column, Table, state
from dashboards.pages.parts import cell_link
from dashboards.pages.view import View

MOST_OPTIONS = 100
"""So many names are offered at a time: those that hold what was typed."""


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
    rows = cells_with_words(catalog, filters, typed.split(), keys, MOST_OPTIONS).to_pylist()
    known = {row["key"] for row in rows}
    # The field takes away what it does not offer, and the address would change with it.
    rows += [{"cell": f"unknown cell {key}", "key": key} for key in keys if key not in known]
    return [
        {"label": row["cell"], "value": row["key"], "search": f"{row['cell']} {row['key']}"} for row in rows
    ]


def cells_block(view: View) -> Block:
    """Return the list of the cells that pass the filters."""
    table = cells_to_choose(view.catalog, view.filters)
    columns: dict[str, Column | str] = {
        "cell": Column("cell", make=lambda row: cell_link(view.address, row["key"], row["cell"])),
        "state": Column("state", state),
        "top1": "top-1",
        "study": "study",
    }
    return Table(
        "cells", "Cells", table, columns, "No cell has been planned yet, or none passes the filters."
    )
