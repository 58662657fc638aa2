"""Accuracy against the hours that it took, and the front of models that nothing cheaper beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.training import accuracies_by_hours
from dashboards.figures.axes import placed
from dashboards.figures.figure import EVERYTHING, Export, Figure, Scope
from dashboards.figures.measurements import means_with_intervals
from dashboards.figures.panels import (
    LEGEND,
    Row,
    backbone_keys,
    by_model,
    cost_unit,
    dataset_panels,
    error_bars,
    hover,
    hovering,
    interval_key,
    interval_source,
    key,
    model_name,
    module_keys,
)
from dashboards.render.plain_figure import Trace, scatter
from dashboards.render.theme import AUTO, NEUTRAL, Theme, backbone_symbol, empty_figure, module_colour, styled
from dashboards.render.uncertainty import MEAN, in_words

if TYPE_CHECKING:
    import pyarrow as pa


def cost_front_data(catalog: Catalog, scope: Scope = EVERYTHING) -> pa.Table:
    """Return one row a finished model and length: top-1 (percent), hours of its chain, whether on the front.

    A longer clip needs the shorter ones' weights, so that its hours include theirs. Seeds are averaged;
    `top1_low` and `top1_high` are the 95 % interval of the mean.
    """
    import pyarrow as pa

    filters = scope.filters
    # A chain's ancestors cost hours even where a filter hides them, so that filters apply afterwards.
    table = accuracies_by_hours(catalog, filters)
    rows = [row for row in table.to_pylist() if not filters.frames or row["frames"] in filters.frames]
    if filters.state and "done" not in filters.state:
        rows = []
    kind, _ = cost_unit(rows, "{}_hours")
    best = front(rows, f"{kind}_hours")
    found = [{**row, "on_front": place in best} for place, row in enumerate(rows)]
    whole = pa.Table.from_pylist(found, schema=table.schema.append(pa.field("on_front", pa.bool_())))
    return means_with_intervals(catalog, scope, whole)


def front(rows: list[Row], cost: str) -> set[int]:
    """Return the places of the rows that no row of their dataset beats at the same or a lower cost."""
    found: set[int] = set()
    best: dict[str, float] = {}
    order = sorted(range(len(rows)), key=lambda place: (rows[place][cost], -rows[place]["top1"]))
    for place in order:
        row = rows[place]
        if row["top1"] > best.get(row["dataset"], float("-inf")):
            best[row["dataset"]] = row["top1"]
            found.add(place)
    return found


def draw_cost_front(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw one panel a dataset: colour is the module, symbol the backbone, the line is the front.

    Filled symbols are on the front, open ones are not; bars of error are the accuracies' 95 % intervals.
    """
    rows = table.to_pylist()
    if not rows:
        return empty_figure("No cell has finished with an accuracy.", theme)
    kind, name = cost_unit(rows, "{}_hours")
    datasets = sorted({row["dataset"] for row in rows})
    figure = dataset_panels(datasets)
    for column, dataset in enumerate(datasets, start=1):
        here = sorted(
            (row for row in rows if row["dataset"] == dataset), key=lambda row: row[f"{kind}_hours"]
        )
        best = [row for row in here if row["on_front"]]
        line = scatter(
            x=[row[f"{kind}_hours"] for row in best],
            y=[row["top1"] for row in best],
            mode="lines",
            line={"shape": "hv", "color": NEUTRAL, "width": 1.5},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_trace(line, row=1, col=column)
        hours = f"{kind}_hours"
        here = placed(here, hours, span=max(row[hours] for row in here))
        for group in by_model(here):
            figure.add_trace(_points(group, kind, name), row=1, col=column)
    module_keys(figure, (row["module"] for row in rows))
    backbone_keys(figure, (row["backbone"] for row in rows))
    key(figure, "Pareto front of the means", "front", mode="lines", line={"color": NEUTRAL, "width": 1.5})
    interval_key(figure, interval_source(rows))
    styled(figure, 430, theme)
    figure.update_xaxes(title={"text": f"{name} of the chain", "standoff": 4}, rangemode="tozero")
    figure.update_yaxes(title="top-1 (%)", col=1)
    figure.update_layout(legend={**LEGEND, "y": -0.2})
    return figure.drawn()


def _points(rows: list[Row], kind: str, name: str) -> Trace:
    symbol, colour = backbone_symbol(rows[0]["backbone"]), module_colour(rows[0]["module"])
    return scatter(
        x=[row["place"] for row in rows],
        y=[row["top1"] for row in rows],
        mode="markers",
        marker={
            "symbol": [symbol if row["on_front"] else f"{symbol}-open" for row in rows],
            "size": 9,
            "color": colour,
        },
        error_y=error_bars(rows, "top1"),
        **hovering([_about(row, kind, name) for row in rows]),
        legendgroup=rows[0]["module"],
        showlegend=False,
    )


def _about(row: Row, kind: str, name: str) -> str:
    place = "on the front" if row["on_front"] else "a cheaper one has the same mean or a higher one"
    hours = f"{row[f'{kind}_hours']:.3g} {name}"
    return hover(model_name(row), in_words(row, MEAN), hours, place)


FIGURE = Figure(
    name="cost-front",
    title="Accuracy by hours",
    data=cost_front_data,
    draw=draw_cost_front,
    exports=(Export("front", "accuracy by hours", order=130, published=False),),
)
