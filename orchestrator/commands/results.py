"""`actiongrid results`: finished cells, or any read-only SQL on the catalog, in many formats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import unquote

import typer

from catalog.queries.filters import ALL, Filters, to_query_string, written_filters
from catalog.storage.atomic import write_output
from orchestrator.commands.common import (
    StorageOption,
    all_results,
    command_line,
    existing_storage,
    format_of_file,
    without_collection,
    without_pandas,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog import Catalog
    from dashboards.render.comparison import Outcomes


class Format(StrEnum):
    """How a table is printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    LATEX = "latex"
    MARKDOWN = "markdown"


_MOST_ROWS = 1_000_000
_READ_ROWS = 500
"""Rows of the table of results that people are given unless they ask for more."""
_BY_SUFFIX = {
    "csv": Format.CSV,
    "json": Format.JSON,
    "parquet": Format.PARQUET,
    "tex": Format.LATEX,
    "md": Format.MARKDOWN,
    "txt": Format.TABLE,
}
_FOR_PEOPLE = (Format.TABLE, Format.LATEX, Format.MARKDOWN)
_LINES = (Format.TABLE, Format.MARKDOWN)
"""Formats that people read as they are: without a row they say nothing."""


@without_collection()
@without_pandas()
def results(
    sql: Annotated[str | None, typer.Option("--sql", help="One read-only SQL statement.")] = None,
    pivot: Annotated[
        str | None,
        typer.Option("--pivot", help="Rows×columns of axes, e.g. module×frames or module,backbonexframes."),
    ] = None,
    value: Annotated[
        str, typer.Option("--value", help="What a pivot shows: top1, top5, best_top1, …")
    ] = "top1",
    all_: Annotated[
        bool, typer.Option("--all", help="Superseded results too, marked: of studies as they were before.")
    ] = False,
    where: Annotated[
        str | None,
        typer.Option("--filter", help="As in the dashboard's address: 'study=kitchen&frames=8,16'."),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option("--tag", help="Only cells with this tag, or one of several such options."),
    ] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Output format (default: by FILE's ending, or table)."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File: .csv, .json, .parquet, .tex, .md; needed for parquet."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0, help="Most seconds a query may take; 0: any.")] = 60.0,
    max_rows: Annotated[
        int | None,
        typer.Option(min=1, help="Most rows that are printed; default: 1,000,000, of our own table 500."),
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Show the results of finished cells of today's studies, also while a grid runs.

    Accuracies have their 95 % intervals beside them; a pivot prints ± or the interval's ends, seeds × videos,
    and in bold what is significantly best.
    """
    from catalog import Catalog

    form = format_of_file(format_, output, _BY_SUFFIX, Format.TABLE)
    chosen = existing_storage(storage)
    filters = written_filters(where or "")
    filters = replace(filters, tag=(*filters.tag, *(tag or ())))
    asked = _Asked(form, filters, all_, output, storage)
    _refuse_contradictions(sql, pivot, all_=all_, filtered=asked.is_filtered)
    with Catalog.open(chosen.root, chosen.fetch_missing) as catalog:
        if pivot is not None:
            _show_pivot(catalog, pivot, value, asked)
        elif sql is not None:
            _show_query(catalog, sql, asked, timeout or None, max_rows or _MOST_ROWS)
        else:
            most = _READ_ROWS if form in _FOR_PEOPLE else _MOST_ROWS
            _show_own(catalog, asked, timeout or None, max_rows or most)


@dataclass(frozen=True)
class _Asked:
    """How results are to be shown: the format, of which cells, where to, and the storage as it was given."""

    form: Format
    filters: Filters
    superseded: bool
    output: Path | None
    storage: str | None

    @property
    def is_filtered(self) -> bool:
        """Whether not all cells are asked for."""
        return self.filters != ALL


def _refuse_contradictions(sql: str | None, pivot: str | None, *, all_: bool, filtered: bool) -> None:
    """Refuse options that do not go together.

    Raises:
        typer.BadParameter: they do not.
    """
    if pivot is not None and sql is not None:
        raise typer.BadParameter("--pivot and --sql are two ways to ask; give one of them")
    if pivot is not None and all_:
        raise typer.BadParameter("a pivot is of today's results alone; leave --all out")
    if all_ and sql is not None:
        raise typer.BadParameter("in SQL ask the view results_all; leave --all out")
    if filtered and sql is not None:
        raise typer.BadParameter("in SQL say it in WHERE (tags: view cell_tags); leave --filter, --tag out")


def _show_query(catalog: Catalog, sql: str, asked: _Asked, timeout: float | None, max_rows: int) -> None:
    from catalog.export import export

    # One row more tells whether there are more.
    table = catalog.query(sql, timeout_seconds=timeout, max_rows=max_rows + 1)
    _say(["no row matches"] if not table.num_rows else _more(table.num_rows, max_rows))
    _print(export(table.slice(0, max_rows), str(asked.form)), asked.form, asked.output)


def _show_own(catalog: Catalog, asked: _Asked, timeout: float | None, max_rows: int) -> None:
    from orchestrator.planning.earlier import earlier_lines

    table = _own(catalog, asked, timeout, max_rows + 1)
    _say(_more(table.num_rows, max_rows))
    if not table.num_rows:
        _say(_why_empty(catalog, asked))
        if asked.form in _LINES and asked.output is None:
            return
    elif not asked.superseded and not asked.is_filtered:
        _say(earlier_lines(catalog, None, all_results(asked.storage)))
    shown = table.slice(0, max_rows)
    notes = _notes(catalog, asked, shown.column("key").to_pylist())
    _print(_exported(catalog, shown, asked.form) + notes, asked.form, asked.output)


def _show_pivot(catalog: Catalog, axes: str, value: str, asked: _Asked) -> None:
    from catalog.pivot import PivotError
    from catalog.queries.overview import PIVOT_VALUES, pivot_rows

    if value not in PIVOT_VALUES:
        raise PivotError(f"nothing to show: {value!r}", "--value", f"one of {', '.join(PIVOT_VALUES)}")
    rows = pivot_rows(catalog, value, asked.filters).to_pylist()
    content = _pivoted(catalog, axes, value, asked.form, rows)
    if not rows:
        _say(_why_empty(catalog, asked))
        if asked.form in _LINES and asked.output is None:
            return
    notes = _notes(catalog, asked, [row["key"] for row in rows])
    _print(content + notes, asked.form, asked.output)


def _more(rows: int, max_rows: int) -> list[str]:
    return [f"only the first {max_rows:,} rows; --max-rows gives more"] if rows > max_rows else []


def _why_empty(catalog: Catalog, asked: _Asked) -> list[str]:
    """Why there is no result to show, and what to do."""
    from catalog.queries.overview import has_results, studies_of
    from orchestrator.planning.earlier import earlier_lines

    storage = asked.storage
    if asked.is_filtered and has_results(catalog):
        see = command_line("results", storage=storage)
        wanted = unquote(to_query_string(asked.filters))
        return [f"no finished cell passes the filter {wanted}; all of them: {see}"]
    if not studies_of(catalog):
        return [f"nothing here yet; start with: {command_line('run', 'demo', storage=storage)}"]
    earlier = [] if asked.superseded else earlier_lines(catalog, None, all_results(storage), everything=True)
    none = "no cell of today's studies has finished yet" if earlier else "no cell has finished yet"
    return [*earlier, f"{none}; how far they are: {command_line('status', storage=storage)}"]


def _say(lines: Sequence[str]) -> None:
    """Tell people, beside what programs read."""
    for line in lines:
        typer.echo(line, err=True)


def _own(catalog: Catalog, asked: _Asked, timeout: float | None, max_rows: int) -> pa.Table:
    """The finished cells with the columns that this format has room for."""
    from catalog.queries.overview import short_results, wide_results

    if asked.form not in _FOR_PEOPLE:
        return wide_results(catalog, timeout, max_rows, superseded=asked.superseded, filters=asked.filters)
    return short_results(
        catalog,
        timeout,
        max_rows,
        with_dataset=asked.form is Format.LATEX,
        superseded=asked.superseded,
        filters=asked.filters,
    )


def _notes(catalog: Catalog, asked: _Asked, keys: Sequence[str]) -> bytes:
    """What a reader must know of the results, below what is printed for people; else nothing."""
    from catalog.export import latex_text
    from catalog.queries.caveats import result_notes

    if asked.form not in _FOR_PEOPLE or (asked.is_filtered and not keys):
        return b""
    notes = result_notes(catalog, keys if asked.is_filtered else ())
    if asked.form is Format.LATEX:
        lines = [r"\par{\footnotesize Notes:", *(rf"{latex_text(note)}.\\" for note in notes), r"\par}"]
    else:
        lines = ["", "notes:", "", *(f"- {note}" for note in notes)]
    return ("\n".join(lines) + "\n").encode() if notes else b""


def _pivoted(catalog: Catalog, text: str, value: str, form: Format, rows: list[dict[str, Any]]) -> bytes:
    from catalog.export import export
    from catalog.pivot import pivot, pivot_columns, pivot_latex, pivot_legend, pivot_table
    from dashboards.render.tables import pivot_with_uncertainty

    outcomes = _outcomes(catalog, value, [row["key"] for row in rows])
    made = pivot_with_uncertainty(pivot(rows, text, value), value, outcomes)
    if form is Format.LATEX:
        return pivot_latex(made)
    if form not in _FOR_PEOPLE:
        return export(pivot_columns(made), str(form))
    strong = "**{}**" if form is Format.MARKDOWN else "*{}*"
    legend = "".join(f"\n{line}\n" for line in pivot_legend(made))
    return (
        export(pivot_table(made, strong=strong), str(form))
        + legend.replace("Bold", strong.format("best")).encode()
    )


def _outcomes(catalog: Catalog, value: str, keys: Sequence[str]) -> Outcomes:
    """What the predictions say of every video, for a column of `results` that they give."""
    from catalog.queries.predictions import outcomes_by_video
    from dashboards.render.comparison import NO_OUTCOMES, outcomes_of
    from dashboards.render.tables import PREDICTED

    if value not in PREDICTED:
        return NO_OUTCOMES
    evaluation = "training:best" if "best" in value else "training:last" if "last" in value else None
    return outcomes_of(outcomes_by_video(catalog, keys, PREDICTED[value], evaluation).to_pylist())


def _exported(catalog: Catalog, table: pa.Table, form: Format) -> bytes:
    """Our own table with the intervals of its accuracies; in LaTeX what is significantly best in bold."""
    from catalog.export import export
    from dashboards.render.tables import results_for_people, results_in_latex, results_with_uncertainty

    sure = results_with_uncertainty(table)
    if form is Format.LATEX:
        return results_in_latex(sure, _outcomes(catalog, "top1", table.column("key").to_pylist()))
    return export(results_for_people(sure) if form in _FOR_PEOPLE else sure, str(form))


def _print(content: bytes, form: Format, output: Path | None) -> None:
    if output is not None:
        written = write_output(output, content)
        if written is not None:  # and no device, which may be where this is read
            typer.echo(f"table: {written}")
        return
    if form is Format.PARQUET:
        raise typer.BadParameter("parquet is not for a terminal; give --output FILE")
    typer.echo(content.decode(), nl=False)
