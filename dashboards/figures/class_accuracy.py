"""Accuracy by class of one evaluation, with the interval that the number of videos allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog.queries.predictions import class_accuracies
from dashboards.figures.figure import Figure
from dashboards.figures.panels import Row, hover, hovering, note
from dashboards.render.plain_figure import PlainFigure, scatter
from dashboards.render.theme import AUTO, MODULE_COLOURS, Theme, empty_figure, styled
from dashboards.statistics import accuracy_interval

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 40
"""Of more classes than this, the best and the worst half of them are drawn; the table has all."""


def draw_class_accuracy(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw a point a class with the 95 % interval of its number of videos, the best class on top."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure("No predictions are known of this evaluation yet.", theme)
    shown = rows if len(rows) <= SHOWN else [*rows[: SHOWN // 2], *rows[-SHOWN // 2 :]]
    spans = [accuracy_interval(row["top1"], row["videos"]) for row in shown]
    figure = PlainFigure(
        scatter(
            x=[row["top1"] for row in shown],
            y=list(range(len(shown))),
            error_x={
                "array": [span.high - span.estimate for span in spans],
                "arrayminus": [span.estimate - span.low for span in spans],
                "thickness": 1,
                "width": 3,
            },
            mode="markers",
            marker={"size": 8, "color": MODULE_COLOURS["tam"]},
            **hovering([_about(row) for row in shown]),
        )
    )
    styled(figure, 110 + 20 * len(shown), theme)
    figure.update_xaxes(title={"text": "top-1 (%)", "standoff": 4}, range=[-3, 103], showgrid=True)
    figure.update_yaxes(
        autorange="reversed",
        zeroline=False,
        tickmode="array",
        tickvals=list(range(len(shown))),
        ticktext=[_name(row) for row in shown],
        tickfont={"size": 11},
    )
    if len(shown) < len(rows):
        note(figure, f"the {SHOWN // 2} best and the {SHOWN // 2} worst of {len(rows)} classes")
        figure.add_hline(y=SHOWN // 2 - 0.5, line={"dash": "dot", "color": theme.line})
    return figure.drawn()


def _name(row: Row) -> str:
    name = row["class"] or f"class {row['label']}"
    return (name if len(name) <= 40 else name[:39] + "…").replace("<", "&lt;")


def _about(row: Row) -> str:
    accuracies = f"top-1 {row['top1']:.1f} %, top-5 {row['top5']:.1f} %"
    return hover(_name(row), f"{accuracies}, {row['videos']} videos")


FIGURE = Figure(
    name="classes",
    title="Accuracy by class",
    data=lambda catalog, scope: class_accuracies(catalog, scope.keys[0], scope.evaluation),
    draw=draw_class_accuracy,
)
