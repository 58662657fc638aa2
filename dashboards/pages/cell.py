"""One cell: curves, attempts, lineage, evaluations, configuration; and the choice of cells by name."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from glob import escape
from typing import TYPE_CHECKING, Any

from dash import dcc, html
from dash.development.base_component import Component

from catalog import Catalog
from catalog.queries import cells
from catalog.queries.annotations import notes_about, tags_about
from catalog.queries.caveats import result_notes
from catalog.queries.cells import cells_to_choose, cells_with_words
from catalog.queries.filters import Filters
from catalog.queries.predictions import classes_with_mistakes, confident_mistakes, confusion
from catalog.queries.training import attempts_at
from dashboards.figures.class_accuracy import class_accuracy_data, draw_class_accuracy
from dashboards.figures.confusion import draw_confusion, evaluation_name
from dashboards.figures.curves import curves_data, draw_curves
from dashboards.figures.deciding_videos import (
    CLIP_ROUTE,
    MISTAKES,
    STRIP_ROUTE,
    Places,
    first_problem,
    gallery,
    mistake_text,
    places_of,
    route,
    shown_of,
)
from dashboards.figures.lineage import draw_lineage, lineage_data
from dashboards.figures.usage import draw_usage, usage_table
from dashboards.pages.annotations import tags_and_notes
from dashboards.pages.blocks import (
    RETRY,
    STEER,
    Block,
    Column,
    Figure,
    Table,
    Text,
    action_buttons,
    message,
    notes_block,
    state,
)
from dashboards.pages.request import PageRequest, cell_link, choice_links, in_parallel, link
from dashboards.render.uncertainty import Accuracy, with_intervals, with_telling_top5

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

TITLE = "Cell"

_USAGE = (
    "Of the training part of each epoch, all workers together: how long a worker waited for the loader, the "
    "cores that its processes kept busy, the greatest memory so far, and the mean length of the gradient "
    "that the optimiser saw, at every 16th step."
)
MOST_OPTIONS = 100
"""So many names are offered at a time: those that hold what was typed."""

_SPLITS = {"val": "validation", "train": "training"}
_MEASURED = (Accuracy("top1", "videos"), Accuracy("top5", "videos"))


_EVALUATION_COLUMNS: dict[str, Column | str] = {
    "evaluation": Column("evaluation", make=lambda row: html.Code(_evaluation_text(row))),
    "level": "level",
    "checkpoint": "checkpoint",
    "epoch": "epoch",
    "sampling": "sampling",
    "clips": "clips",
    "crops": "crops",
    "top1": "top-1",
    "top1_low": "from",
    "top1_high": "to",
    "top5": "top-5",
    "top5_low": "from",
    "top5_high": "to",
    "loss": "evaluation loss",
    "split": Column("videos of", lambda split: _SPLITS[split]),
    "videos": "videos",
    "precision": "precision",
    "device": "device",
    "measured": Column("measured (UTC)", lambda time: f"{time:%Y-%m-%d %H:%M}" if time else ""),
}


def blocks(request: PageRequest) -> list[Block]:
    """Return one cell; without one in the address, a list to choose from."""
    key = _key(request)
    head = Text("chooser", cell_chooser(request, "cell-choice", [key] if key else []))
    if not key:
        return [head, cells_block(request)]
    rows = cells.cell_with_key(request.catalog, key).to_pylist()
    if not rows:
        return [head, Text("missing", message(f"No cell has the key {key} in this storage.", "problem"))]
    return [head, *_cell(request, rows[0])]


def _key(request: PageRequest) -> str:
    name = request.address.text("name")
    if not name:
        return request.address.text("key")
    return cells.key_of_name(request.catalog, name) or name


def _cell(request: PageRequest, cell: Row) -> list[Block]:
    key = cell["key"]
    curves, lineage, tried, measured, files, notes, said, tags = in_parallel(
        lambda: curves_data(request.catalog, [key]),
        lambda: lineage_data(request.catalog, key),
        lambda: attempts_at(request.catalog, key),
        lambda: cells.measurements_of_cell(request.catalog, key),
        lambda: cells.latest_study_file(request.catalog, cell["studies"]),
        lambda: result_notes(request.catalog, [key]),
        lambda: notes_about(request.catalog, "cell", key),
        lambda: tags_about(request.catalog, "cell", key),
    )
    used = usage_table(curves)
    attempts: dict[str, Column | str] = {
        "attempt": "attempt",
        "state": Column("state", state),
        "started": Column("started (UTC)", lambda time: f"{time:%Y-%m-%d %H:%M:%S}" if time else ""),
        "seconds": "seconds",
        "host": "host",
        "driver": "driver",
        "error": "error",
        "log": "log",
    }
    return [
        Text("summary", _summary(request, cell)),
        Text(
            "annotations",
            tags_and_notes(
                key,
                tags.to_pylist(),
                said.to_pylist(),
                lambda tag: link(tag, request.address.tagged(tag)),
                writable=request.acts,
            ),
        ),
        notes_block(notes),
        Figure("curves", "Curves", draw_curves(curves, request.theme), curves, about=cell["cell"]),
        Figure("usage", "What it used", draw_usage(used, request.theme), used, _USAGE, about=cell["cell"]),
        Figure(
            "lineage",
            "Where its weights come from",
            draw_lineage(lineage, request.theme),
            lineage,
            note=_chain(request, lineage),
            narrowest=150 * (lineage.num_rows + 1),
            about=cell["cell"],
        ),
        Table("attempts", "Attempts", tried, attempts, "Not tried yet."),
        *_evaluations(request, cell, measured),
        Text("reproduce", _reproduce(request, cell, files.to_pylist()[0]["file"])),
        Text("configuration", _json("Configuration", cell["config"])),
        Text("key-parts", _json("What its key is made of", cell["key_parts"])),
    ]


def _summary(request: PageRequest, cell: Row) -> Component:
    facts: list[Component | str] = [state(cell["state"])]
    if cell["reason"]:
        facts += [" ", html.Span(cell["reason"], className="problem")]
    if cell["blocked_by"]:
        address = request.address.on("cell", name=cell["blocked_by"])
        facts += [" ", link("go to what blocks it", address)]
    studies = ", ".join(cell["studies"])
    older = "" if cell["current"] else " (an older plan)"
    lines = [
        html.H1(cell["cell"]),
        html.P(facts),
        html.P([f"study {studies}{older} · key ", html.Code(cell["key"])], className="soft"),
        *(
            html.P([f"plug-in: {label}, ", html.Code(version)], className="soft")
            for label, version in _config(cell).get("plug_ins", {}).items()
        ),
    ]
    if request.acts and cell["state"] != "done":
        actions = RETRY if cell["state"] == "failed" else STEER
        lines += [
            html.Div(action_buttons(study, escape(cell["cell"]), cell["cell"], actions), className="tools")
            for study in cell["studies"]
        ]
    return html.Div(lines)


def _config(cell: Row) -> dict[str, Any]:
    """What the cell was planned with."""
    fields: dict[str, Any] = json.loads(cell["config"] or "{}")
    return fields


def _chain(request: PageRequest, lineage: pa.Table) -> Component:
    rows = lineage.to_pylist()
    links = [cell_link(request.address, row["key"], row["cell"]) for row in rows]
    steps = [piece for one in links for piece in (one, " → ")][:-1]
    return html.P(["Chain: ", *steps], className="soft") if len(rows) > 1 else html.Span()


def _evaluations(request: PageRequest, cell: Row, table: pa.Table) -> list[Block]:
    # What the study reports stands first: the classes are its, as in `per_class_accuracy` and on Compare.
    measured = sorted(table.to_pylist(), key=lambda row: not row["reported"])
    shown = {row["evaluation"]: _evaluation_text(row) for row in measured if row["predictions"]}
    table = with_telling_top5(
        with_intervals(table, *_MEASURED), cell["num_classes"], ("top5", "top5_low", "top5_high")
    )
    columns = {name: _EVALUATION_COLUMNS[name] for name in _EVALUATION_COLUMNS if name in table.column_names}
    caption = "Accuracies in percent, each with its 95 % interval from the number of videos."
    blocks: list[Block] = [
        Table("evaluations", "Evaluations", table, columns, "It has not finished yet.", caption)
    ]
    if not shown:
        return blocks
    chosen = request.address.choice("evaluation", list(shown))
    matrix, classes = in_parallel(
        lambda: confusion(request.catalog, cell["key"], chosen),
        lambda: class_accuracy_data(request.catalog, cell["key"], chosen),
    )
    if matrix.num_rows == 0:
        text = "Its predictions are recorded, but their file cannot be read here."
        return [*blocks, Text("no-predictions", message(text))]
    return [
        *blocks,
        Text("evaluation-choice", choice_links(request.address, "evaluation", "Classes by", shown, chosen)),
        Figure(
            "confusion",
            "Confusion",
            draw_confusion(matrix, request.theme),
            matrix,
            narrowest=560,
            about=cell["cell"],
        ),
        Figure(
            "classes",
            "Accuracy by class",
            draw_class_accuracy(classes, request.theme),
            classes,
            about=cell["cell"],
        ),
        _mistakes(request, cell["key"], chosen),
    ]


def _mistakes(request: PageRequest, key: str, evaluation: str) -> Block:
    """The cell's most confident mistakes, of one class or of all."""
    label = request.address.text("class") or None
    rows, counted = in_parallel(
        lambda: confident_mistakes(request.catalog, key, evaluation, label),
        lambda: classes_with_mistakes(request.catalog, key, evaluation),
    )
    caption = (
        "What it was surest of and wrong about, by the probability of the class that it said. "
        "The frames are those of the first clip that it saw."
    )
    classes = counted.column("class").to_pylist()
    return films_block(request, "mistakes", (MISTAKES, caption), classes, {"": rows}, mistake_text)


_CLASSES_OFFERED = 24


def films_block(
    request: PageRequest,
    name: str,
    heading: tuple[str, str],
    classes: Sequence[str],
    groups: Mapping[str, pa.Table],
    text: Callable[[Row], str],
) -> Block:
    """Return galleries of videos with their titles, below links that choose a class; the first rows as CSV.

    `heading` is title and caption. Of many classes the first are offered; the address takes any.
    """
    title, caption = heading
    rows = next((one for one in groups.values() if one.num_rows), None)
    chosen = request.address.text("class")
    offered = list(dict.fromkeys([*filter(None, [chosen]), *classes[:_CLASSES_OFFERED]]))
    options = {"": "all", **{one: one for one in offered}}
    said: list[Component] = [html.H2(title), html.P(caption, className="caption")]
    if len(options) > 1:
        said.append(choice_links(request.address, "class", "Of class", options, chosen))
    films: list[Component] = []
    problem: str | None = None
    for group, found in groups.items():
        places = places_of(request.catalog, found)
        problem = problem or first_problem(request.videos, places, found)
        count = shown_of(found)
        films += [html.H3(f"{group}: {count}")] if group else [message(count)] if found.num_rows else []
        films.append(_films(request, found, text, {} if problem else places))
    said += [message(problem)] if problem else []
    return Text(name, html.Section([*said, *films]), rows)


def _films(request: PageRequest, rows: pa.Table, text: Callable[[Row], str], places: Places) -> Component:
    """A gallery with the pictures of those videos whose places are known."""
    if rows.num_rows == 0:
        return message("None.")

    def strip(row: Row) -> str | None:
        return route(STRIP_ROUTE, row) if row["index"] in places else None

    def clip(row: Row) -> str | None:
        place = places.get(row["index"])
        plays = place is not None and request.videos is not None and request.videos.plays(place)
        return route(CLIP_ROUTE, row) if plays else None

    return gallery(rows, text, strip, clip)


def _reproduce(request: PageRequest, cell: Row, file: str | None) -> Component:
    """The commands that train the cell again, in a storage of its own because nothing done is done twice."""
    study = shlex.quote(file or cell["study"])
    name = shlex.quote(cell["cell"])
    storage = shlex.quote(request.storage)
    imports = "".join(f" --import {package}" for package in _config(cell).get("imports", ()))
    lines = [
        f"actiongrid{imports} run {study} --storage reproduced",
        f"actiongrid explain {name} --storage reproduced",
        f"actiongrid explain {name} --storage {storage}",
    ]
    return html.Section(
        [
            html.H2("Make it again"),
            html.P(
                "The same study in a new storage trains the cell and its ancestors; both keys are equal "
                "where code, configuration and videos are.",
                className="caption",
            ),
            html.Pre("\n".join(lines), id="reproduce-command", tabIndex="0"),
            dcc.Clipboard(target_id="reproduce-command", title="copy the commands", className="copy"),
        ]
    )


def _json(title: str, text: str) -> Component:
    pretty = json.dumps(json.loads(text or "{}"), indent=2, ensure_ascii=False)
    return html.Section(html.Details([html.Summary(title), html.Pre(pretty, tabIndex="0")]))


def _evaluation_text(row: Mapping[str, Any]) -> str:
    return evaluation_name(row["evaluation"]) + (" (reported)" if row["reported"] else "")


def cell_chooser(request: PageRequest, name: str, keys: Sequence[str], *, several: bool = False) -> Component:
    """Return a field in which names of cells can be typed; `keys` are those chosen already."""
    title = "Cells" if several else "Cell"
    field = dcc.Dropdown(
        id={"kind": "cells", "name": name},
        options=cell_options(request.catalog, request.filters, "", keys),
        value=list(keys) if several else (keys[0] if keys else None),
        multi=several,
        placeholder="type a part of a cell's name",
        optionHeight="auto",
    )
    return html.Div([html.Label(title, htmlFor=name), field], className="chooser")


def cell_options(catalog: Catalog, filters: Filters, typed: str, keys: Sequence[str]) -> list[dict[str, str]]:
    """Return the cells whose name holds every word that was typed, and those chosen already."""
    rows = cells_with_words(catalog, filters, typed.split(), keys, MOST_OPTIONS).to_pylist()
    known = {row["key"] for row in rows}
    # The field takes away what it does not offer, and the address would change with it.
    rows += [{"cell": f"unknown cell {key}", "key": key} for key in keys if key not in known]
    return [
        {"label": row["cell"], "value": row["key"], "search": f"{row['cell']} {row['key']}"} for row in rows
    ]


def cells_block(request: PageRequest) -> Block:
    """Return the list of the cells that pass the filters."""
    table = with_intervals(cells_to_choose(request.catalog, request.filters), Accuracy())
    columns: dict[str, Column | str] = {
        "cell": Column("cell", make=lambda row: cell_link(request.address, row["key"], row["cell"])),
        "state": Column("state", state),
        "top1": "top-1",
        "top1_low": "from",
        "top1_high": "to",
        "eval_videos": "videos",
        "study": "study",
    }
    return Table(
        "cells", "Cells", table, columns, "No cell has been planned yet, or none passes the filters."
    )
