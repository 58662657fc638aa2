"""The tables that `actiongrid results` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

_WIDE = "SELECT * EXCLUDE (versions, hardware, config) FROM results ORDER BY dataset, module, backbone, cell"
_SHORT = """
    SELECT {dataset} cell, top1, top5, loss, best_top1, epochs, params, macs, published_top1, difference
    FROM results ORDER BY dataset, module, backbone, temporal_pooling, frames, seed
"""
_PIVOT = """
    SELECT dataset, module, backbone, temporal_pooling, frames, seed, {value} FROM results WHERE current
"""
PIVOT_VALUES = ("top1", "top5", "loss", "best_top1", "best_top5", "difference", "train_seconds")
"""The columns of `results` that a pivot can show."""


def all_results(catalog: Catalog, timeout_seconds: float | None, max_rows: int) -> pa.Table:
    """Return every finished cell with all its plain columns, at most `max_rows` of them.

    Raises:
        QueryError: it takes longer than `timeout_seconds` (None: any time).
    """
    return catalog.query(_WIDE, timeout_seconds=timeout_seconds, max_rows=max_rows)


def short_results(
    catalog: Catalog, timeout_seconds: float | None, max_rows: int, *, with_dataset: bool
) -> pa.Table:
    """As `all_results`, with those columns only that fit a terminal or a page."""
    sql = _SHORT.format(dataset="dataset," if with_dataset else "")
    return catalog.query(sql, timeout_seconds=timeout_seconds, max_rows=max_rows)


def pivot_rows(catalog: Catalog, value: str) -> pa.Table:
    """Return the axes and one of `PIVOT_VALUES` of every finished cell of the current plans."""
    if value not in PIVOT_VALUES:
        raise ValueError(f"no column to show: {value}")
    return catalog.query(_PIVOT.format(value=value))
