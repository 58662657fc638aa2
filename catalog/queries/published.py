"""What the paper prints, number by number, and one's own results where they compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from catalog.queries.filters import ALL, Filters, Source, Where, ask, measured_accuracies

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

# Each of one's own experiments stands beside a number in a row of its own: of the measurements of one, that
# which differs least from what is printed.
_BESIDE = """
    , once AS MATERIALIZED (FROM across_studies_of('own_cells')),
    own_measured AS MATERIALIZED (
        FROM measured_accuracies_of('once') WHERE reported QUALIFY row_number() OVER (
            PARTITION BY study, dataset, module, backbone, temporal_pooling, frames, experiment
            ORDER BY measured_by = 'training' DESC
        ) = 1
    ),
    beside AS (
        SELECT counterpart.*, own.top1, own.top1_std, own.seeds, own.cell, own.variant
        FROM counterparts_of('own_measured') AS counterpart
        JOIN own_measured AS own USING (study, dataset, module, backbone, temporal_pooling, frames,
        experiment)
        WHERE list_contains($tables, counterpart.source_table)
            AND (len($datasets) = 0 OR list_contains($datasets, own.dataset)
                OR list_contains($datasets, counterpart.published_dataset))
        QUALIFY row_number() OVER (
            PARTITION BY counterpart.source_table, source_row, source_column, study, own.dataset, own.module,
                own.backbone, own.temporal_pooling, own.frames, own.training
            ORDER BY len(counterpart.differences), own.views DESC, own.experiment
        ) = 1
    )
"""
_NOTHING_BESIDE = """
    beside AS (
        SELECT
            '' AS source_table, '' AS source_row, '' AS source_column, NULL::DOUBLE AS top1,
            NULL::DOUBLE AS top1_std, NULL::BIGINT AS seeds, NULL::BIGINT AS eval_videos,
            NULL::BOOLEAN AS comparable, NULL::VARCHAR AS differs, NULL::VARCHAR AS tolerated,
            NULL::VARCHAR AS not_stated, NULL::VARCHAR AS cell, NULL::VARCHAR AS variant
        WHERE false
    )
"""
_TABLE = """
    SELECT
        numbers.paper, numbers.source_table, source_row, source_column, model, pretrain, numbers.dataset,
        numbers.sampling, numbers.clips, numbers.crops, flops_g, value AS published,
        official.eval_videos AS published_videos, beside.top1 AS own,
        beside.top1_std AS own_std, beside.seeds, beside.eval_videos,
        CASE WHEN comparable THEN beside.top1 - value END AS difference, beside.cell, beside.variant,
        comparable, differs, tolerated, not_stated, unit, note
    FROM published_numbers AS numbers LEFT JOIN beside USING (source_table, source_row, source_column)
    LEFT JOIN dataset_identities AS official ON official.name = numbers.dataset
    WHERE list_contains($tables, numbers.source_table) AND metric = 'top1'
        AND ($source <> 'own' OR beside.top1 IS NOT NULL)
        AND (len($datasets) = 0 OR list_contains($datasets, numbers.dataset) OR beside.top1 IS NOT NULL)
    ORDER BY
        numbers.source_table, try_cast(regexp_extract(source_row, '^\\d+') AS BIGINT), source_row,
        source_column, cell, variant
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
_SURVEY = """
    SELECT source_row AS what, value AS share, unit, paper, source_table FROM published_numbers
    WHERE source_table = 'Figure 2' ORDER BY ALL
"""
# Accuracies stand in Table 2, changes in the text about Figure 7.
_I3D = """
    SELECT dataset, module, temporal_pooling, metric, value, source_table, source_row, paper, eval_videos
    FROM published_numbers LEFT JOIN dataset_identities AS official ON official.name = dataset
    WHERE (source_table = 'Figure 7' AND (len($datasets) = 0 OR list_contains($datasets, dataset)))
        OR (source_table = 'Table 2' AND frames = 32 AND metric = 'top1' AND (
            (model = 'I3D-ResNet50' AND pretrain = 'ImageNet') OR model = 'SlowFast-ResNet50-8×8'
        ))
    ORDER BY ALL
"""


def printed_table(
    catalog: Catalog, source_table: str, filters: Filters = ALL, source: Source = "both"
) -> pa.Table:
    """Return the rows of `printed_tables` of one of `TABLES`.

    Raises:
        KeyError: the table is none of `TABLES`.
    """
    if source_table not in TABLES:
        raise KeyError(f"no such table; {source_table}; use one of {', '.join(TABLES)}")
    return printed_tables(catalog, (source_table,), filters, source)


def printed_tables(
    catalog: Catalog, tables: Sequence[str], filters: Filters = ALL, source: Source = "both"
) -> pa.Table:
    """Return one row a printed number of some of `TABLES`, and one's own experiment of this model (percent).

    `differs` says what keeps the two from being compared; only without that is there a `difference`. With
    `own` only the numbers are left that have a model of one's own beside them.
    """
    params = {"tables": list(tables), "source": source, "datasets": list(filters.dataset)}
    if source == "published":  # quick, for pages that show nothing else
        return ask(catalog, Where(_NOTHING_BESIDE, {}), _TABLE, **params)
    own = measured_accuracies(filters.without("dataset"), "own")
    return ask(catalog, own, _BESIDE + _TABLE, **params)


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


def printed_survey(catalog: Catalog) -> pa.Table:
    """Return what the paper prints about its survey of papers (Figure 2): `what`, its `share` in percent."""
    return catalog.query(_SURVEY)
