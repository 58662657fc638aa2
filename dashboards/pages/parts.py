"""What several pages show: links that stay in the app, choices that are links, rough times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboards.pages.address import Address


def link(text: str, address: Address, *, current: bool = False) -> Component:
    """Return a link to another view of the app; it opens without loading the page anew."""
    here: dict[str, Any] = {"aria-current": "page"} if current else {}
    return html.A(text, href=address.href, className="go", **here)


def cell_link(address: Address, key: str, text: str) -> Component:
    """Return a link to a cell's page."""
    return link(text, address.on("cell", key=key))


def choice(address: Address, name: str, title: str, options: Mapping[str, str], chosen: str) -> Component:
    """Return a row of links that set one parameter of the page; the first option is the usual one."""
    usual = next(iter(options))
    links = []
    for value, text in options.items():
        href = address.choosing(**{name: "" if value == usual else value}).href
        current: dict[str, Any] = {"aria-current": "true"} if value == chosen else {}
        links.append(html.A(text, href=href, className="go option", **current))
    return html.Div([html.Span(title, className="soft"), *links], className="choice", role="group")
