"""`actiongrid catalog`: rebuild the DuckDB snapshot from the journals, or check it against them."""

from __future__ import annotations

from collections import Counter

import typer

from catalog.storage.errors import WORK_FAILED
from orchestrator.commands.common import StorageOption, command_line, existing_storage

app = typer.Typer(help="The DuckDB catalog: a projection of the journals.", no_args_is_help=True)


@app.command()
def rebuild(storage: StorageOption = None) -> None:
    """Make the DuckDB file anew from the journals."""
    from catalog.maintenance import rebuild as rebuild_catalog

    typer.echo(f"catalog: {rebuild_catalog(existing_storage(storage).root)}")


@app.command()
def check(storage: StorageOption = None) -> None:
    """Compare the DuckDB file with the journals; exit code 1 where they differ."""
    from catalog.maintenance import check as check_catalog

    report = check_catalog(existing_storage(storage).root)
    typer.echo(f"catalog: {report.snapshot or 'none published yet'}")
    if report.older:
        again = command_line("catalog", "rebuild", storage=storage)
        typer.echo(f"made by another version of ActionGrid: commands read the journals; a new one: {again}")
    for table, rows in report.tables.items():
        lost = f"{rows.only_in_journal} only in the journals, {rows.only_in_snapshot} only in the catalog"
        both = f"{rows.journal_rows} rows in the journals, {rows.snapshot_rows} in the catalog"
        typer.echo(f"{table}: {both}; {lost}")
    for fault in report.faults:
        what = "journal" if fault.kind == "unreadable" else "line"
        typer.echo(f"{fault.kind} {what} left out: {fault.writer}, byte {fault.offset}: {fault.reason}")
    kinds = Counter(fault.kind for fault in report.faults)
    typer.echo(f"left out: {', '.join(f'{count} {kind}' for kind, count in kinds.items()) or 'nothing'}")
    if report.unchecked:
        typer.echo(f"without a checksum, as earlier versions wrote them: {report.unchecked} lines")
    if not report.ok:
        raise typer.Exit(WORK_FAILED)
