"""Parallel coordinates: every finished cell as a line over its axes and what was measured of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.names import axis_name, axis_text, label
from catalog.queries.filters import ALL, Filters
from catalog.queries.overview import explored_cells
from dashboards.figures.figure import Figure
from dashboards.figures.panels import LEGEND, Row, hover, module_keys
from dashboards.render.plain_figure import PlainFigure, scatter
from dashboards.render.theme import AUTO, Theme, empty_figure, module_colour, module_order, styled
from dashboards.render.uncertainty import Accuracy, in_words, with_intervals

if TYPE_CHECKING:
    import pyarrow as pa

AXES = ("module", "backbone", "temporal_pooling", "frames", "dataset", "study", "seed")
METRICS = {
    "top1": ("top-1 (%)", 1.0),
    "macs": ("MACs (10⁹)", 1e9),
    "params": ("parameters (10⁶)", 1e6),
    "hours": ("hours", 1.0),
}
"""What was measured: the title of its axis, and in what it is counted."""
MOST_LINES = 500
"""So many cells are drawn: the first by their keys, which are hashes and so as good as drawn by lot."""

_NAMES = {"temporal_pooling": "pooling"}
_TOP1 = Accuracy()
_MOST_TICKS = 12
_SPREAD = 0.03
"""How far apart the lines of one value lie, as a share of an axis, so that none hides another."""


def parallel_data(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return `explored_cells` with the 95 % intervals of their top-1 (percent), by the number of videos."""
    return with_intervals(explored_cells(catalog, filters), _TOP1)


def axis_value(row: Row, axis: str) -> Any:  # noqa: ANN401  (a value of any axis)
    """Return a row's value of an axis, of one that its study has beside the seven as text."""
    return row[axis] if axis in row else dict(row["other_axes"] or ()).get(axis)


def axis_title(axis: str) -> str:
    """Return the words for an axis or metric."""
    if axis in METRICS:
        return METRICS[axis][0]
    return _NAMES.get(axis, axis_name(axis))


def axis_word(axis: str, value: Any) -> str:  # noqa: ANN401
    """Return a value of an axis as people read it; of a cell that does not have the axis a dash."""
    if value is None:
        return "–"
    return label(value) if axis in ("module", "backbone", "dataset") else axis_text(axis, value)


def axis_order(axis: str, value: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Return a sort key of an axis's values: modules as the paper has them, numbers by size, then texts."""
    if value is None:
        return (1, 0, "")
    if axis == "module":
        return (0, *module_order(value))
    try:
        return (0, float(value), "")
    except ValueError:
        return (0, math.inf, str(value))


def axes_of(rows: Sequence[Row]) -> list[str]:
    """Return the axes that these cells have: the seven, then those that studies have beside them."""
    others = sorted({axis for row in rows for axis, _ in row["other_axes"] or ()})
    return [*AXES, *others]


def usual_axes(rows: Sequence[Row]) -> list[str]:
    """Return the axes and metrics with more than one value among these cells, top-1 in any case."""
    known = [*axes_of(rows), *METRICS]
    return [axis for axis in known if axis == "top1" or len({axis_value(row, axis) for row in rows}) > 1]


def draw_parallel(table: pa.Table, theme: Theme = AUTO, axes: Sequence[str] = ()) -> go.Figure:
    """Draw a line a cell through its places on the axes (all that vary, where none are named)."""
    rows = sorted(table.to_pylist(), key=lambda row: str(row["key"]))[:MOST_LINES]
    if not rows:
        return empty_figure("No cell has a result yet, or none passes the filters.", theme)
    chosen = [_scale(rows, axis) for axis in axes or usual_axes(rows)]
    figure = PlainFigure()
    for module in sorted({row["module"] for row in rows}, key=module_order):
        figure.add_trace(_lines(rows, chosen, module))
    module_keys(figure, {row["module"] for row in rows})
    styled(figure, 480, theme)
    for place, one in enumerate(chosen):
        figure.add_vline(place, {"color": theme.line, "width": 1.5})
        for height, text in one.ticks:
            _tick(figure, place, height, text, theme)
    figure.update_xaxes(
        tickmode="array",
        tickvals=list(range(len(chosen))),
        ticktext=[one.title for one in chosen],
        side="top",
        showline=False,
        fixedrange=True,
        range=[-0.2, len(chosen) - 0.35],
    )
    figure.update_yaxes(visible=False, range=[-0.07, 1.07])
    figure.update_layout(legend={**LEGEND, "y": -0.02}, margin={"l": 24, "r": 24})
    return figure.drawn()


@dataclass(frozen=True)
class _Scale:
    """One axis of the drawing: where each row lies on it (0 to 1; None: it has no value), and its ticks."""

    title: str
    places: tuple[float | None, ...]
    ticks: tuple[tuple[float, str], ...]


def _scale(rows: Sequence[Row], axis: str) -> _Scale:
    return _measured(rows, axis) if axis in METRICS else _categories(rows, axis)


def _measured(rows: Sequence[Row], metric: str) -> _Scale:
    title, unit = METRICS[metric]
    values = [None if row[metric] is None else row[metric] / unit for row in rows]
    known = [value for value in values if value is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    place = _linear(low, high)
    ticks = tuple((place(value), f"{value:,.4g}") for value in _round_numbers(low, high))
    return _Scale(title, tuple(None if value is None else place(value) for value in values), ticks)


def _linear(low: float, high: float) -> Callable[[float], float]:
    return (lambda value: (value - low) / (high - low)) if high > low else (lambda _: 0.5)


def _round_numbers(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten from `low` to `high`, up to seven; of one value itself."""
    if not high > low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / 6))
    step = next(power * size for size in (1, 2, 5, 10) if (high - low) / (power * size) <= 6)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _categories(rows: Sequence[Row], axis: str) -> _Scale:
    values = [axis_value(row, axis) for row in rows]
    known = sorted(set(values), key=lambda value: axis_order(axis, value))
    place = _linear(0, len(known) - 1)
    middles = {value: place(number) for number, value in enumerate(known)}
    apart = _spread(rows, values, min(_SPREAD, 0.3 / len(known)))
    shown = known[:: -(-len(known) // _MOST_TICKS)]
    ticks = tuple((middles[value], axis_word(axis, value)) for value in shown)
    places = tuple(middles[value] + shift for value, shift in zip(values, apart, strict=True))
    return _Scale(axis_title(axis), places, ticks)


def _spread(rows: Sequence[Row], values: Sequence[Any], most: float) -> list[float]:
    """How far each row lies from the middle of its value: those of a value in the order of their top-1."""
    together: dict[Any, list[int]] = {}
    for number in sorted(range(len(rows)), key=lambda number: (rows[number]["top1"], rows[number]["key"])):
        together.setdefault(values[number], []).append(number)
    shifts = [0.0] * len(rows)
    for numbers in together.values():
        for rank, number in enumerate(numbers):
            shifts[number] = most * (2 * rank / (len(numbers) - 1) - 1) if len(numbers) > 1 else 0.0
    return shifts


def _lines(rows: Sequence[Row], scales: Sequence[_Scale], module: str) -> dict[str, Any]:
    """The lines of a module's cells as one trace, with a gap behind each."""
    x: list[float | None] = []
    y: list[float | None] = []
    about: list[list[str]] = []
    for number, row in enumerate(rows):
        if row["module"] == module:
            x += [*range(len(scales)), None]
            y += [*(one.places[number] for one in scales), None]
            about += [[_about(row), row["key"]]] * len(scales) + [["", ""]]
    colour = module_colour(module)
    return scatter(
        x=x,
        y=y,
        mode="lines+markers",
        connectgaps=False,
        line={"color": colour, "width": 1.3},
        marker={"color": colour, "size": 4},
        customdata=about,
        hovertemplate="%{customdata[0]}<extra></extra>",
        legendgroup=module,
        showlegend=False,
    )


def _about(row: Row) -> str:
    tags = [f"tags: {row['tags']}"] if row["tags"] else []
    return hover(str(row["cell"]), in_words(row, _TOP1), *tags, beside=f" ({row['study']})")


def _tick(figure: PlainFigure, place: int, height: float, text: str, theme: Theme) -> None:
    figure.add_annotation(
        x=place,
        y=height,
        xref="x",
        yref="y",
        text=text.replace("<", "&lt;"),
        showarrow=False,
        xanchor="left",
        xshift=4,
        font={"size": 11, "color": theme.text},
        bgcolor=theme.paper,
        borderpad=1,
    )


FIGURE = Figure(
    name="parallel-coordinates",
    title="Cells over axes and measures",
    data=lambda catalog, scope: parallel_data(catalog, scope.filters),
    draw=draw_parallel,
)
