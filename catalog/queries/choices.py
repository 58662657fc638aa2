"""What people choose from: values of filters, cells by name, tables and columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from catalog.catalog import Catalog
from catalog.queries.filters import ALL, AXES, Filters, Where
from catalog.queries.relations import chosen_cells

if TYPE_CHECKING:
    import pyarrow as pa

_FILTER_VALUES = """
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
_LIST = """
    SELECT cell, key, state, top1, study FROM chosen
    ORDER BY dataset, module, backbone, temporal_pooling, frames, seed LIMIT 2000
"""
_NAMES = """
    SELECT table_name AS name, string_agg(column_name, ', ' ORDER BY ordinal_position) AS columns
    FROM information_schema.columns WHERE table_schema = 'main' GROUP BY table_name ORDER BY table_name
"""
EXAMPLE = """SELECT module, frames, count(*) AS cells, avg(top1) AS top1, stddev_samp(top1) AS std
FROM results GROUP BY ALL ORDER BY module, frames"""
"""A statement for people to begin with."""


def filter_values(catalog: Catalog) -> pa.Table:
    """Return one row: a list of values for each filter that has many, one's own and the literature's."""
    return catalog.query(_FILTER_VALUES)


def cells_to_choose(catalog: Catalog, filters: Filters) -> pa.Table:
    """Return `cell`, `key`, `state`, `top1` and `study` of the first 2,000 cells that pass the filters."""
    chosen = chosen_cells(filters, "grid_cells")
    return catalog.query(f"WITH {chosen.sql} {_LIST}", chosen.params)


def cells_with_words(
    catalog: Catalog, filters: Filters, words: Sequence[str], keys: Sequence[str], most: int
) -> pa.Table:
    """Return `cell` and `key` of at most `most` cells that pass the filters and whose name holds every word.

    Those with one of `keys` are there too, whatever the filters say.
    """
    chosen = _candidates(filters)
    typed = {f"word_{place}": word.lower() for place, word in enumerate(words)}
    named = " AND ".join(f"contains(lower(cell || ' ' || key), ${word})" for word in typed)
    sql = f"""
        WITH {chosen.sql}
        (
            SELECT cell, key FROM chosen WHERE {named or "true"}
            ORDER BY cell, key LIMIT {most}
        )
        UNION
        SELECT cell, key FROM recorded.cells WHERE list_contains($keys::VARCHAR[], key)
        ORDER BY cell, key
    """
    return catalog.query(sql, {**chosen.params, **typed, "keys": list(keys)})


def tables_and_columns(catalog: Catalog) -> pa.Table:
    """Return `name` and `columns` of every table and view that a statement can use."""
    return catalog.query(_NAMES)


def _candidates(filters: Filters) -> Where:
    """The cells to choose from, once each; states take longer: only a filter on them looks at them."""
    if filters.state:
        return chosen_cells(filters, "grid_cells")
    if filters == ALL:
        return Where("chosen AS (FROM kept.planned_keys)", {})
    where = filters.where((*AXES, "study", "seed"))
    once = f"SELECT DISTINCT cell, key FROM recorded.cells WHERE {where.sql}"
    return Where(f"chosen AS ({once})", where.params)
