"""The grid: models by datasets and lengths; a field leads to its cell."""

from __future__ import annotations

from typing import Any

from dash import html
from dash.development.base_component import Component
from plotly.colors import get_colorscale, hex_to_rgb, label_rgb, sample_colorscale

from catalog.names import count_text, label
from catalog.queries.caveats import mixture_notes
from catalog.queries.filters import STATES, Source
from dashboards.figures.grid import (
    TOP1,
    UNDEFINED,
    VALUES,
    accuracies_text,
    difference_text,
    draw_grid,
    duration,
    experiment_lines,
    grid_data,
    model_of,
    models_of,
    name_of,
    not_comparable,
    state_of,
)
from dashboards.pages.blocks import Block, Column, Figure, Text, labelled, message, notes_block, state
from dashboards.pages.request import PageRequest, choice_links
from dashboards.render.theme import DIVERGING, MAGNITUDE, cell_name
from dashboards.render.uncertainty import PUBLISHED, in_words

Row = dict[str, Any]

TITLE = "Grid"

_SCALES = {
    "accuracy": get_colorscale(MAGNITUDE),
    "difference": [[place, label_rgb(hex_to_rgb(colour))] for place, colour in DIVERGING],
}
_SOURCES: dict[str, str] = {"own": "yours", "both": "with published"}
_FORMS = {"table": "table", "drawing": "drawing"}
_COLUMNS: dict[str, Column | str] = {
    "cell": "cell",
    "cells": "cells",
    **{name: name for name in STATES},
    "top1": "top-1",
    "top1_low": "from",
    "top1_high": "to",
    "results": "seeds",
    "eval_videos": "videos",
    "published_top1": "published",
    "published_top1_low": "from",
    "published_top1_high": "to",
    "difference": "difference",
    "difference_low": "from",
    "difference_high": "to",
    "blocked_by": "blocked by",
}


def blocks(request: PageRequest) -> list[Block]:
    """Return the choices, the counts, and the grid as a table or as a drawing."""
    value = request.address.choice("show", list(VALUES))
    source: Source = "both" if request.address.choice("source", list(_SOURCES)) == "both" else "own"
    table = grid_data(request.catalog, request.filters, source)
    rows = table.to_pylist()
    form = request.address.choice("as", list(_FORMS))
    choices = [
        choice_links(request.address, "show", "Colour", VALUES, value),
        choice_links(request.address, "source", "Results", _SOURCES, source),
        choice_links(request.address, "as", "As", _FORMS, form),
    ]
    head: list[Block] = [
        Text("choices", html.Div(choices, className="choices")),
        Text("counts", _counts(rows)),
    ]
    notes = notes_block(mixture_notes(request.catalog))
    # Plotly is large: who looks at the table does not wait for it.
    if form == "table":
        return [*head, Text("grid", _grid(request, rows, value), table), notes]
    drawing = draw_grid(table, request.theme, value)  # type: ignore[arg-type]
    return [*head, Figure("grid", "Grid", drawing, table, columns=_COLUMNS, narrowest=900), notes]


def _counts(rows: list[Row]) -> Component:
    total = sum(row["cells"] for row in rows)
    if not total:
        return message("No cell has been planned in this storage yet. Start with: actiongrid run demo")
    counts = {name: sum(row[name] or 0 for row in rows) for name in reversed(STATES)}
    parts = [html.Li([state(name), f" {count:,}"]) for name, count in counts.items() if count]
    return html.Ul([html.Li(count_text(total, "cell")), *parts], className="counts")


def _grid(request: PageRequest, rows: list[Row], value: str) -> Component:
    if not rows:
        return message("No cell passes the filters.") if request.address.search else html.Div()
    columns = sorted({(row["dataset"], row["frames"]) for row in rows})
    models = models_of(rows)
    places = {(*model_of(row), row["dataset"], row["frames"]): row for row in rows}
    paint = _Paint(rows, value)
    body = []
    for model in models:
        fields = [paint.field(request, places.get((*model, *column))) for column in columns]
        body.append(html.Tr([html.Th(name_of(model), scope="row"), *fields]))
    grid = html.Table([html.Thead(_head(columns)), html.Tbody(body)], className="grid")
    return html.Div(grid, className="scroll", tabIndex="0", role="region", **labelled("grid of cells"))


def _head(columns: list[tuple[str, int]]) -> list[Component]:
    datasets = list(dict.fromkeys(dataset for dataset, _ in columns))
    widths = [sum(one == dataset for one, _ in columns) for dataset in datasets]
    over = [
        html.Th(label(dataset), colSpan=width, scope="colgroup")
        for dataset, width in zip(datasets, widths, strict=True)
    ]
    under = [html.Th(f"f{frames}", scope="col") for _, frames in columns]
    return [html.Tr([html.Th("model", rowSpan=2, scope="col"), *over]), html.Tr(under)]


class _Paint:
    """The look of the grid's fields, given all of them: the scale spans what is there."""

    def __init__(self, rows: list[Row], value: str) -> None:
        self.value = value
        numbers = [number for row in rows if (number := _number(row, value)) is not None]
        largest = max([1.0, *map(abs, numbers)])
        low, high = (
            (-largest, largest) if value == "difference" else (min(numbers or [0]), max(numbers or [1]))
        )
        self.low, self.high = low, high if high > low else low + 1

    def field(self, request: PageRequest, row: Row | None) -> Component:
        """Return one field; one with a cell of one's own is a link."""
        if row is None:
            return html.Td(className="none")
        lines = [html.Span(text) for text in _words(row, self.value)]
        name = cell_name(row)
        title = f"{name}: {_description(row)}"
        kind, style = self._colour(row)
        if row["key"] is None:
            return html.Td(html.Div(lines, title=title, className=kind, style=style))
        href = request.address.on("cell", key=row["key"]).href
        return html.Td(
            html.A(lines, href=href, title=title, className=f"go {kind}", style=style, **labelled(title))
        )

    def _colour(self, row: Row) -> tuple[str, dict[str, str]]:
        number = _number(row, self.value)
        if self.value == "state" or number is None:
            return f"field state-{state_of(row) or 'published'}", {}
        share = (number - self.low) / (self.high - self.low)
        red, green, blue = sample_colorscale(_SCALES[self.value], [share], colortype="tuple")[0]
        bright = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2
        ink = "#000" if bright > 0.18 else "#fff"
        css = f"rgb({round(red * 255)},{round(green * 255)},{round(blue * 255)})"
        return "field value", {"background": css, "color": ink}


def _words(row: Row, value: str) -> list[str]:
    """What stands in a field: at most two lines."""
    number = _number(row, value)
    if value == "difference" and number is not None:
        return [f"{number:+.1f}"]
    if value == "accuracy" and number is not None:
        return [f"{number:.1f}" if row["top1"] is not None else f"({number:.1f})"]
    if value == "accuracy" and accuracies_text(row):
        return [accuracies_text(row)]
    if not row["cells"]:
        return [f"({row['published_top1']:.1f})"]
    if row["cells"] > 1:
        return [f"{row['done']}/{row['cells']}", str(state_of(row))]
    return [str(state_of(row)), *_second_line(row)]


def _second_line(row: Row) -> list[str]:
    if row["running"] and row["epoch"] is not None:
        left = "" if row["eta_seconds"] is None else f" · {duration(row['eta_seconds'])}"
        return [f"{row['epoch']}/{row['epochs'] or '?'}{left}"]
    if row["blocked"] and row["blocked_by"]:
        return [f"by {row['blocked_by'].split('@')[0]}"]
    if row["done"] and row["top1"] is not None:
        return [f"{row['top1']:.1f}"]
    return []


def _description(row: Row) -> str:
    """One field in words, for hovering and for screen readers."""
    parts = [f"{row[name]} {name}" if row["cells"] > 1 else name for name in STATES if row[name]]
    if row["running"] and row["epoch"] is not None:
        left = "" if row["eta_seconds"] is None else f", about {duration(row['eta_seconds'])} left"
        parts.append(f"epoch {row['epoch']} of {row['epochs'] or '?'}{left}")
    if row["blocked"] and row["blocked_by"]:
        parts.append(f"blocked by {row['blocked_by']}")
    if row["failed"] and row["reason"]:
        parts.append(str(row["reason"])[:200])
    if row["top1"] is not None:
        parts.append(in_words(row, TOP1))
    elif row["done"] and not row["experiments"]:
        parts.append(UNDEFINED)
    parts += experiment_lines(row)
    if row["published_top1"] is not None:
        beside = f"{difference_text(row)}{not_comparable(row)}"
        parts.append(f"{in_words(row, PUBLISHED, 'published')}{beside}")
    return "; ".join(parts)


def _number(row: Row, value: str) -> float | None:
    if value == "accuracy":
        found = (
            row["top1"] if row["top1"] is not None else row["published_top1"] if not row["cells"] else None
        )
    else:
        found = row["difference"] if value == "difference" else None
    return None if found is None else float(found)
