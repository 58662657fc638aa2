"""The data of every table and figure as CSV, at an address of its own."""

from __future__ import annotations

import flask

from catalog import QueryError
from catalog.export import to_csv
from dashboards.app.live import LiveCatalog
from dashboards.app.page_cache import page_blocks
from dashboards.pages.address import Address, read_address

ROUTE = "/csv"


def csv_address(address: Address, block: str) -> str:
    """Return where the data of a page's block can be had, with the filters of the address."""
    return f"{ROUTE}/{address.page}/{block}{address.search}"


def install_downloads(server: flask.Flask, live: LiveCatalog) -> None:
    """Answer the addresses that `csv_address` gives."""

    def download(page: str, block: str) -> flask.Response:
        try:
            blocks = page_blocks(live, read_address(page, flask.request.query_string.decode()), "light")
        except (QueryError, ValueError) as error:
            return flask.Response(f"{error}\n", 400, mimetype="text/plain")
        rows = next((one.rows for one in blocks if one.name == block and one.rows is not None), None)
        if rows is None:
            return flask.Response("no such data\n", 404, mimetype="text/plain")
        headers = {"Content-Disposition": f'attachment; filename="{block}.csv"'}
        return flask.Response(to_csv(rows), mimetype="text/csv", headers=headers)

    server.add_url_rule(f"{ROUTE}/<page>/<block>", "csv", download)
