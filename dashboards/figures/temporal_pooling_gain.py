"""What temporal pooling changes in top-1 accuracy (the paper's Figure 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from catalog import Catalog
from dashboards.theme import (
    NEUTRAL,
    PUBLISHED_SYMBOL,
    empty_figure,
    label,
    module_colour,
    module_order,
    styled,
)

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

_SQL = """
    SELECT
        own.study, own.dataset, own.module, own.backbone, own.frames,
        own.top1_without, own.top1_with, own.gain, own.seeds, published.gain AS published_gain
    FROM temporal_pooling_gain AS own
    LEFT JOIN temporal_pooling_gain AS published
        ON published.source = 'published' AND published.dataset = own.dataset
        AND published.module = own.module AND published.backbone = own.backbone
        AND published.frames = own.frames
    WHERE own.source = 'own' AND ($study IS NULL OR own.study = $study)
    ORDER BY own.study, own.dataset, own.module, own.backbone, own.frames
"""


def temporal_pooling_gain_data(catalog: Catalog, study: str | None = None) -> pa.Table:
    """Return one row a pair of finished models: top-1 with minus without temporal pooling, in points."""
    return catalog.query(_SQL, {"study": study})


def draw_temporal_pooling_gain(table: pa.Table) -> go.Figure:
    """Draw one panel a dataset, bars from the zero line, one colour a module; open stars are published."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure("No model has finished both with and without temporal pooling.")
    datasets = sorted({row["dataset"] for row in rows})
    figure = make_subplots(
        cols=len(datasets), subplot_titles=[label(name) for name in datasets], horizontal_spacing=0.08
    )
    modules = sorted({row["module"] for row in rows}, key=module_order)
    for column, dataset in enumerate(datasets, start=1):
        for module in modules:
            own = [row for row in rows if (row["dataset"], row["module"]) == (dataset, module)]
            if own:
                _draw_module(figure, column, own)
    if any(row["published_gain"] is not None for row in rows):
        _add_published_key(figure)
    return _finish(figure)


def _draw_module(figure: go.Figure, column: int, rows: list[Row]) -> None:
    module = rows[0]["module"]
    common = {"legendgroup": module, "offsetgroup": module, "hovertemplate": "%{customdata}<extra></extra>"}
    figure.add_trace(
        go.Bar(
            x=_positions(rows),
            y=[row["gain"] for row in rows],
            name=label(module),
            marker={"color": module_colour(module)},
            customdata=[_hover(row) for row in rows],
            showlegend=column == 1,
            **common,
        ),
        row=1,
        col=column,
    )
    published = [row for row in rows if row["published_gain"] is not None]
    if published:
        figure.add_trace(
            go.Scatter(
                x=_positions(published),
                y=[row["published_gain"] for row in published],
                mode="markers",
                marker={"symbol": PUBLISHED_SYMBOL, "size": 8, "color": NEUTRAL},
                customdata=[_hover(row) for row in published],
                showlegend=False,
                **common,
            ),
            row=1,
            col=column,
        )


def _positions(rows: list[Row]) -> list[list[str]]:
    return [[label(row["backbone"]) for row in rows], [f"f{row['frames']}" for row in rows]]


def _hover(row: Row) -> str:
    name = f"{label(row['module'])}-{label(row['backbone'])} f{row['frames']}"
    lines = [
        f"<b>{name}</b>",
        f"{row['top1_without']:.2f} % → {row['top1_with']:.2f} % with temporal pooling",
        f"gain {row['gain']:+.2f} points",
    ]
    if row["published_gain"] is not None:
        lines.append(f"published gain {row['published_gain']:+.2f} points")
    return "<br>".join(lines)


def _add_published_key(figure: go.Figure) -> None:
    marker = {"symbol": PUBLISHED_SYMBOL, "size": 9, "color": NEUTRAL}
    figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name="published"))


def _finish(figure: go.Figure) -> go.Figure:
    styled(figure, height=400)
    figure.update_yaxes(zeroline=True, zerolinewidth=2)
    figure.update_yaxes(title="gain (points of top-1)", col=1)
    figure.update_xaxes(tickfont={"size": 11}, dividercolor="rgba(128,128,128,0.4)")
    figure.update_layout(
        barmode="group",
        scattermode="group",
        bargap=0.25,
        legend={"orientation": "h", "y": -0.24, "yanchor": "top", "x": 0},
    )
    return figure
