"""Findings about what an accuracy costs: MACs, sampling, clips."""

from __future__ import annotations

from dash import html

from catalog.queries.relations import Source
from dashboards.figures.accuracy_by_clips import accuracy_by_clips_data, draw_accuracy_by_clips
from dashboards.figures.accuracy_by_macs import Circle, accuracy_by_macs_data, draw_accuracy_by_macs
from dashboards.figures.sampling import draw_sampling, published_gains_data, sampling_data
from dashboards.pages.blocks import Block, Figure, Text
from dashboards.pages.parts import choice
from dashboards.pages.view import View

_CIRCLES = {"macs": "MACs of one clip", "params": "parameters"}


def by_macs(view: View, source: Source) -> list[Block]:
    """Return Figure 1."""
    circle: Circle = "params" if view.address.choice("circle", list(_CIRCLES)) == "params" else "macs"
    table = accuracy_by_macs_data(view.catalog, view.filters, source)
    caption = (
        "Top-1 against the multiply-accumulates of one prediction with all its views (Figure 1). A circle's "
        f"area is the {_CIRCLES[circle]}; open circles are published results."
    )
    drawing = draw_accuracy_by_macs(table, view.theme, circle)
    return [
        Text("circles", html.Div(choice(view.address, "circle", "Area", _CIRCLES, circle))),
        Figure("accuracy-by-macs", "Accuracy by MACs", drawing, table, caption),
    ]


def sampling(view: View, source: Source) -> list[Block]:
    """Return Figure 5."""
    table = sampling_data(view.catalog, view.filters, source)
    printed = None if source == "own" else published_gains_data(view.catalog)
    caption = (
        "Uniform against dense sampling (Figure 5): solid bars are clip-level accuracy, the transparent part "
        "is what several views of a video add."
    )
    drawing = draw_sampling(table, view.theme, printed)
    return [Figure("sampling", "Uniform and dense sampling", drawing, table, caption)]


def by_clips(view: View, source: Source) -> list[Block]:
    """Return Figure 8."""
    table = accuracy_by_clips_data(view.catalog, view.filters, source)
    caption = (
        "Top-1 by the number of clips of a video, and against what they cost (Figure 8); uniform sampling is "
        "solid, dense sampling dashed."
    )
    drawing = draw_accuracy_by_clips(table, view.theme)
    return [Figure("accuracy-by-clips", "Accuracy by clips", drawing, table, caption)]
