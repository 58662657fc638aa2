"""What the grid costs, by the values of its axes: hours spent so far and hours expected for the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog.names import axis_name, count_text, label
from catalog.queries.training import costs_by_axis
from dashboards.figures.figure import Export, Figure
from dashboards.figures.panels import LEGEND, Row, cost_unit, hover, hovering, note
from dashboards.render.plain_figure import PlainFigure, Trace, bar
from dashboards.render.theme import AUTO, Theme, empty_figure, styled

if TYPE_CHECKING:
    import pyarrow as pa

AXES = ("module", "backbone", "temporal_pooling", "frames", "dataset", "seed")
SPENT, EXPECTED = "#0072B2", "#999999"


def costs_of_all(table: pa.Table) -> Row | None:
    """Return the sums over all cells of what `costs_by_axis` counts; None without cells.

    A sum is None where no cell has a figure: hours left, before the first cell has finished.
    """
    rows = [row for row in table.to_pylist() if row["axis"] == AXES[0]]
    if not rows:
        return None
    names = [name for name in rows[0] if name not in ("axis", "value")]
    return {name: _sum([row[name] for row in rows]) for name in names}


def unit_of(rows: Sequence[Row]) -> tuple[str, str]:
    """Return `gpu` or `cpu`, by the hours expected (spent, where none can be told), and the unit's name."""
    return cost_unit(rows, "{}_hours_expected" if _known(rows) else "{}_hours_spent")


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def draw_cost_by_axis(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw one panel an axis with more than one value: expected hours as outlines, spent ones filled."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure("No cell has been planned yet.", theme)
    kind, name = unit_of(rows)
    named = dict.fromkeys([*AXES, *(row["axis"] for row in rows)])
    axes = [axis for axis in named if len({row["value"] for row in rows if row["axis"] == axis}) > 1]
    axes = axes or ["module"]
    titles = [axis_name(axis) for axis in axes]
    figure = PlainFigure(
        rows=-(-len(axes) // 3), cols=min(3, len(axes)), titles=titles, vertical_spacing=0.25
    )
    for place, axis in enumerate(axes):
        here = [row for row in rows if row["axis"] == axis]
        for trace in _bars(here, kind, first=place == 0, theme=theme):
            figure.add_trace(trace, row=place // 3 + 1, col=place % 3 + 1)
    styled(figure, 120 + 230 * (-(-len(axes) // 3)), theme)
    figure.update_xaxes(type="category", tickfont={"size": 11})
    figure.update_yaxes(title=name, col=1, rangemode="tozero")
    figure.update_layout(barmode="overlay", bargap=0.3, legend={**LEGEND, "y": -0.18})
    unknown = max(row["unknown"] for row in rows)
    if unknown:
        note(
            figure,
            "what is left cannot be told before a cell has finished"
            if not _known(rows)
            else f"{count_text(unknown, 'cell')} of unknown cost left out",
        )
    return figure.drawn()


def _known(rows: Sequence[Row]) -> bool:
    return any(row["gpu_hours_expected"] or row["cpu_hours_expected"] for row in rows)


def _bars(rows: list[Row], kind: str, *, first: bool, theme: Theme) -> list[Trace]:
    names = [_name(row) for row in rows]
    bars = []
    for part, style in (
        ("expected", {"color": "rgba(0,0,0,0)", "line": {"color": theme.text, "width": 1.5}}),
        ("spent", {"color": SPENT}),
    ):
        hours = [row[f"{kind}_hours_{part}"] for row in rows]
        bars.append(
            bar(
                x=names,
                y=hours,
                name="expected for the whole" if part == "expected" else "spent",
                legendgroup=part,
                showlegend=first,
                marker=style,
                **hovering([_about(row, kind) for row in rows]),
            )
        )
    return bars


def _name(row: Row) -> str:
    return label(row["value"]) if row["axis"] in ("module", "backbone", "dataset") else str(row["value"])


def _about(row: Row, kind: str) -> str:
    expected = row[f"{kind}_hours_expected"]
    whole = "not known" if expected is None else f"{expected:,.2f} h"
    return hover(
        _name(row),
        f"spent {row[f'{kind}_hours_spent'] or 0:,.2f} h, expected for the whole {whole}",
        *([f"{count_text(row['unknown'], 'cell')} of unknown cost"] if row["unknown"] else []),
        beside=f": {row['done']} of {row['cells']} cells done",
    )


FIGURE = Figure(
    name="cost-by-axis",
    title="Hours by axis",
    data=lambda catalog, scope: costs_by_axis(catalog, scope.filters),
    draw=draw_cost_by_axis,
    exports=(Export("cost", "hours by axis", order=120, published=False),),
)
