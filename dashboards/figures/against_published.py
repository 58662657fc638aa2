"""One's own accuracies against the published ones, with what the number of videos and the seeds allow."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.accuracies import differences_to_published
from dashboards.figures.axes import placed
from dashboards.figures.figure import EVERYTHING, Export, Figure, Finding, Scope, Section
from dashboards.figures.measurements import means_with_intervals
from dashboards.figures.panels import (
    LEGEND,
    Row,
    backbone_keys,
    by_model,
    dataset_panels,
    hover,
    hovering,
    interval_key,
    interval_source,
    key,
    model_name,
    module_keys,
)
from dashboards.render.markup import Column, signed
from dashboards.render.plain_figure import Trace, scatter
from dashboards.render.theme import AUTO, NEUTRAL, Theme, backbone_symbol, empty_figure, module_colour, styled
from dashboards.render.uncertainty import (
    MEAN,
    PUBLISHED,
    in_words,
    with_difference_to_published,
)

if TYPE_CHECKING:
    import pyarrow as pa


def against_published_data(catalog: Catalog, scope: Scope = EVERYTHING) -> pa.Table:
    """Return `differences_to_published` with all intervals, comparable rows first, `outside` ones of these.

    `low`, `high` and `outside` are as in the view `against_published`.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    table = means_with_intervals(catalog, scope, differences_to_published(catalog, scope.filters))
    table = with_difference_to_published(table, MEAN)
    low, high = (table.column(f"difference_{end}") for end in ("low", "high"))
    outside = pc.or_(pc.greater(low, 0.0), pc.less(high, 0.0))
    names = {"difference_low": "low", "difference_high": "high"}
    table = table.rename_columns(names).append_column(pa.field("outside", pa.bool_()), outside)
    # Sorting by two flags keeps the order of the query within each.
    flags = zip(*(table.column(name).to_pylist() for name in ("comparable", "outside")), strict=True)
    first = [(not comparable, not is_outside) for comparable, is_outside in flags]
    return table.take(pa.array(sorted(range(table.num_rows), key=first.__getitem__), pa.int64()))


def summary(table: pa.Table) -> str:
    """Return how many comparable models lie outside their interval, and why others are not compared."""
    everything = table.to_pylist()
    if not everything:
        return "No finished cell has a published counterpart."
    rows = [row for row in everything if row["comparable"]]
    return " ".join(filter(None, (_outside(rows), _left_out(everything))))


def _outside(rows: list[Row]) -> str:
    if not rows:
        return ""
    outside = sum(row["outside"] for row in rows)
    lie = f"{outside} of {len(rows)} comparable models lie" if len(rows) > 1 else f"{outside} of 1 model lies"
    seeds = " and the seeds allow" if any(row["seeds"] > 1 for row in rows) else " allows"
    return (
        f"{lie} outside the 95 % interval that the evaluation's size{seeds}. The intervals hold one by one, "
        f"and of one seed alone the training's own variance is not in them."
    )


def _left_out(rows: list[Row]) -> str:
    """How many models are not comparable, and what differs in most of them."""
    others = [row for row in rows if not row["comparable"]]
    if not others:
        return ""
    counts = Counter(word for row in others for word in row["differs"].split(", ") if ":" not in word)
    usual = ", ".join(word for word, _ in counts.most_common(4))
    noun = "model is" if len(others) == 1 else "models are"
    return f"{len(others)} {noun} not comparable and not drawn; they differ in: {usual}."


def draw_against_published(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw one panel a dataset: differences to published; filled where 0 is outside of the interval.

    What is not comparable is left out.
    """
    rows = [row for row in table.to_pylist() if row["comparable"]]
    if not rows:
        return empty_figure(summary(table), theme)
    datasets = sorted({row["dataset"] for row in rows})
    figure = dataset_panels(datasets)
    for column, dataset in enumerate(datasets, start=1):
        here = placed([row for row in rows if row["dataset"] == dataset], "published_top1")
        for line in by_model(here):
            figure.add_trace(_points(line), row=1, col=column)
    module_keys(figure, (row["module"] for row in rows))
    backbone_keys(figure, (row["backbone"] for row in rows))
    for name, symbol in (("outside the interval", "circle"), ("inside", "circle-open")):
        key(figure, name, name, mode="markers", marker={"symbol": symbol, "size": 9, "color": NEUTRAL})
    interval_key(figure, interval_source(rows, MEAN, PUBLISHED))
    styled(figure, 430, theme)
    figure.update_xaxes(title={"text": "published top-1 (%)", "standoff": 4})
    figure.update_yaxes(zeroline=True, zerolinewidth=2)
    figure.update_yaxes(title="own − published (points)", col=1)
    figure.update_layout(legend={**LEGEND, "y": -0.2})
    return figure.drawn()


def _points(rows: list[Row]) -> Trace:
    symbol, colour = backbone_symbol(rows[0]["backbone"]), module_colour(rows[0]["module"])
    return scatter(
        x=[row["place"] for row in rows],
        y=[row["difference"] for row in rows],
        error_y={
            "array": [row["high"] - row["difference"] for row in rows],
            "arrayminus": [row["difference"] - row["low"] for row in rows],
            "thickness": 1,
            "width": 2,
        },
        mode="markers",
        marker={
            "symbol": [symbol if row["outside"] else f"{symbol}-open" for row in rows],
            "size": 8,
            "color": colour,
        },
        **hovering([_about(row) for row in rows]),
        legendgroup=rows[0]["module"],
        showlegend=False,
    )


def _about(row: Row) -> str:
    return hover(
        model_name(row),
        in_words(row, MEAN, "own"),
        f"{in_words(row, PUBLISHED, 'published')} ({row['paper']})",
        f"difference {row['difference']:+.2f} ({row['low']:+.2f} to {row['high']:+.2f})",
        "outside the interval" if row["outside"] else "inside the interval",
        f"{row['checkpoint']} checkpoint; not stated in print: {row['not_stated']}",
        *([f"within the tolerances: {row['tolerated']}"] if row["tolerated"] else []),
    )


FIGURE = Figure(
    name="against-published",
    title="Own against published results",
    data=against_published_data,
    draw=draw_against_published,
    finding=Finding(
        question="published",
        link="yours against published",
        order=90,
        title="Yours against published",
        caption=(
            "Yours minus published, in points of top-1, with the 95 % interval that the number of evaluated "
            "videos (and the spread of the seeds) allows. Only what is comparable is drawn: the same "
            "dataset, videos, protocol, start and, within tolerances, recipe (table `comparison_tolerances`)."
        ),
        columns=(
            Column("cell", "cell"),
            Column("comparable", "comparable"),
            Column("differs", "differs in"),
            Column("outside", "outside", lambda outside: "outside" if outside else "inside"),
            Column("top1", "yours"),
            Column("top1_low", "from"),
            Column("top1_high", "to"),
            Column("published_top1", "published"),
            Column("published_top1_low", "from"),
            Column("published_top1_high", "to"),
            Column("difference", "difference"),
            Column("low", "from"),
            Column("high", "to"),
            Column("seeds", "seeds"),
            Column("checkpoint", "checkpoint"),
            Column("variant", "experiment"),
            Column("tolerated", "within tolerances"),
            Column("not_stated", "not stated in print"),
            Column("source_table", "source"),
            Column("source_row", "row"),
        ),
        note=lambda answer: summary(answer.rows),
    ),
    section=Section(
        order=70,
        title="Own against published results",
        caption=(
            "Own minus published top-1, in points, with the 95 % interval that the number of videos (and the "
            "spread of several seeds) allows. Filled symbols lie outside. Only what is comparable is drawn: "
            "the same dataset, videos, protocol, start and, within tolerances, recipe."
        ),
        columns=(
            Column("cell", "cell"),
            Column("top1", "own", number=True),
            Column("top1_low", "from", number=True),
            Column("top1_high", "to", number=True),
            Column("published_top1", "published", number=True),
            Column("published_top1_low", "from", number=True),
            Column("published_top1_high", "to", number=True),
            Column("difference", "difference", signed, number=True),
            Column("low", "from", signed, number=True),
            Column("high", "to", signed, number=True),
            Column("outside", "outside"),
            Column("comparable", "comparable"),
            Column("differs", "differs in", wrap=True),
            Column("eval_videos", "videos", number=True),
            Column("seeds", "seeds", number=True),
        ),
        remark=summary,
    ),
    exports=(Export("against", "own minus published", order=110, published=False),),
)
