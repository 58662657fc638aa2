"""`actiongrid explain`: a cell's state, key parts and lineage, from the journals."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.commands.common import JsonOption, NotFoundError, StorageOption, storage_path
from orchestrator.commands.evaluate import evaluation_rows, evaluation_text
from orchestrator.evaluation_cells import no_such_cell

if TYPE_CHECKING:
    from catalog import Catalog


def explain(
    cell: Annotated[str, typer.Argument(help="A cell's name or the beginning of its key.")],
    storage: StorageOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show why a cell is as it is: state, attempts, line of parents, evaluations, the parts of its key."""
    from catalog import Catalog

    root = storage_path(storage)
    with Catalog.open(root) as catalog:
        rows = _find(catalog, cell)
        if not rows:
            names = catalog.query("SELECT DISTINCT cell FROM cells").column("cell").to_pylist()
            raise NotFoundError(f"{no_such_cell(cell, names)} ({root})")
        found = [_describe(catalog, row) for row in rows]
    if as_json:
        typer.echo(json.dumps(found))
        return
    for one in found:
        _show(one)


def _find(catalog: Catalog, cell: str) -> list[dict[str, Any]]:
    sql = "SELECT * FROM cells WHERE cell = $cell OR starts_with(key, $cell) ORDER BY current DESC, study"
    return list(catalog.query(sql, {"cell": cell}).to_pylist())


def _describe(catalog: Catalog, row: dict[str, Any]) -> dict[str, Any]:
    attempts = catalog.query(
        "SELECT attempt, state, driver, error, log FROM attempts WHERE key = $key ORDER BY attempt",
        {"key": row["key"]},
    )
    return {
        "cell": row["cell"],
        "key": row["key"],
        "study": row["study"],
        "current": row["current"],
        "state": row["state"],
        "attempts": attempts.to_pylist(),
        "lineage": _lineage(catalog, row["key"]),
        "evaluations": evaluation_rows(catalog, row["key"]),
        "key_parts": json.loads(row["key_parts"]),
    }


def _lineage(catalog: Catalog, key: str) -> list[dict[str, Any]]:
    """The cell and its parents, youngest first."""
    sql = """
        WITH RECURSIVE line AS (
            SELECT key, parent_key, cell, 0 AS depth FROM cells WHERE key = $key
            UNION
            SELECT cells.key, cells.parent_key, cells.cell, line.depth + 1
            FROM line JOIN cells ON cells.key = line.parent_key
        )
        SELECT DISTINCT line.cell, line.key, line.depth, results.top1
        FROM line LEFT JOIN results USING (key) ORDER BY line.depth
    """
    return list(catalog.query(sql, {"key": key}).to_pylist())


def _show(one: dict[str, Any]) -> None:
    typer.echo(
        f"{one['cell']} of study {one['study']}: {one['state']}" + ("" if one["current"] else " (older plan)")
    )
    typer.echo(f"  key {one['key']}")
    for attempt in one["attempts"]:
        error = f": {attempt['error']}; log: {attempt['log']}" if attempt["error"] else ""
        typer.echo(f"  attempt {attempt['attempt']} by {attempt['driver']}: {attempt['state']}{error}")
    for step in one["lineage"]:
        top1 = f"top-1 {step['top1']:.2f} %" if step["top1"] is not None else "not done"
        typer.echo(f"  {'  ' * step['depth']}{step['cell']} ({step['key'][:12]}): {top1}")
    for evaluation in one["evaluations"]:
        typer.echo(f"  {evaluation['level']} level: {evaluation_text(evaluation)}")
    typer.echo("  key parts:")
    for name, value in one["key_parts"].items():
        typer.echo(f"    {name}: {json.dumps(value)}")
