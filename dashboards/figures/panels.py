"""What figures share: one panel a dataset, and a legend whose entries explain colours and symbols once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from catalog.names import label
from dashboards.render.comparison import SIGNIFICANT
from dashboards.render.markup import Column
from dashboards.render.plain_figure import PlainFigure, Trace, bar, scatter
from dashboards.render.theme import (
    MODULE_COLOURS,
    NEUTRAL,
    PUBLISHED_SYMBOL,
    Theme,
    backbone_symbol,
    mean_name,
    module_colour,
    module_order,
)
from dashboards.render.uncertainty import MEAN, Accuracy, bounds_of

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]
MODEL_COLUMNS = (
    Column("source", "source"),
    Column("dataset", "dataset", label),
    Column("module", "module", label),
    Column("backbone", "backbone", label),
)
"""What tells one model of a table from another, pooling and frames aside."""

WITH_NAMES = 560
"""Pixels below which a drawing with cells' names on an axis scrolls instead of shrinking."""

_BAR_DIGITS = 3
"""Decimals of bars of error, in points: a report has thousands of them."""

STRIPED_SYMBOL = "hash-open"
"""The symbol in legends that stands for striped bars."""

LEGEND: dict[str, Any] = {"orientation": "h", "yanchor": "top", "x": 0, "groupclick": "togglegroup"}


def dataset_panels(datasets: Sequence[str], beneath: Sequence[str] = ()) -> PlainFigure:
    """Return an empty figure with one panel a dataset, side by side; `beneath` each name may stand a line."""
    names = [label(name) for name in datasets]
    titles = [
        f"{name}<br><span style='font-size:11px'>{line}</span>" if line else name
        for name, line in zip_longest(names, beneath, fillvalue="")
    ]
    return PlainFigure(cols=len(datasets), titles=titles, horizontal_spacing=0.08)


def key(figure: PlainFigure, name: str, group: str, **style: Any) -> None:  # noqa: ANN401
    """Add a legend entry that draws nothing."""
    figure.add_trace(scatter(x=[None], y=[None], name=name, legendgroup=group, showlegend=True, **style))


def module_keys(figure: PlainFigure, modules: Iterable[str]) -> None:
    """Add a legend entry a module: its colour."""
    for module in sorted(set(modules), key=module_order):
        key(figure, label(module), module, mode="lines", line={"color": module_colour(module), "width": 4})


def backbone_keys(figure: PlainFigure, backbones: Iterable[str]) -> None:
    """Add a legend entry a backbone: its symbol; none where there is only one."""
    names = sorted(set(backbones))
    for name in names if len(names) > 1 else ():
        marker = {"symbol": backbone_symbol(name), "size": 9, "color": NEUTRAL}
        key(figure, label(name), f"backbone {name}", mode="markers", marker=marker)


def published_key(figure: PlainFigure) -> None:
    """Add the legend entry of published results: an open star."""
    marker = {"symbol": PUBLISHED_SYMBOL, "size": 10, "color": NEUTRAL}
    key(figure, "published", "published", mode="markers", marker=marker)


def beside_own(rows: pa.Table) -> pa.Table:
    """Return the rows, or none where all of them are published ones."""
    return rows if "own" in rows.column("source").to_pylist() else rows.slice(0, 0)


def published_as(rows: pa.Table, alone: str, beside: str = "Open stars") -> str:
    """Return how the published results among rows are drawn, in words; empty where there are none.

    They are `beside` where there are one's own too, and `alone` where there are none of these.
    """
    sources = set(rows.column("source").to_pylist())
    if "published" not in sources:
        return ""
    return f"{beside if 'own' in sources else alone} are published results."


def bar_source_keys(figure: PlainFigure, sources: Iterable[str]) -> None:
    """Add a legend entry a source of bars: full ones are one's own, striped ones published."""
    for name, symbol in (("own", "square"), ("published", STRIPED_SYMBOL)):
        if name in sources:
            key(figure, name, name, mode="markers", marker={"symbol": symbol, "size": 11, "color": NEUTRAL})


def error_bars(rows: Sequence[Row], name: str) -> dict[str, Any] | None:
    """Return Plotly's bars of error from the columns `{name}_low` and `_high`; None where all are empty."""
    bounds = [(row[name], row[f"{name}_low"], row[f"{name}_high"]) for row in rows]
    if all(None in one for one in bounds):
        return None
    return {
        "array": [None if None in one else round(one[2] - one[0], _BAR_DIGITS) for one in bounds],
        "arrayminus": [None if None in one else round(one[0] - one[1], _BAR_DIGITS) for one in bounds],
        "thickness": 1,
        "width": 2,
    }


def by_model(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows of each module and backbone, in the order of their first ones."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["module"], row["backbone"]), []).append(row)
    return [*groups.values()]


def differences_on_lines(rows: Sequence[Row], lines: Sequence[int], about: list[str], theme: Theme) -> Trace:
    """Return a point a row on its line, with the bar from `low` to `high` around its `difference`.

    It is filled where the difference is told from none, corrected for all of them (`holm`).
    """
    told = [row["holm"] < SIGNIFICANT for row in rows]
    return scatter(
        x=[row["difference"] for row in rows],
        y=[*lines],
        error_x={
            "array": [row["high"] - row["difference"] for row in rows],
            "arrayminus": [row["difference"] - row["low"] for row in rows],
            "thickness": 1.5,
            "width": 4,
            "color": theme.text,
        },
        mode="markers",
        marker={
            "size": 9,
            "symbol": ["circle" if one else "circle-open" for one in told],
            "color": [MODULE_COLOURS["tam"] if one else NEUTRAL for one in told],
        },
        **hovering(about),
        showlegend=False,
    )


def name_lines(figure: PlainFigure, names: Sequence[str]) -> None:
    """Give the lines of a figure of differences their names, the first one at the top."""
    figure.update_yaxes(
        zeroline=False,
        tickmode="array",
        tickvals=[*range(len(names))],
        ticktext=[""] * len(names),
        showgrid=False,
        range=[len(names) - 0.4, -0.6],
    )
    figure.update_yaxes(ticktext=[*names], tickfont={"size": 11}, col=1)


def model_name(row: Row) -> str:
    """Return a row's name with its seeds and what tells its experiment from others of this model."""
    return f"{mean_name(row)} ({row['variant']})" if row.get("variant") else mean_name(row)


def protocol_text(row: Row) -> str:
    """Return how a number was measured: `dense sampling at rate 2, 10 × 3 views of 256², last checkpoint`."""
    rate = f" at rate {row['sampling_rate']}" if row.get("sampling_rate") else ""
    size = f" of {row['crop_size']}²" if row.get("crop_size") else ""
    average = ", softmax averaged" if row.get("average") == "softmax" else ""
    checkpoint = f", {row['checkpoint']} checkpoint" if row.get("checkpoint") else ""
    views = f"{row['clips']} × {row['crops']} views{size}"
    return f"{row['sampling']} sampling{rate}, {views}{average}{checkpoint}"


def interval_bars(rows: Sequence[Row | None], accuracy: Accuracy = MEAN) -> Any:  # noqa: ANN401
    """Return the bars of the 95 % intervals of accuracies, from videos and seeds; None for none."""
    ends = [(None, None) if row is None else _away(row, accuracy) for row in rows]
    if all(end == (None, None) for end in ends):
        return None
    array, arrayminus = zip(*ends, strict=True)
    return {"array": [*array], "arrayminus": [*arrayminus], "thickness": 1, "width": 3}


def _away(row: Row, accuracy: Accuracy) -> tuple[float, float] | tuple[None, None]:
    """How far the interval's ends are above and below a row's accuracy."""
    span, value = bounds_of(row, accuracy), row[accuracy.name]
    if span is None:
        return None, None
    return round(span[1] - value, _BAR_DIGITS), round(value - span[0], _BAR_DIGITS)


def numbers_beyond(bars: Trace, numbers: Sequence[str], **text: Any) -> Trace:  # noqa: ANN401
    """Return the numbers of bars, beyond their bars of error: a trace at the same place, without colour.

    `bars` names its `offsetgroup`; `text` are further properties of the numbers.
    """
    none = {"array": [None] * len(numbers), "arrayminus": [None] * len(numbers)}
    spans = bars["error_y"] or none
    ends = [
        None if value is None else value + (up or 0.0) if value >= 0 else value - (down or 0.0)
        for value, up, down in zip(bars["y"], spans["array"], spans["arrayminus"], strict=True)
    ]
    return bar(
        x=bars["x"],
        y=ends,
        text=[*numbers],
        textposition="outside",
        constraintext="none",
        cliponaxis=False,
        marker={"color": "rgba(0,0,0,0)"},
        hoverinfo="skip",
        showlegend=False,
        offsetgroup=bars["offsetgroup"],
        legendgroup=bars.get("legendgroup", ""),
        **text,
    )


def kept_place(points: Trace) -> Trace:
    """Return a bar without a value that keeps the place of grouped points between bars.

    Plotly gives places to all bars first; the points would stand beyond the last of them.
    """
    return bar(
        x=points["x"],
        y=[None] * len(points["y"]),
        offsetgroup=points["offsetgroup"],
        hoverinfo="skip",
        showlegend=False,
    )


def interval_key(figure: PlainFigure, counted: str) -> None:
    """Add the legend entry of error bars, where the figure has any; `counted` as of `interval_source`."""
    if any((trace.get("error_y") or {}).get("array") for trace in figure.traces):
        marker = {"symbol": "line-ns-open", "size": 12, "color": NEUTRAL}
        text = f"95 % interval ({counted})"
        key(figure, text, "interval", mode="markers", marker=marker)


def interval_source(rows: Iterable[Row], *accuracies: Accuracy) -> str:
    """Return what the intervals of accuracies (else `MEAN`) count: `videos, seeds`, or of how many.

    `n = 20 videos, 2 seeds` where that is true of all of them.
    """
    counts = {
        (row[one.videos], (row[one.seeds] if one.seeds else None) or 1)
        for row in rows
        for one in accuracies or (MEAN,)
        if row[one.name] is not None and row[one.videos]
    }
    several = any(seeds > 1 for _, seeds in counts)
    if len(counts) != 1:
        return "videos, seeds" if several else "videos"
    ((videos, seeds),) = counts
    return f"n = {videos:,} videos" + (f", {seeds} seeds" if several else "")


def note(figure: PlainFigure, text: str) -> None:
    """Write a line below the title of a figure, at the top left."""
    figure.add_annotation(
        text=text,
        showarrow=False,
        xref="paper",
        yref="paper",
        x=0,
        y=1,
        yshift=24,
        xanchor="left",
        yanchor="bottom",
        align="left",
        font={"size": 12},
    )


def hover(name: str, *lines: str, beside: str = "") -> str:
    """Return the words of a point: its name in bold, what stands `beside` it, and a line for each text."""
    return "<br>".join([f"<b>{name}</b>{beside}", *lines])


def hovering(texts: Sequence[str | None]) -> dict[str, Any]:
    """Return the properties of a trace whose points say these texts, one each."""
    return {"customdata": list(texts), "hovertemplate": "%{customdata}<extra></extra>"}


def name_each_bar_once(figure: PlainFigure) -> None:
    """Show in the legend the first of all bars with one name, in whichever panel it stands."""
    seen: set[str] = set()
    for trace in figure.traces:
        if trace["type"] == "bar" and "name" in trace:
            trace["showlegend"] = trace["name"] not in seen
            seen.add(trace["name"])


def cost_unit(rows: Sequence[Row], column: str) -> tuple[str, str]:
    """Return `gpu` or `cpu`, whichever `column` (with a `{}` for it) has figures for, and the unit's name.

    GPU-hours count where any cell has GPUs, hours of CPU cores otherwise.
    """
    gpus = any(row[column.format("gpu")] for row in rows)
    return ("gpu", "GPU-hours") if gpus else ("cpu", "CPU-core-hours")
