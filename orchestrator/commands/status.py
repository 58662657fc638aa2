"""`actiongrid status`: states, progress, who trains what, failures and how to mend them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from catalog.storage.atomic import StorageError
from orchestrator.commands.common import (
    JsonOption,
    NotFoundError,
    StorageOption,
    command_line,
    existing_storage,
    wide_console,
)
from orchestrator.terminal.text import accuracy_text, held_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from catalog import Catalog
    from catalog.journal import Fault


def status(
    study: Annotated[str | None, typer.Argument(help="A study's name; default: all studies.")] = None,
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how far the studies of a storage are, what failed and how to go on."""
    from catalog import Catalog
    from catalog.queries.cells import progress_of_cells
    from orchestrator.coordination.drivers import held_by
    from orchestrator.coordination.requests import requested

    chosen = existing_storage(storage)
    with Catalog.open(chosen.root) as catalog:
        rows = progress_of_cells(catalog, study).to_pylist()
        commands = requested(catalog, rows)
        failed = {row["study"] for row in rows if row["state"] == "failed"}
        again = {name: _run_again(catalog, name, storage) for name in failed}
        faults = catalog.faults
    if study is not None and not rows:
        raise NotFoundError("no such study", study, "see actiongrid status, without a name")
    holders = held_by(chosen, {row["key"] for row in rows if row["state"] != "done"})
    for row in rows:
        row["held_by"] = holders.get(row.pop("key"))
        row["command"] = commands.get((row["study"], row["cell"]))
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not rows and faults:
        _tell_left_out(faults, command_line("catalog", "check", storage=storage), chosen.location)
        return
    if not rows:
        typer.echo("nothing here yet; start with: actiongrid run demo")
        return
    console = wide_console()
    # They come in the order of their studies' names.
    for name, own in itertools.groupby(rows, key=itemgetter("study")):
        _show_study(name, [*own], again.get(name), console, fitted=len(rows) <= _FITTED_ROWS)


def _tell_left_out(faults: Sequence[Fault], check: str, where: str) -> None:
    """Say that there is more than can be read.

    Raises:
        StorageError: a whole journal cannot be.
    """
    what = f"no study can be read: {len(faults)} journals or lines of them are left out"
    if any(fault.kind == "unreadable" for fault in faults):
        raise StorageError(what, where, f"see: {check}")
    typer.echo(f"{what}; see: {check}")


def _run_again(catalog: Catalog, study: str, storage: str | None) -> str:
    """The command that runs a study again, with the file that it was submitted from last."""
    from catalog.queries.cells import latest_study_file

    (file,) = latest_study_file(catalog, [study]).column("file").to_pylist()
    return command_line("run", file or study, storage=storage)


def _show_study(
    name: str, rows: list[dict[str, Any]], again: str | None, console: Console, *, fitted: bool
) -> None:
    states = [_state(row) for row in rows]
    by_state = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(sorted(states)))
    console.print(f"{name}: {by_state} of {len(rows)} cells", markup=False, highlight=False)
    texts = [
        (row["cell"], state, *_numbers(row, sure=fitted)) for row, state in zip(rows, states, strict=True)
    ]
    if not fitted:
        typer.echo("\n".join(_aligned([_HEAD, *texts])))
    else:
        table = Table(box=None, pad_edge=False)
        for column in _HEAD:
            table.add_column(column, justify="left" if column in _HEAD[:2] else "right")
        for text in texts:
            table.add_row(*text)
        console.print(table)
    for line in held_lines({row["cell"]: row["held_by"] for row in rows if row["held_by"]}):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    failed = [row for row in rows if row["state"] == "failed"]
    for row in failed:
        console.print(
            f"failed: {row['cell']}: {row['reason']}; log: {row['log']}", markup=False, soft_wrap=True
        )
    if failed:
        console.print(f"mend the cause, then: {again}", markup=False, soft_wrap=True)


def _aligned(texts: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """The rows as lines, the first two columns to the left."""
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    form = "  ".join(f"{{:{'<' if place < 2 else '>'}{width}}}" for place, width in enumerate(widths))
    return (form.format(*text).rstrip() for text in texts)


def _state(row: dict[str, Any]) -> str:
    """A cell's state in words; one that is said to run but that nobody holds has lost its driver."""
    if row["state"] == "running":
        return "running" if row["held_by"] else "interrupted"
    return str(row["command"] or row["state"])


_HEAD = ("cell", "state", "epoch", "training loss", "top-1", "clips/s")
_FITTED_ROWS = 1_000
"""More rows are neither fitted to the terminal nor given intervals: both take far longer than the answer."""


def _numbers(row: dict[str, Any], *, sure: bool) -> tuple[str, ...]:
    """The columns of a cell's newest epoch; empty where nothing is known yet. `sure`: with intervals."""
    top1 = _number(row["top1"], ".1f")
    if sure and row["top1"] is not None:
        top1 = accuracy_text(row["top1"], row["eval_videos"], 1)
    return (
        _number(row["epoch"], "d"),
        _number(row["train_loss"], ".3f"),
        top1,
        _number(row["clips_per_second"], ".0f"),
    )


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
