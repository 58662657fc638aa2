"""One's own accuracies against the published ones, with what the number of videos and the seeds allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.filters import ALL, Filters
from catalog.queries.relations import ask, mean_accuracies
from dashboards.figures.panels import LEGEND, Row, backbone_keys, dataset_panels, key, module_keys
from dashboards.render.sketch import Trace, scatter
from dashboards.render.theme import AUTO, NEUTRAL, Theme, backbone_symbol, empty_figure, module_colour, styled

if TYPE_CHECKING:
    import pyarrow as pa

_SELECT = "FROM against_published_of('accuracy') ORDER BY outside DESC, abs(difference) DESC, cell"


def against_published_data(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a model with a published counterpart, those outside their interval first.

    `difference`, `low` and `high` are in points of top-1 (see the view `against_published`).
    """
    return ask(catalog, mean_accuracies(filters, "own"), _SELECT)


def summary(table: pa.Table) -> str:
    """Return how many models lie outside their interval, and how many would by chance."""
    rows = table.to_pylist()
    if not rows:
        return "No finished cell has a published counterpart yet."
    outside = sum(row["outside"] for row in rows)
    noun = "model" if len(rows) == 1 else "models"
    return (
        f"{outside} of {len(rows)} {noun} lie outside the 95 % interval that the evaluation's size"
        f"{' and the seeds allow' if any(row['seeds'] > 1 for row in rows) else ' allows'}; "
        f"chance alone would put about {0.05 * len(rows):.0f} outside."
    )


def draw_against_published(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw one panel a dataset: differences to published; filled where 0 is outside of the interval."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure(summary(table), theme)
    datasets = sorted({row["dataset"] for row in rows})
    figure = dataset_panels(datasets)
    for column, dataset in enumerate(datasets, start=1):
        for line in _lines([row for row in rows if row["dataset"] == dataset]).values():
            figure.add_trace(_points(line), row=1, col=column)
    module_keys(figure, (row["module"] for row in rows))
    backbone_keys(figure, (row["backbone"] for row in rows))
    for name, symbol in (("outside the interval", "circle"), ("inside", "circle-open")):
        key(figure, name, name, mode="markers", marker={"symbol": symbol, "size": 9, "color": NEUTRAL})
    styled(figure, 430, theme)
    figure.update_xaxes(title={"text": "published top-1 (%)", "standoff": 4})
    figure.update_yaxes(zeroline=True, zerolinewidth=2)
    figure.update_yaxes(title="own − published (points)", col=1)
    figure.update_layout(legend={**LEGEND, "y": -0.2})
    return figure.drawn()


def _lines(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    lines: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        lines.setdefault((row["module"], row["backbone"]), []).append(row)
    return lines


def _points(rows: list[Row]) -> Trace:
    symbol, colour = backbone_symbol(rows[0]["backbone"]), module_colour(rows[0]["module"])
    return scatter(
        x=[row["published_top1"] for row in rows],
        y=[row["difference"] for row in rows],
        error_y={
            "array": [row["high"] - row["difference"] for row in rows],
            "arrayminus": [row["difference"] - row["low"] for row in rows],
            "thickness": 1,
            "width": 2,
        },
        mode="markers",
        marker={
            "symbol": [symbol if row["outside"] else f"{symbol}-open" for row in rows],
            "size": 8,
            "color": colour,
        },
        customdata=[_hover(row) for row in rows],
        hovertemplate="%{customdata}<extra></extra>",
        legendgroup=rows[0]["module"],
        showlegend=False,
    )


def _hover(row: Row) -> str:
    seeds = f", mean of {row['seeds']} seeds" if row["seeds"] > 1 else ""
    return "<br>".join(
        [
            f"<b>{row['cell']}</b>",
            f"own {row['top1']:.2f} % on {row['eval_videos']} videos{seeds}",
            f"published {row['published_top1']:.2f} % ({row['paper']})",
            f"difference {row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})",
            "outside the interval" if row["outside"] else "inside the interval",
        ]
    )
