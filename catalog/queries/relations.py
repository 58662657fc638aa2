"""What many questions begin with, as SQL: the views of the catalog with filters and sources applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Literal

from catalog.catalog import Catalog
from catalog.queries.filters import ALL, AXES, Filters, Where

if TYPE_CHECKING:
    import pyarrow as pa

Source = Literal["own", "published", "both"]
"""Whose results a figure shows. `both` are one's own and the published ones of the same datasets and modules;
all published ones, where one has none of one's own."""

_CELL_FILTERS = (*AXES, "study", "seed", "state")


def mean_accuracies(filters: Filters, source: Source) -> Where:
    """Return CTEs that end in `accuracy`: rows with the columns of the view `accuracies`.

    Seeds and studies filter one's own results only; of the states, `done` means cells with a result.
    """
    axes = filters.where(AXES)
    own = filters.where((*AXES, "study", "seed"))
    finished = {"own": "TRUE", "published": "FALSE", "both": "TRUE"}[source]
    if filters.state:
        finished += " AND done" if "done" in filters.state else " AND NOT done"
    literature = {
        "own": "FALSE",
        "published": "TRUE",
        "both": "NOT EXISTS (FROM own) OR (dataset, module) IN (SELECT (dataset, module) FROM own)",
    }[source]
    sql = f"""
        own_cells AS NOT MATERIALIZED (
            FROM cell_accuracies WHERE source = 'own' AND {own.sql} AND {finished}
        ),
        own AS MATERIALIZED (FROM mean_accuracies_of('own_cells')),
        literature_cells AS NOT MATERIALIZED (
            FROM cell_accuracies WHERE source = 'published' AND {axes.sql}
        ),
        literature AS (FROM mean_accuracies_of('literature_cells') WHERE {literature}),
        accuracy AS MATERIALIZED (FROM own UNION ALL FROM literature)
    """
    return Where(sql, own.params)


def measured_accuracies(filters: Filters, source: Source) -> Where:
    """Return CTEs that end in `measured`: accuracies by protocol, Tables 2 and 3 of the paper included."""
    accuracies = mean_accuracies(filters, source)
    printed = {
        "own": "FALSE",
        "published": "TRUE",
        "both": "NOT EXISTS (FROM own) OR dataset IN (SELECT dataset FROM own)",
    }[source]
    sql = f"""
        {accuracies.sql},
        measured AS MATERIALIZED (
            FROM measured_accuracies_of('accuracy')
            UNION ALL
            FROM printed_accuracies WHERE {filters.where(AXES).sql} AND ({printed})
        )
    """
    return Where(sql, accuracies.params)


def chosen_cells(filters: Filters, view: str) -> Where:
    """Return a CTE `chosen`: the rows of a view with one row a study and cell, each cell once.

    A cell can stand in several studies: it counts in the first of those that are looked at.
    """
    where = filters.where(_CELL_FILTERS)
    once = {
        0: "AND first_study",
        1: "",
    }.get(len(filters.study), "QUALIFY row_number() OVER (PARTITION BY key ORDER BY study) = 1")
    return Where(f"chosen AS (FROM {view} WHERE {where.sql} {once})", where.params)


def ask(catalog: Catalog, ctes: Where, select: str, **params: object) -> pa.Table:
    """Return the rows of `select`, which may name the CTEs, and `params` as $name."""
    return catalog.query(f"WITH {ctes.sql} {select}", {**ctes.params, **params} or None)


def rows_of(catalog: Catalog, view: str, filters: Filters = ALL, *, order_by: Sequence[str] = ()) -> pa.Table:
    """Return the rows of a view that pass the filters; filters on columns that it does not have let all pass.

    Raises:
        ValueError: the view or a column is not one plain name.
    """
    wrong = [name for name in (view, *order_by) if not name.isidentifier()]
    if wrong:
        raise ValueError(f"not the name of a view or column; {wrong[0]}; see `DESCRIBE results`")
    columns = catalog.query(f"FROM {view} LIMIT 0").column_names
    where = filters.where([one.name for one in fields(Filters) if one.name in columns])
    order = f"ORDER BY {', '.join(order_by)}" if order_by else ""
    return catalog.query(f"FROM {view} WHERE {where.sql} {order}", where.params or None)
