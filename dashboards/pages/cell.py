"""One cell: curves, attempts, lineage, evaluations, configuration; and the choice of cells by name."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from glob import escape
from typing import TYPE_CHECKING, Any

from dash import dcc, html
from dash.development.base_component import Component

from catalog.queries import cells
from catalog.queries.annotations import notes_about, tags_about
from catalog.queries.caveats import result_notes
from catalog.queries.predictions import classes_of_videos, confident_videos, confusion
from catalog.queries.training import attempts_at
from dashboards.figures.class_accuracy import class_accuracy_data, draw_class_accuracy
from dashboards.figures.confusion import (
    SPLITS,
    draw_confusion,
    evaluation_name,
    evaluation_words,
    reported_mark,
)
from dashboards.figures.curves import curves_data, draw_curves
from dashboards.figures.deciding_videos import (
    MISTAKES,
    first_problem,
    places_of,
    served_gallery,
    shown_of,
    video_text,
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
from dashboards.pages.request import (
    Address,
    PageRequest,
    cell_chooser,
    cell_link,
    cells_block,
    choice_links,
    in_parallel,
    link,
)
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
    "split": Column("videos of", lambda split: SPLITS[split]),
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
    shown = evaluation_words([row for row in measured if row["predictions"]])
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
    # What is not the number that everything else shows says so, also in the names of saved files.
    whose = "" if chosen == next(iter(shown)) else f": {shown[chosen]}"
    if matrix.num_rows == 0:
        text = "Its predictions are recorded, but their file cannot be read here."
        return [*blocks, Text("no-predictions", message(text))]
    return [
        *blocks,
        Text("evaluation-choice", choice_links(request.address, "evaluation", "Classes by", shown, chosen)),
        Figure(
            "confusion",
            f"Confusion{whose}",
            draw_confusion(matrix, request.theme),
            matrix,
            narrowest=560,
            about=cell["cell"] + whose,
        ),
        Figure(
            "classes",
            f"Accuracy by class{whose}",
            draw_class_accuracy(classes, request.theme),
            classes,
            about=cell["cell"] + whose,
        ),
        _videos(request, cell["key"], chosen),
    ]


def _videos(request: PageRequest, key: str, evaluation: str) -> Block:
    """The cell's most confident mistakes, or its right answers, or all, of one class or of all."""
    label, which = request.address.text("class") or None, request.address.choice("show", list(_SHOWN))
    rows, counted = in_parallel(
        lambda: confident_videos(request.catalog, key, evaluation, label, which),
        lambda: classes_of_videos(request.catalog, key, evaluation, which),
    )
    title, what, _ = _SHOWN[which]
    caption = f"{what} The frames are those of the first clip that it saw."
    offered = {which: name for which, (_, _, name) in _SHOWN.items()}
    choice = choice_links(request.address.choosing(videos=""), "show", "Show", offered, which)
    classes = counted.column("class").to_pylist()
    return films_block(request, "mistakes", (title, caption, choice), classes, {"": rows}, video_text)


_SHOWN = {
    "mistakes": (
        MISTAKES,
        "What it was surest of and wrong about, by the probability of the class that it said.",
        "mistakes",
    ),
    "right": (
        "Right answers, the surest first",
        "What it got right, by the probability of the class: what looks wrong here has a wrong label.",
        "right answers",
    ),
    "all": (
        "All videos, the surest first",
        "Right and wrong answers, by the probability of the class that it said.",
        "all",
    ),
}
"""By name in the address: title, caption, and the words of the link."""
_CLASSES_OFFERED = 24
_ON_A_PAGE = 12


def films_block(
    request: PageRequest,
    name: str,
    heading: tuple[str, str, Component | None],
    classes: Sequence[str],
    groups: Mapping[str, pa.Table],
    text: Callable[[Row], str],
) -> Block:
    """Return galleries of videos with their titles, twelve at a time; all rows of all groups as CSV.

    `heading` is title, caption, and links above those that choose a class. Of many classes the first are
    offered; the address takes any.
    """
    import pyarrow as pa

    title, caption, choice = heading
    rows = pa.concat_tables(groups.values())
    chosen = request.address.text("class")
    offered = list(dict.fromkeys([*filter(None, [chosen]), *classes[:_CLASSES_OFFERED]]))
    options = {"": "all", **{one: one for one in offered}}
    # Another choice begins with its first videos.
    begun = request.address.choosing(videos="")
    said: list[Component] = [html.H2(title), html.P(caption, className="caption"), *filter(None, [choice])]
    if len(options) > 1:
        said.append(choice_links(begun, "class", "Of class", options, chosen))
    pages = -(-max(one.num_rows for one in groups.values()) // _ON_A_PAGE) or 1
    turned = {("" if page == 0 else str(page + 1)): str(page + 1) for page in range(pages)}
    place = list(turned).index(request.address.choice("videos", list(turned)))
    films: list[Component] = []
    problem: str | None = None
    for group, whole in groups.items():
        found = whole.slice(place * _ON_A_PAGE, _ON_A_PAGE)
        places = places_of(request.catalog, found)
        problem = problem or first_problem(request.videos, places, found)
        count = shown_of(found, place * _ON_A_PAGE)
        films += [html.H3(f"{group}: {count}")] if group else [message(count)] if found.num_rows else []
        shown = served_gallery(found, text, request.videos, {} if problem else places)
        films.append(shown if found.num_rows else message("No more." if whole.num_rows else "None."))
    if pages > 1:
        films.append(_pages(begun, turned, place))
    said += [message(problem)] if problem else []
    return Text(name, html.Section([*said, *films]), rows if rows.num_rows else None)


def _pages(address: Address, turned: Mapping[str, str], place: int) -> Component:
    """Links to the pages beside the one at this place, the first and the last: of hundreds not all."""
    last = len(turned) - 1
    near = {
        value: text
        for at, (value, text) in enumerate(turned.items())
        if at in (0, last) or abs(at - place) <= _NEAR
    }
    return choice_links(address, "videos", f"Page {place + 1} of {last + 1}", near, list(turned)[place])


_NEAR = 3


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
    return evaluation_name(row["evaluation"]) + reported_mark(row)
