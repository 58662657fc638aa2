"""How many GPUs (or CPU cores) cells had reserved over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog.queries.training import utilisation
from dashboards.figures.figure import Export, Figure
from dashboards.render.plain_figure import PlainFigure, scatter
from dashboards.render.theme import AUTO, Theme, empty_figure, styled

if TYPE_CHECKING:
    import pyarrow as pa


def draw_utilisation(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw reserved GPUs over time as steps; CPU cores where no cell has a GPU."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure("Nothing has run yet.", theme)
    gpus = any(row["gpus"] > 0 for row in rows)
    column, name = ("gpus", "reserved GPUs") if gpus else ("cpus", "reserved CPU cores")
    figure = PlainFigure(
        scatter(
            x=[row["time"] for row in rows],
            y=[max(0.0, row[column]) for row in rows],
            mode="lines",
            fill="tozeroy",
            line={"shape": "hvh", "color": "#0072B2", "width": 1.5},
            fillcolor="rgba(0,114,178,0.25)",
            customdata=[[max(0.0, row["attempts"])] for row in rows],
            hovertemplate="%{x|%Y-%m-%d %H:%M}<br>%{y:.2f} "
            + name
            + ", %{customdata[0]:.1f} cells<extra></extra>",
            showlegend=False,
        )
    )
    styled(figure, 280, theme)
    figure.update_xaxes(title={"text": "time (UTC)", "standoff": 4})
    figure.update_yaxes(title=name, rangemode="tozero")
    figure.update_layout(margin={"t": 16})
    return figure.drawn()


FIGURE = Figure(
    name="utilisation",
    title="Utilisation",
    data=lambda catalog, scope: utilisation(catalog, scope.filters),
    draw=draw_utilisation,
    exports=(Export("utilisation", "reserved GPUs", order=140, published=False),),
)
