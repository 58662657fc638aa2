"""How papers from 2015 to 2020 compared with others (the paper's Figure 2): published numbers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.published import printed_survey
from dashboards.figures.figure import Export, Figure, Finding, Scope
from dashboards.figures.panels import WITH_NAMES, Row, hover, hovering
from dashboards.render.plain_figure import PlainFigure, bar
from dashboards.render.theme import AUTO, NEUTRAL, Theme, empty_figure, styled

if TYPE_CHECKING:
    import pyarrow as pa

_SECTION = "Section 3: "


def survey_data(catalog: Catalog, scope: Scope) -> pa.Table:
    """Return a row a printed share (percent) of the survey; none among one's own results."""
    found = printed_survey(catalog)
    return found.slice(0, 0) if scope.source == "own" else found


def draw_survey(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw a bar a share, in the order of the paper's text."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure("The survey has printed numbers only: no results of one's own yet.", theme)
    figure = PlainFigure()
    figure.add_trace(
        bar(
            x=[row["share"] for row in rows],
            y=[_name(row) for row in rows],
            orientation="h",
            marker={"color": NEUTRAL, "pattern": {"shape": "/"}},
            text=[f"{row['share']:.0f} %" for row in rows],
            textposition="auto",
            **hovering(
                [hover(_name(row), f"{row['share']:.0f} {row['unit']}", row["paper"]) for row in rows]
            ),
        )
    )
    styled(figure, 110 + 34 * len(rows), theme)
    figure.update_xaxes(title={"text": "share of 37 papers (%)", "standoff": 4}, range=[0, 100])
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category", tickfont={"size": 11})
    figure.update_layout(margin={"t": 20}, showlegend=False)
    return figure.drawn()


def _name(row: Row) -> str:
    return str(row["what"]).removeprefix(_SECTION)


def _about(row: Row) -> str:
    return hover(_name(row), f"{row['share']:.0f} {row['unit']}", row["paper"])


FIGURE = Figure(
    name="survey",
    title="How papers compare",
    data=survey_data,
    draw=draw_survey,
    finding=Finding(
        question="survey",
        link="how papers compare",
        order=100,
        caption=(
            "What the paper prints about 37 papers from 2015 to 2020 (Figure 2, Section 3): on which "
            "datasets they are, and in what they differ from the results that they compare with."
        ),
        narrowest=WITH_NAMES,
    ),
    exports=(Export("fig2", "survey of papers", order=15),),
)
