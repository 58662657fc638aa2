"""What temporal pooling changes in top-1 accuracy (the paper's Figure 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.names import label
from catalog.queries.filters import ALL, Filters
from catalog.queries.relations import Source, ask, mean_accuracies
from dashboards.figures.panels import LEGEND, Row, dataset_panels, published_key
from dashboards.render.sketch import Sketch, Trace, bar, scatter
from dashboards.render.theme import (
    AUTO,
    PUBLISHED_SYMBOL,
    Theme,
    empty_figure,
    module_colour,
    module_order,
    styled,
)

if TYPE_CHECKING:
    import pyarrow as pa

_SELECT = """
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


def temporal_pooling_gain_data(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return one row a pair of finished models: top-1 with minus without temporal pooling, in points.

    A filter on temporal pooling is left out, because the gain needs both.
    """
    return ask(catalog, mean_accuracies(filters.without("temporal_pooling"), source), _SELECT)


def draw_temporal_pooling_gain(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw one panel a dataset, bars from the zero line, one colour a module.

    Published gains are open stars beside one's own; alone they are hatched bars.
    """
    rows = table.to_pylist()
    if not rows:
        return empty_figure("No model has finished both with and without temporal pooling.", theme)
    datasets = sorted({row["dataset"] for row in rows})
    figure = dataset_panels(datasets)
    alone = all(row["source"] == "published" for row in rows)
    for column, dataset in enumerate(datasets, start=1):
        here = [row for row in rows if row["dataset"] == dataset]
        for (module, source, _), group in _groups(here).items():
            bars = source == "own" or alone
            trace = _bars(module, group) if bars else _stars(module, group)
            figure.add_trace(trace, row=1, col=column)
    _name_each_module_once(figure)
    if not alone and any(row["source"] == "published" for row in rows):
        published_key(figure)
    return _finish(figure, theme)


def _groups(rows: list[Row]) -> dict[tuple[str, str, str], list[Row]]:
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (row["source"], *module_order(row["module"]))):
        groups.setdefault((row["module"], row["source"], row["study"]), []).append(row)
    return groups


def _bars(module: str, rows: list[Row]) -> Trace:
    hatched = rows[0]["source"] == "published"
    return bar(
        name=label(module),
        marker={"color": module_colour(module), "pattern": {"shape": "/" if hatched else ""}},
        **_common(module, rows),
    )


def _stars(module: str, rows: list[Row]) -> Trace:
    return scatter(
        mode="markers",
        marker={"symbol": PUBLISHED_SYMBOL, "size": 8, "color": module_colour(module)},
        **_common(module, rows),
    )


def _common(module: str, rows: list[Row]) -> dict[str, Any]:
    return {
        "x": [[label(row["backbone"]) for row in rows], [f"f{row['frames']}" for row in rows]],
        "y": [row["gain"] for row in rows],
        "customdata": [_hover(row) for row in rows],
        "hovertemplate": "%{customdata}<extra></extra>",
        "legendgroup": module,
        "offsetgroup": module,
        "showlegend": False,
    }


def _hover(row: Row) -> str:
    name = f"{label(row['module'])}-{label(row['backbone'])}-f{row['frames']}@{row['dataset']}"
    lines = [
        f"<b>{name}</b>" + (f" ({row['study']})" if row["source"] == "published" else ""),
        f"{row['top1_without']:.2f} % → {row['top1_with']:.2f} % with temporal pooling",
        f"gain {row['gain']:+.2f} points",
    ]
    if row["source"] == "own" and row["published_gain"] is not None:
        lines.append(f"published gain {row['published_gain']:+.2f} points")
    return "<br>".join(lines)


def _name_each_module_once(figure: Sketch) -> None:
    seen: set[str] = set()
    for trace in figure.traces:
        if trace["type"] == "bar":
            trace["showlegend"] = trace["name"] not in seen
            seen.add(trace["name"])


def _finish(figure: Sketch, theme: Theme) -> go.Figure:
    styled(figure, 400, theme)
    figure.update_yaxes(zeroline=True, zerolinewidth=2)
    figure.update_yaxes(title="gain (points of top-1)", col=1)
    figure.update_xaxes(tickfont={"size": 11}, dividercolor=theme.grid)
    figure.update_layout(barmode="group", scattermode="group", bargap=0.25, legend={**LEGEND, "y": -0.24})
    return figure.drawn()
