"""What temporal pooling changes in top-1 accuracy (the paper's Figure 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog.names import label
from catalog.queries.accuracies import temporal_pooling_gains
from dashboards.figures.figure import Export, Figure, Finding, Section
from dashboards.figures.panels import (
    LEGEND,
    MODEL_COLUMNS,
    Row,
    dataset_panels,
    hover,
    hovering,
    name_each_bar_once,
    published_key,
)
from dashboards.render.markup import Column, signed
from dashboards.render.plain_figure import PlainFigure, Trace, bar, scatter
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


CROWDED = 24
"""With more bars than this in a panel of the report, its panels are made wider."""


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
    name_each_bar_once(figure)
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
        **hovering([_about(row) for row in rows]),
        "legendgroup": module,
        "offsetgroup": module,
        "showlegend": False,
    }


def _about(row: Row) -> str:
    name = f"{label(row['module'])}-{label(row['backbone'])}-f{row['frames']}@{row['dataset']}"
    lines = [
        f"{row['top1_without']:.2f} % → {row['top1_with']:.2f} % with temporal pooling",
        f"gain {row['gain']:+.2f} points",
    ]
    if row["source"] == "own" and row["published_gain"] is not None:
        lines.append(f"published gain {row['published_gain']:+.2f} points")
    beside = f" ({row['study']})" if row["source"] == "published" else ""
    return hover(name, *lines, beside=beside)


def _finish(figure: PlainFigure, theme: Theme) -> go.Figure:
    styled(figure, 400, theme)
    figure.update_yaxes(zeroline=True, zerolinewidth=2)
    figure.update_yaxes(title="gain (points of top-1)", col=1)
    figure.update_xaxes(tickfont={"size": 11}, dividercolor=theme.grid)
    figure.update_layout(barmode="group", scattermode="group", bargap=0.25, legend={**LEGEND, "y": -0.24})
    return figure.drawn()


def _crowded(rows: pa.Table) -> bool:
    return len(rows) > CROWDED * len(set(rows.column("dataset").to_pylist()))


FIGURE = Figure(
    name="temporal-pooling-gain",
    title="Gain of temporal pooling",
    data=lambda catalog, scope: temporal_pooling_gains(catalog, scope.filters, scope.source),
    draw=draw_temporal_pooling_gain,
    finding=Finding(
        question="pooling",
        link="temporal pooling",
        order=30,
        title="What temporal pooling changes",
        caption=(
            "Top-1 with temporal pooling minus top-1 without it, in points (Figure 6); a bar below the line "
            "means that pooling costs accuracy."
        ),
    ),
    section=Section(
        order=20,
        title="Gain of temporal pooling",
        caption=(
            "Top-1 with temporal pooling minus top-1 without it, in points: above the line pooling helps. "
            "Open stars are published results."
        ),
        columns=(
            *MODEL_COLUMNS,
            Column("frames", "frames", number=True),
            Column("top1_without", "without", number=True),
            Column("top1_with", "with", number=True),
            Column("gain", "gain", signed, number=True),
            Column("published_gain", "published gain", signed, number=True),
        ),
        optional=False,
        wide=_crowded,
    ),
    exports=(Export("fig6", "gain of temporal pooling", order=50),),
)
