"""Tables 2 to 6 of the paper, each number with its place, and one's own where it compares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.filters import ALL, Filters
from catalog.queries.relations import Source, measured_accuracies
from dashboards.figures.tables import draw_table
from dashboards.render.theme import AUTO, Theme, empty_figure

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = {
    "Table 2": "Performance of SOTA models",
    "Table 3": "Uniform and dense sampling on Kinetics",
    "Table 4": "Transfer from Kinetics",
    "Table 5": "Temporal aggregation without temporal pooling",
    "Table 6": "Number and places of TAMs in ResNet18",
}
"""The tables and what they show; Table 7 is `contributions`."""

_ABOUT = {"pretrain": "pretrained", "flops_g": "FLOPs (G)"}

# A model, its weights' origin, its length and its protocol must all be stated to be comparable.
_SELECT = """
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


def printed_table_data(
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
    params = {"source_table": source_table, "source": source, "datasets": list(filters.dataset)}
    return catalog.query(f"WITH {ctes.sql} {_SELECT}", {**ctes.params, **params})


def draw_printed_table(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw a table as it is printed, one's own values below the printed ones."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure("No result of one's own compares with this table yet.", theme)
    columns = list(dict.fromkeys(row["source_column"] for row in rows))
    decimals = {
        name: _decimals([r["published"] for r in rows if r["source_column"] == name]) for name in columns
    }
    about = {name: title for name, title in _ABOUT.items() if any(row[name] for row in rows)}
    lines: dict[str, dict[str, Any]] = {}
    for row in rows:
        empty = {
            "row": row["source_row"],
            **{name: row[name] for name in about},
            **dict.fromkeys(columns, "–"),
        }
        column = row["source_column"]
        own = "" if row["own"] is None else f"<br>own {row['own']:.2f} ({row['difference']:+.2f})"
        lines.setdefault(row["source_row"], empty)[column] = f"{row['published']:.{decimals[column]}f}{own}"
    titles = {"row": rows[0]["source_table"], **about, **{column: column for column in columns}}
    return draw_table(list(lines.values()), titles, theme)


def _decimals(values: list[float]) -> int:
    return max(len(f"{value:.10g}".partition(".")[2]) for value in values)
