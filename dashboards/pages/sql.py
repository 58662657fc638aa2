"""Any question: one read-only statement, with limits on its time and its rows."""

from __future__ import annotations

from dash import dcc, html
from dash.development.base_component import Component

from catalog import QueryError
from catalog.names import count_text
from catalog.queries.overview import EXAMPLE, tables_and_columns
from catalog.queries.sql_process import BusyError, Limits
from dashboards.pages.blocks import Block, Table, Text, message
from dashboards.pages.request import PageRequest

TITLE = "SQL"

LIMITS = Limits()
MOST_ROWS = LIMITS.rows - 1


def blocks(request: PageRequest) -> list[Block]:
    """Return the editor, the answer and the names that a statement can use."""
    statement = request.address.text("q")
    names = tables_and_columns(request.catalog)
    return [
        Text("editor", _editor(statement)),
        *(_answer(request, statement) if statement else ()),
        Table("names", "Tables and views", names, {"name": "name", "columns": "columns"}),
    ]


def _editor(statement: str) -> Component:
    limits = (
        f"One SELECT, DESCRIBE, SUMMARIZE or PIVOT; it only reads. After {LIMITS.seconds:g} seconds or at "
        f"{LIMITS.memory_bytes >> 30} GB of memory it is stopped; the first {MOST_ROWS:,} rows are kept, of "
        f"{LIMITS.answer_bytes >> 20} MB at most. The address holds the statement."
    )
    return html.Section(
        [
            html.Label("SQL on the catalog", htmlFor="sql-text"),
            dcc.Textarea(id="sql-text", value=statement or EXAMPLE, rows=6, spellCheck=False),
            html.Div(
                [html.Button("Run", id="sql-run", type="button"), html.Span(" Ctrl+Enter", className="soft")]
            ),
            html.P(limits, className="soft"),
        ]
    )


def _answer(request: PageRequest, statement: str) -> list[Block]:
    try:
        rows = request.ask(statement)
    except BusyError:
        raise  # it is no answer that could be kept
    except QueryError as error:
        return [Text("refused", message(str(error), "problem"))]
    cut = rows.num_rows > MOST_ROWS
    count = f"the first {MOST_ROWS:,} rows" if cut else count_text(rows.num_rows, "row")
    return [Table("answer", "Answer", rows.slice(0, MOST_ROWS), None, "No rows.", count, most=200)]
