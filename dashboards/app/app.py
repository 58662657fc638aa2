"""The live app: one layout, and callbacks that send what changed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import flask
from dash import (
    ALL,
    MATCH,
    ClientsideFunction,
    Dash,
    Input,
    Output,
    State,
    ctx,
    dcc,
    html,
    no_update,
    set_props,
)
from dash.development.base_component import Component

from catalog import QueryError
from catalog.queries.filters import FilterError
from dashboards.app.access import Access, guard
from dashboards.app.ahead import install_ahead
from dashboards.app.downloads import csv_address, install_downloads
from dashboards.app.filter_bar import (
    NAMES,
    chosen_filters,
    filter_bar,
    filter_options,
    filter_values,
    shown_values,
)
from dashboards.app.live import LiveCatalog
from dashboards.app.page_cache import PAGES, page_blocks
from dashboards.pages.address import Address, read_address
from dashboards.pages.blocks import Block, message
from dashboards.pages.chooser import options
from dashboards.pages.parts import link

logger = logging.getLogger(__name__)

_ASSETS = Path(__file__).parent.parent / "assets"
_PAGE = Path(__file__).parent.parent / "page.html"


def build_app(live: LiveCatalog, access: Access, refresh_seconds: float) -> Dash:
    """Return the app over a catalog; it asks for news every `refresh_seconds`."""
    server = flask.Flask("actiongrid")
    guard(server, access)
    install_downloads(server, live)
    install_ahead(server, live)
    app = Dash(
        "actiongrid",
        server=server,  # type: ignore[arg-type]  # its annotation knows only True and False
        assets_folder=str(_ASSETS),
        serve_locally=True,
        suppress_callback_exceptions=True,
        title="ActionGrid",
        update_title="",
        index_string=_PAGE.read_text(),
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = _layout(live, refresh_seconds)
    _connect(app, live)
    return app


def _layout(live: LiveCatalog, refresh_seconds: float) -> Component:
    theme = html.Button("light or dark", id="theme-switch", type="button")
    return html.Div(
        [
            html.A("to the content", href="#page", className="skip"),
            dcc.Location(id="address", refresh="callback-nav"),
            dcc.Interval(id="clock", interval=max(200, round(refresh_seconds * 1000))),
            dcc.Store(id="revision", data=live.revision),
            dcc.Store(id="theme"),
            dcc.Store(id="again", data=0),
            dcc.Store(id="digests", data={}),
            html.Header(
                [html.Span("ActionGrid", className="brand"), html.Nav(id="navigation"), theme],
            ),
            html.Div(id="trouble", role="alert"),
            filter_bar(),
            html.Main(html.P("Reading the catalog …", className="soft"), id="page", tabIndex="-1"),
        ]
    )


def _connect(app: Dash, live: LiveCatalog) -> None:
    clientside: Any = app.clientside_callback
    in_browser = partial(ClientsideFunction, "actiongrid")
    address = [State("address", "pathname"), State("address", "search"), State("theme", "data")]
    app.callback(
        Output("revision", "data"),
        Output("trouble", "children"),
        Input("clock", "n_intervals"),
        State("revision", "data"),
        State("trouble", "children"),
    )(partial(_look, live))
    app.callback(
        Output("page", "children"),
        Output("navigation", "children"),
        Output("digests", "data"),
        Input("address", "pathname"),
        Input("address", "search"),
        Input("theme", "data"),
        Input("again", "data"),
    )(partial(_show_page, live))
    app.callback(
        Output({"kind": "html", "name": ALL}, "children"),
        Output({"kind": "drawn", "name": ALL}, "data"),
        Output({"kind": "folded", "name": ALL}, "data"),
        Output("digests", "data", allow_duplicate=True),
        Output("again", "data"),
        Input("revision", "data"),
        *address,
        State("digests", "data"),
        State("again", "data"),
        prevent_initial_call=True,
    )(partial(_show_news, live))
    app.callback(
        Output({"kind": "filter", "name": ALL}, "options"),
        Output({"kind": "filter", "name": ALL}, "value"),
        Output("filters-count", "children"),
        Input({"kind": "filter", "name": ALL}, "value"),
        Input("address", "search"),
        Input("revision", "data"),
        State("address", "pathname"),
        State({"kind": "filter", "name": ALL}, "options"),
    )(partial(_filter, live))
    app.callback(
        Output({"kind": "cells", "name": MATCH}, "options"),
        Input({"kind": "cells", "name": MATCH}, "search_value"),
        State({"kind": "cells", "name": MATCH}, "value"),
        *address[:2],
        prevent_initial_call=True,
    )(partial(_offer_cells, live))
    clientside(in_browser("theme"), Output("theme", "data"), Input("theme-switch", "n_clicks"))
    clientside(
        in_browser("draw"),
        Output({"kind": "plot", "name": MATCH}, "figure"),
        Input({"kind": "drawn", "name": MATCH}, "data"),
        State({"kind": "plot", "name": MATCH}, "figure"),
        State({"kind": "plot", "name": MATCH}, "id"),
    )
    clientside(
        in_browser("fold"),
        Output({"kind": "unfolded", "name": MATCH}, "hidden"),
        Input({"kind": "folded", "name": MATCH}, "data"),
        State({"kind": "folded", "name": MATCH}, "id"),
    )
    clientside(
        in_browser("run"),
        Input("sql-run", "n_clicks"),
        State("sql-text", "value"),
        prevent_initial_call=True,
    )
    clientside(
        in_browser("choose"), Input({"kind": "cells", "name": ALL}, "value"), prevent_initial_call=True
    )


def _look(live: LiveCatalog, _: int | None, shown: int, trouble: str | None) -> tuple[Any, Any]:
    revision = live.refresh()
    said = live.trouble or ""
    return (
        no_update if revision == shown else revision,
        no_update if said == (trouble or "") else said,
    )


def _show_page(
    live: LiveCatalog, path: str | None, search: str | None, theme: str | None, _: int
) -> tuple[Any, Any, Any]:
    if theme is None:
        return no_update, no_update, no_update
    try:
        address = read_address(path, search)
    except FilterError as error:
        return _problem(error), _navigation(Address()), {}
    blocks, problem = _blocks(live, address, theme)
    content = [message(problem, "problem")] if problem else [_component(one, address) for one in blocks]
    return content, _navigation(address), _digests(blocks)


def _show_news(
    live: LiveCatalog,
    _: int,
    path: str | None,
    search: str | None,
    theme: str | None,
    seen: dict[str, str],
    again: int,
) -> tuple[Any, ...]:
    slots = ctx.outputs_list[:3]
    nothing = (*([no_update] * len(kind) for kind in slots), no_update, no_update)
    address = _address(path, search)
    if theme is None or address is None or not PAGES.get(address.page, PAGES["grid"]).live:
        return nothing
    blocks, problem = _blocks(live, address, theme)
    parts = {f"{part.kind}:{part.name}": part for block in blocks for part in block.parts}
    if problem or parts.keys() != seen.keys():
        # The page has other parts now, so that it is made anew.
        return (*nothing[:-1], again + 1)

    def news(slot: dict[str, Any]) -> Any:  # noqa: ANN401  (what the slot shows)
        name = f"{slot['id']['kind']}:{slot['id']['name']}"
        fresh = name in parts and parts[name].digest != seen[name]
        return parts[name].value if fresh else no_update

    digests = _digests(blocks)
    changed = [[news(slot) for slot in kind] for kind in slots]
    return (*changed, no_update if digests == seen else digests, no_update)


def _filter(
    live: LiveCatalog,
    values: list[list[Any] | None],
    search: str | None,
    _: int,
    path: str | None,
    offered: list[list[dict[str, Any]] | None],
) -> tuple[Any, Any, Any]:
    address = _address(path, search)
    if address is None:
        return [no_update] * len(NAMES), [no_update] * len(NAMES), no_update
    found = live.remembered("filter-values", lambda: filter_values(live.catalog))
    options_ = [filter_options(name, found[name]) for name in NAMES]
    fresh = [no_update if new == old else new for new, old in zip(options_, offered, strict=True)]
    changed_by_hand = isinstance(ctx.triggered_id, dict)
    filters = chosen_filters(values) if changed_by_hand else address.filters
    target = Address(address.page, filters, address.choices).search
    shown = shown_values(filters)
    if target != (search or ""):
        # Were the address an output, every page would wait for its filters.
        set_props("address", {"search": target})
    return (
        fresh,
        [no_update if new == (old or []) else new for new, old in zip(shown, values, strict=True)],
        _count(sum(bool(one) for one in shown)),
    )


def _offer_cells(
    live: LiveCatalog,
    typed: str | None,
    chosen: Any,  # noqa: ANN401  (one key, several or none)
    path: str | None,
    search: str | None,
) -> Any:  # noqa: ANN401
    address = _address(path, search)
    keys = chosen if isinstance(chosen, list) else [chosen] if chosen else []
    return options(live.catalog, address.filters, typed or "", keys) if address else no_update


def _blocks(live: LiveCatalog, address: Address, theme: str) -> tuple[Sequence[Block], str]:
    """The blocks of a page and, where it cannot be made, a sentence that says why."""
    try:
        return page_blocks(live, address, theme), ""
    except (QueryError, ValueError) as error:
        return (), str(error)
    except Exception as error:
        # People see a sentence and the other pages go on; the log has the rest.
        logger.exception("page %s", address.href)
        return (), f"This page cannot be made ({type(error).__name__}: {error}); the log says where."


def _component(block: Block, address: Address) -> Component:
    return block.component(csv_address(address, block.name))


def _digests(blocks: Sequence[Block]) -> dict[str, str]:
    return {f"{part.kind}:{part.name}": part.digest for block in blocks for part in block.parts}


def _navigation(address: Address) -> list[Component]:
    return [link(page.title, address.on(name), current=name == address.page) for name, page in PAGES.items()]


def _address(path: str | None, search: str | None) -> Address | None:
    try:
        return read_address(path, search)
    except FilterError:
        return None


def _problem(error: Exception) -> list[Component]:
    return [message(str(error), "problem"), html.P(html.A("show everything", href="/"))]


def _count(active: int) -> str:
    return f" ({active} active)" if active else ""
