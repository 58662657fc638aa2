"""Uniform against dense sampling, one clip against several (the paper's Figure 5)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.names import label
from catalog.queries.accuracies import accuracies_by_sampling
from catalog.queries.filters import ALL, Filters, Source
from catalog.queries.published import printed_sampling_gains
from dashboards.figures.axes import accuracy_range
from dashboards.figures.figure import Export, Figure, Finding, Scope, Section
from dashboards.figures.measurements import Measurements
from dashboards.figures.panels import (
    LEGEND,
    MODEL_COLUMNS,
    Row,
    dataset_panels,
    hover,
    hovering,
    interval_bars,
    interval_key,
    interval_source,
    key,
    model_name,
    note,
)
from dashboards.render.comparison import NOTHING, Result, differences, within_of
from dashboards.render.markup import Column, signed, three_decimals
from dashboards.render.plain_figure import PlainFigure, bar
from dashboards.render.theme import AUTO, NEUTRAL, Theme, empty_figure, styled
from dashboards.render.uncertainty import (
    Accuracy,
    difference_in_words,
    in_words,
    with_differences,
    with_intervals,
    with_within,
)

if TYPE_CHECKING:
    import pyarrow as pa

COLOURS = {"uniform": "#0072B2", "dense": "#E69F00"}
"""Blue and orange, as in the paper; dense is hatched too."""
_WIDTH = 0.8
"""How wide a bar is, as a share of its place."""
_BELOW = 10.0
"""How far below all intervals bars begin, in points."""
_CLIP = Accuracy("clip_top1", seeds="seeds", std="clip_std")
_VIDEO = Accuracy("video_top1", seeds="seeds", std="video_std")


def sampling_data(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    """Return the rows of `accuracies_by_sampling` with 95 % intervals, of the gain (points) too.

    `gain_low`, `gain_high` and so on are as in `with_differences`, corrected for all gains of a source.
    """
    table = accuracies_by_sampling(catalog, filters, source)
    rows, measurements = table.to_pylist(), Measurements(catalog, filters)
    pairs = [(_result(row, "video", measurements), _result(row, "clip", measurements)) for row in rows]
    outcomes = measurements.outcomes(result for pair in pairs for result in pair)
    found = differences(pairs, outcomes, [row["source"] for row in rows])
    table = table.drop_columns(["clip_measured", "video_measured"])
    for accuracy, results in zip((_VIDEO, _CLIP), zip(*pairs, strict=True), strict=False):
        table = with_within(table, accuracy, [within_of(result, outcomes) for result in results])
    table = with_intervals(table, _CLIP, _VIDEO)
    return with_differences(table, "gain", found, ("more", "less", "untold"))


def _result(row: Row, level: str, measurements: Measurements) -> Result:
    """What stands behind the accuracy with the fewest (`clip`) or most (`video`) views."""
    if row[f"{level}_top1"] is None:
        return NOTHING
    if row["source"] == "published":
        return Result((row[f"{level}_top1"],), row["eval_videos"])
    return measurements.result(row, **row[f"{level}_measured"])


def draw_sampling(table: pa.Table, theme: Theme = AUTO, printed: pa.Table | None = None) -> go.Figure:
    """Draw one panel a dataset: solid bars are clip-level, what several views add is transparent.

    Colour is the sampling of the training. `printed`, where given, adds the paper's ranges in words.
    """
    rows = [row for row in table.to_pylist() if row["clip_top1"] is not None]
    if not rows:
        text = (
            "No cell has been trained with dense sampling or evaluated with several clips. What was measured "
            "of another checkpoint than its study reports is not shown."
        )
        return empty_figure(text, theme)
    datasets = sorted({row["dataset"] for row in rows})
    figure = dataset_panels(datasets)
    for column, dataset in enumerate(datasets, start=1):
        here = _named([row for row in rows if row["dataset"] == dataset])
        for sampling in COLOURS:
            line = [row for row in here if row["sampling"] == sampling]
            if line:
                _draw(figure, column, sampling, line)
        # Both samplings of a model stand side by side.
        order = [row["bar"] for row in sorted(here, key=lambda row: (_model(row), row["bar"]))]
        figure.update_xaxes(categoryorder="array", categoryarray=order, col=column)
    for sampling, colour in COLOURS.items():
        marker = {"color": colour, "symbol": "square", "size": 11}
        key(figure, f"trained with {sampling} sampling", sampling, mode="markers", marker=marker)
    marker = {"color": NEUTRAL, "symbol": "square", "size": 11, "opacity": 0.35}
    key(figure, "added by several views", "views", mode="markers", marker=marker)
    interval_key(figure, interval_source(rows, _CLIP, _VIDEO))
    styled(figure, 440, theme)
    low, high = accuracy_range(trace for trace in figure.traces if trace["type"] == "bar")
    low = max(0.0, low - _BELOW)
    figure.update_yaxes(range=[low, high])
    figure.update_yaxes(title="top-1 (%), cut off below" if low else "top-1 (%)", col=1)
    figure.update_xaxes(tickangle=-35, tickfont={"size": 11})
    figure.update_layout(
        barmode="overlay",
        scattermode="overlay",
        bargap=1 - _WIDTH,
        legend={**LEGEND, "y": 1.22, "yanchor": "bottom"},
    )
    figure.update_layout(margin={"t": 130})
    if printed is not None:
        _say_printed(figure, [row for row in printed.to_pylist() if row["dataset"] in datasets])
    return figure.drawn()


def _draw(figure: PlainFigure, column: int, sampling: str, rows: list[Row]) -> None:
    pattern = {"shape": "/" if sampling == "dense" else "", "size": 6}
    common = {
        "x": [row["bar"] for row in rows],
        "marker": {"color": COLOURS[sampling], "pattern": pattern},
        **hovering([_about(row) for row in rows]),
        "legendgroup": sampling,
        "showlegend": False,
    }
    several = [row["video_top1"] for row in rows]
    clips = [row["clip_top1"] for row in rows]
    both = any(value is not None for value in several)
    if both:
        figure.add_trace(bar(y=several, opacity=0.35, name="video-level", **common), row=1, col=column)
    figure.add_trace(bar(y=clips, name="clip-level", **common), row=1, col=column)
    levels = [("clip", clips), *([("video", several)] if both else [])]
    for place, (level, values) in enumerate(levels):
        # In the middle of one bar the intervals of both would cover each other.
        half = _WIDTH / len(levels)
        carrier = bar(
            x=common["x"],
            y=values,
            error_y=interval_bars(rows, _CLIP if level == "clip" else _VIDEO),
            offset=place * half - _WIDTH / 2,
            width=half,
            marker={"color": "rgba(0,0,0,0)"},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_trace(carrier, row=1, col=column)


def _model(row: Row) -> str:
    name = row["cell"] if row["source"] == "published" and row["cell"] else None
    if name is not None:
        return str(name).replace(f"@{row['dataset']}", "")
    pooling = "-tp" if row["temporal_pooling"] else ""
    return f"{label(row['module'])}-{label(row['backbone'])}{pooling}-f{row['frames']}"


def _named(rows: list[Row]) -> list[Row]:
    """The rows of a panel with the names of their bars: with the study where one repeats, or they cover."""
    names = [_bar_name(row) for row in rows]
    counts = Counter(names)
    return [
        {**row, "bar": f"{name} ({row['study']})" if counts[name] > 1 else name}
        for row, name in zip(rows, names, strict=True)
    ]


def _bar_name(row: Row) -> str:
    """A bar's model, and the sampling of training and evaluation with what else differs."""
    known, other = row["sampling"][0].upper(), row["evaluated_sampling"][0].upper()
    sampling = known if known == other else f"{known}→{other}"
    size = f" {row['crop_size']}²" if row["crop_size"] not in (None, 224, 256) else ""
    variant = f" {row['variant']}" if row["variant"] else ""
    return f"{_model(row)} {sampling}{size}{variant}"


def _about(row: Row) -> str:
    lines = [in_words(row, _CLIP, f"{row['clip_views']} view(s):")]
    if row["video_top1"] is not None:
        views = f"{row['video_views']} views:"
        lines.append(f"{in_words(row, _VIDEO, views)}, {difference_in_words(row, 'gain')}")
    rate = f" at rate {row['sampling_rate']}" if row["sampling_rate"] else ""
    lines.append(f"measured with {row['evaluated_sampling']} sampling{rate}, crops of {row['crop_size']}²")
    if row["checkpoint"]:
        lines.append(f"{row['checkpoint']} checkpoint")
    if row["source"] == "published":
        lines.append(f"{row['study']}, {row['source_table']}")
    return hover(model_name(row), *lines, beside=f", trained with {row['sampling']} sampling")


def _say_printed(figure: PlainFigure, rows: list[Row]) -> None:
    ranges = [f"{label(row['dataset'])} +{row['least']:.0f} to +{row['most']:.0f}" for row in rows]
    if ranges:
        note(figure, f"paper: ten dense clips gain {', '.join(ranges)} points")


def _printed(catalog: Catalog, scope: Scope) -> pa.Table:
    gains = printed_sampling_gains(catalog)
    return gains.slice(0, 0) if scope.source == "own" else gains


_GAINS = (
    "What is added has its 95 % interval in the table: by video where the predictions of both are known, "
    "else from the intervals of both accuracies; p is corrected for all that are shown (Holm)."
)

FIGURE = Figure(
    name="sampling",
    title="Uniform and dense sampling",
    data=lambda catalog, scope: sampling_data(catalog, scope.filters, scope.source),
    draw=draw_sampling,
    printed=_printed,
    draws_printed=True,
    finding=Finding(
        question="sampling",
        link="sampling",
        order=50,
        caption=(
            "Models trained with uniform against dense sampling (Figure 5): solid bars are clip-level "
            "accuracy, the transparent part is what several views of a video add, all of the checkpoint that "
            f"each study reports. {_GAINS}"
        ),
    ),
    section=Section(
        order=50,
        title="Sampling and views",
        caption=(
            "Models trained with uniform (U) against dense sampling (D): solid bars are the accuracy with "
            "the fewest views, what more views add is transparent. U→D was trained with one and measured "
            f"with the other. {_GAINS}"
        ),
        columns=(
            *MODEL_COLUMNS,
            Column("temporal_pooling", "pooling"),
            Column("frames", "frames", number=True),
            Column("sampling", "trained with"),
            Column("evaluated_sampling", "measured with"),
            Column("crop_size", "crop", number=True),
            Column("clip_top1", "fewest views", number=True),
            Column("clip_top1_low", "from", number=True),
            Column("clip_top1_high", "to", number=True),
            Column("video_top1", "most views", number=True),
            Column("video_top1_low", "from", number=True),
            Column("video_top1_high", "to", number=True),
            Column("gain", "gain", signed, number=True),
            Column("gain_low", "from", signed, number=True),
            Column("gain_high", "to", signed, number=True),
            Column("gain_holm", "p (Holm)", three_decimals, number=True),
            Column("checkpoint", "checkpoint"),
            Column("variant", "experiment", wrap=True),
            Column("cell", "model"),
        ),
    ),
    exports=(Export("fig5", "uniform and dense sampling", order=40, gap=170),),
)
