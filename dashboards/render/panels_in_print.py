"""Panels of a figure in fewer columns, so that they fit the width of a page or of a column of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

Plain = dict[str, Any]
Domain = tuple[float, float]

SIDE_GAP = 52
"""Pixels between two panels of a row: the ticks of the right one."""
TALLEST = 1020
"""Pixels that a figure should not exceed, and the height below which panels say nothing."""
LOWEST_PANEL = 130

_AXIS = re.compile(r"xaxis(\d*)")


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
    layout[panel.y_axis] = y_axis


def _kept_apart(legend: Plain, share: float) -> Plain:
    """Keep a legend's distance in pixels from the panels, of which it stands below or above."""
    y = legend.get("y", 1.0)
    if y < 0:
        return {**legend, "y": y * share}
    return {**legend, "y": 1 + (y - 1) * share} if y > 1 else legend
