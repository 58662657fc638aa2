"""Top-1 accuracy against the number of clips, and against the cost of all clips (the paper's Figure 8)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog.names import label
from catalog.queries.accuracies import accuracies_by_clips
from dashboards.figures.axes import side_by_side
from dashboards.figures.figure import Export, Figure, Finding, Section
from dashboards.figures.measurements import means_with_intervals
from dashboards.figures.panels import (
    LEGEND,
    MODEL_COLUMNS,
    Row,
    beside_own,
    hover,
    hovering,
    interval_bars,
    interval_key,
    interval_source,
    key,
    model_name,
    module_keys,
    note,
    protocol_text,
)
from dashboards.render.markup import Column
from dashboards.render.plain_figure import PlainFigure, Trace, scatter
from dashboards.render.theme import (
    AUTO,
    NEUTRAL,
    PUBLISHED_SYMBOL,
    Theme,
    backbone_symbol,
    empty_figure,
    module_colour,
    styled,
)
from dashboards.render.uncertainty import MEAN, in_words

if TYPE_CHECKING:
    import pyarrow as pa

_DASHES = {"uniform": "solid", "dense": "dash"}


def draw_accuracy_by_clips(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw a row of two panels a dataset: by clips and by MACs; uniform sampling is solid, dense dashed."""
    rows = [row for row in table.to_pylist() if row["top1"] is not None]
    if not rows:
        text = (
            "No cell has been evaluated with several clips: see `actiongrid evaluate --clips`. "
            "What was measured of another checkpoint than its study reports is not shown."
        )
        return empty_figure(text, theme)
    datasets = sorted({row["dataset"] for row in rows})
    titles = [f"{label(name)}: {what}" for name in datasets for what in ("by clips", "by MACs")]
    figure = PlainFigure(
        rows=len(datasets),
        cols=2,
        titles=titles,
        horizontal_spacing=0.09,
        vertical_spacing=0.32 / len(datasets),
    )
    for place, dataset in enumerate(datasets, start=1):
        lines = _lines([row for row in rows if row["dataset"] == dataset]).values()
        for column, x in enumerate(("clips", "total_macs"), start=1):
            for trace in _traces(lines, x):
                figure.add_trace(trace, row=place, col=column)
    _add_legend(figure, rows)
    styled(figure, 130 + 290 * len(datasets), theme)
    figure.update_xaxes(title={"text": "clips a video", "standoff": 4}, dtick=1, rangemode="tozero", col=1)
    figure.update_xaxes(type="log", title={"text": "MACs a video", "standoff": 4}, col=2)
    figure.update_xaxes(exponentformat="SI", dtick=1, col=2)
    figure.update_yaxes(title="top-1 (%)", col=1)
    figure.update_layout(legend={**LEGEND, "y": -70 / (290 * len(datasets))}, margin={"t": 60})
    if any(row["source"] == "published" for row in rows):
        note(figure, "paper: dense sampling is saturated after 4–5 clips, uniform gains little from several")
    return figure.drawn()


def _lines(rows: list[Row]) -> dict[tuple[Any, ...], list[Row]]:
    # Nothing but the number of clips differs along a line.
    names = (
        *("source", "study", "module", "backbone", "temporal_pooling", "frames", "training", "checkpoint"),
        *("sampling", "sampling_rate", "crops", "crop_size", "short_side", "average", "video_set"),
    )
    lines: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        # The paper trained one model with and without ImageNet: these are points of their own.
        own = () if row["source"] == "own" else (row["cell"],)
        lines.setdefault((*(row[name] for name in names), *own), []).append(row)
    return lines


def _traces(lines: Iterable[list[Row]], x: str) -> list[Trace]:
    """The lines of a panel; points at the same number of clips, or MACs, stand side by side."""
    known = [points for line in lines if (points := [row for row in line if row[x]])]
    flat = [row[x] for points in known for row in points]
    # The axis of clips begins at 0.
    places = iter(side_by_side(flat, span=max(flat)) if x == "clips" else side_by_side(flat, log=True))
    return [_trace(points, [*islice(places, len(points))]) for points in known]


def _trace(line: list[Row], places: list[float]) -> Trace:
    first = line[0]
    colour, published = module_colour(first["module"]), first["source"] == "published"
    symbol = PUBLISHED_SYMBOL if published else backbone_symbol(first["backbone"] or "")
    return scatter(
        x=places,
        y=[row["top1"] for row in line],
        error_y=interval_bars(line),
        mode="lines+markers",
        line={"color": colour, "dash": _DASHES.get(first["sampling"], "solid"), "width": 2},
        marker={"symbol": symbol, "size": 10 if published else 8, "color": colour},
        **hovering([_about(row) for row in line]),
        legendgroup=first["module"],
        showlegend=False,
    )


def _about(row: Row) -> str:
    lines = [
        model_name(row),
        in_words(row, MEAN),
        protocol_text(row),
    ]
    if row["total_macs"]:
        lines.append(f"{row['total_macs'] / 1e9:.1f} G MACs a video")
    if row["source"] == "published":
        lines.append(f"{row['study']}, {row['source_table']}")
    return hover(*lines)


def _add_legend(figure: PlainFigure, rows: list[Row]) -> None:
    module_keys(figure, (row["module"] for row in rows))
    for sampling in sorted({row["sampling"] for row in rows}):
        line = {"color": NEUTRAL, "dash": _DASHES.get(sampling, "solid"), "width": 2}
        marker = {"symbol": PUBLISHED_SYMBOL, "size": 8, "color": NEUTRAL}
        stars = all(row["source"] == "published" for row in rows)
        mode = "lines+markers" if stars else "lines"
        key(figure, f"{sampling} sampling", f"sampling {sampling}", mode=mode, line=line, marker=marker)
    if len({row["source"] for row in rows}) > 1:
        marker = {"symbol": PUBLISHED_SYMBOL, "size": 10, "color": NEUTRAL}
        key(figure, "published", "published", mode="markers", marker=marker)
    interval_key(figure, interval_source(rows))


FIGURE = Figure(
    name="accuracy-by-clips",
    title="Accuracy by clips",
    data=lambda catalog, scope: means_with_intervals(
        catalog, scope, accuracies_by_clips(catalog, scope.filters, scope.source)
    ),
    draw=draw_accuracy_by_clips,
    finding=Finding(
        question="clips",
        link="clips",
        order=60,
        caption=(
            "Top-1 by the number of clips of a video, and against what they cost (Figure 8); uniform "
            "sampling is solid, dense sampling dashed. One's own numbers are of the checkpoint that each "
            "study reports; a line joins what differs in nothing but clips."
        ),
    ),
    section=Section(
        order=65,
        title="Accuracy by clips",
        caption=(
            "Top-1 by the number of clips of a video, and against what they cost; uniform sampling is solid, "
            "dense sampling dashed."
        ),
        columns=(
            *MODEL_COLUMNS,
            Column("frames", "frames", number=True),
            Column("sampling", "measured with"),
            Column("clips", "clips", number=True),
            Column("crops", "crops", number=True),
            Column("top1", "top-1", number=True),
            Column("top1_low", "from", number=True),
            Column("top1_high", "to", number=True),
            Column("checkpoint", "checkpoint"),
            Column("variant", "experiment", wrap=True),
        ),
        rows=beside_own,
        wide=lambda _: True,
    ),
    exports=(Export("fig8", "accuracy by clips", order=70),),
)
