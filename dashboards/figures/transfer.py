"""Models that began with the weights of another dataset's (the paper's Table 4)."""

from __future__ import annotations

from dashboards.figures.model_bars import most_views, table_figure
from dashboards.figures.panels import Row


def _begun_elsewhere(rows: list[Row]) -> list[Row]:
    return [row for row in most_views(rows) if row["begun_on"] not in (None, row["dataset"])]


FIGURE = table_figure(
    4,
    "transfer",
    "Transfer from another dataset",
    "Top-1 of models that were finetuned from a model of another dataset",
    _begun_elsewhere,
    "No model has been finetuned from another dataset's yet.",
    73,
)
