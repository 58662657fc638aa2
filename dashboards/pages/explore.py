"""Explore: every finished cell over the axes that somebody chooses, groups of them, tags, notes, saved views.

All that is chosen stands in the address: `axes` are the columns of the drawing, `by` what groups are made by.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING, Any

from dash import html
from dash.development.base_component import Component

from catalog.names import axes_words
from catalog.queries.annotations import newest_notes, notes_about, saved_views, tags_about
from catalog.queries.filters import FilterError
from catalog.queries.overview import explored_experiments
from dashboards.figures.figure import Scope
from dashboards.figures.measurements import means_with_intervals
from dashboards.figures.parallel_coordinates import (
    METRICS,
    MOST_LINES,
    axes_of,
    axis_order,
    axis_title,
    axis_value,
    axis_word,
    draw_parallel,
    parallel_data,
    usual_axes,
)
from dashboards.pages.annotations import annotation_button, annotation_field, tags_and_notes
from dashboards.pages.blocks import Block, Column, Figure, Table, Text, message
from dashboards.pages.request import Address, PageRequest, cell_link, in_parallel, link, read_address

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

TITLE = "Explore"

_MOST_NOTES = 50
_USUAL_GROUPS = ("module",)
_APART = ("study", "dataset")
_MODEL = ("module", "backbone", "temporal_pooling", "frames")
_PIXELS_AN_AXIS = 105
_ABOUT_GROUPS = (
    "Top-1 in percent of the finished cells of today's plans. Seeds are averaged within their experiment; a "
    "row with several experiments is the mean of theirs, each counted once: it describes these cells of the "
    "grid and is no model's accuracy; groups with other cells missing are not alike. From … to: of one "
    "experiment its 95 % interval, of several the mean of their intervals, which says how well these cells "
    "are measured and nothing of cells that are not there (docs/statistics.md, section 8). What an axis "
    "changes, all else equal, Findings tells (effects). Studies, datasets, other axes, protocols have rows "
    "of their own: no mean runs over them."
)


def blocks(request: PageRequest) -> list[Block]:
    """Return what can be chosen, the drawing of the cells, their groups, saved views, notes."""
    table, experiments, views, notes = in_parallel(
        lambda: parallel_data(request.catalog, request.filters),
        lambda: _experiments(request),
        lambda: saved_views(request.catalog),
        lambda: newest_notes(request.catalog),
    )
    rows = table.to_pylist()
    columns = [*axes_of(rows), *METRICS]
    axes = [axis for axis in request.address.several("axes") if axis in columns] or usual_axes(rows)
    choices = [
        _toggles(request.address, "axes", "Columns", {one: axis_title(one) for one in columns}, axes),
        _toggles(request.address, "by", "Groups by", _group_names(rows), _by(request, rows)),
    ]
    return [
        Text("choices", html.Div(choices, className="choices")),
        Text("views", _views(request, views.to_pylist())),
        _drawing(request, table, axes),
        _groups(experiments, _by(request, rows)),
        Text("study", _study(request)),
        Text("written", _written(request, notes.to_pylist())),
    ]


def _experiments(request: PageRequest) -> pa.Table:
    by_seed = "seed" in request.address.several("by")
    table = explored_experiments(request.catalog, request.filters, by_seed=by_seed)
    return means_with_intervals(request.catalog, Scope(request.filters), table)


def _group_names(rows: Sequence[Row]) -> dict[str, str]:
    return {axis: axis_title(axis) for axis in axes_of(rows)}


def _by(request: PageRequest, rows: Sequence[Row]) -> list[str]:
    """The axes that groups are made by."""
    known = axes_of(rows)
    return [axis for axis in request.address.several("by") if axis in known] or [*_USUAL_GROUPS]


def _toggles(
    address: Address, name: str, title: str, options: Mapping[str, str], chosen: Sequence[str]
) -> Component:
    """Links that take a value into a list of the address, or out of it."""
    links = []
    for value, text in options.items():
        here = value in chosen
        new = [one for one in chosen if one != value] if here else [*chosen, value]
        current: dict[str, Any] = {"aria-current": "true"} if here else {}
        href = address.choosing(**{name: ",".join(new)}).href
        links.append(html.A(text, href=href, className="go option", **current))
    return html.Div([html.Span(title, className="soft"), *links], className="choice", role="group")


def _drawing(request: PageRequest, table: pa.Table, axes: Sequence[str]) -> Block:
    drawn, found = min(MOST_LINES, table.num_rows), table.num_rows
    lines = "Every line" if drawn == found else f"{drawn:,} of {found:,} lines, as if drawn by lot: each"
    caption = (
        f"{lines} is a finished cell of today's plans in its module's colour. Cells of one value are spread "
        "around it in the order of their top-1: none hides another. A click on a point opens the cell."
    )
    columns: dict[str, Column | str] = {
        "cell": Column("cell", make=lambda row: cell_link(request.address, row["key"], row["cell"])),
        "study": "study",
        "top1": "top-1",
        "top1_low": "from",
        "top1_high": "to",
        "eval_videos": "videos",
        "macs": "MACs",
        "params": "parameters",
        "hours": "hours",
        "tags": "tags",
    }
    return Figure(
        "cells",
        "Cells",
        draw_parallel(table, request.theme, axes),
        _plain(table),
        caption,
        columns=columns,
        narrowest=_PIXELS_AN_AXIS * len(axes),
    )


def _plain(table: pa.Table) -> pa.Table:
    """The table with the other axes as text: `recipe.lr=0.01`."""
    import pyarrow as pa

    place = table.column_names.index("other_axes")
    texts = [
        ", ".join(f"{axis}={text}" for axis, text in one or ()) for one in table["other_axes"].to_pylist()
    ]
    return table.set_column(place, "other_axes", pa.array(texts, pa.string()))


def _groups(experiments: pa.Table, by: Sequence[str]) -> Block:
    import pyarrow as pa

    rows = grouped(experiments.to_pylist(), by)
    axes = {name: axis_title(name) for name in (rows[0] if rows else ()) if name not in _SHOWN}
    columns: dict[str, Column | str] = {**axes, **_SHOWN}
    # Without rows nothing would say which columns there are.
    table = pa.Table.from_pylist(rows) if rows else pa.table({name: [] for name in columns})
    empty = "No cell has a result yet, or none passes the filters."
    return Table("groups", "Groups", table, columns, empty, _ABOUT_GROUPS, most=300)


_SHOWN: dict[str, Column | str] = {
    "what": "what the mean is",
    "top1": "mean top-1",
    "top1_low": "from",
    "top1_high": "to",
    "cells": "cells done",
    "planned": "of planned",
    "seeds": "seeds",
    "videos": "videos",
}


def grouped(experiments: Sequence[Row], by: Sequence[str]) -> list[Row]:
    """Return one row a group of experiments: its axes as text, the mean top-1 with its interval, counts.

    Whatever `by` says, experiments of other studies, datasets, other axes and protocols stand apart; those of
    these that vary are columns too.
    """
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in sorted(experiments, key=partial(_place, by)):
        place = (*(axis_value(row, axis) for axis in by), *(row[name] for name in _APART))
        groups.setdefault((*place, str(row["other_axes"] or ""), row["measure"]), []).append(row)
    found = [rows for rows in groups.values() if any(row["seeds"] for row in rows)]
    texts: dict[str, Callable[[Row], str]] = {
        **{name: partial(_word, name) for name in _APART if name not in by},
        "other axes": partial(_others, by),
        "measured": _measured,
    }
    apart = {name: text for name, text in texts.items() if len({text(rows[0]) for rows in found}) > 1}
    return [
        {
            **{axis: axis_word(axis, axis_value(rows[0], axis)) for axis in by},
            **{name: text(rows[0]) for name, text in apart.items()},
            **_mean(rows),
        }
        for rows in found
    ]


def _place(by: Sequence[str], row: Row) -> tuple[Any, ...]:
    return tuple(axis_order(axis, axis_value(row, axis)) for axis in (*by, *_APART))


def _word(axis: str, row: Row) -> str:
    return axis_word(axis, row[axis])


def _others(by: Sequence[str], row: Row) -> str:
    named = [(axis, text) for axis, text in row["other_axes"] or () if axis not in by]
    return axes_words(named)


def _measured(row: Row) -> str:
    how = row["protocol"]
    views = f"{how['sampling']} {how['clips']} × {how['crops']} at {how['crop_size']} px"
    return f"{views}, {row['checkpoint']} epoch, {row['eval_videos'] or '?'} videos"


def _mean(rows: Sequence[Row]) -> Row:
    """The mean over experiments that have a result, and its interval: the means of theirs."""
    done = [row for row in rows if row["seeds"]]
    models = len({tuple(row[name] for name in _MODEL) for row in done})
    several = f"mean of {len(done)} experiments" if models == 1 else f"descriptive mean of {models} models"
    seeds = sorted({row["seeds"] for row in done})
    known = all(row["top1_low"] is not None for row in done)
    return {
        "what": "one experiment" if len(done) == 1 else several,
        "top1": fmean(row["top1"] for row in done),
        "top1_low": fmean(row["top1_low"] for row in done) if known else None,
        "top1_high": fmean(row["top1_high"] for row in done) if known else None,
        "cells": sum(row["seeds"] for row in done),
        "planned": sum(row["planned"] for row in rows),
        "seeds": str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}",
        "videos": done[0]["eval_videos"],
    }


def _views(request: PageRequest, views: Sequence[Row]) -> Component:
    """Links to the saved views, and where somebody may write, a field to name what is shown now."""
    links: list[Component | str] = []
    for row in views:
        try:
            address = read_address(request.address.page, row["search"])
        except FilterError:
            continue  # of another version
        links += [link(row["view"], address), " "]
        if request.acts:
            links += [annotation_button("unsave", row["view"], f"remove the view {row['view']}"), " "]
    field = annotation_field(
        "view-name", "Save this view as", annotation_button("save", "", "save this view", field="view-name")
    )
    if not links and not request.acts:
        return html.Section([])
    said = html.P(links) if links else message("No view has been saved yet.")
    return html.Section([html.H2("Saved views"), said, *([field] if request.acts else [])])


def _study(request: PageRequest) -> Component:
    """Tags and notes of the study, where the filters name one."""
    if len(request.filters.study) != 1:
        return html.Section([])
    (study,) = request.filters.study
    tags, notes = in_parallel(
        lambda: tags_about(request.catalog, "study", study),
        lambda: notes_about(request.catalog, "study", study),
    )
    return tags_and_notes(
        study,
        tags.to_pylist(),
        notes.to_pylist(),
        lambda tag: link(tag, request.address.tagged(tag)),
        writable=request.acts,
    )


def _written(request: PageRequest, notes: Sequence[Row]) -> Component:
    """The newest notes on cells and studies."""
    if not notes:
        return html.Section([])
    lines = [
        html.Li(
            [
                html.Span(f"{row['written']:%Y-%m-%d} {row['who']} on ", className="soft"),
                _subject(request, row),
                f": {row['text']}",
            ]
        )
        for row in notes[:_MOST_NOTES]
    ]
    return html.Section([html.H2("Notes"), html.Ul(lines)])


def _subject(request: PageRequest, row: Row) -> Component | str:
    if row["about"] == "study":
        return str(row["study"])
    return cell_link(request.address, row["key"], row["cell"] or row["key"])
