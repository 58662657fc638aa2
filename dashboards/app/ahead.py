"""Makes a page while the browser that opens it still loads its scripts."""

from __future__ import annotations

import flask

from catalog import QueryError
from dashboards.app.live import LiveCatalog
from dashboards.app.page_cache import page_blocks
from dashboards.pages.address import read_address

ROUTE = "/ahead"


def install_ahead(server: flask.Flask, live: LiveCatalog) -> None:
    """Answer `/ahead/THEME/PAGE?…` with nothing: what `page_blocks` remembers is there when Dash asks."""

    def make(theme: str, page: str = "") -> flask.Response:
        try:
            address = read_address(page, flask.request.query_string.decode())
            for block in page_blocks(live, address, theme):
                _ = block.parts  # drawings as JSON: they are remembered too
        except (QueryError, ValueError):
            pass  # whoever asks for the page is told
        return flask.Response(status=204)

    server.add_url_rule(f"{ROUTE}/<theme>/", "ahead-first", make)
    server.add_url_rule(f"{ROUTE}/<theme>/<page>", "ahead", make)
