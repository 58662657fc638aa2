"""Accuracy by class of one evaluation, with the interval that the number of videos allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.cells import cell_with_key
from catalog.queries.predictions import class_accuracies, confusion, leaders
from dashboards.figures.figure import Figure
from dashboards.figures.panels import Row, error_bars, hover, hovering, note
from dashboards.render.markup import Column, details, table
from dashboards.render.plain_figure import PlainFigure, scatter
from dashboards.render.theme import AUTO, MODULE_COLOURS, Theme, empty_figure, styled
from dashboards.render.uncertainty import Accuracy, in_words, with_intervals, with_telling_top5
from dashboards.statistics import interval_in_words

if TYPE_CHECKING:
    import pyarrow as pa

SHOWN = 40
"""Of more classes than this, the best and the worst half of them are drawn; the table has all."""


TOP1, TOP5 = Accuracy("top1", "videos"), Accuracy("top5", "videos")


def class_accuracy_data(catalog: Catalog, key: str, evaluation: str | None = None) -> pa.Table:
    """Return `class_accuracies` with top-5's interval too; without top-5 where there are few classes."""
    rows = with_telling_top5(class_accuracies(catalog, key, evaluation), _num_classes(catalog, key))
    return with_intervals(rows, *(one for one in (TOP5,) if one.name in rows.column_names))


def _num_classes(catalog: Catalog, key: str) -> int | None:
    rows = cell_with_key(catalog, key).to_pylist()
    return rows[0]["num_classes"] if rows else None


def draw_class_accuracy(found: pa.Table, theme: Theme = AUTO) -> go.Figure:
    """Draw a point a class with the 95 % interval of its number of videos, the best class on top."""
    rows = found.to_pylist()
    if not rows:
        return empty_figure("No predictions are known of this evaluation yet.", theme)
    shown = rows if len(rows) <= SHOWN else [*rows[: SHOWN // 2], *rows[-SHOWN // 2 :]]
    figure = PlainFigure(
        scatter(
            x=[row["top1"] for row in shown],
            y=list(range(len(shown))),
            error_x=error_bars(shown, "top1"),
            mode="markers",
            marker={"size": 8, "color": MODULE_COLOURS["tam"]},
            **hovering([_about(row) for row in shown]),
        )
    )
    styled(figure, 110 + 20 * len(shown), theme)
    figure.update_xaxes(
        title={"text": "top-1 (%), 95 % interval (videos)", "standoff": 4}, range=[-3, 103], showgrid=True
    )
    figure.update_yaxes(
        autorange="reversed",
        zeroline=False,
        tickmode="array",
        tickvals=list(range(len(shown))),
        ticktext=[_name(row) for row in shown],
        tickfont={"size": 11},
    )
    if len(shown) < len(rows):
        note(figure, f"the {SHOWN // 2} best and the {SHOWN // 2} worst of {len(rows)} classes")
        figure.add_hline(y=SHOWN // 2 - 0.5, line={"dash": "dot", "color": theme.line})
    return figure.drawn()


def report_section(catalog: Catalog, study: str | None) -> str:
    """The report's part of a study: accuracy by class of the best cell of each dataset; empty without any."""
    best: dict[str, Row] = {}
    for row in leaders(catalog, study).to_pylist():
        best.setdefault(row["dataset"], row)
    parts = [_of_best(catalog, row) for row in best.values()]
    return _HEADING + "".join(parts) if any(parts) else ""


def _of_best(catalog: Catalog, best: Row) -> str:
    rows = class_accuracy_data(catalog, best["key"]).to_pylist()
    if not rows:
        return ""
    taken: dict[int, tuple[int, str]] = {}
    for one in confusion(catalog, best["key"]).to_pylist():
        if one["label"] != one["predicted"]:
            said = one["predicted_class"] or f"class {one['predicted']}"
            taken[one["label"]] = max(taken.get(one["label"], (0, "")), (one["videos"], said))
    shown = [
        {
            **row,
            "name": row["class"] or f"class {row['label']}",
            "span": interval_in_words(row["top1_low"], row["top1_high"]),
            "taken": "{1} ({0})".format(*taken[row["label"]]) if row["label"] in taken else "",
        }
        for row in rows
    ]
    title = f"{best['cell']}, the best cell on {best['dataset']}: {len(rows)} classes, the best one first"
    return details(title, table(shown, _COLUMNS), open_=len(rows) <= SHOWN)


_COLUMNS = (
    Column("name", "class"),
    Column("videos", "videos", number=True),
    Column("correct", "correct", number=True),
    Column("top1", "top-1", number=True),
    Column("span", "95 %"),
    Column("taken", "most often taken for (videos)"),
)
_HEADING = (
    "<h3>Accuracy by class</h3><p>A class has few videos: look at its interval. Of twenty such intervals one "
    "leaves out the truth.</p>"
)


def _name(row: Row) -> str:
    name = row["class"] or f"class {row['label']}"
    return (name if len(name) <= 40 else name[:39] + "…").replace("<", "&lt;")


def _about(row: Row) -> str:
    lines = [in_words(row, TOP1)]
    # With five classes or fewer it would be 100 % whatever the model does.
    if "top5_low" in row:
        lines.append(in_words(row, TOP5, "top-5"))
    return hover(_name(row), *lines)


FIGURE = Figure(
    name="classes",
    title="Accuracy by class",
    data=lambda catalog, scope: class_accuracy_data(catalog, scope.keys[0], scope.evaluation),
    draw=draw_class_accuracy,
)
