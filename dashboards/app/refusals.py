"""What is answered to requests that no page of the app sends, and to those that fail."""

from __future__ import annotations

import html
import logging
from typing import Any

import flask
from dash import Dash
from dash.exceptions import DashException
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from catalog.queries.filters import FilterError
from dashboards.app.access import PAGE_ENDPOINTS
from dashboards.app.callback_bodies import BodyError, check_body
from dashboards.app.live import PAGES
from dashboards.pages.request import address_or_none

CALLBACK_ENDPOINT = "/_dash-update-component"

_CALLBACK_PARAMETERS = {"endId"}
"""What Dash's own script puts into the address; the others that Dash reads steer background callbacks."""

logger = logging.getLogger(__name__)


def refuse_what_pages_never_send(app: Dash) -> None:
    """Answer other callback bodies with 400, unknown pages with 404, links to statements with a question."""

    def check() -> Any:  # noqa: ANN401  (a Flask response of any kind)
        request = flask.request
        if request.endpoint == CALLBACK_ENDPOINT and request.method == "POST":
            if not request.args.keys() <= _CALLBACK_PARAMETERS:
                raise BodyError("a callback has no such parameters")
            check_body(request.get_data(), app.callback_map)
        elif request.path == CALLBACK_ENDPOINT:
            raise MethodNotAllowed(["POST"])
        elif request.endpoint in PAGE_ENDPOINTS:
            return _unusual_page()
        return None

    app.server.before_request(check)


def _unusual_page() -> flask.Response | None:
    """What answers a page's address instead of the page: there is none, or it would run a statement.

    People at a browser get the page in any case: it says what is wrong.
    """
    address = address_or_none(flask.request.path, flask.request.query_string.decode(errors="replace"))
    if address is None:
        return None  # the page says it
    if address.page not in PAGES and flask.request.headers.get("Sec-Fetch-Dest") != "document":
        return flask.Response("404 Not Found\n", 404, mimetype="text/plain")
    elsewhere = flask.request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    if elsewhere and address.text("q"):
        return flask.Response(_QUESTION.format(*map(html.escape, (address.text("q"), address.href))), 403)
    return None


_QUESTION = """<!DOCTYPE html>
<title>ActionGrid</title>
<p>A link on another site leads to this statement:</p>
<pre>{}</pre>
<p><a href="{}">Run it</a></p>
"""


def answer_errors(server: flask.Flask) -> None:
    """One line for whoever asked; what is a fault of the program goes to the log, too."""

    def refused(error: HTTPException) -> flask.Response:
        answer = flask.Response(f"{error.code} {error.name}\n", error.code, mimetype="text/plain")
        for name, value in error.get_headers():
            if name in ("Allow", "Location"):
                answer.headers[name] = value
        return answer

    def wrong(error: Exception) -> flask.Response:
        return flask.Response(f"{error}\n", 400, mimetype="text/plain")

    def missing(_: Exception) -> flask.Response:
        return flask.Response("no such file\n", 404, mimetype="text/plain")

    def failed(error: Exception) -> flask.Response:
        logger.error("%s %s", flask.request.method, flask.request.path, exc_info=error)
        return flask.Response("this cannot be answered; the dashboard's log says why\n", 500)

    server.register_error_handler(HTTPException, refused)
    for kind in (BodyError, FilterError):
        server.register_error_handler(kind, wrong)
    server.register_error_handler(DashException, missing)
    server.register_error_handler(Exception, failed)
