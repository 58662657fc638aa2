"""One cell: its curves, attempts, lineage, evaluations, classes, configuration, and how to make it again."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from dash import dcc, html
from dash.development.base_component import Component

from catalog.queries.predictions import class_accuracies, confusion
from catalog.queries.training import attempts_at, epochs_of, lineage_of
from dashboards.figures.class_accuracy import draw_class_accuracy
from dashboards.figures.confusion import draw_confusion
from dashboards.figures.curves import draw_curves
from dashboards.figures.lineage import draw_lineage
from dashboards.pages.at_once import at_once
from dashboards.pages.blocks import Block, Column, Figure, Table, Text, message, state
from dashboards.pages.chooser import cells_block, chooser
from dashboards.pages.parts import cell_link, choice, link
from dashboards.pages.view import View

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]

TITLE = "Cell"

_CELL = """
    SELECT * EXCLUDE (log), list_sort(studies) AS studies FROM cells
    WHERE key = $key
"""
_CELL_BY_NAME = "SELECT key FROM cells WHERE cell = $name ORDER BY current DESC, study LIMIT 1"
_EVALUATIONS = """
    SELECT evaluation, level, measured_by, checkpoint, epoch, sampling, clips, crops, average, split, top1,
        top5, loss, videos, predictions, measured
    FROM evaluations WHERE key = $key ORDER BY measured, evaluation
"""
_STUDY_FILE = """
    SELECT arg_max(file, time) AS file FROM recorded.studies WHERE list_contains($studies, study)
"""
_EVALUATION_COLUMNS: dict[str, Column | str] = {
    "evaluation": Column("evaluation", lambda name: html.Code(_short(name))),
    "level": "level",
    "checkpoint": "checkpoint",
    "epoch": "epoch",
    "sampling": "sampling",
    "clips": "clips",
    "crops": "crops",
    "top1": "top-1",
    "top5": "top-5",
    "loss": "loss",
    "videos": "videos",
    "measured": Column("measured (UTC)", lambda time: f"{time:%Y-%m-%d %H:%M}" if time else ""),
}


def blocks(view: View) -> list[Block]:
    """Return one cell; without one in the address, a list to choose from."""
    key = _key(view)
    head = Text("chooser", chooser(view, "cell-choice", [key] if key else []))
    if not key:
        return [head, cells_block(view)]
    rows = view.catalog.query(_CELL, {"key": key}).to_pylist()
    if not rows:
        return [head, Text("missing", message(f"No cell has the key {key} in this storage.", "problem"))]
    return [head, *_cell(view, rows[0])]


def _key(view: View) -> str:
    name = view.address.text("name")
    if not name:
        return view.address.text("key")
    found = view.catalog.query(_CELL_BY_NAME, {"name": name}).column("key").to_pylist()
    return str(found[0]) if found else name


def _cell(view: View, cell: Row) -> list[Block]:
    key = cell["key"]
    curves, lineage, tried, measured, files = at_once(
        lambda: epochs_of(view.catalog, [key]),
        lambda: lineage_of(view.catalog, key),
        lambda: attempts_at(view.catalog, key),
        lambda: view.catalog.query(_EVALUATIONS, {"key": key}),
        lambda: view.catalog.query(_STUDY_FILE, {"studies": cell["studies"]}),
    )
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
        Text("summary", _summary(view, cell)),
        Figure("curves", "Curves", draw_curves(curves, view.theme), curves),
        Figure(
            "lineage",
            "Where its weights come from",
            draw_lineage(lineage, view.theme),
            lineage,
            note=_chain(view, lineage),
            narrowest=150 * (lineage.num_rows + 1),
        ),
        Table("attempts", "Attempts", tried, attempts, "Not tried yet."),
        *_evaluations(view, cell, measured),
        Text("reproduce", _reproduce(view, cell, files.to_pylist()[0]["file"])),
        Text("configuration", _json("Configuration", cell["config"])),
        Text("key-parts", _json("What its key is made of", cell["key_parts"])),
    ]


def _summary(view: View, cell: Row) -> Component:
    facts: list[Component | str] = [state(cell["state"])]
    if cell["reason"]:
        facts += [" ", html.Span(cell["reason"], className="problem")]
    if cell["blocked_by"]:
        address = view.address.on("cell", name=cell["blocked_by"])
        facts += [" ", link("go to what blocks it", address)]
    studies = ", ".join(cell["studies"])
    older = "" if cell["current"] else " (an older plan)"
    lines = [
        html.H1(cell["cell"]),
        html.P(facts),
        html.P([f"study {studies}{older} · key ", html.Code(cell["key"])], className="soft"),
    ]
    return html.Div(lines)


def _chain(view: View, lineage: pa.Table) -> Component:
    rows = lineage.to_pylist()
    links = [cell_link(view.address, row["key"], row["cell"]) for row in rows]
    steps = [piece for one in links for piece in (one, " → ")][:-1]
    return html.P(["Chain: ", *steps], className="soft") if len(rows) > 1 else html.Span()


def _evaluations(view: View, cell: Row, table: pa.Table) -> list[Block]:
    shown = [row["evaluation"] for row in table.to_pylist() if row["predictions"]]
    blocks: list[Block] = [
        Table("evaluations", "Evaluations", table, _EVALUATION_COLUMNS, "It has not finished yet.")
    ]
    if not shown:
        return blocks
    chosen = view.address.choice("evaluation", shown)
    matrix, classes = at_once(
        lambda: confusion(view.catalog, cell["key"], chosen),
        lambda: class_accuracies(view.catalog, cell["key"], chosen),
    )
    if matrix.num_rows == 0:
        text = "Its predictions are recorded, but their file cannot be read here."
        return [*blocks, Text("no-predictions", message(text))]
    names = {name: _short(name) for name in shown}
    return [
        *blocks,
        Text("evaluation-choice", choice(view.address, "evaluation", "Classes by", names, chosen)),
        Figure("confusion", "Confusion", draw_confusion(matrix, view.theme), matrix, narrowest=560),
        Figure("classes", "Accuracy by class", draw_class_accuracy(classes, view.theme), classes),
    ]


def _reproduce(view: View, cell: Row, file: str | None) -> Component:
    """The commands that train the cell again, in a storage of its own because nothing done is done twice."""
    study = shlex.quote(file or cell["study"])
    name = shlex.quote(cell["cell"])
    storage = shlex.quote(str(view.storage))
    lines = [
        f"actiongrid run {study} --storage reproduced",
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


def _short(evaluation: str) -> str:
    return evaluation if ":" in evaluation else evaluation[:12]
