"""The figures that can be had one by one for a paper: what each shows, and how it looks in print."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Any, Literal

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.filters import ALL, Filters
from catalog.queries.relations import Source
from dashboards.figures.accuracy_by_clips import accuracy_by_clips_data, draw_accuracy_by_clips
from dashboards.figures.accuracy_by_frames import accuracy_by_frames_data, draw_accuracy_by_frames
from dashboards.figures.accuracy_by_macs import accuracy_by_macs_data, draw_accuracy_by_macs
from dashboards.figures.against_published import against_published_data, draw_against_published
from dashboards.figures.contributions import contributions_data, draw_contributions
from dashboards.figures.cost_by_axis import cost_by_axis_data, draw_cost_by_axis
from dashboards.figures.cost_front import cost_front_data, draw_cost_front
from dashboards.figures.failures import draw_failures, failures_data
from dashboards.figures.grid import draw_grid, grid_data
from dashboards.figures.i3d_steps import draw_i3d_steps, i3d_steps_data
from dashboards.figures.sampling import draw_sampling, published_gains_data, sampling_data
from dashboards.figures.seeds import draw_seeds, seeds_data
from dashboards.figures.temporal_pooling_gain import draw_temporal_pooling_gain, temporal_pooling_gain_data
from dashboards.figures.utilisation import draw_utilisation, utilisation_data
from dashboards.render.panels_in_print import arranged
from dashboards.render.theme import Theme

Plain = dict[str, Any]
Width = Literal["column", "page"]

PAPER = Theme("paper", "#000000", "rgba(0,0,0,0.12)", "rgba(0,0,0,0.55)", "#ffffff")
FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
"""What papers use; the same words must not become wider on a machine with other system fonts."""

SHRINK = 0.8
"""How much smaller than on a screen: 13-pixel text becomes 7.8 points."""
WIDTHS: dict[Width, float] = {"column": 3.4, "page": 7.0}
"""Inches in print: a column and the text of a two-column page."""
COLUMNS: dict[Width, int] = {"column": 1, "page": 3}
"""Panels that stand side by side in them."""
PIXELS_PER_INCH = 96

_MARGINS = {"l": 66, "r": 14}
_MENU_PIXELS = 52
_LETTER = 0.52
"""Mean width of a letter, as a share of the size of the font."""


class FigureError(ValueError):
    """A figure that does not exist, or for which there is nothing to draw."""


@dataclass(frozen=True)
class PaperFigure:
    """A figure with a name: what it shows, and how it is drawn from a catalog.

    `published` tells whether it can show results from the literature; `gap` is what one row of panels needs
    below it, in pixels.
    """

    title: str
    draw: Callable[[Catalog, Filters, Source], go.Figure]
    published: bool = True
    gap: int = 78


def _sampling(catalog: Catalog, filters: Filters, source: Source) -> go.Figure:
    printed = None if source == "own" else published_gains_data(catalog)
    return draw_sampling(sampling_data(catalog, filters, source), PAPER, printed)


def _grid(catalog: Catalog, filters: Filters, source: Source) -> go.Figure:
    if source == "own":
        return draw_grid(grid_data(catalog, filters), PAPER)
    return draw_grid(grid_data(catalog, filters, source), PAPER, "accuracy")


def _contributions(catalog: Catalog, filters: Filters, source: Source) -> go.Figure:
    figure = draw_contributions(contributions_data(catalog, filters, source), PAPER)
    # In print there is no room for the numbers side by side.
    return figure.update_traces(textangle=-90, selector={"type": "bar"})


def _both(data: Callable[..., Any], draw: Callable[..., go.Figure]) -> Callable[..., go.Figure]:
    return lambda catalog, filters, source: draw(data(catalog, filters, source), PAPER)


def _own(data: Callable[..., Any], draw: Callable[..., go.Figure]) -> Callable[..., go.Figure]:
    return lambda catalog, filters, _: draw(data(catalog, filters), PAPER)


FIGURES: dict[str, PaperFigure] = {
    "fig1": PaperFigure("accuracy by MACs", _both(accuracy_by_macs_data, draw_accuracy_by_macs)),
    "fig1-params": PaperFigure(
        "accuracy by MACs, area by parameters",
        _both(accuracy_by_macs_data, partial(draw_accuracy_by_macs, circle="params")),
    ),
    "fig4": PaperFigure("accuracy by frames", _both(accuracy_by_frames_data, draw_accuracy_by_frames)),
    "fig5": PaperFigure("uniform and dense sampling", _sampling, gap=170),
    "fig6": PaperFigure(
        "gain of temporal pooling", _both(temporal_pooling_gain_data, draw_temporal_pooling_gain)
    ),
    "fig7": PaperFigure("I3D step by step", _both(i3d_steps_data, draw_i3d_steps), gap=125),
    "fig8": PaperFigure("accuracy by clips", _both(accuracy_by_clips_data, draw_accuracy_by_clips)),
    "contributions": PaperFigure("averages of Table 7", _contributions),
    "seeds": PaperFigure("seeds averaged", _both(seeds_data, draw_seeds)),
    "grid": PaperFigure("the grid", _grid),
    "against": PaperFigure(
        "own minus published", _own(against_published_data, draw_against_published), published=False
    ),
    "cost": PaperFigure("hours by axis", _own(cost_by_axis_data, draw_cost_by_axis), published=False),
    "front": PaperFigure("accuracy by hours", _own(cost_front_data, draw_cost_front), published=False),
    "utilisation": PaperFigure("busy GPUs", _own(utilisation_data, draw_utilisation), published=False),
    "failures": PaperFigure("failures by kind", _own(failures_data, draw_failures), published=False),
}


def paper_figure(
    catalog: Catalog, name: str, source: Source = "both", width: Width = "page", filters: Filters = ALL
) -> Plain:
    """Return a figure as Plotly's plain JSON, for a white page; sizes are in pixels of the screen.

    Nothing is hidden that a click would show, because nobody can click on paper. Panels that do not fit side
    by side stand below each other.

    Raises:
        FigureError: no figure has this name, it shows one's own results only, or there are none.
    """
    known = require_figure(name)
    if source == "published" and not known.published:
        raise FigureError(
            f"{known.title} has no published results; --figure {name} --show published; use --show yours"
        )
    figure = _plain(known.draw(catalog, filters, source))
    if not any(_has_points(trace) for trace in figure["data"]):
        said = [note["text"].rstrip(".") for note in figure["layout"].get("annotations", ())]
        raise FigureError(
            f"nothing to draw: {' '.join(said) or 'no results'}; --figure {name}; "
            "run cells, or ask for other results with --show or --filter"
        )
    figure["layout"]["width"] = round(WIDTHS[width] * PIXELS_PER_INCH / SHRINK)
    _for_print(figure)
    return arranged(figure, COLUMNS[width], known.gap)


def require_figure(name: str) -> PaperFigure:
    """Return the figure of a name.

    Raises:
        FigureError: no figure has this name.
    """
    if name in FIGURES:
        return FIGURES[name]
    near = get_close_matches(name, FIGURES, n=1)
    known = ", ".join(FIGURES)
    guess = f"did you mean {near[0]}? Known: {known}" if near else f"use one of {known}"
    raise FigureError(f"there is no figure {name!r}; --figure; {guess}")


def _plain(figure: go.Figure) -> Plain:
    from plotly.io.json import to_json_plotly

    plain: Plain = json.loads(to_json_plotly(figure))
    return plain


def _has_points(trace: Plain) -> bool:
    return any(value is not None for value in trace.get("x") or trace.get("z") or ())


def _for_print(figure: Plain) -> None:
    layout = figure["layout"]
    layout["margin"] = {**layout.get("margin", {}), "l": _MARGINS["l"], "r": _MARGINS["r"]}
    if layout.pop("updatemenus", None):
        layout["margin"]["t"] -= _MENU_PIXELS
        layout["height"] -= _MENU_PIXELS
    layout["plot_bgcolor"] = layout["paper_bgcolor"] = PAPER.paper
    layout["font"] = {**layout.get("font", {}), "family": FONTS}
    layout["modebar"] = {}
    for number, trace in enumerate(figure["data"]):
        trace.pop("visible", None)
        # Otherwise Plotly draws lots, and no two files are equal.
        trace["uid"] = f"trace{number}"
        pattern = trace.get("marker", {}).get("pattern")
        if pattern and pattern.get("shape"):
            # Thin bars that are mostly paper cannot be told apart by their colour.
            pattern.update(fillmode="overlay", size=5, fgcolor=PAPER.paper, fgopacity=0.6)
    for note in layout.get("annotations", ()):
        _wrap(note, layout)


def _wrap(note: Plain, layout: Plain) -> None:
    """Break a note that begins at the left and is longer than the figure is wide."""
    if note.get("xref") != "paper" or note.get("xanchor") != "left":
        return
    room = layout["width"] - layout["margin"]["l"] - layout["margin"]["r"]
    size = note.get("font", {}).get("size", layout["font"]["size"])
    lines = textwrap.wrap(note["text"], max(20, int(room / (_LETTER * size))))
    note["text"] = "<br>".join(lines)
    more = (len(lines) - 1) * 1.3 * size
    layout["margin"]["t"] += more
    layout["height"] += more
