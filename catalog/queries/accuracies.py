"""Accuracies of models, seeds averaged: by frames, pooling and protocol, against TSN and the published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.queries.filters import ALL, Filters, Source, Where, ask, mean_accuracies, measured_accuracies

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

_BY_FRAMES = """
    , own_classes AS (
        SELECT study, dataset, max(num_classes) AS num_classes FROM recorded.cells GROUP BY ALL
    ),
    literature_classes AS (
        SELECT coalesce(own_names.dataset, published.dataset) AS dataset, max(num_classes) AS num_classes
        FROM published_datasets AS published
        JOIN dataset_identities AS official ON official.name = published.dataset
        LEFT JOIN own_names USING (identity) GROUP BY ALL
    )
    SELECT
        accuracy.source, accuracy.study, dataset, module, backbone, temporal_pooling, frames,
        accuracy.top1, accuracy.top1_std, accuracy.seeds, accuracy.planned_seeds, accuracy.cell,
        accuracy.eval_videos, accuracy.checkpoint, accuracy.variant, accuracy.protocol, accuracy.experiment,
        axes_words(accuracy.other_axes) AS other_axes,
        published_top1, published_videos, comparable, differs, tolerated,
        coalesce(own_classes.num_classes, literature_classes.num_classes) AS num_classes,
        100.0 / coalesce(own_classes.num_classes, literature_classes.num_classes) AS chance
    FROM accuracy
    LEFT JOIN materialised.comparisons
        USING (study, dataset, module, backbone, temporal_pooling, frames, experiment)
    LEFT JOIN own_classes USING (study, dataset)
    LEFT JOIN literature_classes USING (dataset)
    ORDER BY
        accuracy.source, accuracy.study, dataset, module, backbone, temporal_pooling, frames, variant,
        experiment
"""
_GAINS = """
    , literature_gain AS (
        WITH cells AS (SELECT * EXCLUDE (beside_own) FROM named),
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
        study, dataset, module, backbone, temporal_pooling, frames, experiment,
        list(top1 ORDER BY seed) AS values,
        list(key ORDER BY seed) AS keys, min(eval_videos) AS eval_videos
    FROM own_cells WHERE top1 IS NOT NULL GROUP BY ALL
"""
_MEASUREMENTS = """
    SELECT
        study, dataset, module, backbone, temporal_pooling, frames, experiment,
        measured_by <> 'training' AS evaluated, list(top1 ORDER BY seed, key) AS values,
        list(key ORDER BY seed, key) AS keys, list(evaluation ORDER BY seed, key) AS evaluations,
        min(eval_videos) AS eval_videos
    FROM measured_cells_of('own_cells') GROUP BY ALL
"""
_PAIRS = """
    , apart AS MATERIALIZED (FROM accuracies_apart_of('accuracy')),
    pairs AS (
        FROM contribution_pairs_of('apart') WHERE {modules}
    ),
    counted AS (
        SELECT
            source, study, dataset, module, backbone, temporal_pooling, frames, experiment, top1_std, seeds,
            eval_videos
        FROM apart
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
        pairs.*, own.top1_std, own.seeds, own.eval_videos,
        tsn.top1_std AS tsn_top1_std, tsn.seeds AS tsn_seeds, tsn.eval_videos AS tsn_eval_videos
    FROM pairs
    LEFT JOIN counted AS own
        USING (source, study, dataset, module, backbone, temporal_pooling, frames, experiment)
    LEFT JOIN (
        SELECT * RENAME (experiment AS tsn_experiment) FROM counted
        WHERE module = 'tsn' AND NOT temporal_pooling
    ) AS tsn USING (source, study, dataset, backbone, frames, tsn_experiment)
    ORDER BY source, study, dataset, module, temporal_pooling, backbone, frames, experiment
"""
_BY_SEED = """
    , runs AS (
        SELECT
            study, dataset, module, backbone, temporal_pooling, frames, experiment,
            arg_min(cell, seed) AS cell,
            list(top1 ORDER BY seed) FILTER (top1 IS NOT NULL) AS values,
            list(seed ORDER BY seed) FILTER (top1 IS NOT NULL) AS seeds, count(*) AS planned_seeds,
            min(eval_videos) AS eval_videos
        FROM own_cells GROUP BY ALL
    )
    SELECT runs.*, published_top1, published_videos, comparable, differs, accuracy.variant
    FROM runs JOIN accuracy USING (study, dataset, module, backbone, temporal_pooling, frames, experiment)
    LEFT JOIN materialised.comparisons
        USING (study, dataset, module, backbone, temporal_pooling, frames, experiment)
    WHERE runs.planned_seeds > 1 AND len(values) > 0
    ORDER BY study, dataset, module, backbone, temporal_pooling, frames, variant
"""
_AGAINST = """
    FROM against_published_of('accuracy') ORDER BY comparable DESC, abs(difference) DESC, cell
"""
_MEASURE = """
    source, study, dataset, module, backbone, temporal_pooling, frames, cell, variant, checkpoint, average,
    trained_sampling, sampling, sampling_rate, clips, crops, crop_size, short_side, video_set
"""
_BY_MACS = f"""
    SELECT
        {_MEASURE}, views, top1, top1_std, seeds, eval_videos, macs, params, total_macs, measured_by,
        source_table, experiment
    FROM compared WHERE total_macs > 0
    ORDER BY
        source, dataset, module, backbone, temporal_pooling, frames, views, study, variant, cell, measured_by,
        sampling, experiment
"""
# The mini results have one clip each, so that there is nothing to see by clips.
_BY_CLIPS = f"""
    SELECT
        {_MEASURE}, training, views, top1, top1_std, seeds, eval_videos, macs, total_macs, measured_by,
        source_table, experiment
    FROM compared WHERE source_table IS DISTINCT FROM 'mini results'
    QUALIFY source = 'published' OR count(DISTINCT (clips, crops)) OVER (
        PARTITION BY source, study, dataset, module, backbone, temporal_pooling, frames, training, sampling,
            sampling_rate, crop_size, short_side, average, video_set
    ) > 1
    ORDER BY
        source, dataset, module, backbone, temporal_pooling, frames, sampling, crops, clips, study, variant,
        cell,
        experiment
"""
# The clip-level result has the fewest views, the video-level one the most; both are of one training and
# measured alike but for the number of views. `sampling` is the training's.
_BY_SAMPLING = """
    , ranked AS (
        SELECT
            source, study, dataset, module, backbone, temporal_pooling, frames, variant, checkpoint, average,
            trained_sampling AS sampling, sampling AS evaluated_sampling, sampling_rate, crop_size,
            short_side,
            min_by(cell, (views, cell)) AS cell, min_by(top1, (views, cell)) AS clip_top1,
            min_by(top1_std, (views, cell)) AS clip_std, min(views) AS clip_views,
            min(eval_videos) AS eval_videos, min(seeds) AS seeds,
            CASE WHEN max(views) > min(views) THEN min_by(top1, (-views, cell)) END AS video_top1,
            CASE WHEN max(views) > min(views) THEN min_by(top1_std, (-views, cell)) END AS video_std,
            min_by(by_what, (views, cell)) AS clip_measured,
            min_by(by_what, (-views, cell)) AS video_measured,
            CASE WHEN max(views) > min(views) THEN max(views) END AS video_views,
            string_agg(DISTINCT source_table, ', ' ORDER BY source_table) AS source_table
        FROM (
            SELECT *, {{'experiment': experiment, 'measured_by': measured_by}} AS by_what FROM compared
            WHERE source_table IS DISTINCT FROM 'mini results'
        ) AS compared
        GROUP BY
            source, study, dataset, module, backbone, temporal_pooling, frames, variant, checkpoint, average,
            trained_sampling, compared.sampling, sampling_rate, crop_size, short_side, training, video_set
    )
    SELECT *, video_top1 - clip_top1 AS gain FROM ranked
    WINDOW
        model AS (PARTITION BY source, dataset, module, backbone, temporal_pooling, frames),
        alike AS (
            PARTITION BY source, study, dataset, module, backbone, temporal_pooling, frames, variant,
            sampling,
                evaluated_sampling
        )
    QUALIFY {everything} OR video_top1 IS NOT NULL OR (
        count(DISTINCT (sampling, evaluated_sampling)) OVER model > 1 AND count(video_top1) OVER alike = 0
    )
    ORDER BY
        source, dataset, module, backbone, temporal_pooling, frames, sampling DESC, evaluated_sampling DESC,
        study,
        variant, cell, crop_size
"""
# Steps are compared under one protocol: the one that most of them share, of several that with the most views.
_I3D = """
    , steps AS (
        SELECT
            *,
            CASE
                WHEN max(trainings) OVER one_study > 1 OR count(DISTINCT other_axes) OVER one_study > 1
                THEN coalesce(nullif(variant, ''), axes_words(other_axes)) ELSE ''
            END AS line
        FROM (
            SELECT *, count(DISTINCT training) OVER (
                PARTITION BY source, study, dataset, module, backbone, temporal_pooling
            ) AS trainings
            FROM compared
            WHERE module IN ('i3d', 'i3d_se', 'i3d_2017') AND frames = $frames AND (
                source = 'own' OR source_table = 'mini results'
            )
        )
        WINDOW one_study AS (PARTITION BY source, study, dataset)
    ),
    protocols AS (
        FROM (
            SELECT
                source, study, dataset, line, sampling, sampling_rate, clips, crops, crop_size, short_side,
                average, video_set, checkpoint, any_value(views) AS views,
                count(DISTINCT (module, backbone, temporal_pooling)) AS models
            FROM steps GROUP BY ALL
        )
        QUALIFY row_number() OVER (
            PARTITION BY source, study, dataset, line
            ORDER BY models DESC, views DESC, sampling, sampling_rate, clips, crop_size, short_side, average
        ) = 1
    )
    SELECT
        source, study, dataset, line, module, backbone, temporal_pooling, frames, cell, top1, top1_std, seeds,
        eval_videos, views, sampling, clips, crops, crop_size, checkpoint, experiment, measured_by,
        source_table
    FROM steps SEMI JOIN protocols
        ON steps.source = protocols.source AND steps.study = protocols.study
        AND steps.dataset = protocols.dataset AND steps.line = protocols.line
        AND (steps.sampling, steps.clips, steps.crops, steps.crop_size, steps.short_side, steps.average)
            = (protocols.sampling, protocols.clips, protocols.crops, protocols.crop_size,
               protocols.short_side, protocols.average)
        AND steps.sampling_rate IS NOT DISTINCT FROM protocols.sampling_rate
        AND steps.video_set IS NOT DISTINCT FROM protocols.video_set
        AND steps.checkpoint IS NOT DISTINCT FROM protocols.checkpoint
    ORDER BY source, study, dataset, line, module, backbone, temporal_pooling
"""
# `begun_on` is the dataset of the cell that a training started from.
_MODELS = f"""
    , begun AS (
        -- A training's recipe is the same on every dataset and length.
        SELECT
            own.study, own.dataset, own.module, own.backbone, own.temporal_pooling, own.frames, own.training,
            any_value(parent.dataset) AS begun_on
        FROM own_cells AS own
        JOIN recorded.cells AS child ON child.key = own.key
        JOIN recorded.cells AS parent ON parent.key = child.parent_key GROUP BY ALL
    )
    SELECT {_MEASURE}, views, top1, top1_std, seeds, eval_videos, measured_by, experiment, begun_on
    FROM compared
    LEFT JOIN begun USING (study, dataset, module, backbone, temporal_pooling, frames, training)
    WHERE source = 'own' AND top1 IS NOT NULL
    ORDER BY
        study, dataset, backbone, frames, module, temporal_pooling, trained_sampling, variant, views,
        sampling, cell, experiment
"""
# Evaluations that stand of the other checkpoint only, so that no figure shows them.
_LEFT_OUT = """
    SELECT checkpoint, count(*) AS evaluations, count(DISTINCT (study, cell)) AS models FROM measured
    WHERE source = 'own' AND NOT reported GROUP BY ALL ORDER BY checkpoint
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


def measurements_behind(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row an own model and experiment of `measured_accuracies`: lists of top-1 and keys, by seed.

    `evaluated` tells further evaluations, which `evaluations` names, from what the trainings measured.
    """
    return ask(catalog, mean_accuracies(filters, "own"), _MEASUREMENTS)


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
    """Return one row an experiment that several seeds are planned of: lists of top-1 (percent) and seeds."""
    return ask(catalog, mean_accuracies(filters.without("state"), "own"), _BY_SEED)


def differences_to_published(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a model with a published counterpart, comparable ones and large differences first.

    `difference` is in points of top-1 (see the macro `against_published_of`).
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
    """Return one row a model, sampling and number of clips (top-1 in percent), of the reported checkpoint.

    One's own models count where they were measured with more than one number of views, all else equal.
    """
    return ask(catalog, measured_accuracies(filters, source), _BY_CLIPS)


def accuracies_by_sampling(
    catalog: Catalog, filters: Filters = ALL, source: Source = "both", *, everything: bool = False
) -> pa.Table:
    """Return one row a model, length, sampling of the training and of the evaluation: top-1 (percent).

    `clip_top1` is that with the fewest views, `video_top1` that with the most, of one checkpoint and one
    size; `clip_measured` and `video_measured` say which measurements these are. Models with one kind of
    sampling and one number of views say nothing here and are left out, unless for `everything`.
    """
    select = _BY_SAMPLING.format(everything=str(everything).upper())
    return ask(catalog, measured_accuracies(filters, source), select)


def i3d_accuracies(catalog: Catalog, filters: Filters, source: Source, frames: int) -> pa.Table:
    """Return one row a data set and kind of I3D of this length: top-1 (percent), a study under one protocol.

    It is the protocol that most kinds were measured with, and of those the one with the most views.
    """
    return ask(catalog, measured_accuracies(filters, source), _I3D, frames=frames)


def accuracies_of_models(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row an own model, length, training and protocol: top-1 (percent) and how it was measured.

    `begun_on` is the dataset of the cell that it was trained from; empty where it began a chain.
    """
    return ask(catalog, measured_accuracies(filters, "own"), _MODELS)


def measured_otherwise(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return, by checkpoint, how many evaluations are of one that their study does not report."""
    return ask(catalog, measured_accuracies(filters, "own"), _LEFT_OUT)
