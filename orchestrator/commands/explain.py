"""`actiongrid explain`: a cell's state, key parts, lineage and cost, and what differs from other cells."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.names import count_text
from catalog.storage.layout import found_in
from orchestrator.commands.common import (
    JsonOption,
    NotFoundError,
    StorageOption,
    cell_state,
    evaluation_text,
    existing_storage,
)
from orchestrator.terminal.text import time_text

if TYPE_CHECKING:
    from catalog import Catalog
    from catalog.storage.storage import Storage
    from orchestrator.planning.measured import Measured


def explain(
    cell: Annotated[str, typer.Argument(help="A cell's name or the beginning of its key.")],
    storage: StorageOption = None,
    key: Annotated[bool, typer.Option("--key", help="Show all that the cell's key is made of.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show why a cell is as it is: state, reason, protocol, checkpoint, time, parents, what changed, cost."""
    from catalog import Catalog
    from catalog.queries.cells import cell_names, cells_named
    from catalog.queries.planner import epochs_so_far
    from orchestrator.coordination.drivers import held_by
    from orchestrator.evaluation.cells import no_such_cell
    from orchestrator.planning.measured import measured_rates

    chosen = existing_storage(storage)
    with Catalog.open(chosen.root) as catalog:
        rows = cells_named(catalog, cell).to_pylist()
        if not rows:
            what, where, hint = no_such_cell(cell, cell_names(catalog), chosen.root)
            raise NotFoundError(what, where, hint)
        measured, begun = measured_rates(catalog), epochs_so_far(catalog)
        holders = held_by(chosen, {row["key"] for row in rows if row["state"] != "done"})
        known = [{**row, "epoch": begun.get(row["key"]), "held_by": holders.get(row["key"])} for row in rows]
        found = [_describe(catalog, row, measured, chosen) for row in known]
    if as_json:
        typer.echo(json.dumps(found))
        return
    for one in found:
        typer.echo("\n".join(_lines(one, with_key=key)))


def _describe(catalog: Catalog, row: dict[str, Any], measured: Measured, storage: Storage) -> dict[str, Any]:
    from catalog.queries.annotations import notes_about, tags_about
    from catalog.queries.cells import (
        evaluations_of_cell,
        key_parts_of,
        lineage_of_cell,
    )
    from orchestrator.planning.explanation import (
        chosen_on_lines,
        first_weights,
        nearest_finished,
        rerun_cost,
        successor,
    )

    lineage = lineage_of_cell(catalog, row["key"]).to_pylist()
    oldest = key_parts_of(catalog, lineage[-1]["key"])
    epochs = json.loads(row["config"]).get("recipe", {}).get("epochs")
    return {
        "cell": row["cell"],
        "key": row["key"],
        "study": row["study"],
        "current": row["current"],
        "state": cell_state(row),
        "held_by": row["held_by"],
        "reason": row["reason"],
        "epoch": row["epoch"],
        "epochs": epochs,
        "checkpoint": _checkpoint(catalog, row["key"], storage),
        "attempts": _attempts(catalog, row),
        "lineage": lineage,
        "first_weights": first_weights(lineage, json.loads(oldest)),
        "chosen_on": chosen_on_lines(json.loads(row["key_parts"]), json.loads(row["config"])),
        "evaluations": evaluations_of_cell(catalog, row["key"]).to_pylist(),
        "superseded_by": successor(catalog, row),
        "nearest": nearest_finished(catalog, row),
        "rerun": rerun_cost(catalog, row, measured),
        "tags": tags_about(catalog, "cell", row["key"]).column("tag").to_pylist(),
        "notes": [
            {**note, "written": str(note["written"])}
            for note in notes_about(catalog, "cell", row["key"]).to_pylist()
        ],
        "plug_ins": json.loads(row["config"]).get("plug_ins", {}),
        "key_parts": json.loads(row["key_parts"]),
    }


_GOES_ON = "goes on from "
_BEGUN = {"planned": _GOES_ON, "interrupted": _GOES_ON, "failed": _GOES_ON, "running": ""}
"""How a state's epoch is told, of cells that have begun and are not finished."""


def _lines(one: dict[str, Any], *, with_key: bool) -> list[str]:
    """A cell in lines, what people ask for first; `with_key`: what its key is made of at the end."""
    older = "" if one["current"] else " (older plan)"
    why = f": {one['reason']}" if one["reason"] else ""
    if one["epoch"] and one["state"] in _BEGUN:
        why += f": {_BEGUN[one['state']]}epoch {one['epoch']} of {one['epochs'] or '?'}"
    said = [
        *(f"{row['level']} level: {evaluation_text(row)}" for row in one["evaluations"]),
        *_checkpoint_lines(one["checkpoint"]),
        *_time_lines(one["attempts"]),
        *(
            f"{'  ' * step['depth']}{step['cell']} ({step['key'][:12]}): {_top1(step)}"
            for step in one["lineage"]
        ),
        f"{'  ' * len(one['lineage'])}{one['first_weights']}",
        *one["chosen_on"],
        *(f"plug-in: {label}, {version}" for label, version in one["plug_ins"].items()),
        *_others_lines(one),
        *([f"tags: {', '.join(one['tags'])}"] if one["tags"] else []),
        *(f"note by {note['who']}, {note['written'][:10]}: {note['text']}" for note in one["notes"]),
        f"key {one['key']}{'' if with_key else '; --key shows what it is made of'}",
    ]
    if with_key:
        parts = (f"{name}: {json.dumps(value)}" for name, value in one["key_parts"].items())
        said += ["key parts:", *(f"  {part}" for part in parts)]
    return [
        f"{one['cell']} of study {one['study']}: {one['state']}{older}{why}",
        *(f"  {line}" for line in said),
    ]


def _attempts(catalog: Catalog, row: dict[str, Any]) -> list[dict[str, Any]]:
    """A cell's attempts; one without an end is interrupted where nobody holds the cell."""
    from catalog.queries.cells import attempts_of_cell

    found: list[dict[str, Any]] = attempts_of_cell(catalog, row["key"]).to_pylist()
    dead = "running" if row["held_by"] else "interrupted"
    return [{**one, "state": dead} if one["state"] == "running" else one for one in found]


def _checkpoint(catalog: Catalog, key: str, storage: Storage) -> dict[str, Any] | None:
    """The checkpoint that counts, with the place of its file in this storage, which may have been moved."""
    from catalog.queries.cells import checkpoint_of_cell

    found: dict[str, Any] | None = next(iter(checkpoint_of_cell(catalog, key).to_pylist()), None)
    if found is None or not found["file"]:
        return found
    return found | {"file": storage.named(found_in(storage.root, found["file"]))}


def _checkpoint_lines(found: dict[str, Any] | None) -> list[str]:
    if found is None or not found["file"]:
        return []
    return [f"checkpoint: {found['file']} ({found['checkpoint']}, epoch {found['epoch']})"]


def _time_lines(attempts: list[dict[str, Any]]) -> list[str]:
    """The wall time of all attempts, then each with its dates (UTC), and how it ended."""
    known = [one["seconds"] for one in attempts if one["seconds"] is not None]
    tries = count_text(len(attempts), "attempt")
    lines = [f"wall time: {time_text(sum(known))} in {tries}"] if known else []
    for one in attempts:
        dates = f"{one['started'][:19]} to {(one['ended'] or '?')[:19]} UTC"
        log = f"; log: {one['log']}" if one["log"] else ""
        error = f": {one['error']}{log}" if one["error"] else ""
        by = f"by {one['driver']} on {one['host']}"
        lines.append(f"attempt {one['attempt']} {by}, {dates}{_epochs(one)}: {one['state']}{error}")
    return lines


def _epochs(attempt: dict[str, Any]) -> str:
    """Which epochs an attempt trained, in words."""
    first, last = attempt["first_epoch"], attempt["last_epoch"]
    if first is None:
        return ""
    return f", epoch {first}" if first == last else f", epochs {first} to {last}"


def _others_lines(one: dict[str, Any]) -> list[str]:
    """What took the cell's place, which finished cell is nearest, and what a rerun would cost."""
    lines = []
    newer, other, cost = one["superseded_by"], one["nearest"], one["rerun"]
    if newer is not None:
        lines.append(f"superseded by {newer['key'][:12]} ({_top1(newer)}): {_changes(newer)}")
    if other is not None:
        name = "" if other["cell"] == one["cell"] else f"{other['cell']} "
        what = f"{name}{other['key'][:12]} of study {other['study']} ({_top1(other)})"
        lines.append(f"nearest finished cell {what}: {_changes(other)}")
    if cost is not None:
        lines.append(
            f"a rerun: {cost['flops']:.3g} FLOP, {cost['unit_hours']:.3g} {cost['unit']}-hours at "
            f"{cost['tflops']:.3g} TFLOP/s ({cost['rates'] if cost['rate_is_measured'] else 'assumed'})"
        )
    return lines


def _changes(other: dict[str, Any]) -> str:
    from orchestrator.planning.changes import Difference

    return ", ".join(str(Difference(**row)) for row in other["differences"]) or "no part of the key differs"


def _top1(row: Mapping[str, Any]) -> str:
    if row["top1"] is None:
        return "not done"
    from orchestrator.terminal.text import accuracy_text

    return f"top-1 {accuracy_text(row['top1'], row['eval_videos'])}"
