"""Models with all views of each video (the paper's Table 2)."""

from __future__ import annotations

from dashboards.figures.model_bars import most_views, table_figure
from dashboards.figures.panels import Row


def _several_crops(rows: list[Row]) -> list[Row]:
    return [row for row in most_views(rows) if row["crops"] > 1]


FIGURE = table_figure(
    2,
    "sota",
    "Models with all views",
    "Top-1 of models with several crops of several clips of each video",
    _several_crops,
    "No cell has been evaluated with several crops yet: see `actiongrid evaluate --crops`.",
    71,
)
