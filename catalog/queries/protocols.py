"""Accuracies by evaluation protocol: sampling, clips and crops of a video, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.catalog import Catalog
from catalog.queries.filters import ALL, Filters
from catalog.queries.relations import Source, ask, measured_accuracies

if TYPE_CHECKING:
    import pyarrow as pa

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
