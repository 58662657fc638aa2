"""The grid of cells, models by datasets and lengths: state, accuracy or difference to published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import plotly.graph_objects as go
from plotly.colors import get_colorscale

from catalog import Catalog
from catalog.names import label
from catalog.queries.filters import ALL, STATES, Filters, Source, rows_of
from catalog.queries.overview import grid_positions
from dashboards.figures.figure import Choice, Export, Figure, has_own
from dashboards.figures.panels import Row, hover
from dashboards.render.plain_figure import PlainFigure, heatmap
from dashboards.render.theme import (
    AUTO,
    DIVERGING,
    MAGNITUDE,
    STATE_COLOURS,
    Theme,
    cell_name,
    empty_figure,
    module_order,
    styled,
)
from dashboards.render.uncertainty import (
    PUBLISHED,
    Accuracy,
    in_words,
    interval,
    with_difference_to_published,
    with_intervals,
)
from dashboards.statistics import accuracy_in_words, interval_in_words

if TYPE_CHECKING:
    import pyarrow as pa

Value = Literal["state", "accuracy", "difference"]
VALUES = {"state": "state", "accuracy": "top-1", "difference": "difference to published"}
"""What the colours and words of a field can show, and its name."""

UNDEFINED = "top-1 is not a number: the training diverged"

_ORDER = ("failed", "running", "blocked", "planned", "done")
"""Which state a position shows that has several cells: the one that asks for attention most."""

_NOTHING = {
    "state": "No cell has been planned yet.",
    "accuracy": "No cell has finished with an accuracy.",
    "difference": "No finished cell has a published counterpart.",
}

TOP1 = Accuracy("top1", "eval_videos", "results", "top1_std")
"""A position's accuracy: the mean over the seeds that are done."""


def grid_data(catalog: Catalog, filters: Filters = ALL, source: Source = "own") -> pa.Table:
    """Return `grid_positions` with the 95 % intervals of top-1 (percent) and of the difference (points)."""
    table = with_intervals(grid_positions(catalog, filters, source), TOP1)
    return with_difference_to_published(table, TOP1)


def state_of(row: Row) -> str | None:
    """Return the state that a position shows; None where no cell is planned."""
    return next((state for state in _ORDER if row[state]), None)


def draw_grid(table: pa.Table, theme: Theme = AUTO, value: Value = "state") -> go.Figure:
    """Draw the grid as coloured fields with words; a click finds [hover, key, cell] in `customdata`."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure("No cell has been planned yet.", theme)
    if all(_number(row, value) is None for row in rows):
        return empty_figure(_NOTHING[value], theme)
    columns = sorted({(row["dataset"], row["frames"]) for row in rows})
    models = models_of(rows)
    places = {(model_of(row), (row["dataset"], row["frames"])): row for row in rows}
    found = [[places.get((model, column)) for column in columns] for model in models]
    figure = PlainFigure(
        heatmap(
            x=[[label(dataset) for dataset, _ in columns], [f"f{frames}" for _, frames in columns]],
            y=[f"{name_of(model)} " for model in models],
            z=[[None if row is None else _number(row, value) for row in line] for line in found],
            text=[["" if row is None else _text(row, value) for row in line] for line in found],
            customdata=[[_custom(row) for row in line] for line in found],
            texttemplate="%{text}",
            textfont={"size": 11},
            hovertemplate="%{customdata[0]}<extra></extra>",
            hoverongaps=False,
            xgap=2,
            ygap=2,
            **_scale(rows, value),
        )
    )
    styled(figure, 110 + 26 * len(models), theme)
    figure.update_xaxes(side="top", showline=False, dividercolor=theme.grid, tickfont={"size": 11}, ticks="")
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"size": 11}, ticks="")
    figure.update_layout(margin={"t": 64, "b": 12})
    return figure.drawn()


def accuracies_text(row: Row) -> str:
    """Return a position's accuracy, or those of its experiments side by side: `60.0 | 20.0`."""
    return " | ".join(f"{one['top1']:.1f}" for one in row["experiments"] or ())


def experiment_lines(row: Row) -> list[str]:
    """Return a line for each of several experiments at one position: what differs, and its mean."""
    found = row["experiments"] or []
    return [f"{one['variant']}: {_of_experiment(one)}" for one in (found if len(found) > 1 else ())]


def _of_experiment(one: Row) -> str:
    bounds = interval(one["top1"], one["eval_videos"], one["seeds"], one["top1_std"])
    about = f"{one['seeds']} seed{'s' * (one['seeds'] > 1)}"
    return f"top-1 {accuracy_in_words(one['top1'], bounds, about)}"


def not_comparable(row: Row) -> str:
    """Return why a position's accuracy is not compared with the published one; empty where it is."""
    return f" – not comparable: {row['differs']}" if row["differs"] else ""


def duration(seconds: float) -> str:
    """Return a rough time that people read at a glance: `50 s`, `12 min`, `3.5 h`, `2.1 d`."""
    for size, unit, digits in ((86_400, "d", 1), (3600, "h", 1), (60, "min", 0)):
        if seconds >= size:
            return f"{seconds / size:.{digits}f} {unit}"
    return f"{seconds:.0f} s"


Model = tuple[str, str, bool, str]
"""A row of the grid: module, backbone, temporal pooling, and the values of other axes."""


def model_of(row: Row) -> Model:
    """Return the grid's row that a position stands in."""
    return row["module"], row["backbone"], row["temporal_pooling"], row["other_axes"]


def models_of(rows: list[Row]) -> list[Model]:
    """Return the grid's rows in their order."""
    return sorted({model_of(row) for row in rows}, key=lambda model: (module_order(model[0]), model[1:]))


def name_of(model: Model) -> str:
    """Return the name of a row of the grid: `TSN-ResNet50-tp lr 0.01`."""
    module, backbone, pooled, others = model
    beside = f" {others}" if others else ""
    return f"{label(module)}-{label(backbone)}{'-tp' if pooled else ''}{beside}"


def _number(row: Row, value: Value) -> float | None:
    number: float | None
    if value == "state":
        state = state_of(row)
        number = None if state is None else STATES.index(state)
    elif value == "accuracy":
        number = row["top1"] if row["cells"] else row["published_top1"]
    else:
        number = row["difference"]
    return number


def _text(row: Row, value: Value) -> str:
    if value == "difference" and row["difference"] is not None:
        return f"{row['difference']:+.1f}"
    if value == "accuracy" and (accuracies := accuracies_text(row)):
        return accuracies
    if value != "difference" and not row["cells"]:
        return f"({row['published_top1']:.1f})" if value == "accuracy" else ""
    state = state_of(row)
    if row["cells"] > 1:
        count = f"{row['done']}/{row['cells']}"
        return f"{count} done" if state == "done" else f"{count}, {state}"
    if state == "running" and row["epoch"] is not None:
        left = "" if row["eta_seconds"] is None else f" {duration(row['eta_seconds'])}"
        return f"{row['epoch']}/{row['epochs'] or '?'}{left}"
    return state or ""


def _custom(row: Row | None) -> list[str]:
    return ["", "", ""] if row is None else [_about(row), row["key"] or "", row["cell"] or ""]


def _about(row: Row) -> str:
    lines = [cell_name(row)]
    if row["cells"] == 1:
        lines.append(str(state_of(row)))
    elif row["cells"]:
        lines.append(", ".join(f"{row[state]} {state}" for state in STATES if row[state]))
    if row["running"] and row["epoch"] is not None:
        left = "" if row["eta_seconds"] is None else f", about {duration(row['eta_seconds'])} left"
        lines.append(f"epoch {row['epoch']} of {row['epochs'] or '?'}{left}")
    if row["blocked"] and row["blocked_by"]:
        lines.append(f"blocked by {row['blocked_by']}")
    if row["failed"] and row["reason"]:
        lines.append(str(row["reason"])[:120].replace("<", "&lt;"))
    if row["top1"] is not None:
        lines.append(in_words(row, TOP1))
    elif row["done"] and not row["experiments"]:
        lines.append(UNDEFINED)
    lines += experiment_lines(row)
    if row["published_top1"] is not None:
        beside = f"{difference_text(row)}{not_comparable(row)}"
        lines.append(f"{in_words(row, PUBLISHED, 'published')}{beside}")
    return hover(*lines)


def difference_text(row: Row) -> str:
    """Return how far one's own accuracy is from the published one, with the interval; empty without both."""
    if row["difference"] is None:
        return ""
    span = interval_in_words(row["difference_low"], row["difference_high"], signed=True)
    return f" (own − published {row['difference']:+.2f} points{f', {span}' if span else ''})"


def _scale(rows: list[Row], value: Value) -> dict[str, Any]:
    if value == "state":
        steps = [(edge, STATE_COLOURS[state]) for state, *edges in _edges() for edge in edges]
        return {"colorscale": steps, "zmin": -0.5, "zmax": len(STATES) - 0.5, "showscale": False}
    if value == "accuracy":
        return {
            "colorscale": get_colorscale(MAGNITUDE),
            "colorbar": {"title": {"text": "top-1 (%)"}, "thickness": 12},
        }
    largest = max([1.0, *(abs(row["difference"]) for row in rows if row["difference"] is not None)])
    bar = {"title": {"text": "own −<br>published"}, "thickness": 12}
    return {"colorscale": DIVERGING, "zmin": -largest, "zmax": largest, "colorbar": bar}


def _edges() -> list[tuple[str, float, float]]:
    count = len(STATES)
    return [(state, place / count, (place + 1) / count) for place, state in enumerate(STATES)]


def _usual(catalog: Catalog, filters: Filters) -> Source:
    """One's own, where they are of other datasets than the paper's: these would fill the picture, apart."""
    known = rows_of(catalog, "own_datasets", filters).column("identity")
    return "own" if has_own(catalog, filters) and known.null_count == len(known) else "both"


def _exported(source: Source, rows: pa.Table) -> Mapping[str, Any]:
    """Accuracies; of one's own cells the states before any has one."""
    states = source == "own" and rows.column("top1").null_count == rows.num_rows
    return {"value": "state" if states else "accuracy"}


FIGURE = Figure(
    name="grid-drawing",
    title="The grid",
    data=lambda catalog, scope: grid_data(catalog, scope.filters, scope.source),
    draw=draw_grid,
    choice=Choice("value", "Colour", VALUES),
    exports=(
        Export(
            "grid",
            "the grid",
            order=100,
            options=_exported,
            usual=_usual,
        ),
    ),
)
