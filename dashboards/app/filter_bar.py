"""The bar of filters: what can be chosen, and what the address says is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from catalog import Catalog
from catalog.names import label
from catalog.queries.filters import STATES, FilterError, Filters

NAMES = tuple(field.name for field in fields(Filters))
TITLES = {"temporal_pooling": "pooling"}

_VALUES = """
    WITH planned AS (
        SELECT module, backbone, frames, dataset, study, seed FROM recorded.cells GROUP BY ALL
        UNION ALL BY NAME
        SELECT module, backbone, frames, dataset FROM published
    )
    SELECT
        list(DISTINCT module) AS module, list(DISTINCT backbone) AS backbone, list(DISTINCT frames) AS frames,
        list(DISTINCT dataset) AS dataset, list(DISTINCT study) AS study, list(DISTINCT seed) AS seed
    FROM planned
"""


def filter_values(catalog: Catalog) -> dict[str, list[Any]]:
    """Return the values that each filter can have, one's own and the literature's."""
    row = catalog.query(_VALUES).to_pylist()[0]
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
    return [{"label": _label(name, value), "value": _plain(value)} for value in values]


def shown_values(filters: Filters) -> list[list[Any]]:
    """Return what the dropdowns show, in the order of `NAMES`."""
    return [[_plain(value) for value in getattr(filters, name)] for name in NAMES]


def chosen_filters(values: Sequence[Sequence[Any] | None]) -> Filters:
    """Return the filters that the dropdowns say; the inverse of `shown_values`.

    Raises:
        FilterError: not one list a filter.
    """
    if len(values) != len(NAMES):
        raise FilterError(f"{len(values)} values; filter bar; reload the page")
    chosen = dict(zip(NAMES, (tuple(one or ()) for one in values), strict=True))
    pooling = tuple(value == "yes" for value in chosen["temporal_pooling"])
    return Filters(**{**chosen, "temporal_pooling": pooling})


def _plain(value: Any) -> Any:  # noqa: ANN401  (a value of any filter)
    # A dropdown keeps texts and numbers apart from each other, but has no true and false.
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _label(name: str, value: Any) -> str:  # noqa: ANN401
    if name == "temporal_pooling":
        return "with" if value else "without"
    if name in ("module", "backbone", "dataset"):
        return label(value)
    return f"f{value}" if name == "frames" else str(value)
