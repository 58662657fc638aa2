"""`actiongrid results`: finished cells, or any read-only SQL on the catalog, in many formats."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.common import StorageOption, storage_path

if TYPE_CHECKING:
    import pyarrow as pa

_RESULTS = (
    "SELECT * EXCLUDE (versions, hardware, config) FROM results ORDER BY dataset, module, backbone, cell"
)
_SHORT = """
    SELECT cell, top1, top5, loss, best_top1, epochs, params, macs, published_top1, difference
    FROM results ORDER BY dataset, module, backbone, temporal_pooling, frames, seed
"""


class Format(StrEnum):
    """How a table is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    LATEX = "latex"
    MARKDOWN = "markdown"


def results(
    sql: Annotated[str | None, typer.Option("--sql", help="One read-only SQL statement.")] = None,
    form: Annotated[Format, typer.Option("--format", help="Output format.")] = Format.TABLE,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File; needed for parquet.")] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Most seconds a query may take; 0: any.")] = 60.0,
    max_rows: Annotated[int, typer.Option(min=1, help="Most rows that are printed.")] = 1_000_000,
    storage: StorageOption = None,
) -> None:
    """Show the results of finished cells, also while a grid runs."""
    from catalog import Catalog

    wide = form not in (Format.TABLE, Format.LATEX, Format.MARKDOWN)
    with Catalog.open(storage_path(storage)) as catalog:
        # One row more tells whether there are more.
        table = catalog.query(
            sql or (_RESULTS if wide else _SHORT), timeout_seconds=timeout or None, max_rows=max_rows + 1
        )
    if table.num_rows > max_rows:
        typer.echo(f"only the first {max_rows:,} rows; --max-rows gives more", err=True)
    _write(table.slice(0, max_rows), form, output)


def _write(table: pa.Table, form: Format, output: Path | None) -> None:
    from catalog.export import export

    content = export(table, str(form))
    if output is not None:
        output.write_bytes(content)
        return
    if form is Format.PARQUET:
        raise typer.BadParameter("parquet is not for a terminal; give --output FILE")
    typer.echo(content.decode(), nl=False)
