"""One figure as an SVG, PDF or PNG file, its panels as print needs them; drawn by this machine's Chromium."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from catalog.storage.atomic import write_output
from catalog.storage.errors import BAD_INPUT, ActionGridError

if TYPE_CHECKING:
    from kaleido import PageGenerator

Format = Literal["svg", "pdf", "png"]
FORMATS: tuple[Format, ...] = get_args(Format)
PNG_DOTS_PER_INCH = 300
PIXELS_PER_INCH = 96
SHRINK = 0.8
"""How much smaller than on a screen: 13-pixel text becomes 7.8 points."""

_DRAWING = re.compile(rb'<defs id="defs-([0-9a-f]+)"')


class BrowserError(ActionGridError):
    """There is no browser that could draw."""

    exit_code = BAD_INPUT


class DrawingError(ActionGridError):
    """The browser could not draw a figure."""


def write_image(figure: dict[str, Any], path: Path, form: Format, title: str = "") -> Path:
    """Draw a figure (Plotly's plain JSON, with its width and height) into a file, in one step.

    A PDF has the title, which viewers show.

    Raises:
        BrowserError: no Chrome or Chromium was found.
        DrawingError: the browser failed.
        OSError: the file cannot be written.
    """
    write_output(path, image(figure, form, title))
    return path


def image(figure: dict[str, Any], form: Format, title: str = "") -> bytes:
    """Return a figure as a file's content; the same figure gives the same SVG and PNG on one machine.

    A PDF has the title.

    Raises:
        BrowserError: no Chrome or Chromium was found.
        DrawingError: the browser failed.
    """
    import kaleido
    from kaleido.errors import ChromeNotFoundError

    layout = figure["layout"]
    scale = SHRINK * (PNG_DOTS_PER_INCH / PIXELS_PER_INCH if form == "png" else 1)
    size = {"width": layout["width"], "height": layout["height"], "scale": scale}
    try:
        content: bytes = kaleido.calc_fig_sync(
            figure, opts={"format": form, **size}, kopts={"page_generator": _page(title)}
        )
    except ChromeNotFoundError:
        raise BrowserError(
            "no Chrome or Chromium was found",
            "PATH",
            "install one (Debian: `apt install chromium`; Fedora: `dnf install chromium`; macOS: "
            "`brew install --cask google-chrome`), or set BROWSER_PATH to its file",
        ) from None
    except Exception as error:
        # The browser is a program of its own: whatever happens to it is one failure here.
        raise DrawingError(
            f"the browser could not draw ({type(error).__name__}: {error})",
            form,
            "try again, or another --format",
        ) from error
    if form == "png":
        return _with_resolution(content)
    return _without_chance(content) if form == "svg" else content


def _page(title: str) -> PageGenerator:
    """The page on which the browser draws; without MathJax, which would be asked for on the network."""
    from kaleido import PageGenerator

    page = PageGenerator(mathjax=False)
    # Else a PDF is printed with margins and shrunk by them, so that a figure is smaller than as SVG.
    no_margins = "<style>@page { margin: 0 }</style>"
    head = page.header.replace("<title>Kaleido-fier</title>", f"<title>{escape(title)}</title>{no_margins}")
    page.header = head
    return page


def _with_resolution(png: bytes) -> bytes:
    """A picture that says how large it is on paper: Chromium's say nothing."""
    from PIL import Image

    tagged = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.save(tagged, "PNG", dpi=(PNG_DOTS_PER_INCH, PNG_DOTS_PER_INCH))
    return tagged.getvalue()


def _without_chance(svg: bytes) -> bytes:
    """Plotly draws random names into its files; files of the same figure should be equal."""
    found = _DRAWING.search(svg)
    return svg if found is None else svg.replace(found.group(1), b"actiongrid")


Plain = dict[str, Any]
Domain = tuple[float, float]

SIDE_GAP = 52
"""Pixels between two panels of a row: the ticks of the right one."""
TALLEST = 1020
"""Pixels that a figure should not exceed, and the height below which panels say nothing."""
LOWEST_PANEL = 130

_AXIS = re.compile(r"xaxis(\d*)")


_NAMES = ("ticktext", "tickfont")


@dataclass(frozen=True)
class Panel:
    """Two axes of a figure and where they stand, as shares of the drawing's width and height."""

    x_axis: str
    y_axis: str
    x: Domain
    y: Domain


def panels(layout: Plain) -> list[Panel]:
    """Return the panels of a figure row by row, from the left."""
    found = []
    for name in layout:
        match = _AXIS.fullmatch(name)
        other = f"yaxis{match.group(1)}" if match else ""
        if other in layout:
            found.append(Panel(name, other, _domain(layout[name]), _domain(layout[other])))
    return sorted(found, key=lambda one: (-one.y[1], one.x[0]))


def arranged(figure: Plain, columns: int, gap: float) -> Plain:
    """Return a figure (Plotly's plain JSON) with at most `columns` panels a row, `gap` pixels between rows.

    Panels keep their height where the whole does not become too tall; titles go with their panels, and
    what stands below or above all of them, such as the legend, keeps its distance.
    """
    layout = dict(figure["layout"])
    found = panels(layout)
    widest = max((sum(one.y == other.y for other in found) for one in found), default=0)
    if widest <= columns:
        return figure
    margin = layout["margin"]
    drawn = layout["height"] - margin["t"] - margin["b"]
    rows = -(-len(found) // columns)
    room = (TALLEST - margin["t"] - margin["b"] - gap * (rows - 1)) / rows
    height = min(drawn * (found[0].y[1] - found[0].y[0]), max(room, LOWEST_PANEL))
    whole = rows * height + (rows - 1) * gap
    width = layout["width"] - margin["l"] - margin["r"]
    one = (width - (columns - 1) * SIDE_GAP) / columns
    titles = [(note, _titled(note, found)) for note in layout.get("annotations", ())]
    places = {}
    for number, panel in enumerate(found):
        row, column = divmod(number, columns)
        left, top = column * (one + SIDE_GAP), whole - row * (height + gap)
        place = Panel(
            panel.x_axis,
            panel.y_axis,
            (left / width, (left + one) / width),
            ((top - height) / whole, top / whole),
        )
        places[panel] = place
        _put(layout, panel, place, _first_in_row(panel, found), starts_row=column == 0)
    notes = [note if panel is None else _moved(note, places[panel]) for note, panel in titles]
    legend = _kept_apart(layout.get("legend", {}), drawn / whole)
    layout.update(annotations=notes, legend=legend, height=whole + margin["t"] + margin["b"])
    return {**figure, "layout": layout}


def _domain(axis: Plain) -> Domain:
    low, high = axis.get("domain", (0.0, 1.0))
    return float(low), float(high)


def _titled(note: Plain, found: list[Panel]) -> Panel | None:
    """Return the panel whose title a note is: it is centred above it."""
    if note.get("xref") != "paper" or note.get("yref") != "paper" or note.get("xanchor") != "center":
        return None
    for panel in found:
        if abs(note["x"] - sum(panel.x) / 2) < 1e-6 and abs(note["y"] - panel.y[1]) < 1e-6:
            return panel
    return None


def _moved(note: Plain, place: Panel) -> Plain:
    return {**note, "x": sum(place.x) / 2, "y": place.y[1]}


def _first_in_row(panel: Panel, found: list[Panel]) -> Panel:
    return next(one for one in found if one.y == panel.y)


def _put(layout: Plain, panel: Panel, place: Panel, first: Panel, *, starts_row: bool) -> None:
    """Give two axes their place; the first one of a row says what the row shows."""
    layout[panel.x_axis] = {**layout[panel.x_axis], "domain": list(place.x)}
    y_axis = {**layout[panel.y_axis], "domain": list(place.y)}
    if starts_row and not (y_axis.get("title") or {}).get("text"):
        y_axis["title"] = layout[first.y_axis].get("title") or {}
    if starts_row and not any(y_axis.get("ticktext") or ()):
        # Names beside the first panel of a row were those of all; a row of its own has to say them again.
        y_axis |= {name: layout[first.y_axis][name] for name in _NAMES if name in layout[first.y_axis]}
    layout[panel.y_axis] = y_axis


def _kept_apart(legend: Plain, share: float) -> Plain:
    """Keep a legend's distance in pixels from the panels, of which it stands below or above."""
    y = legend.get("y", 1.0)
    if y < 0:
        return {**legend, "y": y * share}
    return {**legend, "y": 1 + (y - 1) * share} if y > 1 else legend
