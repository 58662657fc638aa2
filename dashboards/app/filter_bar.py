"""The bar of filters: what can be chosen, and what the address says is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, dcc, html, no_update, set_props
from dash.development.base_component import Component

from catalog import Catalog
from catalog.names import axes_words, label
from catalog.queries import overview
from catalog.queries.filters import STATES, FilterError, Filters
from dashboards.app.callback_bodies import BodyError
from dashboards.pages.request import Address, address_or_none

NAMES = tuple(field.name for field in fields(Filters))
TITLES = {"temporal_pooling": "pooling", "other_axes": "other axes"}


def filter_values(catalog: Catalog) -> dict[str, list[Any]]:
    """Return the values that each filter can have, one's own and the literature's."""
    row = overview.filter_values(catalog).to_pylist()[0]
    found = {name: sorted(value for value in values if value is not None) for name, values in row.items()}
    return {**found, "temporal_pooling": [False, True], "state": list(STATES)}


def filter_bar() -> Component:
    """Return the bar, still empty: its values come with the catalog."""
    fields_ = [
        html.Div(
            [
                html.Label(TITLES.get(name, name), htmlFor=f"filter-{name}"),
                dcc.Dropdown(
                    id={"kind": "filter", "name": name},
                    multi=True,
                    placeholder="all",
                    closeOnSelect=False,
                    optionHeight="auto",
                ),
            ],
            className="filter",
        )
        for name in NAMES
    ]
    summary = html.Summary(["Filters", html.Span(id="filters-count", className="soft")])
    return html.Details([summary, html.Div(fields_, className="filters")], id="filters", open=False)


def filter_options(name: str, values: Sequence[Any]) -> list[dict[str, Any]]:
    """Return a filter's options for its dropdown."""
    return [{"label": _label(name, value), "value": _dropdown_value(value)} for value in values]


def shown_values(filters: Filters) -> list[list[Any]]:
    """Return what the dropdowns show, in the order of `NAMES`."""
    return [[_dropdown_value(value) for value in getattr(filters, name)] for name in NAMES]


def chosen_filters(values: Sequence[Sequence[Any] | None]) -> Filters:
    """Return the filters that the dropdowns say; the inverse of `shown_values`.

    Raises:
        FilterError: not one list a filter.
    """
    _require_one_list_a_filter(values)
    chosen = dict(zip(NAMES, (tuple(one or ()) for one in values), strict=True))
    pooling = tuple(value == "yes" for value in chosen["temporal_pooling"])
    return Filters(**{**chosen, "temporal_pooling": pooling})


def _require_one_list_a_filter(lists: Sequence[object]) -> None:
    """Refuse what a page of another version says, such as one that was open while the server was renewed."""
    if len(lists) != len(NAMES):
        raise FilterError(f"{len(lists)} values", "filter bar", "reload the page")


def _dropdown_value(value: Any) -> Any:  # noqa: ANN401  (a value of any filter)
    # A dropdown keeps texts and numbers apart from each other, but has no true and false.
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _label(name: str, value: Any) -> str:  # noqa: ANN401
    if name == "temporal_pooling":
        return "with" if value else "without"
    if name == "other_axes":
        axis, _, text = str(value).partition("=")
        return axes_words([(axis, text)])
    if name in ("module", "backbone", "dataset"):
        return label(value)
    return f"f{value}" if name == "frames" else str(value)


def add_filter_callback(app: Dash, known: Callable[[], dict[str, list[Any]]]) -> None:
    """Let the bar follow the address and the catalog, and the address the bar.

    `known` gives the values that each filter can have at the moment (`filter_values`).
    """
    app.callback(
        Output({"kind": "filter", "name": ALL}, "options"),
        Output({"kind": "filter", "name": ALL}, "value"),
        Output("filters-count", "children"),
        Input({"kind": "filter", "name": ALL}, "value"),
        Input("address", "search"),
        Input("revision", "data"),
        State("address", "pathname"),
        State({"kind": "filter", "name": ALL}, "options"),
    )(partial(_filter, known))


def _filter(
    known: Callable[[], dict[str, list[Any]]],
    values: list[list[Any] | None],
    search: str | None,
    _: int,
    path: str | None,
    offered: list[list[dict[str, Any]] | None],
) -> tuple[Any, Any, Any]:
    if not len(values) == len(offered) == len(NAMES):
        raise BodyError("not the filters that the bar has")  # such as a page of an earlier version
    address = address_or_none(path, search)
    if address is None:
        return [no_update] * len(NAMES), [no_update] * len(NAMES), no_update
    _require_one_list_a_filter(offered)
    _require_one_list_a_filter(values)
    found = known()
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


def _count(active: int) -> str:
    return f" ({active} active)" if active else ""
