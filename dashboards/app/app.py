"""The web app: its layout, the addresses that it answers, and serving it on a port."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import flask
from dash import Dash, dcc, html
from dash.development.base_component import Component

from catalog import QueryError
from catalog.export import to_csv
from catalog.queries.filters import FilterError
from catalog.queries.predictions import VideoPlace, video_places
from catalog.storage.errors import ActionGridError
from catalog.storage.storage import Storage
from dashboards.app.access import PARAMETER, Access, guard, protect, require_safe
from dashboards.app.actions import Annotate, GiveCommand, add_actions, add_annotations
from dashboards.app.callbacks import add_callbacks, navigation
from dashboards.app.live import PAGES, LiveCatalog, page_blocks
from dashboards.app.preview import frame, preview, reading
from dashboards.app.refusals import answer_errors, refuse_what_pages_never_send
from dashboards.app.server import listen_on, serve_on
from dashboards.figures.deciding_videos import CLIP_ROUTE, STRIP_ROUTE, VideoFiles
from dashboards.pages.blocks import ACTIONS, Figure
from dashboards.pages.request import CSV_ROUTE, Address, address_or_none, read_address
from dashboards.render.theme import THEMES

PREPARE_ROUTE = "/ahead"
_PATIENCE_SECONDS = 20.0
"""How long who asks without a page waits for news that another request reads."""
_SECONDS_KEPT = 600  # by a browser: what a video shows does not change
_LARGEST = (1 << 31) - 1
_ASSETS = Path(__file__).parent.parent / "assets"
_PAGE = Path(__file__).parent.parent / "page.html"


class ServeError(ActionGridError):
    """The dashboard cannot listen where it should."""


@dataclass(frozen=True)
class Serving:
    """Where and how the dashboard is served; `port` 0 takes a free one.

    `give` takes commands from the pages to the drivers, `annotate` their notes, tags and views; without
    them they only show. `videos` has pictures.
    """

    storage: Storage
    access: Access
    port: int = 8050
    refresh_seconds: float = 1.0
    give: GiveCommand | None = None
    videos: VideoFiles | None = None
    annotate: Annotate | None = None


def serve(serving: Serving, say: Callable[[str], None]) -> None:
    """Serve the dashboard until it is interrupted; `say` gets the address to open.

    Raises:
        AccessError: it would be open to a network without a token.
        ServeError: the port is taken, or the address is not this machine's.
    """
    require_safe(serving.access)
    live = LiveCatalog(serving.storage, acts=serving.give is not None, videos=serving.videos)
    try:
        live.refresh()
        app = build_app(live, serving.access, serving.refresh_seconds, serving.give, serving.annotate)
        with _listening(serving) as listening:
            address = _address(serving.access, listening.getsockname()[1])
            say(f"dashboard of {serving.storage.location}: {address}")
            say("Ctrl-C ends it")
            serve_on(listening, app.server, live.end)
    except KeyboardInterrupt:
        say("dashboard ended")
    finally:
        live.close()


def _listening(serving: Serving) -> socket.socket:
    host, port = serving.access.host, serving.port
    try:
        return listen_on(host, port)
    except OSError as error:
        raise ServeError(
            f"cannot listen ({error})",
            f"--host {host} --port {port}",
            "choose another port, or stop what uses it",
        ) from error


def build_app(
    live: LiveCatalog,
    access: Access,
    refresh_seconds: float,
    give: GiveCommand | None = None,
    annotate: Annotate | None = None,
) -> Dash:
    """Return the app over a catalog; it asks for news every `refresh_seconds`.

    `give` takes its commands, `annotate` its notes, tags and saved views.
    """
    server = flask.Flask("actiongrid", static_folder=None)
    guard(server, access)
    _add_routes(server, live)
    if give is not None:
        add_actions(server, ACTIONS, give)
    if annotate is not None:
        add_annotations(server, annotate)
    page = _PAGE.read_text(encoding="utf-8")
    app = _Dash(
        "actiongrid",
        server=server,  # type: ignore[arg-type]  # its annotation knows only True and False
        assets_folder=str(_ASSETS),
        serve_locally=True,
        suppress_callback_exceptions=True,
        title="ActionGrid",
        update_title="",
        index_string=page,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = _layout(live, refresh_seconds)
    add_callbacks(app, live)
    refuse_what_pages_never_send(app)
    answer_errors(server)
    protect(server, [*app.csp_hashes(), *map(_hash, re.findall(r"<script>(.*?)</script>", page, re.DOTALL))])
    return app


class _Dash(Dash):
    """An app whose first answer has the frame of the page that was asked for, at `{%preview%}`."""

    def interpolate_index(self, **parts: str) -> str:  # type: ignore[override]
        made: str = super().interpolate_index(**parts)  # type: ignore[no-untyped-call]
        search = flask.request.query_string.decode(errors="replace")
        address = address_or_none(flask.request.path, search) or Address()
        # Last: what an address says is not looked through for other places.
        return made.replace("{%preview%}", preview(navigation(address), address, None), 1)


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _layout(live: LiveCatalog, refresh_seconds: float) -> Component:
    return html.Div(
        [
            dcc.Location(id="address", refresh="callback-nav"),
            dcc.Interval(id="clock", interval=max(200, round(refresh_seconds * 1000))),
            dcc.Store(id="revision", data=live.revision),
            dcc.Store(id="theme"),
            dcc.Store(id="again", data=0),
            dcc.Store(id="digests", data={}),
            *frame([], [reading()]),
        ]
    )


def _add_routes(server: flask.Flask, live: LiveCatalog) -> None:
    """Answer four addresses beside Dash's own, each from what the journals have now: no page need be open.

    `/csv/PAGE/BLOCK?…` gives the data of a page's block (`Address.csv`). `/ahead/THEME/PAGE?…` gives what
    can be read of a page (`preview`) while the browser that opens it still loads its scripts; then Dash finds
    the page made.
    `/strip/KEY/EVALUATION/NUMBER` and `/clip/…` give the pictures and the file of a video that a cell was
    measured on; which file that is, the manifest says.
    """

    def download(page: str, block: str) -> flask.Response:
        live.refresh(_PATIENCE_SECONDS)
        return _csv(live, page, block)

    def prepare(theme: str, page: str = "") -> flask.Response:
        live.refresh()
        return _prepared(live, theme, page)

    def strip(key: str, evaluation: str, index: int) -> flask.Response:
        return _shown(live, key, evaluation, index, _strip)

    def clip(key: str, evaluation: str, index: int) -> flask.Response:
        return _shown(live, key, evaluation, index, _clip)

    server.add_url_rule(f"{STRIP_ROUTE}/<key>/<evaluation>/<int:index>", "strip", strip)
    server.add_url_rule(f"{CLIP_ROUTE}/<key>/<evaluation>/<int:index>", "clip", clip)
    server.add_url_rule(f"{CSV_ROUTE}/<page>/<block>", "csv", download)
    server.add_url_rule(f"{PREPARE_ROUTE}/<theme>/", "ahead-first", prepare)
    server.add_url_rule(f"{PREPARE_ROUTE}/<theme>/<page>", "ahead", prepare)


def _csv(live: LiveCatalog, page: str, block: str) -> flask.Response:
    try:
        blocks = page_blocks(live, _asked(page), "light")
    except (QueryError, FilterError, ValueError) as error:
        return flask.Response(f"{error}\n", 400, mimetype="text/plain")
    if page not in PAGES:
        return flask.Response(f"no page {page!r}; pages: {', '.join(PAGES)}\n", 404, mimetype="text/plain")
    known = {one.name: one for one in blocks if one.rows is not None}
    found = known.get(block)
    if found is None or found.rows is None:
        here = f"with these choices it has {', '.join(known) or 'none'}"
        text = f"no data {block!r} on the page {page!r}; {here}\n"
        return flask.Response(text, 404, mimetype="text/plain")
    file = found.file if isinstance(found, Figure) else block
    headers = {"Content-Disposition": f'attachment; filename="{file}.csv"'}
    return flask.Response(to_csv(found.rows), mimetype="text/csv", headers=headers)


Answer = Callable[[VideoFiles, VideoPlace], flask.Response]


def _shown(live: LiveCatalog, key: str, evaluation: str, index: int, answer: Answer) -> flask.Response:
    """What is to be seen of a video; 404 with the reason where that is nothing."""
    live.refresh()
    try:
        asked = [index] if index <= _LARGEST else []
        place = video_places(live.catalog, key, evaluation, asked).get(index)
        if place is None or live.videos is None:
            return flask.Response("no such video\n", 404, mimetype="text/plain")
        response = answer(live.videos, place)
    except ActionGridError as error:
        return flask.Response(f"{error.what}\n", 404, mimetype="text/plain")
    response.cache_control.private = True
    response.cache_control.max_age = _SECONDS_KEPT
    return response


def _strip(videos: VideoFiles, place: VideoPlace) -> flask.Response:
    return flask.Response(videos.strip(place), mimetype="image/jpeg")


def _clip(videos: VideoFiles, place: VideoPlace) -> flask.Response:
    path, kind = videos.file(place)
    # Browsers ask for parts of it.
    return flask.send_file(path, mimetype=kind, conditional=True, etag=False)


def _prepared(live: LiveCatalog, theme: str, page: str) -> flask.Response:
    try:
        address = _asked(page)
        blocks = page_blocks(live, address, theme if theme in THEMES else "light")
    except (QueryError, FilterError, ValueError):
        return flask.Response(status=204)  # whoever asks for the page is told
    return flask.Response(preview(navigation(address), address, blocks), mimetype="text/html")


def _asked(page: str) -> Address:
    return read_address(page, flask.request.query_string.decode(errors="replace"))


def _address(access: Access, port: int) -> str:
    host = f"[{access.host}]" if ":" in access.host else access.host
    token = f"?{urlencode({PARAMETER: access.token})}" if access.token else ""
    return f"http://{host}:{port}/{token}"
