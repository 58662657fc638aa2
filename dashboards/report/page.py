"""The report: one self-contained HTML file that opens offline, on screens of any size and on paper."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from html import escape
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from catalog import Catalog
from catalog.claims.load import shipped_claims
from catalog.claims.model import Claim
from catalog.queries.filters import ALL, Filters
from catalog.queries.overview import studies_of
from catalog.queries.published import TABLES, printed_tables
from catalog.storage.atomic import write_output
from dashboards.figures.class_accuracy import report_section as classes_section
from dashboards.figures.deciding_videos import VideoFiles, report_section
from dashboards.figures.figure import Figure, Scope, Section
from dashboards.figures.registry import sections
from dashboards.render.markup import Column, details, paragraph, signed, table
from dashboards.render.tables import printed_with_uncertainty
from dashboards.report.text import (
    all_cells,
    failed_cells,
    judged_claims,
    methods,
    notes,
    quarantined_videos,
    summary,
)
from dashboards.statistics import interval_in_words

if TYPE_CHECKING:
    import pyarrow as pa

TITLE = "ActionGrid report"
_PRINTED = (
    Column("source_row", "row"),
    Column("source_column", "column"),
    Column("published", "published", number=True),
    Column("published_span", "95 %"),
    Column("own", "own", number=True),
    Column("own_span", "95 %"),
    Column("difference", "difference", signed, number=True),
    Column("difference_span", "95 %"),
    Column("note", "note", wrap=True),
)

_CONTENT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)
"""The browser itself refuses to load anything from elsewhere."""


def write_report(
    catalog: Catalog, path: Path, claims: Sequence[Claim] | None = None, videos: VideoFiles | None = None
) -> Path:
    """Write the report of a catalog to `path`, in one step, and return the path.

    `claims` and `videos` as `report_html`.

    Raises:
        OSError: the file cannot be written.
    """
    write_output(path, report_html(catalog, datetime.datetime.now(datetime.UTC), claims, videos).encode())
    return path


def report_html(
    catalog: Catalog,
    now: datetime.datetime,
    claims: Sequence[Claim] | None = None,
    videos: VideoFiles | None = None,
) -> str:
    """Return the report as one HTML document.

    `now` is the time printed on it; `claims` are judged in it, those of the paper where none are given.
    With `videos`, which has their pictures, it shows the videos that decide.
    """
    from plotly.offline import get_plotlyjs

    studies = studies_of(catalog)
    subject = ", ".join(studies) or "no study yet"
    body = [
        f"<header><h1>{escape(TITLE)}</h1>",
        f'<p class="soft">{escape(subject)} · {now:%Y-%m-%d %H:%M} UTC</p></header>',
        summary(catalog),
        *(
            _study_figures(catalog, study, several=len(studies) > 1)
            + classes_section(catalog, study or None)
            + (report_section(catalog, study or None, videos) if videos is not None else "")
            for study in studies or [""]
        ),
        _across_studies(catalog) if len(studies) > 1 else "",
        notes(catalog),
        judged_claims(catalog, shipped_claims() if claims is None else claims),
        failed_cells(catalog),
        quarantined_videos(catalog),
        all_cells(catalog),
        methods(catalog),
        "<footer>Written by ActionGrid. The file holds all that it shows and loads nothing.</footer>",
    ]
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_CONTENT_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(f'{TITLE}: {subject}')}</title>",
            f"<style>{_asset('report.css')}</style>",
            f"<script>{get_plotlyjs()}</script>\n</head>\n<body>",
            *body,
            f"<script>{_asset('report.js')}</script>\n</body>\n</html>\n",
        ]
    )


def _asset(name: str) -> str:
    return (resources.files("dashboards") / name).read_text(encoding="utf-8")


def _study_figures(catalog: Catalog, study: str, *, several: bool) -> str:
    """Return the figures of one study, each with its table."""
    heading = f"<h2>Results of {escape(study)}</h2>" if several and study else "<h2>Results</h2>"
    filters = Filters(study=(study,)) if study else ALL
    shown = [(figure, section) for figure, section in sections() if not (several and section.across)]
    parts = [_section(catalog, filters, figure, section) for figure, section in shown]
    return heading + "".join(parts) + _printed_tables(catalog, filters)


def _across_studies(catalog: Catalog) -> str:
    """Return the figures that compare models of several studies; empty where there is nothing to compare."""
    shown = [(figure, section) for figure, section in sections() if section.across]
    parts = "".join(_section(catalog, ALL, figure, section) for figure, section in shown)
    return f"<h2>Across studies</h2>{parts}" if parts else ""


def _section(catalog: Catalog, filters: Filters, figure: Figure, section: Section) -> str:
    rows = section.rows(figure.data(catalog, Scope(filters)))
    after = "" if section.after is None else section.after(catalog)
    heading = f"<h3>{section.title}</h3>"
    datasets = sorted(set(rows.column("dataset").to_pylist()))
    if not datasets:
        note = figure.draw(rows).layout.annotations[0].text
        return after if section.optional else heading + paragraph(note, "none") + after
    panels = "".join(_panel(figure.draw(_only(rows, dataset))) for dataset in datasets)
    remark = "" if section.remark is None else f" {section.remark(rows)}"
    return (
        f"{heading}<figure><figcaption>{escape(section.caption + remark)}</figcaption>"
        f'<div class="panels{" wide" if section.wide(rows) else ""}">{panels}</div>'
        + details(
            "The figures as a table", table(rows.to_pylist(), section.columns), open_=section.open_table
        )
        + f"</figure>{after}"
    )


def _printed_tables(catalog: Catalog, filters: Filters) -> str:
    found = printed_with_uncertainty(printed_tables(catalog, [*TABLES], filters)).to_pylist()
    parts = []
    for name, title in TABLES.items():
        rows = [{**row, **_spans(row)} for row in found if row["source_table"] == name]
        parts.append(details(f"{name} of Chen et al. 2021: {title}", table(rows, _PRINTED)))
    return "<h3>The paper's tables</h3>" + "".join(parts)


def _spans(row: dict[str, Any]) -> dict[str, str]:
    """The intervals of a row of the paper's tables as text."""
    return {
        f"{name}_span": interval_in_words(
            row[f"{name}_low"], row[f"{name}_high"], signed=name == "difference"
        )
        for name in ("published", "own", "difference")
    }


def _only(rows: pa.Table, dataset: str) -> pa.Table:
    import pyarrow.compute as pc

    return rows.filter(pc.equal(rows.column("dataset"), dataset))


def _panel(figure: go.Figure) -> str:
    from plotly.io.json import to_json_plotly

    # Plotly escapes <, > and / in its JSON, so that no value can end the script element.
    content = to_json_plotly(figure.to_plotly_json())
    height = figure.layout.height
    return (
        f'<div class="panel"><div class="plot" style="height:{height}px"></div>'
        f'<script type="application/json">{content}</script></div>'
    )
