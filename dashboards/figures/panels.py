"""What figures share: one panel a dataset, and a legend whose entries explain colours and symbols once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from catalog.names import label
from dashboards.render.sketch import Sketch, scatter
from dashboards.render.theme import NEUTRAL, PUBLISHED_SYMBOL, backbone_symbol, module_colour, module_order

Row = dict[str, Any]
LEGEND: dict[str, Any] = {"orientation": "h", "yanchor": "top", "x": 0, "groupclick": "togglegroup"}


def dataset_panels(datasets: Sequence[str]) -> Sketch:
    """Return an empty figure with one panel a dataset, side by side."""
    return Sketch(cols=len(datasets), titles=[label(name) for name in datasets], horizontal_spacing=0.08)


def key(figure: Sketch, name: str, group: str, **style: Any) -> None:  # noqa: ANN401
    """Add a legend entry that draws nothing."""
    figure.add_trace(scatter(x=[None], y=[None], name=name, legendgroup=group, showlegend=True, **style))


def module_keys(figure: Sketch, modules: Iterable[str]) -> None:
    """Add a legend entry a module: its colour."""
    for module in sorted(set(modules), key=module_order):
        key(figure, label(module), module, mode="lines", line={"color": module_colour(module), "width": 4})


def backbone_keys(figure: Sketch, backbones: Iterable[str]) -> None:
    """Add a legend entry a backbone: its symbol; none where there is only one."""
    names = sorted(set(backbones))
    for name in names if len(names) > 1 else ():
        marker = {"symbol": backbone_symbol(name), "size": 9, "color": NEUTRAL}
        key(figure, label(name), f"backbone {name}", mode="markers", marker=marker)


def published_key(figure: Sketch) -> None:
    """Add the legend entry of published results: an open star."""
    marker = {"symbol": PUBLISHED_SYMBOL, "size": 10, "color": NEUTRAL}
    key(figure, "published", "published", mode="markers", marker=marker)


def note(figure: Sketch, text: str) -> None:
    """Write a line below the title of a figure, at the top left."""
    figure.add_annotation(
        text=text,
        showarrow=False,
        xref="paper",
        yref="paper",
        x=0,
        y=1,
        yshift=24,
        xanchor="left",
        yanchor="bottom",
        align="left",
        font={"size": 12},
    )
