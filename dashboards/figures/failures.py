"""What went wrong, by kind: failed and interrupted attempts, and the cells that are lost to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog.names import count_text
from catalog.queries.training import failures_by_kind
from dashboards.figures.figure import Export, Figure
from dashboards.figures.panels import LEGEND, Row, hover, hovering
from dashboards.render.plain_figure import PlainFigure, bar
from dashboards.render.theme import AUTO, STATE_COLOURS, Theme, empty_figure, styled

if TYPE_CHECKING:
    import pyarrow as pa


_COUNTED_ONE_BY_ONE = 8


def draw_failures(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw a bar a kind: attempts that were lost, and cells that have failed for good."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure("Nothing has failed so far.", theme)
    figure = PlainFigure()
    for column, name, colour in (
        ("attempts", "attempts lost", STATE_COLOURS["blocked"]),
        ("cells_failed", "cells failed now", STATE_COLOURS["failed"]),
    ):
        figure.add_trace(
            bar(
                x=[row[column] for row in rows],
                y=[row["kind"] for row in rows],
                orientation="h",
                name=name,
                marker={"color": colour},
                text=[str(row[column]) for row in rows],
                textposition="auto",
                **hovering([_about(row) for row in rows]),
            )
        )
    styled(figure, 150 + 46 * len(rows), theme)
    most = max(max(row["attempts"], row["cells_failed"]) for row in rows)
    # Ticks at halves would be written as whole numbers, each of them twice.
    ticks = {"dtick": 1} if most <= _COUNTED_ONE_BY_ONE else {"tickformat": "d"}
    figure.update_xaxes(title={"text": "number", "standoff": 4}, rangemode="tozero", **ticks)
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category")
    figure.update_layout(barmode="group", legend={**LEGEND, "y": 1.02, "yanchor": "bottom"})
    return figure.drawn()


def _about(row: Row) -> str:
    return hover(
        row["kind"],
        f"for example {row['example']}",
        str(row["error"] or "no error recorded")[:140].replace("<", "&lt;"),
        beside=f": {count_text(row['attempts'], 'attempt')} of {count_text(row['cells'], 'cell')}, "
        f"{row['cells_failed']} failed now",
    )


FIGURE = Figure(
    name="failures",
    title="Failures by kind",
    data=lambda catalog, scope: failures_by_kind(catalog, scope.filters),
    draw=draw_failures,
    exports=(Export("failures", "failures by kind", order=150, published=False),),
)
