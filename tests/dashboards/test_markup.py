"""Components as HTML: what a browser shows of it is what Dash would have made, and data stay data."""

from __future__ import annotations

import pytest
from dash import dcc, html

from dashboards.render.markup import as_html


def test_elements_attributes_and_text() -> None:
    link = html.A("a & b", href="/cell?key=1&x=2", className="go")
    row = html.Tr([html.Td(["1 < 2 ", link], className=""), html.Td(None), html.Td(3)])
    assert as_html(html.Tbody([row])) == (
        '<tbody><tr><td class="">1 &lt; 2 <a class="go" href="/cell?key=1&amp;x=2">a &amp; b</a></td>'
        "<td></td><td>3</td></tr></tbody>"
    )
    assert as_html(html.Div("x", tabIndex="0", role="region")) == '<div role="region" tabindex="0">x</div>'
    assert as_html(html.Th("n", scope="col", **{"data-name": "a", "aria-label": "n"})) == (
        '<th aria-label="n" data-name="a" scope="col">n</th>'
    )


def test_nothing_in_data_becomes_markup() -> None:
    bad = '"><script>alert(1)</script>'
    text = as_html(html.Td(bad, title=bad))
    assert "<script" not in text and text.count("<") == 2


def test_what_is_no_element_is_refused() -> None:
    with pytest.raises(TypeError, match="not an HTML element; Graph"):
        as_html(html.Div([dcc.Graph()]))


def test_something_else_can_stand_in_the_place_of_what_is_no_element() -> None:
    content = html.Section([html.P("a"), html.Div([dcc.Graph(), dcc.Store(id="s")])])
    text = as_html(content, lambda one: f"<{one.to_plotly_json()['type']}>")  # type: ignore[no-untyped-call]
    assert text == "<section><p>a</p><div><Graph><Store></div></section>"


def test_an_attribute_that_is_true_or_false_stands_there_or_not() -> None:
    assert as_html(html.Details("x", open=False)) == "<details>x</details>"
    assert as_html(html.Details("x", open=True)) == "<details open>x</details>"
    assert as_html(html.Label("x", htmlFor="y")) == '<label for="y">x</label>'
