"""What claims are judged on: results of one's own studies and of the literature, one row a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from catalog.queries.filters import ALL, Filters

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

# One's own results count study by study and by the values of other axes; where a study has several
# experiments of one model and such values, each by itself, with what tells it from the others.
_GRID = """
    WITH cell AS (
        SELECT *, count(DISTINCT experiment) OVER (
            PARTITION BY source, study, other_axes, dataset, module, backbone, temporal_pooling, frames
        ) > 1 AS several
        FROM cell_accuracies WHERE {where}
    ),
    apart AS (
        SELECT cell.*, CASE WHEN several THEN coalesce(told.variant, '') ELSE '' END AS variant
        FROM cell
        LEFT JOIN materialised.variants AS told
            USING (dataset, module, backbone, temporal_pooling, frames, experiment)
    )
    SELECT
        source, study, dataset, module, backbone, temporal_pooling, frames, other_axes, variant,
        arg_min(cell, seed) AS cell,
        list(top1 ORDER BY seed) FILTER (top1 IS NOT NULL) AS top1,
        list(top5 ORDER BY seed) FILTER (top5 IS NOT NULL) AS top5,
        list(seed ORDER BY seed) FILTER (top1 IS NOT NULL) AS seeds,
        list(key ORDER BY seed) FILTER (top1 IS NOT NULL AND key IS NOT NULL) AS keys,
        count(*) AS planned_seeds, any_value(macs) AS macs, any_value(checkpoint) AS checkpoint,
        min(CASE source WHEN 'own' THEN eval_videos ELSE val_videos END) AS videos
    FROM apart LEFT JOIN (SELECT dataset, val_videos FROM published_datasets) USING (dataset)
    GROUP BY ALL ORDER BY ALL
"""
_PRINTED = """
    SELECT
        paper AS study, source_table, source_row, source_column, value AS top1, flops_g * 1e9 AS macs,
        val_videos
    FROM published_numbers LEFT JOIN (SELECT dataset, val_videos FROM published_datasets) USING (dataset)
    WHERE metric = 'top1' AND unit = '%' AND source_table LIKE 'Table %'
    ORDER BY ALL
"""
# Two measurements differ by nothing but their axes, those of their study among them, or both are left out. Of
# the last and the best checkpoint the one counts that was measured in more ways; of equally many the one that
# the study reports.
_EVALUATIONS = """
    WITH latest AS (
        SELECT
            planned.study, planned.dataset, planned.module, planned.backbone, planned.temporal_pooling,
            planned.frames, planned.seed, one.sampling, one.clips, one.crops, one.crop_size, one.checkpoint,
            one.sampling_rate, one.short_side, one.average, planned.other_axes, trained.training,
            any_value(planned.macs) AS macs,
            one.checkpoint = planned.report AS reported,
            arg_max(one.top1, one.measured) AS top1, arg_max(one.videos, one.measured) AS videos
        FROM evaluations AS one
        JOIN (FROM study_cells WHERE current AND {where}) AS planned ON planned.key = one.key
        JOIN materialised.experiments AS trained ON trained.study = planned.study AND trained.key = one.key
        WHERE one.split = 'val' AND isfinite(one.top1) AND one.sampling IS NOT NULL
        GROUP BY ALL
    ),
    ways AS (
        SELECT
            study, dataset, module, backbone, temporal_pooling, frames, sampling, clips, crops, crop_size,
            checkpoint, sampling_rate, short_side, average, reported, other_axes, training,
            list(top1 ORDER BY seed) AS top1, any_value(macs) AS macs, min(videos) AS videos
        FROM latest GROUP BY ALL
    ),
    models AS (
        SELECT *, {{
            'study': study, 'dataset': dataset, 'module': module, 'backbone': backbone,
            'temporal_pooling': temporal_pooling, 'frames': frames, 'other_axes': other_axes
        }} AS model
        FROM ways
        QUALIFY count(*) OVER (
            PARTITION BY model, sampling, clips, crops, crop_size, checkpoint
        ) = 1
    ),
    counted AS (
        SELECT model, checkpoint, count(*) AS measured, bool_or(reported) AS reported FROM models GROUP BY ALL
    ),
    chosen AS (
        SELECT model, checkpoint FROM counted
        QUALIFY row_number() OVER (
            PARTITION BY model ORDER BY measured DESC, reported DESC, checkpoint
        ) = 1
    )
    SELECT * EXCLUDE (model, training) FROM models SEMI JOIN chosen USING (model, checkpoint) ORDER BY ALL
"""
# One row a cell and epoch that was evaluated in training: which videos were right, a digest of which videos
# they were, and as which of a cell's checkpoints it counts: where the best epoch is the last one, as both.
_PREDICTIONS = """
    WITH predicted AS (
        SELECT
            key, evaluation, list(correct ORDER BY index) AS correct,
            md5(string_agg(concat_ws(':', index, label, coalesce(video, '')), ',' ORDER BY index))
                AS videos
        FROM predictions WHERE list_contains($keys, key) GROUP BY key, evaluation
    )
    SELECT predicted.*, list(other.checkpoint ORDER BY other.checkpoint) AS checkpoints
    FROM predicted
    JOIN computed.checkpoints AS one USING (key, evaluation)
    JOIN computed.checkpoints AS other ON other.key = one.key AND other.epoch = one.epoch
    GROUP BY ALL ORDER BY key, evaluation
"""


_OF_STUDIES = """
    SELECT study, CAST(arg_max(config, time) -> 'claims' AS VARCHAR) AS claims
    FROM recorded.studies WHERE {where} GROUP BY study
    HAVING json_array_length(arg_max(config, time) -> 'claims') > 0 ORDER BY study
"""


def claims_of_studies(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a study that was last submitted with claims of its own: these as JSON.

    Of the filters, studies count.
    """
    where = filters.where(("study",))
    return catalog.query(_OF_STUDIES.format(where=where.sql), where.params or None)


def claimed_grid(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a model of a study or paper: lists of top-1 and top-5 (percent) and keys, by seed.

    Of a study with other axes it is a row a model and values of these (`other_axes`); `variant` tells what is
    several experiments nevertheless. Of the filters, studies count: a claim looks at all of a study.
    """
    where = filters.where(("study",))
    only = f"source = 'published' OR ({where.sql})"
    return catalog.query(_GRID.format(where=only), where.params or None)


def claimed_evaluations(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return one row a model of a study and protocol: its top-1 (percent) by seed, on `videos`.

    Of the filters, studies count.
    """
    where = filters.where(("study",))
    return catalog.query(_EVALUATIONS.format(where=where.sql), where.params or None)


def claimed_numbers(catalog: Catalog) -> pa.Table:
    """Return one row a printed accuracy (percent) of the paper's Tables 2 to 6, by its place there."""
    return catalog.query(_PRINTED)


def right_predictions(catalog: Catalog, keys: Sequence[str]) -> pa.Table:
    """Return one row a cell and epoch that was evaluated in training: which videos it got right.

    `videos` is equal for the same videos by place, label and path; `checkpoints` are 'last', 'best' or both.
    """
    return catalog.query(_PREDICTIONS, {"keys": list(keys)}, keys=keys)
