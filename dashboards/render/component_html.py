"""Components as the HTML that a browser makes of them, for parts that Dash need not know.

Dash spends 0.3 ms of a browser's time on each component: a folded table of a hundred rows has thousands.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from dash import html
from dash.development.base_component import Component

_NAMES = {"className": "class", "tabIndex": "tabindex"}
_WITHOUT = ("children", "id")


def as_html(content: Component | str | Sequence[Component | str]) -> str:
    """Return the HTML of elements and text; what comes from data is escaped.

    Raises:
        TypeError: A component is more than an HTML element.
    """
    if isinstance(content, Component):
        return _element(content)
    if isinstance(content, (list, tuple)):
        return "".join(map(as_html, content))
    return "" if content is None else escape(str(content))


def _element(component: Component) -> str:
    if type(component) is not getattr(html, type(component).__name__, None):
        raise TypeError(f"not an HTML element; {type(component).__name__}; show it outside of folded parts")
    tag = type(component).__name__.lower()
    given = component.to_plotly_json()["props"]  # type: ignore[no-untyped-call]
    # Dash keeps free attributes in a set, whose order changes from process to process.
    attributes = "".join(
        f' {_NAMES.get(name, name.lower())}="{escape(str(value))}"'
        for name, value in sorted(given.items())
        if name not in _WITHOUT and value is not None
    )
    return f"<{tag}{attributes}>{as_html(given.get('children'))}</{tag}>"
