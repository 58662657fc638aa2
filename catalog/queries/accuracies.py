"""Accuracies of models, seeds averaged: by frames, pooling and protocol, against TSN and the published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.queries.filters import ALL, Filters, Source, Where, ask, mean_accuracies, measured_accuracies

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

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
_TRAININGS = """
    SELECT
        study, dataset, module, backbone, temporal_pooling, frames, list(top1 ORDER BY seed) AS values,
        list(key ORDER BY seed) AS keys, min(eval_videos) AS eval_videos
    FROM own_cells WHERE top1 IS NOT NULL GROUP BY ALL
"""
_PAIRS = """
    , pairs AS (
        FROM contribution_pairs_of('accuracy') WHERE {modules}
    ),
    counted AS (
        SELECT
            source, study, dataset, module, backbone, temporal_pooling, frames, top1_std, seeds, eval_videos
        FROM accuracy
    )
"""
_CONTRIBUTIONS = """
    SELECT
        source, study, dataset, module, phi, psi_ta, psi_ta_tp, n, n_ta_tp, missing, missing_ta_tp,
        undefined, undefined_ta_tp
    FROM contribution_means_of('pairs') ORDER BY dataset, module, source, study
"""
_PAIRS_IN_ORDER = """
    SELECT
        pairs.*, own.top1_std, own.seeds, own.eval_videos, tsn.top1_std AS tsn_top1_std,
        tsn.seeds AS tsn_seeds, tsn.eval_videos AS tsn_eval_videos
    FROM pairs
    LEFT JOIN counted AS own USING (source, study, dataset, module, backbone, temporal_pooling, frames)
    LEFT JOIN (FROM counted WHERE module = 'tsn' AND NOT temporal_pooling) AS tsn
        USING (source, study, dataset, backbone, frames)
    ORDER BY source, study, dataset, module, temporal_pooling, backbone, frames
"""
_BY_SEED = """
    WITH runs AS (
        SELECT
            study, dataset, module, backbone, temporal_pooling, frames, arg_min(cell, seed) AS cell,
            list(top1 ORDER BY seed) FILTER (top1 IS NOT NULL) AS values,
            list(seed ORDER BY seed) FILTER (top1 IS NOT NULL) AS seeds, count(*) AS planned_seeds,
            min(eval_videos) AS eval_videos
        FROM cell_accuracies WHERE source = 'own' AND {where} GROUP BY ALL
    )
    SELECT runs.*, published.top1 AS published_top1
    FROM runs LEFT JOIN published USING (dataset, module, backbone, temporal_pooling, frames)
    WHERE planned_seeds > 1 AND len(values) > 0
    ORDER BY study, dataset, module, backbone, temporal_pooling, frames
"""
_BY_SEED_FILTERS = ("module", "backbone", "temporal_pooling", "frames", "dataset", "study", "seed")
_AGAINST = "FROM against_published_of('accuracy') ORDER BY outside DESC, abs(difference) DESC, cell"
_BY_MACS = """
    SELECT
        source, study, dataset, module, backbone, temporal_pooling, frames, cell, sampling, clips, crops,
        views, top1, seeds, macs, params, total_macs, measured_by, source_table
    FROM measured WHERE total_macs > 0
    ORDER BY
        source, dataset, module, backbone, temporal_pooling, frames, views, study, cell, measured_by, sampling
"""
# The mini results have one clip each, so that there is nothing to see by clips.
_BY_CLIPS = """
    SELECT
        source, study, dataset, module, backbone, temporal_pooling, frames, cell, sampling, clips, crops,
        views, top1, seeds, macs, total_macs, measured_by, source_table
    FROM measured
    WHERE source_table IS DISTINCT FROM 'mini results' AND measured_by <> 'evaluate best'
    QUALIFY source = 'published' OR count(DISTINCT (clips, crops)) OVER (
        PARTITION BY source, study, dataset, module, backbone, temporal_pooling, frames, sampling
    ) > 1
    ORDER BY source, dataset, module, backbone, temporal_pooling, frames, sampling, crops, clips, study, cell
"""
# The clip-level result has the fewest views, the video-level one the most; of two of the paper's models that
# differ only in their pretraining, the first by name counts.
_BY_SAMPLING = """
    , ranked AS (
        SELECT
            source, study, dataset, module, backbone, temporal_pooling, frames, sampling,
            min_by(cell, (views, cell)) AS cell, min_by(top1, (views, cell)) AS clip_top1,
            min(views) AS clip_views,
            CASE WHEN max(views) > min(views) THEN min_by(top1, (-views, cell)) END AS video_top1,
            CASE WHEN max(views) > min(views) THEN max(views) END AS video_views,
            string_agg(DISTINCT source_table, ', ' ORDER BY source_table) AS source_table
        FROM measured
        WHERE measured_by <> 'evaluate best' AND source_table IS DISTINCT FROM 'mini results'
        GROUP BY ALL
    )
    SELECT *, video_top1 - clip_top1 AS gain FROM ranked
    QUALIFY {everything} OR video_top1 IS NOT NULL OR count(*) OVER (
        PARTITION BY source, study, dataset, module, backbone, temporal_pooling, frames
    ) > 1
    ORDER BY source, dataset, module, backbone, temporal_pooling, frames, sampling DESC, study, cell
"""
# The protocol with the most views that a data set's models share is the paper's choice.
_I3D = """
    SELECT
        source, study, dataset, module, backbone, temporal_pooling, frames, min_by(cell, -views) AS cell,
        max_by(top1, views) AS top1, max(views) AS views, max_by(source_table, views) AS source_table
    FROM measured
    WHERE module IN ('i3d', 'i3d_se') AND frames = $frames AND (
        source = 'own' OR source_table = 'mini results'
    )
    GROUP BY ALL ORDER BY source, study, dataset, module, backbone, temporal_pooling
"""


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


def trainings_behind(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a model of one's own with results: lists of top-1 (percent) and keys, by seed."""
    return ask(catalog, mean_accuracies(filters, "own"), _TRAININGS)


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


def accuracies_by_macs(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return one row a model, length and protocol: top-1 (percent), MACs of one clip and of all views."""
    return ask(catalog, measured_accuracies(filters, source), _BY_MACS)


def accuracies_by_clips(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return one row a model, sampling and number of clips (top-1 in percent), of the last checkpoint.

    One's own models count where they were measured with more than one number of views.
    """
    return ask(catalog, measured_accuracies(filters, source), _BY_CLIPS)


def accuracies_by_sampling(
    catalog: Catalog, filters: Filters = ALL, source: Source = "both", *, everything: bool = False
) -> pa.Table:
    """Return one row a model, length and sampling: top-1 (percent) with the fewest and the most views.

    Models with one kind of sampling and one number of views say nothing here and are left out, unless for
    `everything`.
    """
    select = _BY_SAMPLING.format(everything=str(everything).upper())
    return ask(catalog, measured_accuracies(filters, source), select)


def i3d_accuracies(catalog: Catalog, filters: Filters, source: Source, frames: int) -> pa.Table:
    """Return one row a data set and kind of I3D of this length: top-1 (percent) with the most views."""
    return ask(catalog, measured_accuracies(filters, source), _I3D, frames=frames)
