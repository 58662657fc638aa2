"""`actiongrid status`: states, progress, who trains what, failures and how to mend them."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from catalog.names import count_text, seeds_text, to_go_text
from catalog.storage.atomic import StorageError
from orchestrator.commands.common import (
    JsonOption,
    NotFoundError,
    StorageOption,
    all_results,
    cell_state,
    command_line,
    existing_storage,
    run_again,
    without_collection,
    without_pandas,
)
from orchestrator.terminal.text import (
    accuracy_texts,
    aligned_columns,
    held_lines,
    terminal_width,
)

if TYPE_CHECKING:
    from catalog.journal import Fault


@without_collection()
@without_pandas()
def status(
    study: Annotated[str | None, typer.Argument(help="A study's name; default: all studies.")] = None,
    storage: StorageOption = None,
    cells: Annotated[
        bool, typer.Option("--cells", help="Every cell of large studies too, a line each.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how far the studies of a storage are, the time to go, the best so far, failures, how to go on.

    Of a study of more than 300 cells those that are done, planned or blocked are counted, not listed.
    """
    from catalog import Catalog
    from catalog.queries.cells import best_cells, counted_cells, progress_of_cells, time_left
    from orchestrator.coordination.drivers import held_by
    from orchestrator.coordination.requests import requested
    from orchestrator.planning.earlier import earlier_by_study

    chosen = existing_storage(storage)
    most = None if cells or as_json else _MOST_CELLS
    with Catalog.open(chosen.root) as catalog:
        rows = progress_of_cells(catalog, study, most).to_pylist()
        found = [] if most is None else counted_cells(catalog, study, most).to_pylist()
        counted = {row["study"]: Counted(row["cells"], row["epochs"]) for row in found}
        names = sorted({row["study"] for row in rows} | counted.keys())
        commands = requested(catalog, rows)
        best = [] if as_json else best_cells(catalog, study).to_pylist()
        left = {} if as_json else {row["study"]: row for row in time_left(catalog, study).to_pylist()}
        again = {name: run_again(catalog, name, storage) for name in names}
        earlier = {} if as_json else earlier_by_study(catalog, study, all_results(storage))
        faults = catalog.faults
    if study is not None and not names:
        raise NotFoundError("no such study", study, f"see: {command_line('status', storage=storage)}")
    holders = held_by(chosen, {row["key"] for row in rows if row["state"] != "done"})
    for row in rows:
        row["held_by"] = holders.get(row.pop("key"))
        row["command"] = commands.get((row["study"], row["cell"]))
    if as_json:
        typer.echo(json.dumps(rows))
        return
    if not names and faults:
        _tell_left_out(faults, command_line("catalog", "check", storage=storage), chosen.location)
        return
    if not names:
        typer.echo(f"nothing here yet; start with: {command_line('run', 'demo', storage=storage)}")
        return
    by_study = {name: tuple(own) for name, own in itertools.groupby(rows, key=itemgetter("study"))}
    for name in names:
        shown = StudyStatus(
            name,
            by_study.get(name, ()),
            tuple(row for row in best if row["study"] == name),
            left.get(name),
            again[name],
            earlier.get(name, ""),
            None if cells else command_line("status", name, "--cells", storage=storage),
            counted.get(name, Counted()),
        )
        typer.echo("\n".join(study_lines(shown, terminal_width(), sure=len(rows) <= _SURE_ROWS)))


def _tell_left_out(faults: Sequence[Fault], check: str, where: str) -> None:
    """Say that there is more than can be read.

    Raises:
        StorageError: a whole journal cannot be.
    """
    what = f"no study can be read: {count_text(len(faults), 'journal')} or lines of them left out"
    if any(fault.kind == "unreadable" for fault in faults):
        raise StorageError(what, where, f"see: {check}")
    typer.echo(f"{what}; see: {check}")


@dataclass(frozen=True)
class Counted:
    """Finished cells that are counted alone, and the epochs that they have together."""

    cells: int = 0
    epochs: int = 0


@dataclass(frozen=True)
class StudyStatus:
    """What is shown of a study: its cells in its own order, the best ones, the time `left`, how to run it.

    `earlier` is a line on results of the study as it was before, if there are any. `every` is the command
    that lists every cell of a large study; None: they are all listed. `counted` are not among the rows.
    """

    name: str
    rows: tuple[dict[str, Any], ...]
    best: tuple[dict[str, Any], ...] = ()
    left: dict[str, Any] | None = None
    again: str = ""
    earlier: str = ""
    every: str | None = None
    counted: Counted = Counted()


def study_lines(study: StudyStatus, width: int | None, *, sure: bool = True) -> list[str]:
    """A study in lines: counts, a bar with the time to go, the best so far, its cells, what failed."""
    states = [cell_state(row) for row in study.rows]
    count = Counter(states)
    count["done"] += study.counted.cells
    by_state = ", ".join(f"{count[state]} {state}" for state in sorted(count) if count[state])
    pairs = [*zip(study.rows, states, strict=True)]
    if study.every is not None and count.total() > _MOST_CELLS:
        pairs = [(row, state) for row, state in pairs if state not in _COUNTED_ONLY]
    top1 = _top1_texts([row for row, _ in pairs], sure=sure)
    rows = [
        [row["cell"], state, *_numbers(row, text)] for (row, state), text in zip(pairs, top1, strict=True)
    ]
    lines = [f"{study.name}: {by_state} of {count_text(count.total(), 'cell')}", _progress(study, states)]
    lines += _best_lines(study.best[:_MOST_BEST], several=len(study.best) > 1)
    lines += [study.earlier] if study.earlier else []
    lines += fitting_columns([[*_HEAD], *rows], width) if rows else []
    if more := count.total() - len(rows):
        lines.append(f"{count_text(more, 'cell')} done, planned or blocked, not listed: {study.every}")
    lines += goes_on_lines(study.rows, states)
    lines += held_lines({row["cell"]: row["held_by"] for row in study.rows if row["held_by"]})
    failed = [row for row in study.rows if row["state"] == "failed"]
    lines += [f"failed: {row['cell']}: {row['reason']}; log: {row['log']}" for row in failed]
    if failed:
        lines.append(f"mend the cause, then: {study.again}")
    elif "running" not in states and {"interrupted", "planned"} & set(states):
        lines.append(f"nobody runs it; go on with: {study.again}")
    return lines


def _progress(study: StudyStatus, states: Sequence[str]) -> str:
    """A bar of the epochs that are done, and the time to go."""
    from catalog.queries.cells import seconds_to_go

    share = _share(study.rows, study.counted)
    bar = f"[{'#' * round(_BAR * share):-<{_BAR}}] {100 * share:.0f} % of epochs done"
    if study.left is None:
        return bar
    running = states.count("running")
    if not running:
        return f"{bar}, not running"
    return f"{bar}, {to_go_text(seconds_to_go(study.left, running))}"


def _share(rows: Sequence[dict[str, Any]], counted: Counted) -> float:
    """The share of all cells' epochs that are trained; whole where all cells are done, and only there."""
    total = counted.epochs + sum(row["epochs"] or 1 for row in rows)
    done = counted.epochs + sum(_trained(row) for row in rows)
    whole = all(row["state"] == "done" for row in rows)
    return 1.0 if whole else min(done / total, _ALMOST)


def _trained(row: dict[str, Any]) -> int:
    epochs: int = row["epochs"] or 1
    return epochs if row["state"] == "done" else min(row["epoch"] or 0, epochs)


def goes_on_lines(rows: Sequence[dict[str, Any]], states: Sequence[str]) -> list[str]:
    """Where interrupted cells go on: of a few each by its name."""
    found = [row for row, state in zip(rows, states, strict=True) if state == "interrupted" and row["epoch"]]
    if len(found) > _NAMED:
        return [f"{len(found)} interrupted cells go on from the epochs shown"]
    return [f"{row['cell']} goes on from epoch {row['epoch']} of {row['epochs'] or '?'}" for row in found]


def _best_lines(best: Sequence[dict[str, Any]], *, several: bool) -> list[str]:
    lines = []
    accuracies = accuracy_texts([(row["top1"], row["eval_videos"]) for row in best], 1)
    for row, accuracy in zip(best, accuracies, strict=True):
        where = f" on {row['dataset']}" if several else ""
        ties = f" and {row['ties']} more with the same" if row["ties"] else ""
        seeds = seeds_text(row["of_seeds"])
        lines.append(f"best so far{where}: {row['cell']}{ties}, top-1 {accuracy}{seeds}")
    return lines


def fitting_columns(rows: list[list[str]], width: int | None) -> list[str]:
    """Rows in columns; those at the end are left out where a line would be too wide. No name is cut."""
    while True:
        lines = aligned_columns(rows)
        if width is None or max(map(len, lines)) <= width or len(rows[0]) <= _FEWEST_COLUMNS:
            return lines
        rows = [row[:-1] for row in rows]


_HEAD = ("cell", "state", "epoch", "top-1", "training loss", "clips/s")
_FEWEST_COLUMNS = 4
_BAR = 30
_ALMOST = 0.99
_MOST_CELLS = 300  # of a study, all listed: the paper's grid has 288
_COUNTED_ONLY = frozenset({"done", "planned", "blocked"})
_NAMED = 4  # interrupted cells
_MOST_BEST = 5  # datasets
_SURE_ROWS = 1_000
"""More rows are given no intervals: they take far longer than the answer."""


def _top1_texts(rows: Sequence[dict[str, Any]], *, sure: bool) -> list[str]:
    """The top-1 of cells' newest epochs; empty where it is not known yet. `sure`: with intervals."""
    if not sure:
        return [_number(row["top1"], ".1f") for row in rows]
    texts = accuracy_texts([(row["top1"], row["eval_videos"]) for row in rows], 1)
    return ["" if row["top1"] is None else text for row, text in zip(rows, texts, strict=True)]


def _numbers(row: dict[str, Any], top1: str) -> tuple[str, ...]:
    """The columns of a cell's newest epoch; empty where nothing is known yet."""
    return (
        _epoch(row),
        top1,
        _number(row["train_loss"], ".3f"),
        _number(row["clips_per_second"], ".0f"),
    )


def _epoch(row: dict[str, Any]) -> str:
    """The newest epoch; where more are to come, of how many."""
    if not row["epoch"]:
        return "-"
    more = row["epochs"] and row["state"] != "done"
    return f"{row['epoch']}/{row['epochs']}" if more else str(row["epoch"])


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
