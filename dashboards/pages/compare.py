"""Cells side by side: how their configurations differ, their curves, and whether a difference is sure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from catalog.queries.caveats import result_notes
from catalog.queries.cells import cells_side_by_side
from catalog.queries.filters import Filters, rows_of
from catalog.queries.predictions import classes_of_videos, decided_differently
from catalog.queries.training import configuration_differences
from dashboards.figures.curves import curves_data, draw_curves
from dashboards.figures.deciding_videos import decided_text
from dashboards.figures.figure import Scope
from dashboards.figures.paired import class_differences, draw_paired, paired_data
from dashboards.figures.panels import WITH_NAMES
from dashboards.figures.seeds import draw_seeds, seeds_data
from dashboards.pages.blocks import Block, Column, Figure, Table, Text, message, notes_block, state
from dashboards.pages.cell import films_block
from dashboards.pages.request import PageRequest, cell_chooser, cell_link, cells_block, in_parallel
from dashboards.render.uncertainty import Accuracy, with_intervals

if TYPE_CHECKING:
    import pyarrow as pa

TITLE = "Compare"

MOST = 8
"""More cells than this cannot be told apart by colour."""

_AXES = ("dataset", "module", "backbone", "temporal_pooling", "frames")


def blocks(request: PageRequest) -> list[Block]:
    """Return the chosen cells beside each other; without any, a list to choose from."""
    wanted = request.address.several("cells")
    keys = wanted[:MOST]
    head: list[Block] = [Text("chooser", cell_chooser(request, "compare-choice", keys, several=True))]
    if len(wanted) > MOST:
        text = f"The first {MOST} cells are compared: more cannot be told apart by colour."
        head.append(Text("too-many", message(text)))
    if not keys:
        return [*head, Text("hint", message("Choose two cells or more.")), cells_block(request)]
    return [*head, *_compared(request, keys)]


def _compared(request: PageRequest, keys: Sequence[str]) -> list[Block]:
    table = cells_side_by_side(request.catalog, keys)
    table = with_intervals(table, Accuracy(), Accuracy("best_top1"))
    if table.num_rows == 0:
        return [Text("missing", message("None of these cells is in this storage.", "problem"))]
    columns: dict[str, Column | str] = {
        "cell": Column("cell", make=lambda row: cell_link(request.address, row["key"], row["cell"])),
        "state": Column("state", state),
        "top1": "top-1",
        "top1_low": "from",
        "top1_high": "to",
        "checkpoint": "of checkpoint",
        "best_top1": "best top-1",
        "best_top1_low": "from",
        "best_top1_high": "to",
        "eval_videos": "videos",
        "epochs": "epochs",
        "precision": "precision",
        "device": "device",
    }
    if any(table.column("superseded").to_pylist()):
        columns["superseded"] = "superseded"
    differences, curves, seeds, notes, *pairs = in_parallel(
        lambda: configuration_differences(request.catalog, keys),
        lambda: curves_data(request.catalog, keys),
        lambda: _seeds_data(request, table.to_pylist()),
        lambda: result_notes(request.catalog, keys),
        *([lambda: paired_data(request.catalog, keys)] if len(keys) > 1 else []),
    )
    return [
        Table("compared", "Cells", table, columns),
        notes_block(notes),
        _differences(differences),
        Figure("curves", "Curves", draw_curves(curves, request.theme), curves),
        # What speaks of the models comes before what speaks of single trainings.
        _seeds(request, seeds),
        *(_significance(request, one) for one in pairs),
        *([_classes(request, table), _decided(request, table)] if table.num_rows > 1 else []),
    ]


def _differences(table: pa.Table) -> Block:
    from pyarrow import compute

    several = table.num_columns > 3
    shown = table.filter(compute.field("differs")) if several else table
    names = {name: name for name in table.column_names if name != "differs"}
    title = "What differs in their configurations" if several else "Configuration"
    return Table("differences", title, shown, names, "Their configurations are the same.", most=300)


def _significance(request: PageRequest, table: pa.Table) -> Block:
    caption = (
        "Each line is about these two trainings, not about the models in general: another seed of the same "
        "model can give another answer. Differences in top-1 on the same evaluation videos, with Bonett and "
        "Price's interval; filled where McNemar's mid-p test, corrected for the number of pairs (Holm), is "
        "below 0.05."
    )
    title = "Paired significance: these two trainings, not the models in general"
    drawing = draw_paired(table, request.theme)
    return Figure("paired", title, drawing, table, caption, narrowest=WITH_NAMES)


def _classes(request: PageRequest, table: pa.Table) -> Block:
    """Accuracies of the first two cells by class, and how sure their differences are."""
    first, second = (row["cell"] for row in table.slice(0, 2).to_pylist())
    keys = table.column("key").to_pylist()
    rows = class_differences(request.catalog, (keys[0], keys[1]))
    columns: dict[str, Column | str] = {
        "class": "class",
        "videos": "videos",
        "first_top1": f"top-1 of {first}",
        "first_top1_low": "from",
        "first_top1_high": "to",
        "second_top1": f"top-1 of {second}",
        "second_top1_low": "from",
        "second_top1_high": "to",
        "difference": "difference (points)",
        "low": "from",
        "high": "to",
        "mid_p": "p alone",
        "holm": "p of all classes",
    }
    caption = (
        "The first two of these cells on the videos of each class, those classes first that are told apart "
        "best. Intervals are at 95 %, each by itself: of twenty classes that do not differ one looks as if "
        "it did. “p of all classes” is McNemar's mid-p corrected for their number (Holm): where it is below "
        "0.05, these two trainings differ on that class; of the models in general it says nothing."
    )
    empty = "No common predictions of these cells are known."
    return Table("classes", "Accuracy by class", rows, columns, empty, caption)


def _decided(request: PageRequest, table: pa.Table) -> Block:
    """The videos that one of the first two cells got right, and the other wrong."""
    (first, first_name), (second, second_name) = (
        (row["key"], row["cell"]) for row in table.slice(0, 2).to_pylist()
    )
    label = request.address.text("class") or None
    ask = partial(decided_differently, request.catalog, (first, second), label=label)
    right, wrong, *mistaken = in_parallel(
        partial(ask, first_right=True),
        partial(ask, first_right=False),
        *(partial(classes_of_videos, request.catalog, one) for one in (first, second)),
    )
    groups = {
        f"{first_name} right, {second_name} wrong": right,
        f"{second_name} right, {first_name} wrong": wrong,
    }
    caption = (
        "Videos on which the first two of these cells disagree: first those to whose class they give the "
        "most different probabilities. Below each: its class, what the first cell says against the second "
        "one. The frames are those of the first cell's first clip."
    )
    classes = list(dict.fromkeys(str(one) for rows in mistaken for one in rows.column("class").to_pylist()))
    return films_block(
        request, "decided", ("One right, the other wrong", caption, None), classes, groups, decided_text
    )


def _seeds_data(request: PageRequest, rows: list[dict[str, Any]]) -> pa.Table:
    """The experiments of the chosen cells with all their seeds."""
    import pyarrow as pa

    filters = Filters(**{name: tuple({row[name] for row in rows}) for name in _AXES})
    keys = {row["key"] for row in rows}
    planned = rows_of(request.catalog, "cell_accuracies", filters).to_pylist()
    chosen = {row["experiment"] for row in planned if row["key"] in keys}
    table = seeds_data(request.catalog, Scope(filters))
    kept = [row["experiment"] in chosen for row in table.to_pylist()]
    # An empty list alone would have no type.
    return table.filter(pa.array(kept, pa.bool_()))


def _seeds(request: PageRequest, table: pa.Table) -> Block:
    caption = (
        "These cells' experiments, averaged over all their seeds, with the 95 % intervals that videos and "
        "seeds allow: what can be said of the models."
    )
    return Figure(
        "seeds", "Seeds averaged", draw_seeds(table, request.theme), table, caption, narrowest=WITH_NAMES
    )
