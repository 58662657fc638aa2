"""Spatial and temporal contributions of a module (the paper's Equation 1 and Table 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from catalog import Catalog
from dashboards.theme import (
    NEUTRAL,
    PUBLISHED_SYMBOL,
    empty_figure,
    label,
    module_colour,
    module_order,
    styled,
)

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

METRICS = {"phi": "Φ̄", "psi_ta": "Ψ̄ᵗᵃ", "psi_ta_tp": "Ψ̄ᵗᵃ⁺ᵗᵖ"}
"""The columns of the view `contributions` and their symbols."""

_COLUMNS = "source, study, dataset, module, phi, psi_ta, psi_ta_tp, n, n_ta_tp, missing, missing_ta_tp"

_OWN = f"""
    WITH own AS (FROM contributions WHERE source = 'own' AND ($study IS NULL OR study = $study))
    SELECT {_COLUMNS} FROM own
    UNION ALL
    SELECT {_COLUMNS} FROM contributions AS published
    WHERE source = 'published' AND EXISTS (
        FROM own WHERE own.dataset = published.dataset AND own.module = published.module
    )
    ORDER BY dataset, module, source, study
"""

_PUBLISHED = f"SELECT {_COLUMNS} FROM contributions WHERE source = 'published' ORDER BY dataset, module"


def contributions_data(catalog: Catalog, study: str | None = None) -> pa.Table:
    """Return Φ̄ and Ψ̄ of one's own cells, and the published ones of the same datasets and modules.

    `n` and `missing` count the pairs of accuracies behind `phi` and `psi_ta`, `n_ta_tp` and `missing_ta_tp`
    those behind `psi_ta_tp`.
    """
    return catalog.query(_OWN, {"study": study})


def published_contributions_data(catalog: Catalog) -> pa.Table:
    """Return Φ̄ and Ψ̄ of all published results, in the columns of `contributions_data`."""
    return catalog.query(_PUBLISHED)


def draw_contributions(table: pa.Table) -> go.Figure:
    """Draw one panel a dataset with three groups of bars, one colour a module; open stars are published."""
    rows = [row for row in table.to_pylist() if any(row[metric] is not None for metric in METRICS)]
    own = [row for row in rows if row["source"] == "own"]
    if not own:
        return empty_figure("No module can be compared with TSN yet: both need finished cells.")
    datasets = sorted({row["dataset"] for row in own})
    figure = make_subplots(
        cols=len(datasets), subplot_titles=[label(name) for name in datasets], horizontal_spacing=0.08
    )
    for column, dataset in enumerate(datasets, start=1):
        here = [row for row in rows if row["dataset"] == dataset]
        for row in sorted(here, key=lambda row: module_order(row["module"])):
            figure.add_trace(_bars(row) if row["source"] == "own" else _stars(row), row=1, col=column)
    _show_each_name_once(figure)
    if len(own) < len(rows):
        marker = {"symbol": PUBLISHED_SYMBOL, "size": 9, "color": NEUTRAL}
        figure.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=marker, name="published"))
    return _finish(figure)


def _bars(row: Row) -> go.Bar:
    values = [row[metric] for metric in METRICS]
    return go.Bar(
        x=list(METRICS.values()),
        y=values,
        name=label(row["module"]),
        marker={"color": module_colour(row["module"])},
        text=["" if value is None else f"{round(value, 2) + 0.0:.2f}" for value in values],
        textposition="outside",
        textangle=0,
        textfont={"size": 10},
        cliponaxis=False,
        customdata=_hovers(row, "own cells"),
        **_common(row),
    )


def _stars(row: Row) -> go.Scatter:
    return go.Scatter(
        x=list(METRICS.values()),
        y=[row[metric] for metric in METRICS],
        mode="markers",
        marker={"symbol": PUBLISHED_SYMBOL, "size": 11, "color": NEUTRAL},
        showlegend=False,
        customdata=_hovers(row, row["study"]),
        **_common(row),
    )


def _common(row: Row) -> dict[str, Any]:
    return {
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
            f"<b>{label(row['module'])}</b> {symbol} {value}<br>{source}: n = {n}, {missing} missing"
        )
    return hovers


def _show_each_name_once(figure: go.Figure) -> None:
    seen: set[str] = set()
    for trace in figure.data:
        if trace.type == "bar":
            trace.showlegend = trace.name not in seen
            seen.add(trace.name)


def _finish(figure: go.Figure) -> go.Figure:
    styled(figure, height=380)
    figure.update_yaxes(zeroline=True, zerolinewidth=2)
    figure.update_xaxes(tickfont={"size": 15})
    figure.update_layout(
        barmode="group",
        scattermode="group",
        bargap=0.3,
        legend={"orientation": "h", "y": -0.15, "yanchor": "top", "x": 0},
    )
    return figure
