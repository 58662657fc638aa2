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
    storage: StorageOption = None,
) -> None:
    """Show the results of finished cells, also while a grid runs."""
    from catalog import Catalog

    wide = form not in (Format.TABLE, Format.LATEX, Format.MARKDOWN)
    with Catalog.open(storage_path(storage)) as catalog:
        table = catalog.query(sql or (_RESULTS if wide else _SHORT))
    _write(table, form, output)


def _write(table: pa.Table, form: Format, output: Path | None) -> None:
    from catalog.export import export

    content = export(table, str(form))
    if output is not None:
        output.write_bytes(content)
        return
    if form is Format.PARQUET:
        raise typer.BadParameter("parquet is not for a terminal; give --output FILE")
    typer.echo(content.decode(), nl=False)
