"""Spatial and temporal contributions of a module (the paper's Equation 1 and Table 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.names import label
from catalog.queries.filters import ALL, Filters, Where
from catalog.queries.relations import Source, ask, mean_accuracies
from dashboards.figures.panels import LEGEND, Row, dataset_panels, published_key
from dashboards.render.sketch import Sketch, Trace, bar, scatter
from dashboards.render.theme import (
    AUTO,
    NEUTRAL,
    PUBLISHED_SYMBOL,
    Theme,
    empty_figure,
    module_colour,
    module_order,
    styled,
)

if TYPE_CHECKING:
    import pyarrow as pa

METRICS = {"phi": "Φ̄", "psi_ta": "Ψ̄ᵗᵃ", "psi_ta_tp": "Ψ̄ᵗᵃ⁺ᵗᵖ"}
"""The columns of the view `contributions` and their symbols."""

_COLUMNS = "source, study, dataset, module, phi, psi_ta, psi_ta_tp, n, n_ta_tp, missing, missing_ta_tp"

_PAIRS = """
    , pairs AS (
        FROM contribution_pairs_of('accuracy') WHERE {modules}
    )
"""

_PRINTED = """
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


def contributions_data(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return Φ̄ and Ψ̄ of every module but TSN, which they are measured against.

    `n` and `missing` count the pairs of accuracies behind `phi` and `psi_ta`, `n_ta_tp` and `missing_ta_tp`
    those behind `psi_ta_tp`. A filter on temporal pooling is left out, because the last metric needs both.
    """
    select = f"SELECT {_COLUMNS} FROM contribution_means_of('pairs') ORDER BY dataset, module, source, study"
    return _query(catalog, filters, source, select)


def contribution_pairs_data(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return the cells behind the averages: one row a model and length, with TSN's accuracy beside its own.

    `phi` and `psi` are empty where one of the two accuracies is missing.
    """
    order = "source, study, dataset, module, temporal_pooling, backbone, frames"
    return _query(catalog, filters, source, f"FROM pairs ORDER BY {order}")


def printed_contributions_data(catalog: Catalog) -> pa.Table:
    """Return the printed figures of Table 7 beside those that Equation 1 gives from the published accuracies.

    `agrees` compares them to two decimals; `agrees_exchanged` does so with the printed columns of I3D and S3D
    exchanged in the rows of Φ̄ and Ψ̄ᵗᵃ.
    """
    return catalog.query(_PRINTED)


def footnote(printed: pa.Table) -> str:
    """Return what `printed_contributions_data` shows, in words, counted and not assumed."""
    rows = printed.to_pylist()
    agreeing = sum(row["agrees"] for row in rows)
    exchanged = sum(row["agrees_exchanged"] for row in rows)
    if agreeing == len(rows):
        return f"All {len(rows)} printed figures of Table 7 follow from the published accuracies."
    text = (
        f"From the published accuracies Equation 1 gives {agreeing} of the {len(rows)} figures that Table 7 "
        f"prints to two decimals; {len(rows) - agreeing} differ."
    )
    if exchanged > agreeing:
        text += (
            f" With the printed columns of I3D and S3D exchanged in the rows of Φ̄ and Ψ̄ᵗᵃ, {exchanged} of "
            f"{len(rows)} agree: the printed columns look swapped. Figures here are computed, not corrected."
        )
    return text


def draw_contributions(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw one panel a dataset with three groups of bars, one colour a module.

    Published ones are open stars beside one's own; alone they are hatched bars.
    """
    rows = [row for row in table.to_pylist() if any(row[metric] is not None for metric in METRICS)]
    if not rows:
        return empty_figure("No module can be compared with TSN yet: both need finished cells.", theme)
    alone = all(row["source"] == "published" for row in rows)
    datasets = sorted({row["dataset"] for row in rows})
    figure = dataset_panels(datasets)
    for column, dataset in enumerate(datasets, start=1):
        here = [row for row in rows if row["dataset"] == dataset]
        for row in sorted(here, key=lambda row: module_order(row["module"])):
            bars = row["source"] == "own" or alone
            figure.add_trace(_bars(row) if bars else _stars(row), row=1, col=column)
    _show_each_name_once(figure)
    if not alone and any(row["source"] == "published" for row in rows):
        published_key(figure)
    return _finish(figure, theme)


def _query(catalog: Catalog, filters: Filters, source: Source, select: str) -> pa.Table:
    # TSN is what modules are compared with, so that a filter on modules must not take it away.
    accuracies = mean_accuracies(filters.without("module", "temporal_pooling"), source)
    modules = filters.where(("module",))
    ctes = Where(accuracies.sql, {**accuracies.params, **modules.params})
    return ask(catalog, ctes, _PAIRS.format(modules=modules.sql) + select)


def _bars(row: Row) -> Trace:
    values = [row[metric] for metric in METRICS]
    hatched = row["source"] == "published"
    return bar(
        x=list(METRICS.values()),
        y=values,
        name=label(row["module"]),
        marker={"color": module_colour(row["module"]), "pattern": {"shape": "/" if hatched else ""}},
        text=["" if value is None else f"{round(value, 2) + 0.0:.2f}" for value in values],
        textposition="outside",
        textangle=0,
        constraintext="none",
        textfont={"size": 10},
        cliponaxis=False,
        **_common(row),
    )


def _stars(row: Row) -> Trace:
    return scatter(
        x=list(METRICS.values()),
        y=[row[metric] for metric in METRICS],
        mode="markers",
        marker={"symbol": PUBLISHED_SYMBOL, "size": 11, "color": NEUTRAL},
        showlegend=False,
        **_common(row),
    )


def _common(row: Row) -> dict[str, Any]:
    return {
        "customdata": _hovers(row, "own cells" if row["source"] == "own" else row["study"]),
        "offsetgroup": row["module"],
        "legendgroup": row["module"],
        "hovertemplate": "%{customdata}<extra></extra>",
    }


def _hovers(row: Row, source: str) -> list[str]:
    hovers = []
    for metric, symbol in METRICS.items():
        n, missing = (
            (row["n_ta_tp"], row["missing_ta_tp"]) if metric == "psi_ta_tp" else (row["n"], row["missing"])
        )
        value = "not known" if row[metric] is None else f"{row[metric]:.3f}"
        hovers.append(
            f"<b>{label(row['module'])}@{row['dataset']}</b> {symbol} {value}"
            f"<br>{source}: n = {n}, {missing} missing"
        )
    return hovers


def _show_each_name_once(figure: Sketch) -> None:
    seen: set[str] = set()
    for trace in figure.traces:
        if trace["type"] == "bar":
            trace["showlegend"] = trace["name"] not in seen
            seen.add(trace["name"])


def _finish(figure: Sketch, theme: Theme) -> go.Figure:
    styled(figure, 380, theme)
    figure.update_yaxes(zeroline=True, zerolinewidth=2)
    figure.update_xaxes(tickfont={"size": 15})
    figure.update_layout(barmode="group", scattermode="group", bargap=0.3, legend={**LEGEND, "y": -0.15})
    return figure.drawn()
