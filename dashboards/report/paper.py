"""The figures that can be had one by one for a paper: what each shows, and how it looks in print."""

from __future__ import annotations

import json
import textwrap
from difflib import get_close_matches
from typing import Any, Literal

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.filters import ALL, Filters, Source, written_filters
from catalog.storage.errors import BAD_INPUT, ActionGridError
from dashboards.figures.figure import Answer, Export, Figure, Scope
from dashboards.figures.panels import STRIPED_SYMBOL, note
from dashboards.figures.registry import exports
from dashboards.render.image import PIXELS_PER_INCH, SHRINK, arranged
from dashboards.render.plain_figure import PlainFigure
from dashboards.render.theme import Theme

Plain = dict[str, Any]
Width = Literal["column", "page"]

PAPER = Theme("paper", "#000000", "rgba(0,0,0,0.12)", "rgba(0,0,0,0.55)", "#ffffff")
FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
"""What papers use; the same words must not become wider on a machine with other system fonts."""

WIDTHS: dict[Width, float] = {"column": 3.4, "page": 7.0}
"""Inches in print: a column and the text of a two-column page."""
COLUMNS: dict[Width, int] = {"column": 1, "page": 3}
"""Panels that stand side by side in them."""

ON_PAGES = {
    "classes": "Cell",
    "confusion": "Cell",
    "curves": "Cell",
    "lineage": "Cell",
    "paired": "Compare",
    "parallel-coordinates": "Explore",
    "usage": "Cell",
}
"""The figures of single cells or of a choice of cells, which `paper_figure` does not have: their pages."""

_MARGINS = {"l": 66, "r": 14}
_MENU_PIXELS = 52
_NOTE_PIXELS = 22
_LETTER = 0.52
"""Mean width of a letter, as a share of the size of the font."""


class FigureError(ActionGridError):
    """A figure that does not exist, or for which there is nothing to draw."""

    exit_code = BAD_INPUT


def _begun_small(sentence: str) -> str:
    """A sentence as the rest of another one; what begins with a name stays."""
    return sentence if sentence[1:2].isupper() else f"{sentence[:1].lower()}{sentence[1:]}"


def paper_figure(
    catalog: Catalog, name: str, source: Source = "both", width: Width = "page", filters: Filters = ALL
) -> Plain:
    """Return a figure as Plotly's plain JSON, for a white page; sizes are in pixels of the screen.

    Nothing is hidden that a click would show, because nobody can click on paper. Panels that do not fit side
    by side stand below each other.

    Raises:
        FigureError: no figure has this name, it shows one's own results only, or there are none.
    """
    known, export = require_figure(name)
    if source == "published" and not export.published:
        raise FigureError(
            f"{export.title} has no published results",
            f"--figure {name} --show published",
            "use --show yours",
        )
    # A file for print is waited for: its intervals are those of tables.
    scope = Scope(filters, source, answers=None)
    printed = known.printed(catalog, scope) if known.printed and known.draws_printed else None
    answer = Answer(known.data(catalog, scope), printed)
    figure = _as_json(known.drawn(answer, PAPER, **export.options(source, answer.rows)))
    if not any(_has_points(trace) for trace in figure["data"]):
        said = [note["text"].rstrip(".") for note in figure["layout"].get("annotations", ())]
        raise FigureError(
            f"nothing to draw: {_begun_small(' '.join(said)) or 'no results'}",
            f"--figure {name}",
            "run cells first, or draw other results: --show published, or another --filter",
        )
    figure["layout"]["width"] = round(WIDTHS[width] * PIXELS_PER_INCH / SHRINK)
    _add_note(figure["layout"], known.not_drawn(catalog, scope, answer.rows))
    _for_print(figure)
    return arranged(figure, COLUMNS[width], export.gap)


def draw_figure(
    catalog: Catalog, name: str, *, source: Source = "both", width: Width = "page", filters: str = ""
) -> go.Figure:
    """Return a figure of the paper's or one's own results, as `actiongrid report --figure` writes it.

    Args:
        catalog: Where the results are.
        name: One of `figure_titles()`, such as `fig4`.
        source: Whose results: `own`, `published`, or `both`.
        width: `column` (3.4 inches) or `page` (7 inches).
        filters: What the dashboard's address has, such as `module=tam&frames=8,16`.

    Raises:
        FigureError: no figure has this name, it shows one's own results only, or there are none.
        FilterError: a filter means nothing.
    """
    return go.Figure(paper_figure(catalog, name, source, width, written_filters(filters)))


def usual_source(catalog: Catalog, name: str, filters: Filters = ALL) -> Source:
    """Return whose results a figure shows where nobody says it.

    Raises:
        FigureError: no figure has this name.
    """
    _, export = require_figure(name)
    return export.usual(catalog, filters)


def figure_titles() -> dict[str, str]:
    """What each figure shows, by the name that `draw_figure` takes."""
    return {name: export.title for name, (_, export) in exports().items()}


def require_figure(name: str) -> tuple[Figure, Export]:
    """Return the figure with an export of this name, and the export.

    Raises:
        FigureError: no figure has this name.
    """
    found = exports()
    if name in found:
        return found[name]
    known = ", ".join(found)
    if name in ON_PAGES:
        place = f"it is on the dashboard's page {ON_PAGES[name]}, and is saved there: actiongrid dashboard"
        raise FigureError(
            f"the figure {name!r} is no file for a paper", "--figure", f"{place}. Known: {known}"
        )
    near = get_close_matches(name, found, n=1)
    guess = f"did you mean {near[0]}? Known: {known}" if near else f"use one of {known}"
    raise FigureError(f"there is no figure {name!r}", "--figure", guess)


def _add_note(layout: Plain, text: str) -> None:
    """Write a text below the note of a figure, or as its note."""
    if not text:
        return
    notes = layout.setdefault("annotations", [])
    for place, one in enumerate(notes):
        if one.get("yshift"):
            notes[place] = {**one, "text": f"{one['text']}. {text}"}
            return
    figure = PlainFigure()
    note(figure, text)
    notes += figure.layout["annotations"]
    layout["margin"]["t"] += _NOTE_PIXELS
    layout["height"] += _NOTE_PIXELS


def _as_json(figure: go.Figure) -> Plain:
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
        if "marker" in trace:
            trace["marker"] = _marker_for_print(trace["marker"], opened=layout.get("barmode") != "overlay")
    for text in layout.get("annotations", ()):
        _wrap(text, layout)


def _marker_for_print(marker: Plain, *, opened: bool) -> Plain:
    """Return a marker of bars or points as paper needs it; with `opened`, striped ones become open ones."""
    pattern = marker.get("pattern") or {}
    if opened and (pattern.get("shape") == "/" or marker.get("symbol") == STRIPED_SYMBOL):
        # Each striped bar is a picture of its own in a PDF: 300 of them took 5 MB.
        shape = {"symbol": "square"} if "symbol" in marker else {"pattern": {"shape": ""}}
        line = {"color": marker["color"], "width": 1}
        return {**marker, **shape, "color": _paler(marker["color"]), "line": line}
    if pattern.get("shape"):
        # Thin bars that are mostly paper cannot be told apart by their colour.
        pattern = {**pattern, "fillmode": "overlay", "size": 5, "fgcolor": PAPER.paper, "fgopacity": 0.6}
        return {**marker, "pattern": pattern}
    return marker


def _paler(colour: str | list[str]) -> str | list[str]:
    """Return one colour or several (`#rrggbb`), mixed with the white of the paper."""
    if isinstance(colour, list):
        return [str(_paler(one)) for one in colour]
    parts = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    return "#" + "".join(f"{round(part + 0.7 * (255 - part)):02x}" for part in parts)


def names_beside(layout: Plain) -> float:
    """Return about how many pixels the names on the y axes take, for which Plotly moves the panels."""
    axes = [axis for name, axis in layout.items() if name.startswith("yaxis")]
    widths = [
        max((len(line) for text in axis.get("ticktext") or () for line in text.split("<br>")), default=0)
        * axis.get("tickfont", {}).get("size", layout["font"]["size"])
        for axis in axes
    ]
    return _LETTER * max(widths, default=0)


def _wrap(note: Plain, layout: Plain) -> None:
    """Break a note that begins at the left and is longer than the figure is wide."""
    if note.get("xref") != "paper" or note.get("xanchor") != "left":
        return
    room = layout["width"] - max(layout["margin"]["l"], names_beside(layout)) - layout["margin"]["r"]
    size = note.get("font", {}).get("size", layout["font"]["size"])
    lines = textwrap.wrap(note["text"], max(20, int(room / (_LETTER * size))))
    note["text"] = "<br>".join(lines)
    more = (len(lines) - 1) * 1.3 * size
    layout["margin"]["t"] += more
    layout["height"] += more
