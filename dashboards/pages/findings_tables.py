"""Findings as tables: the paper's, and one's own results that differ from it."""

from __future__ import annotations

from dash import html

from catalog.queries.relations import Source
from dashboards.figures.against_published import against_published_data, draw_against_published, summary
from dashboards.figures.contributions import METRICS, footnote, printed_contributions_data
from dashboards.figures.printed_tables import TABLES, printed_table_data
from dashboards.pages.blocks import Block, Column, Figure, Table, Text
from dashboards.pages.parts import choice
from dashboards.pages.view import View

_LAST = "Table 7"
_PRINTED: dict[str, Column | str] = {
    "source_row": "row",
    "source_column": "column",
    "dataset": "dataset",
    "published": "published",
    "own": "yours",
    "difference": "difference",
    "unit": "unit",
    "cell": "cell",
    "note": "note",
}
_CONTRIBUTIONS: dict[str, Column | str] = {
    "dataset": "dataset",
    "metric": Column("metric", METRICS.__getitem__),
    "module": "module",
    "printed": "printed",
    "computed": "computed",
    "agrees": "agrees",
    "agrees_exchanged": "agrees with I3D and S3D exchanged",
}


def against_published(view: View, _: Source) -> list[Block]:
    """Return one's own accuracies minus the published ones, those outside of their interval first."""
    table = against_published_data(view.catalog, view.filters)
    caption = (
        "Yours minus published, in points of top-1, with the 95 % interval that the number of evaluated "
        "videos (and the spread of the seeds) allows."
    )
    columns: dict[str, Column | str] = {
        "cell": "cell",
        "outside": Column("outside", lambda outside: "outside" if outside else "inside"),
        "top1": "yours",
        "published_top1": "published",
        "difference": "difference",
        "low": "from",
        "high": "to",
        "seeds": "seeds",
        "source_table": "source",
        "source_row": "row",
    }
    note = html.P(summary(table), className="soft")
    drawing = draw_against_published(table, view.theme)
    return [
        Figure("against-published", "Yours against published", drawing, table, caption, note, columns),
    ]


def printed_tables(view: View, source: Source) -> list[Block]:
    """Return one of the paper's tables beside one's own results."""
    names = {**{name: name for name in TABLES}, _LAST: _LAST}
    name = view.address.choice("table", list(names))
    choices = Text("tables", html.Div(choice(view.address, "table", "Table", names, name)))
    if name == _LAST:
        table = printed_contributions_data(view.catalog)
        return [
            choices,
            Table(
                "table-7",
                "Table 7: contributions, printed and computed from the published accuracies",
                table,
                _CONTRIBUTIONS,
                caption=footnote(table),
            ),
        ]
    table = printed_table_data(view.catalog, name, view.filters, source)
    caption = "Yours stands beside a number where model, length and protocol are stated and equal."
    return [
        choices,
        Table(
            name.lower().replace(" ", "-"),
            f"{name}: {TABLES[name]}",
            table,
            _PRINTED,
            "No result of yours compares with this table yet.",
            caption,
            most=300,
        ),
    ]
