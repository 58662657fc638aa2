"""`actiongrid report`: one self-contained HTML page, or one figure of it as a file for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from catalog.storage.storage import Storage
from orchestrator.commands.claims import ClaimsOption
from orchestrator.commands.common import (
    FormatError,
    StorageOption,
    chosen_storage,
    existing_storage,
    format_of_file,
)

if TYPE_CHECKING:
    from catalog.queries.filters import Source


class ImageFormat(StrEnum):
    """What a figure is written as."""

    SVG = "svg"
    PDF = "pdf"
    PNG = "png"


_IMAGES = {form.value: form for form in ImageFormat}


class Show(StrEnum):
    """Whose results a figure shows."""

    YOURS = "yours"
    PUBLISHED = "published"
    BOTH = "both"


_SOURCES: dict[Show, Source] = {Show.YOURS: "own", Show.PUBLISHED: "published", Show.BOTH: "both"}


class PaperWidth(StrEnum):
    """How wide a figure is in print."""

    COLUMN = "column"
    PAGE = "page"


def report(
    figure: Annotated[
        str | None,
        typer.Option(help="Only this figure, such as fig1; an unknown one gets the list."),
    ] = None,
    form: Annotated[
        ImageFormat | None, typer.Option("--format", help="Of a figure (default: by FILE's ending, or svg).")
    ] = None,
    show: Annotated[
        Show | None,
        typer.Option(help="Whose results a figure shows (default: both; docs/dashboard.md)."),
    ] = None,
    width: Annotated[
        PaperWidth | None, typer.Option(help="Of a figure: column (3.4 in) or page (7 in, the default).")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--filter", help="Of a figure, as in the dashboard's address: 'module=tam&frames=8,16'."
        ),
    ] = None,
    claims: ClaimsOption = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write.")] = None,
    storage: StorageOption = None,
) -> None:
    """Write one self-contained HTML page with figures and tables, or one figure for a paper."""
    published = figure is not None and show is Show.PUBLISHED
    chosen = chosen_storage(storage) if published else existing_storage(storage)
    if figure is None:
        given = {"--format": form, "--show": show, "--width": width, "--filter": where}
        wrong = [name for name, value in given.items() if value is not None]
        if wrong:
            raise typer.BadParameter(f"{wrong[0]} is for one figure; give --figure NAME too")
        _check_page_name(output)
        _write_page(chosen, output, claims or ())
    else:
        form = format_of_file(form, output, _IMAGES, ImageFormat.SVG)
        _write_figure(
            chosen,
            figure,
            form,
            output or Path(f"{figure}.{form}"),
            show=show,
            width=width or PaperWidth.PAGE,
            where=where or "",
        )


def _check_page_name(output: Path | None) -> None:
    """Refuse a name that means another format than HTML: a page of that name would open as a broken one.

    Raises:
        FormatError: it does.
    """
    suffix = output.suffix.removeprefix(".").lower() if output else ""
    if suffix not in ("", "html", "htm"):
        hint = "give --figure NAME for one figure" if suffix in _IMAGES else "name it .html"
        raise FormatError("the report is an HTML page", output, hint)


def _write_page(storage: Storage, output: Path | None, claims: Sequence[Path]) -> None:
    from catalog import Catalog
    from catalog.claims.load import claims_for
    from dashboards.report.page import write_report
    from orchestrator.evaluation.shown_videos import ShownVideos

    judged = claims_for(storage, claims)
    with Catalog.open(storage.root, storage.fetch_missing) as catalog:
        own = Path("report.html") if storage.mirrored else storage.layout.report
        written = write_report(catalog, output or own, judged, ShownVideos(storage))
    typer.echo(f"report: {written.resolve()}")


def _write_figure(
    storage: Storage,
    name: str,
    form: ImageFormat,
    output: Path,
    *,
    show: Show | None,
    width: PaperWidth,
    where: str,
) -> None:
    from catalog import Catalog
    from catalog.queries.filters import written_filters
    from dashboards.render.image import write_image
    from dashboards.report.paper import figure_titles, paper_figure, usual_source

    exists = show is not Show.PUBLISHED
    with Catalog.open(storage.root, storage.fetch_missing, must_exist=exists) as catalog:
        filters = written_filters(where)
        source = _SOURCES[show] if show else usual_source(catalog, name, filters)
        drawn = paper_figure(catalog, name, source, width.value, filters)
    title = figure_titles()[name]
    written = write_image(drawn, output, form.value, f"{title[:1].upper()}{title[1:]}")
    typer.echo(f"figure: {written.resolve()}")
