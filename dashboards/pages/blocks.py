"""What pages are made of: text, tables and figures, each a part that is sent again only when it changed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go
from dash import dcc, html
from dash.development.base_component import Component
from plotly.io.json import to_json_plotly

from catalog.export import display
from dashboards.render.markup import as_html

if TYPE_CHECKING:
    import pyarrow as pa

STEER = ("pause", "resume", "cancel")
"""What pages can tell the drivers of cells that are not over."""
RETRY = ("retry",)
"""What they can tell them of cells that failed."""
ACTIONS = (*STEER, *RETRY)

MOST_ROWS = 100
"""Rows of a table that a page shows; the CSV file has all."""

Content = Component | str | Sequence["Component | str"]
Show = Callable[[Any], "Content"]

_LONG, _LONGEST = 48, 2000
"""Texts that are wrapped, and that are cut, in a field of a table (characters)."""

_NARROWEST_PANEL = 250
_NOT_IN_FILES = re.compile(r"[^\w.@-]+", re.ASCII)
_GRAPH: dict[str, Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "toImage"],
}


@dataclass(frozen=True)
class Part:
    """One thing of a page that can change: `value` is what it shows, `digest` tells two values apart."""

    kind: str
    name: str
    value: Any
    digest: str


@dataclass(frozen=True)
class Column:
    """A column of a table: `show` gives what a value looks like, `number` puts it to the right.

    `make`, where given, gives what stands there from the whole row.
    """

    title: str
    show: Show = display
    number: bool = False
    make: Callable[[Mapping[str, Any]], Content] | None = None

    def content(self, row: Mapping[str, Any], name: str) -> Content:
        """Return what stands in a row's column `name`."""
        return self.show(row[name]) if self.make is None else self.make(row)


@dataclass(frozen=True, eq=False)
class Text:
    """Free content of a page; `rows`, where given, can be had as CSV."""

    name: str
    content: Content
    rows: pa.Table | None = None

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What can change: all of it."""
        return (_html(self.name, self.content),)

    def component(self, csv: str) -> Component:
        """Return the component; `csv` is the address of the block's data."""
        if self.rows is None:
            return _container(self.parts[0])
        return html.Div([_container(self.parts[0]), html.Div([_csv_link(csv, self.name)], className="tools")])

    def sketch(self, csv: str) -> Component:
        """Return what can be read before the scripts are there: all of it."""
        return self.component(csv)


@dataclass(frozen=True, eq=False)
class Table:
    """Rows with a heading, and all of them as CSV."""

    name: str
    title: str
    rows: pa.Table
    columns: Mapping[str, Column | str] | None = None
    empty: str = "Nothing here yet."
    caption: Content = ""
    most: int = MOST_ROWS

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What can change: the rows that are shown."""
        return (_html(self.name, table(self.rows, self.columns, empty=self.empty, most=self.most)),)

    def component(self, csv: str) -> Component:
        """Return the component; `csv` is the address of the block's data."""
        tools = html.Div([_csv_link(csv, self.name)], className="tools")
        return html.Section([_heading(self.title, self.caption), _container(self.parts[0]), tools])

    def sketch(self, csv: str) -> Component:
        """Return what can be read before the scripts are there: all of it."""
        return self.component(csv)


@dataclass(frozen=True, eq=False)
class Figure:
    """A drawing with its data: as SVG, PNG and CSV, and as a table that can be folded out.

    `narrowest` is the width in pixels below which it scrolls instead of shrinking. `about` names the one
    thing, such as a cell, that it is about: saved files have it in their names.
    """

    name: str
    title: str
    drawing: go.Figure
    rows: pa.Table
    caption: Content = ""
    note: Content = ""
    columns: Mapping[str, Column | str] | None = None
    narrowest: int = 0
    about: str = ""

    @property
    def file(self) -> str:
        """The name of saved files, without its ending."""
        return _NOT_IN_FILES.sub("-", f"{self.about}-{self.name}") if self.about else self.name

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """What can change: the drawing, the note below it, and the table; or the words of an empty one."""
        if not self.drawing.data:
            words = [str(one.text) for one in self.drawing.layout.annotations]
            return (_html(f"{self.name}-empty", html.P(words, className="soft")),)
        # Clicks in the legend and a chosen menu entry stay as long as this stays the same.
        self.drawing.update_layout(uirevision=self.name)
        drawing = str(to_json_plotly(self.drawing))
        return (
            Part("drawn", self.name, drawing, _digest(drawing)),
            self._note,
            _folded(f"{self.name}-table", table(self.rows, self.columns)),
        )

    @property
    def _note(self) -> Part:
        return _html(f"{self.name}-note", self.note)

    def component(self, csv: str) -> Component:
        """Return the component; `csv` is the address of the block's data."""
        if not self.drawing.data:
            return html.Section([_heading(self.title, self.caption), _container(self.parts[0])])
        return self._section(csv, *self.parts)

    def sketch(self, csv: str) -> Component:
        """Return what can be read before the scripts are there: all but the drawing and its folded table."""
        if not self.drawing.data:
            return self.component(csv)
        return self._section(csv, Part("drawn", "", "", ""), self._note, Part("folded", "", "", ""))

    def _section(self, csv: str, drawn: Part, note: Part, rows: Part) -> Component:
        layout = self.drawing.layout
        height = f"{layout.height or 420}px"
        body = [
            dcc.Store(id={"kind": "drawn", "name": self.name}, data=drawn.value),
            html.Div(
                dcc.Graph(
                    id={"kind": "plot", "name": self.name},
                    config=_config(self.file),
                    style={
                        "height": height,
                        "minWidth": f"{self.narrowest or _NARROWEST_PANEL * _panels(layout)}px",
                    },
                ),
                className="figure scroll",
                role="figure",
                **labelled(f"{self.title}: drawing; its data are in the table below"),
            ),
            html.Div(
                [
                    _save_button(self.file, "svg", self.title),
                    _save_button(self.file, "png", self.title),
                    _csv_link(csv, self.name, self.file),
                ],
                className="tools",
            ),
            _container(note),
            _unfolding("Data of this figure", rows),
        ]
        return html.Section([_heading(self.title, self.caption), *body])


Block = Text | Table | Figure


def table(
    rows: pa.Table,
    columns: Mapping[str, Column | str] | None = None,
    *,
    empty: str = "No rows.",
    most: int = MOST_ROWS,
) -> Component:
    """Return rows as an HTML table in a box that scrolls; `columns` names those shown and their headings."""
    if rows.num_rows == 0:
        return html.P(empty, className="soft")
    chosen = _columns(rows, columns)
    head = html.Tr([html.Th(one.title, scope="col", className=_side(one)) for one in chosen.values()])
    body = [
        html.Tr([_cell(one, one.content(row, name)) for name, one in chosen.items()])
        for row in rows.slice(0, most).to_pylist()
    ]
    box = html.Div(
        html.Table([html.Thead(head), html.Tbody(body)]), className="scroll rows", tabIndex="0", role="region"
    )
    if rows.num_rows <= most:
        return box
    more = f"{most} of {rows.num_rows:,} rows are shown; the CSV file has all."
    return html.Div([box, html.P(more, className="soft")])


def labelled(text: str) -> dict[str, Any]:
    """Return the attributes that tell a screen reader what a component is."""
    return {"aria-label": text}


def state(value: str | None) -> Component:
    """Return a cell's state: a coloured dot and always the word."""
    return html.Span(value or "", className=f"state {value or ''}")


def action_buttons(study: str, cells: str, about: str, actions: Sequence[str] = STEER) -> list[Component]:
    """Return buttons that tell a study's drivers what to do with the cells that match a pattern (app.js)."""
    buttons: list[Component] = []
    for action in actions:
        said: dict[str, Any] = {"data-act": action, "data-study": study, "data-cells": cells}
        buttons.append(html.Button(action, type="button", **said, **labelled(f"{action} {about}")))
    return buttons


def message(text: str, kind: str = "soft") -> Component:
    """Return a sentence to the reader."""
    return html.P(text, className=kind)


def notes_block(notes: Sequence[str]) -> Block:
    """Return what a reader must know of the results, a line each.

    It is there also without notes: a block that comes later would make the whole page anew, zooms and all.
    """
    items = html.Ul([html.Li(note) for note in notes], className="soft")
    return Text("notes", html.Section([html.H2("Notes"), items] if notes else []))


def _columns(rows: pa.Table, columns: Mapping[str, Column | str] | None) -> dict[str, Column]:
    from pyarrow import types

    found = {}
    for name in columns or rows.column_names:
        kind = rows.schema.field(name).type
        given = (columns or {}).get(name, name)
        number = types.is_integer(kind) or types.is_floating(kind)
        found[name] = Column(given, number=number) if isinstance(given, str) else given
    return found


def _cell(column: Column, content: Content) -> Component:
    if not isinstance(content, str) or len(content) <= _LONG:
        return html.Td(content, className=_side(column))
    cut = content if len(content) <= _LONGEST else content[:_LONGEST] + " …"
    return html.Td(cut, className="long")


def _side(column: Column) -> str:
    return "number" if column.number else ""


def _html(name: str, content: Content) -> Part:
    return Part("html", name, content, _digest(str(to_json_plotly(content))))


def _folded(name: str, content: Component) -> Part:
    text = as_html(content)
    return Part("folded", name, text, _digest(text))


def _unfolding(title: str, part: Part) -> Component:
    """A part that the browser makes when it is opened (assets/folded.js)."""
    named: dict[str, Any] = {"data-name": part.name}
    box = html.Div(id={"kind": "unfolded", "name": part.name}, className="folded", **named)
    store = dcc.Store(id={"kind": part.kind, "name": part.name}, data=part.value)
    return html.Div([store, html.Details([html.Summary(title), box])])


def _container(part: Part) -> Component:
    return html.Div(part.value, id={"kind": part.kind, "name": part.name})


def _heading(title: str, caption: Content) -> Component:
    return html.Div([html.H2(title), _caption(caption)])


def _caption(caption: Content) -> Component:
    return html.P(caption, className="caption")


def _save_button(name: str, form: str, title: str) -> Component:
    said = {**labelled(f"Save “{title}” as {form.upper()}"), "data-save": form, "data-name": name}
    return html.Button(form.upper(), type="button", **said)


def _csv_link(address: str, name: str, file: str = "") -> Component:
    return html.A(
        "CSV", href=address, download=f"{file or name}.csv", **labelled(f"Save the data of {name} as CSV")
    )


def _config(name: str) -> Any:  # noqa: ANN401  (Dash names this type in a private module)
    return {**_GRAPH, "toImageButtonOptions": {"filename": name}}


def _panels(layout: go.Layout) -> int:
    """How many panels stand side by side: axes that begin at different places."""
    starts = {next(iter(layout[name].domain or (0, 1))) for name in layout if name.startswith("xaxis")}
    return max(1, len(starts))


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
