"""Colours, symbols and names: a module has its colour and a backbone its symbol, the same on every page.

Colours are Okabe and Ito's, which people with colour-blindness can tell apart; black and yellow are left
out because they vanish on a dark or on a white page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import plotly.graph_objects as go

from catalog.names import label
from dashboards.render.plain_figure import PlainFigure

MODULE_COLOURS = {
    "tsn": "#E69F00",
    "tam": "#0072B2",
    "s3d": "#009E73",
    "i3d": "#CC79A7",
    "tsm": "#D55E00",
    "nonlocal": "#56B4E9",
    # Okabe and Ito's colours end here; brown is the one that stays apart from all of them.
    "slowfast": "#8C5A3C",
}

BACKBONE_SYMBOLS = {
    "inception_v1": "circle",
    "resnet18": "square",
    "resnet50": "diamond",
    "resnet101": "triangle-up",
    "tiny": "circle",
}

STATE_COLOURS = {
    "done": "#009E73",
    "running": "#56B4E9",
    "planned": "#999999",
    "blocked": "#E69F00",
    "failed": "#D55E00",
}
"""A state always stands beside its colour as a word."""

PUBLISHED_SYMBOL = "star-open"
NEUTRAL = "#808080"
MAGNITUDE = "Cividis"
DIVERGING = ((0.0, "#D55E00"), (0.5, "#F7F7F7"), (1.0, "#0072B2"))
"""Below (orange) and above (blue) a middle that is white."""
FRAME_TICKS = (8, 16, 32, 64)


@dataclass(frozen=True)
class Theme:
    """The colours of a page: text, grid lines, axis lines, the paper behind everything."""

    name: str
    text: str
    grid: str
    line: str
    paper: str


AUTO = Theme("auto", NEUTRAL, "rgba(128,128,128,0.2)", "rgba(128,128,128,0.6)", "rgba(0,0,0,0)")
"""Suits any background: for pages that set their colours themselves."""
LIGHT = Theme("light", "#333a42", "rgba(0,0,0,0.10)", "rgba(0,0,0,0.40)", "#ffffff")
DARK = Theme("dark", "#c9d1da", "rgba(255,255,255,0.12)", "rgba(255,255,255,0.35)", "#14181d")
THEMES = {theme.name: theme for theme in (AUTO, LIGHT, DARK)}

_SPARE_COLOURS = ("#D55E00", "#56B4E9", "#0072B2", "#009E73")
_SPARE_SYMBOLS = ("triangle-down", "hexagon", "pentagon", "triangle-left")
_ORDER = tuple(MODULE_COLOURS)


def module_colour(module: str) -> str:
    """Return a module's colour; an unknown module always gets the same one of the spare ones."""
    return MODULE_COLOURS.get(module, _SPARE_COLOURS[crc32(module.encode()) % len(_SPARE_COLOURS)])


def backbone_symbol(backbone: str) -> str:
    """Return a backbone's Plotly symbol; an unknown backbone always gets the same one of the spare ones."""
    return BACKBONE_SYMBOLS.get(backbone, _SPARE_SYMBOLS[crc32(backbone.encode()) % len(_SPARE_SYMBOLS)])


def module_order(module: str) -> tuple[int, str]:
    """Return a sort key: the paper's modules first, in the order of its figures."""
    return (_ORDER.index(module) if module in _ORDER else len(_ORDER), module)


def cell_name(row: Mapping[str, Any]) -> str:
    """Return a row's own name, or the one that the paper would print: `TAM-ResNet50-tp-f16@mini-ssv2`."""
    if row.get("cell"):
        return str(row["cell"])
    pooling = "-tp" if row.get("temporal_pooling") else ""
    return f"{label(row['module'])}-{label(row['backbone'])}{pooling}-f{row['frames']}@{row['dataset']}"


def mean_name(row: Mapping[str, Any]) -> str:
    """Return `cell_name` with the number of seeds that a row is the mean of: `TAM-f16@kitchen (2 seeds)`.

    Without it the mean would be called as its first seed is.
    """
    seeds = row.get("seeds") or 0
    count = len(seeds) if isinstance(seeds, Sequence) else int(seeds)
    return f"{cell_name(row)} ({count} seeds)" if count > 1 else cell_name(row)


def styled(figure: PlainFigure, height: int, theme: Theme = AUTO) -> PlainFigure:
    """Give a figure the common look; `height` in pixels."""
    figure.update_layout(
        height=height,
        margin={"l": 56, "r": 12, "t": 44, "b": 48},
        paper_bgcolor=theme.paper,
        plot_bgcolor="rgba(0,0,0,0)",
        font={
            "family": "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif",
            "size": 13,
            "color": theme.text,
        },
        hoverlabel={"align": "left"},
        hovermode="closest",
        modebar={"bgcolor": "rgba(0,0,0,0)"},
    )
    axis: dict[str, Any] = {
        "gridcolor": theme.grid,
        "linecolor": theme.line,
        "zerolinecolor": theme.line,
        "automargin": True,
    }
    figure.update_xaxes(**axis, showline=True, showgrid=False)
    figure.update_yaxes(**axis, showline=False)
    return figure


def frames_axis(figure: PlainFigure, frames: Sequence[int], beyond: float = 0.0) -> None:
    """Put frames on a log₂ axis: the paper's lengths as ticks, and others where cells have them.

    `beyond` is the share of the axis that is left for words behind the last length.
    """
    ends = math.log10(min(frames)), math.log10(max(frames))
    # Half an octave beside a single length; points of one length stand side by side.
    beside = 0.12 * (ends[1] - ends[0]) or math.log10(2) / 2
    room = beyond / (1 - beyond) * (ends[1] - ends[0] + 2 * beside)
    ticks = sorted({*frames, *(tick for tick in FRAME_TICKS if min(frames) <= tick <= max(frames))})
    figure.update_xaxes(
        type="log",
        range=[ends[0] - beside, ends[1] + beside + room],
        title={"text": "frames", "standoff": 4},
        tickmode="array",
        tickvals=ticks,
        ticktext=[str(value) for value in ticks],
        minor={"ticks": ""},
    )


_EVERY_EPOCH = 10


def epoch_axes(figure: PlainFigure, epochs: Sequence[int], bottom: int) -> None:
    """Make the x axes of all panels count epochs from 0; those of the row `bottom` are named.

    Of up to ten epochs each has its tick: Plotly's own choice has halves between few of them, and where they
    were rounded every number stood there twice.
    """
    ticks = {"dtick": 1} if max(epochs) <= _EVERY_EPOCH else {}
    figure.update_xaxes(rangemode="tozero", **ticks)
    figure.update_xaxes(title={"text": "epoch", "standoff": 4}, row=bottom)


def empty_figure(message: str, theme: Theme = AUTO) -> go.Figure:
    """Return a figure that only says why there is nothing to see."""
    figure = styled(PlainFigure(), 160, theme)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    figure.add_annotation(text=message, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5)
    return figure.drawn()
