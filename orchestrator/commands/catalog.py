"""`actiongrid catalog`: rebuild the DuckDB snapshot from the journals, or check it against them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.names import count_text
from catalog.storage.errors import WORK_FAILED
from orchestrator.commands.common import StorageOption, command_line, existing_storage

if TYPE_CHECKING:
    from catalog.storage.storage import Storage

app = typer.Typer(help="The DuckDB catalog: a projection of the journals.", no_args_is_help=True)


@app.command()
def rebuild(storage: StorageOption = None) -> None:
    """Make the DuckDB file anew from the journals."""
    from catalog.maintenance import rebuild as rebuild_catalog

    typer.echo(f"catalog: {rebuild_catalog(existing_storage(storage).root)}")


@app.command()
def check(
    files: Annotated[
        bool,
        typer.Option("--files", help="Also read all weights and predictions of results."),
    ] = False,
    storage: StorageOption = None,
) -> None:
    """Compare the DuckDB file with the journals; exit code 1 where they differ. Nothing is changed."""
    from catalog.maintenance import check as check_catalog

    chosen = existing_storage(storage)
    report = check_catalog(chosen.root)
    typer.echo(f"catalog: {report.snapshot or 'none published yet'}")
    if report.older:
        again = command_line("catalog", "rebuild", storage=storage)
        typer.echo(f"made by another version of ActionGrid: commands read the journals; a new one: {again}")
    for table, rows in report.tables.items():
        lost = f"{rows.only_in_journal} only in the journals, {rows.only_in_snapshot} only in the catalog"
        both = f"{count_text(rows.journal_rows, 'row')} in the journals, {rows.snapshot_rows} in the catalog"
        typer.echo(f"{table}: {both}; {lost}")
    for fault in report.faults:
        what = "journal" if fault.kind == "unreadable" else "line"
        typer.echo(f"{fault.kind} {what} left out: {fault.writer}, byte {fault.offset}: {fault.reason}")
    kinds = Counter(fault.kind for fault in report.faults)
    typer.echo(f"left out: {', '.join(f'{count} {kind}' for kind, count in kinds.items()) or 'nothing'}")
    if report.unchecked:
        typer.echo(
            f"without a checksum, as earlier versions wrote them: {count_text(report.unchecked, 'line')}"
        )
    if report.behind and not report.ok:
        again = command_line("catalog", "rebuild", storage=storage)
        lacks = f"the catalog lacks the journals' last {count_text(report.behind, 'line')}, as after a kill"
        typer.echo(f"{lacks}: nothing is lost, every command reads them beside it")
        typer.echo(f"the next run takes them in, or: {again}")
    whole = _check_files(chosen, storage) if files else True
    if not (report.ok and whole):
        raise typer.Exit(WORK_FAILED)


def _check_files(chosen: Storage, storage: str | None) -> bool:
    """Name the files of results that are not what was written; whether there is none."""
    from catalog.maintenance import check_files

    read, faults = 0, Counter[str]()
    for file in check_files(chosen.root, chosen.fetch_missing):
        read += 1
        if file.fault:
            faults[file.fault.split(" (")[0]] += 1
            typer.echo(f"{file.fault}: {file.what} of {file.cell}; {file.path}")
    counts = ", ".join(f"{count:,} {fault}" for fault, count in faults.items()) or "all as they were written"
    typer.echo(f"files of results: {read:,} read, {counts}")
    if faults:
        again = command_line("run", "STUDY", "--check-checkpoints", storage=storage)
        typer.echo(f"cells whose weights are gone or damaged are trained again by: {again}")
    return not faults
