"""Models trained several times: every seed, the mean, and the interval of the mean."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.accuracies import accuracies_by_seed
from dashboards.figures.figure import EVERYTHING, Export, Figure, Finding, Scope
from dashboards.figures.measurements import Measurements
from dashboards.figures.panels import WITH_NAMES, Row, error_bars, hover, hovering, interval_source, note
from dashboards.render.plain_figure import PlainFigure, Trace, scatter
from dashboards.render.theme import (
    AUTO,
    PUBLISHED_SYMBOL,
    Theme,
    backbone_symbol,
    cell_name,
    empty_figure,
    mean_name,
    module_colour,
    styled,
)
from dashboards.render.uncertainty import PUBLISHED, Accuracy, in_words, with_intervals, with_within
from dashboards.statistics import mean_over_seeds

if TYPE_CHECKING:
    import pyarrow as pa

_MEAN = Accuracy("mean", seeds="count")

SHOWN = 40
"""At most this many models are drawn; the table has all."""

_BESIDE = 0.3
"""How far below a model's line its published result stands, in lines."""


def seeds_data(catalog: Catalog, scope: Scope = EVERYTHING) -> pa.Table:
    """Return one row a model with several seeds: accuracies (percent), mean and its 95 % interval.

    The interval counts videos and seeds; of one finished seed it is that of the videos alone. The
    published accuracy stands beside for `both`.
    """
    import pyarrow as pa

    table = accuracies_by_seed(catalog, scope.filters)
    if scope.source == "published":
        table = table.slice(0, 0)
    found = [{**row, "mean": fmean(row["values"]), "count": len(row["values"])} for row in table.to_pylist()]
    within = Measurements(catalog, scope.filters).within(found, _MEAN, scope.answers)
    # Where the number of videos is not known, one video has the widest interval there is.
    spans = [
        mean_over_seeds(row["values"], row["eval_videos"] or 1, within=known)
        for row, known in zip(found, within, strict=True)
    ]
    bounds = {
        "mean": [span.estimate for span in spans],
        "low": [span.low for span in spans],
        "high": [span.high for span in spans],
    }
    for name, numbers in bounds.items():
        table = table.append_column(name, pa.array(numbers, pa.float64()))
    table = with_within(table, _MEAN, within)
    if scope.source != "both":
        nothing = pa.nulls(table.num_rows, pa.float64())
        table = table.set_column(table.column_names.index("published_top1"), "published_top1", nothing)
    return with_intervals(table, PUBLISHED)


def draw_seeds(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw a line a model: small points are seeds, the large one their mean with its 95 % interval."""
    rows = table.to_pylist()[:SHOWN]
    if not rows:
        return empty_figure("No model has been trained with several seeds yet.", theme)
    figure = PlainFigure()
    for place, row in enumerate(rows):
        figure.add_trace(_points(row, place))
        figure.add_trace(_mean(row, place))
    stars = [(place, row) for place, row in enumerate(rows) if row["published_top1"] is not None]
    if stars:
        figure.add_trace(_stars(stars))
    styled(figure, 140 + 30 * len(rows), theme)
    figure.update_xaxes(title={"text": "top-1 (%), mean and 95 % interval", "standoff": 4}, showgrid=True)
    note(figure, f"intervals: {interval_source(_counted(rows), _MEAN)}")
    figure.update_yaxes(
        autorange="reversed",
        zeroline=False,
        tickmode="array",
        tickvals=list(range(len(rows))),
        ticktext=[mean_name(row) for row in rows],
        tickfont={"size": 11},
        showgrid=False,
    )
    figure.update_layout(margin={"t": 50}, showlegend=False)
    return figure.drawn()


def _counted(rows: list[Row]) -> list[Row]:
    return [{**row, "count": len(row["values"])} for row in rows]


def _points(row: Row, place: int) -> Trace:
    return scatter(
        x=row["values"],
        y=[place] * len(row["values"]),
        mode="markers",
        marker={"symbol": "line-ns-open", "size": 12, "color": module_colour(row["module"])},
        customdata=[hover(cell_name(row), f"seed {seed}") for seed in row["seeds"]],
        hovertemplate="%{customdata}: %{x:.2f} %<extra></extra>",
    )


def _mean(row: Row, place: int) -> Trace:
    return scatter(
        x=[row["mean"]],
        y=[place],
        error_x={
            "array": [row["high"] - row["mean"]],
            "arrayminus": [row["mean"] - row["low"]],
            "thickness": 2,
            "width": 5,
        },
        mode="markers",
        marker={
            "symbol": backbone_symbol(row["backbone"]),
            "size": 10,
            "color": module_colour(row["module"]),
        },
        **hovering([_about(row)]),
    )


def _stars(stars: list[tuple[int, Row]]) -> Trace:
    return scatter(
        x=[row["published_top1"] for _, row in stars],
        # Beside the mean: on its line one interval would cover the other.
        y=[place + _BESIDE for place, _ in stars],
        mode="markers",
        marker={
            "symbol": PUBLISHED_SYMBOL,
            "size": 11,
            "color": [module_colour(r["module"]) for _, r in stars],
        },
        error_x=error_bars([row for _, row in stars], "published_top1"),
        **hovering([hover(cell_name(row), in_words(row, PUBLISHED, "published")) for _, row in stars]),
    )


def _about(row: Row) -> str:
    count = len(row["values"])
    seeds = f"mean of {count} of {row['planned_seeds']} seeds: {row['mean']:.2f} %"
    interval = f" ({row['low']:.2f} to {row['high']:.2f})"
    return hover(mean_name(row), f"{seeds}{interval}")


def _stars_mean(rows: pa.Table) -> str:
    known = len(rows) > rows.column("published_top1").null_count
    return "Open stars are published results." if known else ""


FIGURE = Figure(
    name="seeds",
    title="Seeds averaged",
    data=seeds_data,
    draw=draw_seeds,
    finding=Finding(
        question="seeds",
        link="seeds",
        order=80,
        caption=(
            "Upright strokes are trainings with different seeds; the filled symbol is their mean with the "
            "95 % interval that videos and seeds allow."
        ),
        note=lambda answer: _stars_mean(answer.rows),
        narrowest=WITH_NAMES,
    ),
    exports=(Export("seeds", "seeds averaged", order=90),),
)
