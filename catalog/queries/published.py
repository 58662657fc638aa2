"""What the paper prints, number by number, and one's own results where they compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.queries.filters import ALL, Filters, Source, ask, measured_accuracies

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog

TABLES = {
    "Table 2": "Performance of SOTA models",
    "Table 3": "Uniform and dense sampling on Kinetics",
    "Table 4": "Transfer from Kinetics",
    "Table 5": "Temporal aggregation without temporal pooling",
    "Table 6": "Number and places of TAMs in ResNet18",
}
"""The tables and what they show; Table 7 is `printed_contributions`."""

# A model, its weights' origin, its length and its protocol must all be stated to be comparable.
_TABLE = """
    , own_means AS (
        SELECT
            dataset, module, backbone, temporal_pooling, frames, sampling, clips, crops,
            avg(top1) AS top1, any_value(cell) AS cell
        FROM measured WHERE source = 'own' AND measured_by <> 'evaluate best' GROUP BY ALL
    )
    SELECT
        numbers.paper, source_table, source_row, source_column, model, pretrain, numbers.dataset,
        numbers.sampling, numbers.clips, numbers.crops, flops_g, value AS published, own_means.top1 AS own,
        own_means.top1 - value AS difference, own_means.cell, unit, note
    FROM published_numbers AS numbers
    LEFT JOIN own_means
        ON own_means.dataset = numbers.dataset AND own_means.module = numbers.module
        AND own_means.backbone = numbers.backbone AND own_means.frames = numbers.frames
        AND own_means.temporal_pooling = numbers.temporal_pooling AND own_means.sampling = numbers.sampling
        AND own_means.clips = numbers.clips AND own_means.crops = numbers.crops
        AND coalesce(numbers.pretrain, 'ImageNet') = 'ImageNet' AND $source <> 'published'
    WHERE source_table = $source_table AND metric = 'top1'
        AND ($source <> 'own' OR own_means.top1 IS NOT NULL)
        AND (len($datasets) = 0 OR list_contains($datasets, numbers.dataset))
    ORDER BY try_cast(regexp_extract(source_row, '^\\d+') AS BIGINT), source_row, source_column
"""
_CONTRIBUTIONS = """
    WITH literature AS (
        SELECT
            'published' AS source, paper AS study, dataset, module, backbone, temporal_pooling, frames, top1
        FROM published
    ),
    ours AS (
        UNPIVOT (FROM contributions_of('literature')) ON phi, psi_ta, psi_ta_tp
        INTO NAME metric VALUE computed
    )
    SELECT
        ours.dataset, ours.metric, ours.module, printed.value AS printed, ours.computed,
        round(ours.computed, 2) + 0.0 = printed.value AS agrees,
        round(other.computed, 2) + 0.0 = printed.value AS agrees_exchanged,
        printed.source_table
    FROM ours
    JOIN published_contributions AS printed USING (dataset, metric, module)
    JOIN ours AS other ON other.dataset = ours.dataset AND other.metric = ours.metric
        AND other.module = CASE WHEN ours.metric = 'psi_ta_tp' THEN ours.module ELSE
            CASE ours.module WHEN 'i3d' THEN 's3d' WHEN 's3d' THEN 'i3d' ELSE ours.module END END
    ORDER BY ours.dataset, ours.metric, ours.module
"""
_GAINS = """
    SELECT dataset, min(value) AS least, max(value) AS most, any_value(clips) AS clips, source_table
    FROM published_numbers WHERE source_table = 'Figure 5' GROUP BY ALL ORDER BY dataset
"""
# Accuracies stand in Table 2, changes in the text about Figure 7.
_I3D = """
    SELECT dataset, module, temporal_pooling, metric, value, source_table, source_row, paper
    FROM published_numbers
    WHERE (source_table = 'Figure 7' AND (len($datasets) = 0 OR list_contains($datasets, dataset)))
        OR (source_table = 'Table 2' AND frames = 32 AND metric = 'top1' AND (
            (model = 'I3D-ResNet50' AND pretrain = 'ImageNet') OR model = 'SlowFast-ResNet50-8×8'
        ))
    ORDER BY ALL
"""


def printed_table(
    catalog: Catalog, source_table: str, filters: Filters = ALL, source: Source = "both"
) -> pa.Table:
    """Return one row a printed number of one of `TABLES`: its place, value, and one's own (percent).

    With `own` only the numbers that one's own results compare with are left.

    Raises:
        KeyError: the table is none of `TABLES`.
    """
    if source_table not in TABLES:
        raise KeyError(f"no such table; {source_table}; use one of {', '.join(TABLES)}")
    ctes = measured_accuracies(filters.without("dataset"), "own")
    datasets = list(filters.dataset)
    return ask(catalog, ctes, _TABLE, source_table=source_table, source=source, datasets=datasets)


def printed_contributions(catalog: Catalog) -> pa.Table:
    """Return the printed figures of Table 7 beside those that Equation 1 gives from the published accuracies.

    `agrees` compares them to two decimals; `agrees_exchanged` does so with the printed columns of I3D and S3D
    exchanged in the rows of Φ̄ and Ψ̄ᵗᵃ.
    """
    return catalog.query(_CONTRIBUTIONS)


def printed_sampling_gains(catalog: Catalog) -> pa.Table:
    """Return the ranges that the paper prints about its Figure 5: what ten dense clips gain, in points."""
    return catalog.query(_GAINS)


def printed_i3d_numbers(catalog: Catalog, filters: Filters = ALL) -> pa.Table:
    """Return the printed accuracies (percent) and changes (points) that Figure 7 is made from."""
    return catalog.query(_I3D, {"datasets": list(filters.dataset)})
