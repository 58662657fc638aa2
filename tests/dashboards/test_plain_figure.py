"""Drawing by dictionaries against Plotly itself: the same calls must give the same figure."""

from __future__ import annotations

import json
from typing import Any

import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from dashboards.render.plain_figure import PlainFigure, bar, heatmap, scatter

LINE = {"x": [1, 2], "y": [3.0, None], "mode": "lines", "line": {"color": "#0072B2"}}


def json_of(figure: go.Figure) -> Any:
    found = json.loads(figure.to_json())
    # What is empty says nothing, and Plotly keeps some of it.
    layout = {name: one for name, one in found["layout"].items() if one and name != "template"}
    return {"data": found["data"], "layout": layout}


def steps(figure: Any, trace: Any, *, several: bool) -> None:
    """What figures are made of, in the words that both know."""
    place = {"row": 1, "col": 2} if several else {}
    figure.add_trace(trace, **place)
    figure.update_layout(height=300, legend={"x": 0, "y": -0.2}, margin={"t": 10})
    figure.update_layout(margin={"b": 4})
    figure.update_xaxes(title="frames", type="log")
    figure.update_xaxes(title={"standoff": 4}, tickvals=[8, 16])
    figure.update_yaxes(zeroline=True)
    figure.add_annotation(text="a", showarrow=False, xref="paper", yref="paper", x=0, y=1)
    if several:
        figure.update_yaxes(title="top-1", col=2)
        figure.update_xaxes(range=[0, 1], row=2)
        figure.update_yaxes(range=[2, 3], row=2, col=1)
        figure.add_annotation(text="b", x=1, xref="x domain", y=5, row=2, col=2)
        figure.add_annotation(text="c", x=1, y=0, yref="y domain", row=1, col=1)
        figure.add_hline(y=4, line={"dash": "dot"}, row=1, col=2)
    else:
        figure.add_vline(x=0, line={"width": 2})
        figure.add_hline(y=1, line={"width": 3})


@pytest.mark.parametrize("spacing", [{}, {"horizontal_spacing": 0.09, "vertical_spacing": 0.16}])
def test_panels_are_those_of_plotly(spacing: dict[str, float]) -> None:
    titles = ["one", "two", "three", "four", "five"]
    theirs = make_subplots(rows=2, cols=3, subplot_titles=titles, **spacing)
    ours = PlainFigure(rows=2, cols=3, titles=titles, **spacing)
    steps(theirs, go.Scatter(LINE), several=True)
    steps(ours, scatter(**LINE), several=True)
    mine, other = json_of(ours.drawn()), json_of(theirs)
    for name, axis in other["layout"].items():
        if name[1:].startswith("axis"):
            assert axis.pop("domain") == pytest.approx(mine["layout"][name].pop("domain"))
    places = [(note.pop("x"), note.pop("y")) for note in mine["layout"]["annotations"]]
    assert places == [
        (pytest.approx(note.pop("x")), pytest.approx(note.pop("y")))
        for note in other["layout"]["annotations"]
    ]
    assert mine == other


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (scatter(**LINE, error_y=None), go.Scatter(LINE)),
        (bar(x=["a"], y=[1], text=["t"]), go.Bar(x=["a"], y=[1], text=["t"])),
        (heatmap(z=[[1, None]], xgap=2), go.Heatmap(z=[[1, None]], xgap=2)),
    ],
)
def test_one_panel_is_that_of_plotly(ours: dict[str, Any], theirs: Any) -> None:
    mine, other = PlainFigure(ours), go.Figure(theirs)
    extra, same = scatter(**LINE), go.Scatter(LINE)
    steps(mine, extra, several=False)
    steps(other, same, several=False)
    assert json_of(mine.drawn()) == json_of(other)
