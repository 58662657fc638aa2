"""What stands around every page: its header with the navigation, messages and the bar of filters."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from dashboards.app.filter_bar import filter_bar
from dashboards.app.live import PAGES
from dashboards.pages.request import Address, link


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


def navigation(address: Address) -> list[Component]:
    """Return the links to all pages, the one at an address marked; filters stay as they are."""
    return [link(page.title, address.on(name), current=name == address.page) for name, page in PAGES.items()]
