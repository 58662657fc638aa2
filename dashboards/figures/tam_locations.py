"""How many temporal aggregations a network has, and where (the paper's Table 6)."""

from __future__ import annotations

from dashboards.figures.model_bars import fewest_views, table_figure
from dashboards.figures.panels import Row

_HALVES = {"tam_top_half", "tam_bottom_half", "tam_uniform_half"}


def _places(rows: list[Row]) -> list[Row]:
    """TAMs everywhere and in half the blocks, where a study has the halves."""
    found = [
        row
        for row in fewest_views(rows)
        if row["module"] in {"tam", *_HALVES} and not row["temporal_pooling"]
    ]
    models = {_trunk(row) for row in found if row["module"] in _HALVES}
    return [row for row in found if _trunk(row) in models]


def _trunk(row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in ("study", "dataset", "backbone", "frames"))


FIGURE = table_figure(
    6,
    "tam-locations",
    "Places of temporal aggregation",
    "Top-1 with TAM in all blocks, in the upper or the lower half, and in every other one",
    _places,
    "No model with TAM in half of its blocks has finished yet.",
    75,
)
