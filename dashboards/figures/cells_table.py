"""All cells in one table: state, accuracies, cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.export import display
from catalog.queries.filters import ALL, Filters
from dashboards.render.sketch import Sketch, text_table
from dashboards.render.theme import AUTO, Theme, empty_figure, styled

if TYPE_CHECKING:
    import pyarrow as pa

TITLES = {
    "cell": "cell",
    "state": "state",
    "top1": "top-1",
    "published_top1": "published",
    "difference": "difference",
    "top5": "top-5",
    "loss": "loss",
    "best_top1": "best top-1",
    "best_epoch": "best epoch",
    "epochs": "epochs",
    "params": "parameters",
    "macs": "MACs",
    "eval_videos": "eval. videos",
    "train_seconds": "training (s)",
    "train_clips_per_second": "clips/s",
}
"""The columns of the table and their headings."""

_FILTERED = ("module", "backbone", "temporal_pooling", "frames", "dataset", "seed", "state")

_SQL = """
    SELECT
        coalesce(cells.cell, results.cell) AS cell, coalesce(cells.state, 'done') AS state,
        results.top1, results.published_top1, results.difference, results.top5, results.loss,
        results.best_top1, results.best_epoch, results.epochs,
        coalesce(results.params, cells.params) AS params, coalesce(results.macs, cells.macs) AS macs,
        results.eval_videos, results.train_seconds, results.train_clips_per_second,
        coalesce(cells.key, results.key) AS key
    FROM (SELECT * FROM cells WHERE {where}) AS cells {join} JOIN results USING (key)
    WHERE (len($studies) = 0 OR coalesce(cells.key, results.key) IN (
        SELECT key FROM study_cells WHERE list_contains($studies, study)
    )) AND (results.key IS NOT NULL OR cells.current)
    ORDER BY cells.dataset, cells.module, cells.backbone, cells.temporal_pooling, cells.frames,
        cells.seed, key
"""


def cells_table_data(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a cell, finished or not; accuracies in percent, MACs of one clip.

    Results whose plan no journal holds have no axes, so that any filter but the study's leaves them out.
    """
    where = filters.where(_FILTERED)
    sql = _SQL.format(where=where.sql, join="LEFT" if where.params else "FULL")
    return catalog.query(sql, {**where.params, "studies": list(filters.study)})


def draw_cells_table(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw the table, as text."""
    if table.num_rows == 0:
        return empty_figure("No cell has been planned yet.", theme)
    cells = [[display(value) for value in table.column(name).to_pylist()] for name in TITLES]
    figure = Sketch(text_table(header={"values": list(TITLES.values())}, cells={"values": cells}))
    return styled(figure, 480, theme).drawn()
