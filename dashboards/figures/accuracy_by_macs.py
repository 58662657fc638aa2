"""Top-1 accuracy against the cost of a prediction (the paper's Figure 1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import plotly.graph_objects as go

from catalog.queries.accuracies import accuracies_by_macs
from dashboards.figures.axes import placed
from dashboards.figures.figure import Choice, Export, Figure, Finding, Section
from dashboards.figures.measurements import means_with_intervals
from dashboards.figures.panels import (
    LEGEND,
    MODEL_COLUMNS,
    Row,
    backbone_keys,
    dataset_panels,
    hover,
    hovering,
    interval_bars,
    interval_key,
    interval_source,
    key,
    model_name,
    module_keys,
    protocol_text,
    published_as,
)
from dashboards.render.markup import Column, quantity
from dashboards.render.plain_figure import PlainFigure, Trace, scatter
from dashboards.render.theme import (
    AUTO,
    NEUTRAL,
    Theme,
    backbone_symbol,
    empty_figure,
    module_colour,
    styled,
)
from dashboards.render.uncertainty import MEAN, in_words

if TYPE_CHECKING:
    import pyarrow as pa

Circle = Literal["macs", "params"]
CIRCLES: dict[str, str] = {"macs": "MACs of one clip", "params": "parameters"}

LARGEST, SMALLEST = 26.0, 6.0
"""Diameters of circles in pixels; areas are in proportion to what they show."""


def draw_accuracy_by_macs(table: pa.Table, theme: Theme = AUTO, circle: Circle = "macs") -> go.Figure:
    """Draw one panel a dataset: x is the cost of all views, area that of one clip or the parameters.

    Colour is the module, symbol the backbone; open symbols are published results.
    """
    rows = [row for row in table.to_pylist() if row["top1"] is not None]
    if not rows:
        return empty_figure("No cell has finished yet.", theme)
    datasets = sorted({row["dataset"] for row in rows})
    figure = dataset_panels(datasets)
    largest = max([row[circle] or 0 for row in rows]) or 1
    for column, dataset in enumerate(datasets, start=1):
        here = placed([row for row in rows if row["dataset"] == dataset], "total_macs", log=True)
        for line in _groups(here).values():
            figure.add_trace(_circles(line, circle, largest), row=1, col=column)
    module_keys(figure, (row["module"] for row in rows))
    backbone_keys(figure, (row["backbone"] for row in rows if row["backbone"]))
    if len({row["source"] for row in rows}) > 1:
        for name, symbol in (("own", "circle"), ("published", "circle-open")):
            marker = {"symbol": symbol, "size": 9, "color": NEUTRAL}
            key(figure, name, f"source {name}", mode="markers", marker=marker)
    _say_what_area_is(figure, circle, rows)
    interval_key(figure, interval_source(rows))
    styled(figure, 460, theme)
    figure.update_xaxes(type="log", title={"text": "MACs a video (log₁₀)", "standoff": 4}, dtick=1)
    figure.update_xaxes(exponentformat="SI", showgrid=True)
    figure.update_yaxes(title="top-1 (%)", col=1)
    figure.update_layout(legend={**LEGEND, "y": -0.2, "itemsizing": "constant"})
    return figure.drawn()


def _groups(rows: list[Row]) -> dict[tuple[str, str, str | None], list[Row]]:
    groups: dict[tuple[str, str, str | None], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["source"], row["module"], row["backbone"]), []).append(row)
    return groups


def _circles(rows: list[Row], circle: Circle, largest: float) -> Trace:
    first = rows[0]
    colour, opened = module_colour(first["module"]), first["source"] == "published"
    symbol = backbone_symbol(first["backbone"] or "")
    return scatter(
        x=[row["place"] for row in rows],
        y=[row["top1"] for row in rows],
        error_y=interval_bars(rows),
        mode="markers",
        marker={
            "symbol": f"{symbol}-open" if opened else symbol,
            "size": [max(SMALLEST, LARGEST * math.sqrt((row[circle] or 0) / largest)) for row in rows],
            "color": colour,
            "opacity": 0.75,
            "line": {"width": 1.5 if opened else 0.5, "color": colour},
        },
        **hovering([_about(row) for row in rows]),
        legendgroup=first["module"],
        showlegend=False,
    )


def _about(row: Row) -> str:
    lines = [
        model_name(row),
        in_words(row, MEAN),
        protocol_text(row),
        f"{row['macs'] / 1e9:.1f} G MACs a clip, {row['total_macs'] / 1e9:.1f} G a video",
    ]
    if row["params"]:
        lines.append(f"{row['params'] / 1e6:.1f} M parameters")
    if row["source"] == "published":
        lines.append(f"{row['study']}, {row['source_table']}")
    return hover(*lines)


def _say_what_area_is(figure: PlainFigure, circle: Circle, rows: list[Row]) -> None:
    """Say it in the legend: inside a panel bars of error would cross it."""
    unknown = sum(not row[circle] for row in rows)
    text = f"area: {CIRCLES[circle]}" + (f" (not known of {unknown})" if unknown else "")
    key(figure, text, "area", mode="markers", marker={"symbol": "circle-open-dot", "color": NEUTRAL})


def _published(rows: pa.Table) -> str:
    return published_as(rows, "Open circles", "Open circles")


FIGURE = Figure(
    name="accuracy-by-macs",
    title="Accuracy by MACs",
    data=lambda catalog, scope: means_with_intervals(
        catalog, scope, accuracies_by_macs(catalog, scope.filters, scope.source)
    ),
    draw=draw_accuracy_by_macs,
    choice=Choice("circle", "Area", CIRCLES),
    finding=Finding(
        question="macs",
        link="MACs",
        order=20,
        caption=(
            "Top-1 against the multiply-accumulates of one prediction with all its views, as in the paper's "
            "Figure 1. A circle's area is the {choice}. One's own results are of the checkpoint that each "
            "study reports, MACs of the crops that were measured."
        ),
        note=lambda answer: _published(answer.rows),
    ),
    section=Section(
        order=40,
        title="Accuracy by cost",
        caption=(
            "Top-1 accuracy by the multiply-accumulates of all views of a video. The area of a symbol is "
            "that of one clip. One's own results are of the checkpoint that each study reports."
        ),
        remark=_published,
        columns=(
            *MODEL_COLUMNS,
            Column("temporal_pooling", "pooling"),
            Column("frames", "frames", number=True),
            Column("sampling", "sampling"),
            Column("views", "views", number=True),
            Column("crop_size", "crop", number=True),
            Column("checkpoint", "checkpoint"),
            Column("variant", "experiment", wrap=True),
            Column("top1", "top-1", number=True),
            Column("top1_low", "from", number=True),
            Column("top1_high", "to", number=True),
            Column("macs", "MACs a clip", quantity, number=True),
            Column("total_macs", "MACs a video", quantity, number=True),
            Column("params", "parameters", quantity, number=True),
            Column("cell", "model"),
        ),
    ),
    exports=(
        Export("fig1", "accuracy by MACs", order=10),
        Export(
            "fig1-params",
            "accuracy by MACs, area by parameters",
            order=20,
            options=lambda _, __: {"circle": "params"},
        ),
    ),
)
