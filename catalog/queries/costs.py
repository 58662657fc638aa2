"""What cells cost: hours by axis, accuracy by hours, busy devices over time, lost attempts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.queries.filters import ALL, Filters, ask, chosen_cells

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

_BY_AXIS = """
    FROM costs_by_axis_of('chosen')
    ORDER BY list_position(['module', 'backbone', 'temporal_pooling', 'frames', 'dataset', 'seed'], axis),
        try_cast(ltrim(value, 'f') AS BIGINT), value
"""
_BY_HOURS = "FROM accuracy_per_cost_of('chosen') ORDER BY dataset, module, backbone, temporal_pooling, frames"
_UTILISATION = """
    , busy AS MATERIALIZED (
        SELECT spans.started, spans.ended, chosen.gpus, chosen.cpus
        FROM attempt_spans AS spans JOIN chosen USING (key)
    )
    FROM utilisation_of('busy')
"""
_FAILURES = """
    , attempts_gone AS (FROM failed_attempts SEMI JOIN chosen USING (key))
    SELECT
        kind, count(*) AS attempts, count(DISTINCT attempts_gone.key) AS cells,
        count(DISTINCT attempts_gone.key) FILTER (chosen.state = 'failed') AS cells_failed,
        arg_max(chosen.cell, (attempts_gone.attempt, chosen.cell)) AS example,
        arg_max(error, (attempts_gone.attempt, chosen.cell)) AS error,
        arg_max(log, (attempts_gone.attempt, chosen.cell)) AS log
    FROM attempts_gone JOIN chosen USING (key)
    GROUP BY kind ORDER BY attempts DESC, kind
"""


def costs_by_axis(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row an axis and value: hours of GPUs and of CPU cores spent, expected and left.

    What open cells will cost is estimated from the finished ones of their data set; `unknown` counts those of
    which nobody can tell.
    """
    return ask(catalog, chosen_cells(filters, "cell_costs"), _BY_AXIS)


def accuracies_by_hours(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a finished model and length: top-1 (percent), hours of GPUs and CPU cores of its chain.

    A longer clip needs the shorter ones' weights, so that its hours include theirs: chains must be whole,
    filters on frames and states are for the caller. Seeds are averaged.
    """
    return ask(catalog, chosen_cells(filters.without("frames", "state"), "cell_costs"), _BY_HOURS)


def utilisation(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return the mean number of busy GPUs, CPU cores and attempts in 200 equal intervals of time."""
    return ask(catalog, chosen_cells(filters, "cell_costs"), _UTILISATION)


def failures_by_kind(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a kind of failure: attempts, cells hit, cells that are failed now, and an example."""
    return ask(catalog, chosen_cells(filters, "cell_costs"), _FAILURES)
