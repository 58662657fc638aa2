"""How frames' features are mixed on the 2D architecture (the paper's Table 5)."""

from __future__ import annotations

from dashboards.figures.model_bars import fewest_views, table_figure
from dashboards.figures.panels import Row

_COMPARED = ("tsn", "i3d", "conv", "tam", "tsm", "nonlocal")
_OF_THE_TABLE = {"conv", "tsm", "nonlocal"}


def _aggregations(rows: list[Row]) -> list[Row]:
    """Modules without temporal pooling, where a study compares more than those of the whole grid."""
    found = [row for row in fewest_views(rows) if row["module"] in _COMPARED and not row["temporal_pooling"]]
    studies = {row["study"] for row in found if row["module"] in _OF_THE_TABLE}
    return [row for row in found if row["study"] in studies]


FIGURE = table_figure(
    5,
    "temporal-aggregation",
    "Temporal aggregation",
    "Top-1 of modules that mix the features of frames differently, without temporal pooling",
    _aggregations,
    "No model with TSM, non-local blocks or temporal convolution has finished yet.",
    74,
)
