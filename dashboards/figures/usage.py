"""What a cell's epochs used: the wait for clips, cores, memory, the GPU; and the length of its gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog.queries.training import epochs_of
from dashboards.figures.figure import Figure
from dashboards.figures.panels import Row
from dashboards.render.plain_figure import PlainFigure, Trace, scatter
from dashboards.render.theme import AUTO, Theme, empty_figure, epoch_axes, styled

if TYPE_CHECKING:
    import pyarrow as pa

_COLOUR = "#0072B2"
_GIGABYTE = 1e9
_ACROSS = 3
PANELS = {
    "waiting for clips (% of training)": "waiting",
    "CPU cores in use": "cores",
    "memory of all workers (GB)": "resident_gb",
    "greatest memory of the device (GB)": "peak_gb",
    "GPU busy (%)": "gpu_percent",
    "gradient norm": "grad_norm",
}
"""The panels and their columns; one whose column is empty throughout is not drawn."""


def usage_table(epochs: pa.Table) -> pa.Table:
    """Return of each row of `epochs_of` the columns of `PANELS`, empty where not recorded."""
    import pyarrow as pa

    rows = [
        {
            "cell": row["cell"],
            "epoch": row["epoch"],
            "waiting": _share(row["wait_seconds"], row["seconds"], 100.0),
            "cores": _share(row["cpu_seconds"], row["seconds"]),
            "resident_gb": _share(row["resident_bytes"], _GIGABYTE),
            "peak_gb": _share(row["peak_memory_bytes"], _GIGABYTE),
            "gpu_percent": row["gpu_percent"],
            "grad_norm": row["grad_norm"],
        }
        for row in epochs.to_pylist()
    ]
    kinds = {"cell": pa.string(), "epoch": pa.int64(), **dict.fromkeys(PANELS.values(), pa.float64())}
    return pa.Table.from_pylist(rows, schema=pa.schema(kinds.items()))


def _share(value: float | None, whole: float | None, scale: float = 1.0) -> float | None:
    return None if value is None or not whole else scale * value / whole


def draw_usage(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw a panel over the epochs for each column that was recorded, from zero on."""
    rows = table.to_pylist()
    panels = {title: name for title, name in PANELS.items() if any(row[name] is not None for row in rows)}
    if not panels:
        return empty_figure("No epoch has said what it used: those of earlier versions did not.", theme)
    down = -(-len(panels) // _ACROSS)
    figure = PlainFigure(
        rows=down, cols=_ACROSS, titles=[*panels], vertical_spacing=0.3 / down, horizontal_spacing=0.08
    )
    for place, (title, name) in enumerate(panels.items()):
        figure.add_trace(_line(rows, title, name), row=place // _ACROSS + 1, col=place % _ACROSS + 1)
    styled(figure, 230 * down + 40, theme)
    epoch_axes(figure, [row["epoch"] for row in rows], bottom=down)
    figure.update_yaxes(rangemode="tozero")
    return figure.drawn()


def _line(rows: list[Row], title: str, name: str) -> Trace:
    return scatter(
        x=[row["epoch"] for row in rows],
        y=[row[name] for row in rows],
        mode="lines+markers" if len(rows) < 40 else "lines",
        line={"color": _COLOUR, "width": 2},
        marker={"color": _COLOUR, "size": 5},
        customdata=[_about(row, title) for row in rows],
        hovertemplate="%{customdata}: %{y:.4g}<extra></extra>",
        showlegend=False,
    )


def _about(row: Row, title: str) -> str:
    return f"<b>{row['cell']}</b><br>{title}, epoch {row['epoch']}"


FIGURE = Figure(
    name="usage",
    title="What it used",
    data=lambda catalog, scope: usage_table(epochs_of(catalog, scope.keys)),
    draw=draw_usage,
)
