"""Curves over epochs: losses, top-1, learning rate and clips a second, of one cell or of several overlaid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.training import epochs_of
from dashboards.figures.figure import Figure
from dashboards.figures.panels import LEGEND, Row, key
from dashboards.render.plain_figure import PlainFigure, Trace, scatter
from dashboards.render.theme import AUTO, MODULE_COLOURS, NEUTRAL, Theme, empty_figure, epoch_axes, styled
from dashboards.render.uncertainty import Accuracy, with_intervals
from dashboards.statistics import interval_in_words

if TYPE_CHECKING:
    import pyarrow as pa

PANELS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "training and validation loss": (
        ("train_loss", "training", "training loss"),
        ("val_loss", "validation", "validation loss"),
    ),
    "training and validation top-1 (%)": (
        ("train_top1", "training", "training top-1"),
        ("top1", "validation", "validation top-1"),
    ),
    "learning rate": (("lr", "training", "learning rate"),),
    "clips a second": (("clips_per_second", "training", "clips a second"),),
}
"""The panels, and the columns that each one shows: validation is solid, training dotted; and their names."""

_ACCURACIES = {
    "train_top1": Accuracy("train_top1", "train_videos"),
    "top1": Accuracy("top1", "eval_videos"),
}


def curves_data(catalog: Catalog, keys: Sequence[str]) -> pa.Table:
    """Return `epochs_of` with the 95 % intervals of both accuracies (percent), by their numbers of videos."""
    return with_intervals(epochs_of(catalog, keys), *_ACCURACIES.values())


_DASHES = {"training": "dot", "validation": "solid"}
_COLOURS = tuple(MODULE_COLOURS.values())


def cell_colours(names: Sequence[str]) -> list[str]:
    """Return a colour for every cell: the first one of a module has the module's, as on all other pages."""
    own = [MODULE_COLOURS.get(name.split("-")[0].lower()) for name in names]
    spare = [colour for colour in _COLOURS if colour not in own] or list(_COLOURS)
    chosen: list[str] = []
    for colour in own:
        others = len(chosen) - len({one for one in chosen if one in own})
        first = colour is not None and colour not in chosen
        chosen.append(str(colour) if first else spare[others % len(spare)])
    return chosen


def draw_curves(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw four panels over epochs; several cells have a colour each, training is dotted.

    A value that is no number leaves a gap, and the title of its panel says in which epoch that began.
    """
    rows = table.to_pylist()
    if not rows:
        return empty_figure("No epoch has finished yet.", theme)
    cells: dict[str, list[Row]] = {}
    for row in rows:
        cells.setdefault(row["key"], []).append(row)
    titles = [_title(name, columns, rows) for name, columns in PANELS.items()]
    figure = PlainFigure(rows=2, cols=2, titles=titles, vertical_spacing=0.16, horizontal_spacing=0.1)
    colours = cell_colours([_name(line[0]) for line in cells.values()])
    for line, colour in zip(cells.values(), colours, strict=True):
        for panel, columns in enumerate(PANELS.values()):
            for column, part, name in columns:
                trace = _trace(line, column, part, name, colour)
                figure.add_trace(trace, row=panel // 2 + 1, col=panel % 2 + 1)
    for line, colour in zip(cells.values(), colours, strict=True):
        style = {"color": colour, "width": 4}
        key(figure, _name(line[0]), line[0]["key"], mode="lines", line=style)
    for part, dash in _DASHES.items():
        key(figure, part, part, mode="lines", line={"color": NEUTRAL, "dash": dash, "width": 2})
    styled(figure, 520, theme)
    epoch_axes(figure, [row["epoch"] for row in rows], bottom=2)
    figure.update_layout(legend={**LEGEND, "y": -0.12})
    return figure.drawn()


def _trace(line: list[Row], column: str, part: str, name: str, colour: str) -> Trace:
    values = [row[column] if _usable(row[column]) else None for row in line]
    return scatter(
        x=[row["epoch"] for row in line],
        y=values,
        # A single epoch has no line to draw.
        mode="lines" if len(line) > 1 else "markers",
        connectgaps=False,
        line={"color": colour, "dash": _DASHES[part], "width": 2},
        marker={"color": colour, "size": 8, "symbol": "circle" if part == "validation" else "circle-open"},
        customdata=[
            [f"<b>{_name(row)}</b><br>{name}, epoch {row['epoch']}", _how_sure(row, column)] for row in line
        ],
        hovertemplate="%{customdata[0]}: %{y:.4g}%{customdata[1]}<extra></extra>",
        legendgroup=line[0]["key"],
        showlegend=False,
    )


def _how_sure(row: Row, column: str) -> str:
    if column not in _ACCURACIES:
        return ""
    accuracy = _ACCURACIES[column]
    span = interval_in_words(row[accuracy.low], row[accuracy.high])
    return f" ({span}; {row[accuracy.videos]:,} videos)" if span else ""


def _title(title: str, columns: tuple[tuple[str, str, str], ...], rows: list[Row]) -> str:
    """The panel's name, and from which epoch on which of its values is no number."""
    broken = {
        name: min(epochs)
        for column, _, name in columns
        if (epochs := [row["epoch"] for row in rows if _broken(row[column])])
    }
    said = ", ".join(f"{name} is not a number from epoch {epoch}" for name, epoch in broken.items())
    return f"{title} ({said})" if said else title


def _usable(value: Any) -> bool:  # noqa: ANN401  (a value of a table)
    return value is not None and math.isfinite(value)


def _broken(value: Any) -> bool:  # noqa: ANN401
    return value is not None and not math.isfinite(value)


def _name(row: Row) -> str:
    return str(row["cell"] or row["key"])


FIGURE = Figure(
    name="curves",
    title="Curves",
    data=lambda catalog, scope: curves_data(catalog, scope.keys),
    draw=draw_curves,
)
