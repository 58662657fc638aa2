"""What can be read of a page, as HTML: a browser shows it while it still loads the scripts of the app."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flask
from dash import Dash, html
from dash.development.base_component import Component

from dashboards.app.frame import frame, navigation
from dashboards.pages.blocks import Block
from dashboards.pages.request import Address, address_or_none
from dashboards.render.markup import as_html

_HEIGHTS = {"Dropdown": "36px", "Textarea": "12rem"}
"""Of what only the scripts can make; a drawing says its own."""


class PreviewedDash(Dash):
    """An app whose first answer has the frame of the page that was asked for, at `{%preview%}`."""

    def interpolate_index(self, **parts: str) -> str:  # type: ignore[override]
        """Return the HTML that every address answers with."""
        made: str = super().interpolate_index(**parts)  # type: ignore[no-untyped-call]
        search = flask.request.query_string.decode(errors="replace")
        address = address_or_none(flask.request.path, search) or Address()
        # Last: what an address says is not looked through for other places.
        return made.replace("{%preview%}", _words(address, [reading()]), 1)


def reading() -> Component:
    """Return what stands in a page that is not there yet."""
    return html.P("Reading the catalog …", id="reading", className="soft")


def preview(address: Address, blocks: Sequence[Block]) -> str:
    """Return the HTML of a page without drawings and fields: boxes of their height stand in their places.

    It has no ids, so that scripts and links never take it for the page.
    """
    return _words(address, [block.component(address.csv(block.name)) for block in blocks])


def _words(address: Address, content: Sequence[Component]) -> str:
    return as_html(frame(navigation(address), content), _box)


def _box(component: Component) -> str:
    described: dict[str, Any] = component.to_plotly_json()  # type: ignore[no-untyped-call]
    style = described["props"].get("style") or {}
    height = style.get("height") or _HEIGHTS.get(described["type"])
    return f'<div style="height: {height}"></div>' if height else ""
