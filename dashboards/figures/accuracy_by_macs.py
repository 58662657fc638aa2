"""Top-1 accuracy against the cost of a prediction (the paper's Figure 1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.filters import ALL, Filters
from catalog.queries.relations import Source, ask, measured_accuracies
from dashboards.figures.panels import LEGEND, Row, backbone_keys, dataset_panels, key, module_keys
from dashboards.render.sketch import Sketch, Trace, scatter
from dashboards.render.theme import (
    AUTO,
    NEUTRAL,
    Theme,
    backbone_symbol,
    cell_name,
    empty_figure,
    module_colour,
    styled,
)

if TYPE_CHECKING:
    import pyarrow as pa

Circle = Literal["macs", "params"]

LARGEST, SMALLEST = 26.0, 6.0
"""Diameters of circles in pixels; areas are in proportion to what they show."""

_SELECT = """
    SELECT
        source, study, dataset, module, backbone, temporal_pooling, frames, cell, sampling, clips, crops,
        views, top1, seeds, macs, params, total_macs, measured_by, source_table
    FROM measured WHERE total_macs > 0
    ORDER BY
        source, dataset, module, backbone, temporal_pooling, frames, views, study, cell, measured_by, sampling
"""


def accuracy_by_macs_data(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return one row a model, length and protocol: top-1 (percent), MACs of one clip and of all views."""
    return ask(catalog, measured_accuracies(filters, source), _SELECT)


def draw_accuracy_by_macs(table: pa.Table, theme: Theme = AUTO, circle: Circle = "macs") -> go.Figure:
    """Draw one panel a dataset: x is the cost of all views, area that of one clip or the parameters.

    Colour is the module, symbol the backbone; open symbols are published results.
    """
    rows = [row for row in table.to_pylist() if row["top1"] is not None]
    if not rows:
        return empty_figure("No cell has finished yet.", theme)
    datasets = sorted({row["dataset"] for row in rows})
    figure = dataset_panels(datasets)
    largest = max([row[circle] or 0 for row in rows]) or 1
    for column, dataset in enumerate(datasets, start=1):
        for line in _groups([row for row in rows if row["dataset"] == dataset]).values():
            figure.add_trace(_circles(line, circle, largest), row=1, col=column)
    module_keys(figure, (row["module"] for row in rows))
    backbone_keys(figure, (row["backbone"] for row in rows if row["backbone"]))
    if len({row["source"] for row in rows}) > 1:
        for name, symbol in (("own", "circle"), ("published", "circle-open")):
            marker = {"symbol": symbol, "size": 9, "color": NEUTRAL}
            key(figure, name, f"source {name}", mode="markers", marker=marker)
    styled(figure, 460, theme)
    figure.update_xaxes(type="log", title={"text": "MACs a video (log₁₀)", "standoff": 4}, dtick=1)
    figure.update_xaxes(exponentformat="SI", showgrid=True)
    figure.update_yaxes(title="top-1 (%)", col=1)
    figure.update_layout(legend={**LEGEND, "y": -0.2, "itemsizing": "constant"})
    _say_what_area_is(figure, circle, rows)
    return figure.drawn()


def _groups(rows: list[Row]) -> dict[tuple[str, str, str | None], list[Row]]:
    groups: dict[tuple[str, str, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["source"], row["module"], row["backbone"]), []).append(row)
    return groups


def _circles(rows: list[Row], circle: Circle, largest: float) -> Trace:
    first = rows[0]
    colour, opened = module_colour(first["module"]), first["source"] == "published"
    symbol = backbone_symbol(first["backbone"] or "")
    return scatter(
        x=[row["total_macs"] for row in rows],
        y=[row["top1"] for row in rows],
        mode="markers",
        marker={
            "symbol": f"{symbol}-open" if opened else symbol,
            "size": [max(SMALLEST, LARGEST * math.sqrt((row[circle] or 0) / largest)) for row in rows],
            "color": colour,
            "opacity": 0.75,
            "line": {"width": 1.5 if opened else 0.5, "color": colour},
        },
        customdata=[_hover(row) for row in rows],
        hovertemplate="%{customdata}<extra></extra>",
        legendgroup=first["module"],
        showlegend=False,
    )


def _hover(row: Row) -> str:
    lines = [
        f"<b>{cell_name(row)}</b>",
        f"top-1 {row['top1']:.2f} % ({row['sampling']}, {row['clips']} × {row['crops']} views)",
        f"{row['macs'] / 1e9:.1f} G MACs a clip, {row['total_macs'] / 1e9:.1f} G a video",
    ]
    if row["params"]:
        lines.append(f"{row['params'] / 1e6:.1f} M parameters")
    if row["source"] == "published":
        lines.append(f"{row['study']}, {row['source_table']}")
    elif row["seeds"] > 1:
        lines.append(f"mean of {row['seeds']} seeds")
    return "<br>".join(lines)


def _say_what_area_is(figure: Sketch, circle: Circle, rows: list[Row]) -> None:
    what = "MACs of one clip" if circle == "macs" else "parameters"
    unknown = sum(not row[circle] for row in rows)
    note = f"area: {what}" + (f" (not known of {unknown})" if unknown else "")
    figure.add_annotation(
        text=note,
        showarrow=False,
        xref="paper",
        yref="paper",
        x=1,
        y=0,
        xanchor="right",
        yanchor="bottom",
        font={"size": 11},
    )
