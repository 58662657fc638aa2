"""What stands around every page; and what can be read of it before the scripts of the app are there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboards.app.filter_bar import filter_bar
from dashboards.pages.blocks import Block
from dashboards.pages.request import Address
from dashboards.render.markup import as_html

_HEIGHTS = {"Dropdown": "36px", "Textarea": "12rem"}
"""Of what only the scripts can make; a drawing says its own."""


def frame(links: Sequence[Component], content: Sequence[Component]) -> list[Component]:
    """Return the parts of the window from top to bottom; `content` stands in `main`."""
    theme = html.Button("light or dark", id="theme-switch", type="button")
    return [
        html.A("to the content", href="#page", className="skip"),
        html.Header(
            [html.Span("ActionGrid", className="brand"), html.Nav(list(links), id="navigation"), theme]
        ),
        html.Div(id="trouble", role="alert"),
        html.Div(id="told", role="status"),
        filter_bar(),
        html.Main(list(content), id="page", tabIndex="-1"),
    ]


def reading() -> Component:
    """Return what stands in a page that is not there yet."""
    return html.P("Reading the catalog …", id="reading", className="soft")


def preview(links: Sequence[Component], address: Address, blocks: Sequence[Block] | None) -> str:
    """Return the HTML of a page that is not there yet (None) or only without drawings and fields.

    Boxes of their height stand in their places. It has no ids, so that scripts and links never take it for
    the page.
    """
    content = [reading()] if blocks is None else [one.sketch(address.csv(one.name)) for one in blocks]
    return as_html(frame(links, content), _box)


def _box(component: Component) -> str:
    described: dict[str, Any] = component.to_plotly_json()  # type: ignore[no-untyped-call]
    style = described["props"].get("style") or {}
    height = style.get("height") or _HEIGHTS.get(described["type"])
    return f'<div style="height: {height}"></div>' if height else ""
