"""Accuracies of models, seeds averaged: by frames, by pooling, against TSN, against the published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.catalog import Catalog
from catalog.queries.filters import ALL, Filters, Where
from catalog.queries.relations import Source, ask, mean_accuracies

if TYPE_CHECKING:
    import pyarrow as pa

_BY_FRAMES = """
    SELECT
        accuracy.source, accuracy.study, dataset, module, backbone, temporal_pooling, frames,
        accuracy.top1, accuracy.top1_std, accuracy.seeds, accuracy.planned_seeds, accuracy.cell,
        published.top1 AS published_top1, num_classes, 100.0 / num_classes AS chance
    FROM accuracy
    LEFT JOIN published USING (dataset, module, backbone, temporal_pooling, frames)
    LEFT JOIN (
        SELECT dataset, max(num_classes) AS num_classes FROM (
            SELECT dataset, num_classes FROM recorded.cells
            UNION ALL SELECT dataset, num_classes FROM published_datasets
        ) GROUP BY dataset
    ) USING (dataset)
    ORDER BY accuracy.source, accuracy.study, dataset, module, backbone, temporal_pooling, frames
"""
_GAINS = """
    , literature_gain AS (
        WITH cells AS (FROM cell_accuracies WHERE source = 'published'),
        means AS (FROM mean_accuracies_of('cells'))
        FROM temporal_pooling_gain_of('means')
    )
    SELECT gain.*, published.gain AS published_gain
    FROM temporal_pooling_gain_of('accuracy') AS gain
    LEFT JOIN literature_gain AS published USING (dataset, module, backbone, frames)
    ORDER BY gain.source, gain.study, dataset, module, backbone, frames
"""
_PAIRS = """
    , pairs AS (
        FROM contribution_pairs_of('accuracy') WHERE {modules}
    )
"""
_CONTRIBUTIONS = """
    SELECT source, study, dataset, module, phi, psi_ta, psi_ta_tp, n, n_ta_tp, missing, missing_ta_tp
    FROM contribution_means_of('pairs') ORDER BY dataset, module, source, study
"""
_PAIRS_IN_ORDER = "FROM pairs ORDER BY source, study, dataset, module, temporal_pooling, backbone, frames"
_BY_SEED = """
    WITH runs AS (
        SELECT
            study, dataset, module, backbone, temporal_pooling, frames, arg_min(cell, seed) AS cell,
            list(top1 ORDER BY seed) FILTER (top1 IS NOT NULL) AS values,
            list(seed ORDER BY seed) FILTER (top1 IS NOT NULL) AS seeds, count(*) AS planned_seeds
        FROM cell_accuracies WHERE source = 'own' AND {where} GROUP BY ALL
    )
    SELECT runs.*, published.top1 AS published_top1
    FROM runs LEFT JOIN published USING (dataset, module, backbone, temporal_pooling, frames)
    WHERE planned_seeds > 1 AND len(values) > 0
    ORDER BY study, dataset, module, backbone, temporal_pooling, frames
"""
_BY_SEED_FILTERS = ("module", "backbone", "temporal_pooling", "frames", "dataset", "study", "seed")
_AGAINST = "FROM against_published_of('accuracy') ORDER BY outside DESC, abs(difference) DESC, cell"


def accuracies_by_frames(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return a row a model and length: top-1 (percent, mean over seeds), empty where it is still missing.

    One's own rows have the published accuracy of the same model beside them, where there is one.
    """
    return ask(catalog, mean_accuracies(filters, source), _BY_FRAMES)


def temporal_pooling_gains(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return one row a pair of finished models: top-1 with minus without temporal pooling, in points.

    A filter on temporal pooling is left out, because the gain needs both.
    """
    return ask(catalog, mean_accuracies(filters.without("temporal_pooling"), source), _GAINS)


def contributions(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return Φ̄ and Ψ̄ of every module but TSN, which they are measured against.

    `n` and `missing` count the pairs of accuracies behind `phi` and `psi_ta`, `n_ta_tp` and `missing_ta_tp`
    those behind `psi_ta_tp`. A filter on temporal pooling is left out, because the last metric needs both.
    """
    return _ask_pairs(catalog, filters, source, _CONTRIBUTIONS)


def contribution_pairs(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return the cells behind the averages: one row a model and length, with TSN's accuracy beside its own.

    `phi` and `psi` are empty where one of the two accuracies is missing.
    """
    return _ask_pairs(catalog, filters, source, _PAIRS_IN_ORDER)


def accuracies_by_seed(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a model that several seeds are planned of: lists of top-1 (percent) and of seeds."""
    where = filters.where(_BY_SEED_FILTERS)
    return catalog.query(_BY_SEED.format(where=where.sql), where.params or None)


def differences_to_published(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a model with a published counterpart, those outside their interval first.

    `difference`, `low` and `high` are in points of top-1 (see the view `against_published`).
    """
    return ask(catalog, mean_accuracies(filters, "own"), _AGAINST)


def _ask_pairs(catalog: Catalog, filters: Filters, source: Source, select: str) -> pa.Table:
    # TSN is what modules are compared with, so that a filter on modules must not take it away.
    accuracies = mean_accuracies(filters.without("module", "temporal_pooling"), source)
    modules = filters.where(("module",))
    ctes = Where(accuracies.sql, {**accuracies.params, **modules.params})
    return ask(catalog, ctes, _PAIRS.format(modules=modules.sql) + select)
