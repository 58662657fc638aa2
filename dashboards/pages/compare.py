"""Cells side by side: how their configurations differ, their curves, and whether a difference is sure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from catalog.queries.filters import Filters
from catalog.queries.training import configuration_differences, epochs_of
from dashboards.figures.curves import draw_curves
from dashboards.figures.paired import draw_paired, paired_data
from dashboards.figures.panels import WITH_NAMES
from dashboards.figures.seeds import draw_seeds, seeds_data
from dashboards.pages.at_once import at_once
from dashboards.pages.blocks import Block, Column, Figure, Table, Text, message, state
from dashboards.pages.chooser import cells_block, chooser
from dashboards.pages.parts import cell_link
from dashboards.pages.view import View

if TYPE_CHECKING:
    import pyarrow as pa

TITLE = "Compare"

MOST = 8
"""More cells than this cannot be told apart by colour."""

_AXES = ("dataset", "module", "backbone", "temporal_pooling", "frames")
_CELLS = """
    SELECT
        key, cell, dataset, module, backbone, temporal_pooling, frames,
        CASE WHEN finished.key IS NOT NULL THEN 'done' ELSE coalesce(state, 'planned') END AS state,
        CASE WHEN isfinite(top1) THEN top1 END AS top1, best_top1, epochs
    FROM computed.planned_cells
    LEFT JOIN recorded.finished AS finished USING (key)
    LEFT JOIN open_cells USING (key)
    WHERE list_contains($keys, key) AND (current OR finished.key IS NOT NULL)
    ORDER BY list_position($keys, key)
"""


def blocks(view: View) -> list[Block]:
    """Return the chosen cells beside each other; without any, a list to choose from."""
    wanted = view.address.several("cells")
    keys = wanted[:MOST]
    head: list[Block] = [Text("chooser", chooser(view, "compare-choice", keys, several=True))]
    if len(wanted) > MOST:
        text = f"The first {MOST} cells are compared: more cannot be told apart by colour."
        head.append(Text("too-many", message(text)))
    if not keys:
        return [*head, Text("hint", message("Choose two cells or more.")), cells_block(view)]
    return [*head, *_compared(view, keys)]


def _compared(view: View, keys: Sequence[str]) -> list[Block]:
    table = view.catalog.query(_CELLS, {"keys": list(keys)})
    if table.num_rows == 0:
        return [Text("missing", message("None of these cells is in this storage.", "problem"))]
    columns: dict[str, Column | str] = {
        "cell": Column("cell", make=lambda row: cell_link(view.address, row["key"], row["cell"])),
        "state": Column("state", state),
        "top1": "top-1",
        "best_top1": "best top-1",
        "epochs": "epochs",
    }
    differences, curves, seeds, *pairs = at_once(
        lambda: configuration_differences(view.catalog, keys),
        lambda: epochs_of(view.catalog, keys),
        lambda: _seeds_data(view, table.to_pylist()),
        *([lambda: paired_data(view.catalog, keys)] if len(keys) > 1 else []),
    )
    return [
        Table("compared", "Cells", table, columns),
        _differences(differences),
        Figure("curves", "Curves", draw_curves(curves, view.theme), curves),
        *(_significance(view, one) for one in pairs),
        _seeds(view, seeds),
    ]


def _differences(table: pa.Table) -> Block:
    from pyarrow import compute

    several = table.num_columns > 3
    shown = table.filter(compute.field("differs")) if several else table
    names = {name: name for name in table.column_names if name != "differs"}
    title = "What differs in their configurations" if several else "Configuration"
    return Table("differences", title, shown, names, "Their configurations are the same.", most=300)


def _significance(view: View, table: pa.Table) -> Block:
    caption = (
        "Differences in top-1 on the same evaluation videos, with a bootstrap interval over videos; filled "
        "where McNemar's exact test, corrected for the number of pairs (Holm), is below 0.05."
    )
    drawing = draw_paired(table, view.theme)
    return Figure("paired", "Paired significance", drawing, table, caption, narrowest=WITH_NAMES)


def _seeds_data(view: View, rows: list[dict[str, Any]]) -> pa.Table:
    """The models of the chosen cells with all their seeds."""
    import pyarrow as pa

    axes = {name: tuple({row[name] for row in rows}) for name in _AXES}
    table = seeds_data(view.catalog, Filters(**axes))
    models = {tuple(row[name] for name in _AXES) for row in rows}
    kept = [tuple(row[name] for name in _AXES) in models for row in table.to_pylist()]
    # An empty list alone would have no type.
    return table.filter(pa.array(kept, pa.bool_()))


def _seeds(view: View, table: pa.Table) -> Block:
    caption = "The models of these cells, averaged over their seeds, with Student's 95 % interval."
    return Figure(
        "seeds", "Seeds averaged", draw_seeds(table, view.theme), table, caption, narrowest=WITH_NAMES
    )
