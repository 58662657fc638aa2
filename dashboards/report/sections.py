"""The figures of the report: each with a caption and its table, one panel a dataset."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from catalog import Catalog
from catalog.queries.filters import ALL, Filters
from catalog.queries.published import TABLES, printed_table
from dashboards.figures.figure import Figure, Scope, Section
from dashboards.figures.registry import sections
from dashboards.render.markup import Column, details, paragraph, signed, table

if TYPE_CHECKING:
    import pyarrow as pa

_PRINTED = (
    Column("source_row", "row"),
    Column("source_column", "column"),
    Column("published", "published", number=True),
    Column("own", "own", number=True),
    Column("difference", "difference", signed, number=True),
    Column("note", "note", wrap=True),
)


def study_figures(catalog: Catalog, study: str, *, several: bool) -> str:
    """Return the figures of one study, each with its table."""
    heading = f"<h2>Results of {escape(study)}</h2>" if several and study else "<h2>Results</h2>"
    filters = Filters(study=(study,)) if study else ALL
    parts = [_section(catalog, filters, figure, section) for figure, section in sections()]
    return heading + "".join(parts) + _printed_tables(catalog, filters)


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
    parts = []
    for name, title in TABLES.items():
        rows = printed_table(catalog, name, filters).to_pylist()
        parts.append(details(f"{name} of Chen et al. 2021: {title}", table(rows, _PRINTED)))
    return "<h3>The paper's tables</h3>" + "".join(parts)


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
