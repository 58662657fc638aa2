"""Which classes a model takes for which: the confusion matrix of one evaluation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from plotly.colors import get_colorscale

from catalog.queries.predictions import confusion
from dashboards.figures.figure import Figure
from dashboards.figures.panels import Row, note
from dashboards.render.plain_figure import PlainFigure, heatmap
from dashboards.render.theme import AUTO, MAGNITUDE, Theme, empty_figure, styled
from dashboards.render.uncertainty import interval
from dashboards.statistics import interval_in_words

if TYPE_CHECKING:
    import pyarrow as pa

WRITTEN = 20
"""Up to so many classes numbers of videos stand in the fields; of up to `_WITH_TOTALS`, the class's too."""
_WITH_TOTALS = 8
SPLITS = {"val": "validation", "train": "training"}
"""What the two parts of a dataset are called."""
NAMED = 30
"""With more classes than this, their names stand only in the hover."""


def draw_confusion(table: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw the matrix: a row a true class, its colour the share of the class's videos in percent."""
    rows = table.to_pylist()
    if not rows:
        return empty_figure("No predictions are known of this evaluation yet.", theme)
    names = _names(rows)
    classes = sorted(names)
    counts = {(row["label"], row["predicted"]): row["videos"] for row in rows}
    totals: Counter[int] = Counter()
    for row in rows:
        totals[row["label"]] += row["videos"]
    shares = [
        [100 * counts.get((one, other), 0) / totals[one] if totals[one] else None for other in classes]
        for one in classes
    ]
    hovers = [
        [
            f"{names[one]} taken for {names[other]}<br>{_how_sure(counts.get((one, other), 0), totals[one])}"
            for other in classes
        ]
        for one in classes
    ]
    # Numbers as positions: two classes of one name stay apart.
    axis = {
        "tickmode": "array",
        "tickvals": list(range(len(classes))),
        "ticktext": [names[c] for c in classes],
    }
    written = [
        [_written(counts.get((one, other), 0), totals[one], len(classes)) for other in classes]
        for one in classes
    ]
    figure = PlainFigure(
        heatmap(
            text=written if len(classes) <= WRITTEN else None,
            texttemplate="%{text}" if len(classes) <= WRITTEN else None,
            z=shares,
            customdata=hovers,
            hovertemplate="%{customdata}: %{z:.1f} %<extra></extra>",
            colorscale=get_colorscale(MAGNITUDE),
            zmin=0,
            zmax=100,
            colorbar={"title": {"text": "% of class"}, "thickness": 12},
        )
    )
    named = len(classes) <= NAMED
    styled(figure, 480 if len(classes) <= 12 else 680, theme)
    note(figure, _title(rows[0], sum(totals.values())))
    ticks = axis if named else {"showticklabels": False}
    figure.update_xaxes(
        title={"text": "predicted class", "standoff": 8}, tickangle=-45, constrain="domain", **ticks
    )
    figure.update_yaxes(
        title={"text": "true class", "standoff": 8},
        autorange="reversed",
        # Equal sides, whatever the names beside them leave of the width.
        scaleanchor="x",
        constrain="domain",
        **ticks,
    )
    return figure.drawn()


def _written(count: int, videos: int, classes: int) -> str:
    """What stands in a field: `3/7`, the number alone where fields are narrow, nothing for none."""
    if not count:
        return ""
    return f"{count}/{videos}" if classes <= _WITH_TOTALS else str(count)


def _title(row: Row, videos: int) -> str:
    """Whose matrix it is: a picture outlives the page that it was saved from."""
    cell = str(row["cell"] or "").replace("<", "&lt;")
    return f"{cell}, {measured_on(row)}{_which(row['evaluation'])}, n = {videos:,} videos"


def _how_sure(count: int, videos: int) -> str:
    span = interval(100 * count / videos if videos else None, videos)
    return f"{count} of {videos} videos" + (f" ({interval_in_words(*span)} %)" if span else "")


def measured_on(row: Row) -> str:
    """Return what an evaluation measured: `validation videos, last checkpoint`."""
    return f"{SPLITS[row['split']]} videos, {row['checkpoint']} checkpoint"


def evaluation_name(evaluation: str) -> str:
    """Return the short name of an evaluation: `training:last`, or the first twelve digits of its identity."""
    return evaluation if ":" in evaluation else evaluation[:12]


def evaluation_words(rows: Sequence[Row]) -> dict[str, str]:
    """Return words for evaluations by their identities; with protocol or identity where they are alike."""
    words = [measured_on(row) for row in rows]
    protocols = [
        f"{row['sampling']}, {row['clips']} × {row['crops']} views, mean of {row['average']}" for row in rows
    ]
    told = [
        one if words.count(one) == 1 else f"{one}, {protocol}"
        for one, protocol in zip(words, protocols, strict=True)
    ]
    return {
        row["evaluation"]: (one if told.count(one) == 1 else f"{one}, {evaluation_name(row['evaluation'])}")
        + reported_mark(row)
        for row, one in zip(rows, told, strict=True)
    }


def reported_mark(row: Mapping[str, Any]) -> str:
    """Return what stands behind the evaluation that the cell's study reports."""
    return " (reported)" if row["reported"] else ""


def _which(evaluation: str) -> str:
    """What tells a further evaluation from others of the same videos and checkpoint."""
    return "" if ":" in evaluation else f" (evaluation {evaluation_name(evaluation)})"


def _names(rows: list[Row]) -> dict[int, str]:
    names: dict[int, str] = {}
    for row in rows:
        for number, name in ((row["label"], row["class"]), (row["predicted"], row["predicted_class"])):
            names[number] = _short(name) if name else f"class {number}"
    return names


def _short(name: str) -> str:
    return (name if len(name) <= 40 else name[:39] + "…").replace("<", "&lt;")


FIGURE = Figure(
    name="confusion",
    title="Confusion",
    data=lambda catalog, scope: confusion(catalog, scope.keys[0], scope.evaluation),
    draw=draw_confusion,
)
