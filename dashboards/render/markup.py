"""HTML as text: pieces of the report, and Dash components that Dash need not know. Data are escaped here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from catalog.export import display

if TYPE_CHECKING:
    from dash.development.base_component import Component

Row = Mapping[str, Any]

_HTML = "dash_html_components"
_ATTRIBUTES = {"className": "class", "tabIndex": "tabindex", "htmlFor": "for"}
_NO_ATTRIBUTES = ("children", "id")


@dataclass(frozen=True)
class Column:
    """A column of an HTML table.

    `show` gives the text of a value, `number` puts it to the right, `wrap` lets long text take several lines;
    `markup`, where given, makes the HTML itself (and escapes).
    """

    name: str
    title: str
    show: Callable[[Any], str] = display
    number: bool = False
    wrap: bool = False
    markup: Callable[[Any], str] | None = None


def table(rows: Sequence[Row], columns: Sequence[Column], *, sortable: bool = False) -> str:
    """Return an HTML table in a box that scrolls sideways on small screens."""
    head = "".join(_head(column, sortable) for column in columns)
    body = "".join(
        "<tr>" + "".join(_cell(column, row, sortable) for column in columns) + "</tr>\n" for row in rows
    )
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="scroll" tabindex="0"><table{kind}><thead><tr>{head}</tr></thead>'
        f"<tbody>\n{body}</tbody></table></div>"
    )


def details(summary: str, body: str, *, open_: bool = False) -> str:
    """Return a part that the reader can fold out; `body` is HTML."""
    return f"<details{' open' if open_ else ''}><summary>{escape(summary)}</summary>{body}</details>"


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    marked = f' class="{kind}"' if kind else ""
    return f"<p{marked}>{escape(text)}</p>"


def state(value: str) -> str:
    """Return a cell's state: a coloured dot and always the word."""
    return f'<span class="state {escape(value)}">{escape(value)}</span>'


def quantity(value: float | None) -> str:
    """Return a large count with a metric prefix: 23,686,295 → 23.69 M."""
    if value is None:
        return ""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.2f} {prefix}"
    return f"{value:.0f}"


def signed(value: float | None) -> str:
    """Return a difference with its sign, two decimals."""
    return "" if value is None else f"{value:+.2f}"


def three_decimals(value: float | None) -> str:
    """Return a fraction with three decimals."""
    return "" if value is None else f"{value:.3f}"


def enumeration(items: Sequence[str]) -> str:
    """Return `a, b and c`."""
    return " and ".join([*([", ".join(items[:-1])] if items[:-1] else []), *items[-1:]])


def as_html(
    content: Component | str | Sequence[Component | str] | None,
    instead: Callable[[Component], str] | None = None,
) -> str:
    """Return the HTML that a browser makes of elements and text; what comes from data is escaped.

    Dash spends 0.3 ms of a browser's time on each component: a folded table of a hundred rows has thousands.
    `instead` gives the HTML of a component that is more than an element.

    Raises:
        TypeError: there is such a component, and no `instead`.
    """
    if isinstance(content, (list, tuple)):
        return "".join(as_html(one, instead) for one in content)
    if hasattr(content, "to_plotly_json"):
        return _element(content, instead)
    return "" if content is None else escape(str(content))


def _element(component: Any, instead: Callable[[Component], str] | None) -> str:  # noqa: ANN401  (Dash's components are not typed)
    described = component.to_plotly_json()
    if described["namespace"] != _HTML:
        if instead is not None:
            return instead(component)
        raise TypeError(f"not an HTML element; {described['type']}; show it outside of folded parts")
    tag, given = described["type"].lower(), described["props"]
    # Dash keeps free attributes in a set, whose order changes from process to process.
    attributes = "".join(
        _attribute(name, value) for name, value in sorted(given.items()) if name not in _NO_ATTRIBUTES
    )
    return f"<{tag}{attributes}>{as_html(given.get('children'), instead)}</{tag}>"


def _attribute(name: str, value: Any) -> str:  # noqa: ANN401  (of any type)
    if value is None or value is False:
        return ""
    text = "" if value is True else f'="{escape(str(value))}"'
    return f" {_ATTRIBUTES.get(name, name.lower())}{text}"


def _head(column: Column, sortable: bool) -> str:
    title = escape(column.title)
    inner = f'<button type="button">{title}</button>' if sortable else title
    return f'<th scope="col"{_kind(column)}>{inner}</th>'


def _cell(column: Column, row: Row, sortable: bool) -> str:
    value = row[column.name]
    text = escape(column.show(value))
    if column.markup is not None and value is not None:
        text = column.markup(value)
    return f"<td{_kind(column)}{_exact(column, value) if sortable else ''}>{text}</td>"


def _exact(column: Column, value: Any) -> str:  # noqa: ANN401  (of any type)
    """The attribute that numbers are sorted by; a report has thousands of cells that nobody sorts."""
    if not column.number or value is None:
        return ""
    # Ten digits are more than any number here has.
    return f' data-value="{escape(f"{value:.10g}" if isinstance(value, float) else str(value))}"'


def _kind(column: Column) -> str:
    kind = "number" if column.number else "text" if column.wrap else ""
    return f' class="{kind}"' if kind else ""
