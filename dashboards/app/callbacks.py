"""The callbacks of the app: showing a page, and sending what changed on it since."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from dash import ALL, MATCH, ClientsideFunction, Dash, Input, Output, State, ctx, html, no_update
from dash.development.base_component import Component

from catalog import QueryError
from catalog.queries.filters import FilterError
from dashboards.app.filter_bar import add_filter_callback, filter_values
from dashboards.app.live import PAGES, LiveCatalog, page_blocks
from dashboards.pages.blocks import Block, message
from dashboards.pages.request import FIRST_PAGE, Address, address_or_none, cell_options, link, read_address

logger = logging.getLogger(__name__)


def add_callbacks(app: Dash, live: LiveCatalog) -> None:
    """Let the pages follow the address, the theme, the filters and the journals."""
    clientside: Any = app.clientside_callback
    in_browser = partial(ClientsideFunction, "actiongrid")
    address = [State("address", "pathname"), State("address", "search"), State("theme", "data")]
    app.callback(
        Output("revision", "data"),
        Output("trouble", "children"),
        Input("clock", "n_intervals"),
        State("revision", "data"),
        State("trouble", "children"),
    )(partial(_refresh, live))
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
    )(partial(_update_parts, live))
    add_filter_callback(app, lambda: live.cached("filter-values", lambda: filter_values(live.catalog)))
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


def _refresh(live: LiveCatalog, _: int | None, shown: int, trouble: str | None) -> tuple[Any, Any]:
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
        return _problem(error), navigation(Address()), {}
    blocks, problem = _blocks(live, address, theme)
    content = [one.component(address.csv(one.name)) for one in blocks]
    if problem:
        content = [message(problem, "problem")]
    return content, navigation(address), _digests(blocks)


def _update_parts(
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
    address = address_or_none(path, search)
    if theme is None or address is None or not PAGES.get(address.page, PAGES[FIRST_PAGE]).live:
        return nothing
    blocks, problem = _blocks(live, address, theme)
    parts = {f"{part.kind}:{part.name}": part for block in blocks for part in block.parts}
    if problem or parts.keys() != seen.keys():
        # The page has other parts now, so that it is made anew.
        return (*nothing[:-1], again + 1)

    def changed_value(slot: dict[str, Any]) -> Any:  # noqa: ANN401  (what the slot shows)
        name = f"{slot['id']['kind']}:{slot['id']['name']}"
        fresh = name in parts and parts[name].digest != seen[name]
        return parts[name].value if fresh else no_update

    digests = _digests(blocks)
    changed = [[changed_value(slot) for slot in kind] for kind in slots]
    return (*changed, no_update if digests == seen else digests, no_update)


def _offer_cells(
    live: LiveCatalog,
    typed: str | None,
    chosen: Any,  # noqa: ANN401  (one key, several or none)
    path: str | None,
    search: str | None,
) -> Any:  # noqa: ANN401
    address = address_or_none(path, search)
    keys = chosen if isinstance(chosen, list) else [chosen] if chosen else []
    return cell_options(live.catalog, address.filters, typed or "", keys) if address else no_update


def _blocks(live: LiveCatalog, address: Address, theme: str) -> tuple[Sequence[Block], str]:
    """The blocks of a page and, where it cannot be made, a sentence that says why."""
    try:
        return page_blocks(live, address, theme), ""
    except (QueryError, FilterError, ValueError) as error:
        return (), str(error)
    except Exception as error:
        # People see a sentence and the other pages go on; the log has the rest.
        logger.exception("page %s", address.href)
        return (), f"This page cannot be made ({type(error).__name__}: {error}); the log says where."


def _digests(blocks: Sequence[Block]) -> dict[str, str]:
    return {f"{part.kind}:{part.name}": part.digest for block in blocks for part in block.parts}


def navigation(address: Address) -> list[Component]:
    """Return the links to all pages, the one at an address marked; filters stay as they are."""
    return [link(page.title, address.on(name), current=name == address.page) for name, page in PAGES.items()]


def _problem(error: Exception) -> list[Component]:
    return [message(str(error), "problem"), html.P(html.A("show everything", href="/"))]
