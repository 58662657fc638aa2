"""Models trained with uniform and with dense clips, with all views (the paper's Table 3)."""

from __future__ import annotations

from dashboards.figures.model_bars import most_views, table_figure
from dashboards.figures.panels import Row


def _both_samplings(rows: list[Row]) -> list[Row]:
    """Models of a dataset that were trained in both ways, in one study or in several."""
    several = [row for row in most_views(rows) if row["crops"] > 1]
    samplings: dict[tuple[object, ...], set[str]] = {}
    for row in several:
        samplings.setdefault(_model(row), set()).add(row["trained_sampling"])
    found = [row for row in several if len(samplings[_model(row)]) > 1]
    return [{**row, "variant": f"{row['trained_sampling']} {row['variant'] or ''}".strip()} for row in found]


def _model(row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in ("dataset", "module", "backbone", "temporal_pooling", "frames"))


FIGURE = table_figure(
    3,
    "training-sampling",
    "Trained with uniform and dense clips",
    "Top-1 of models that were trained with uniform and with dense clips, each with all its views",
    _both_samplings,
    "No model has been trained with both samplings and evaluated with several crops yet.",
    72,
    across=True,
)
