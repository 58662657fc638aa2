"""Tags, notes and saved views on pages: shown, and written where commands are allowed (app.js)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboards.pages.blocks import labelled, message

Row = Mapping[str, Any]


def tags_and_notes(
    about: str,
    tags: Sequence[Row],
    notes: Sequence[Row],
    show: Callable[[str], Component | str] = str,
    *,
    writable: bool,
) -> Component:
    """Return tags and notes of a cell (`about`: its key) or study; with fields and buttons where `writable`.

    `show` gives what a tag looks like.
    """
    tagged: list[Component | str] = []
    for tag in (row["tag"] for row in tags):
        away = annotation_button("untag", about, f"take the tag {tag} away", text=tag)
        tagged += [show(tag), " "]
        if writable:
            tagged += [away, " "]
    lines = [
        html.Li(
            [
                html.Span(f"{row['written']:%Y-%m-%d} {row['who']}: ", className="soft"),
                row["text"],
                *([_forget(about, row)] if writable else []),
            ]
        )
        for row in notes
    ]
    fields = [
        annotation_field(
            "tag-text", "Tags", annotation_button("tag", about, "add these tags", field="tag-text")
        ),
        annotation_field(
            "note-text", "Note", annotation_button("note", about, "add this note", field="note-text")
        ),
    ]
    if not (writable or tags or notes):
        return html.Section([])
    return html.Section(
        [
            html.H2("Tags and notes"),
            html.P(tagged or "No tags yet.", className="" if tagged else "soft"),
            html.Ul(lines) if lines else message("No notes yet."),
            *(fields if writable else []),
        ]
    )


def _forget(about: str, row: Row) -> Component:
    title = f"remove the note of {row['who']}, {row['text'][:40]}"
    return annotation_button("forget", about, title, text=row["note"])


def annotation_button(what: str, about: str, title: str, *, text: str = "", field: str = "") -> Component:
    """Return a button that writes or removes a note, tag or view (app.js): a text, or what a field holds."""
    said: dict[str, Any] = {
        "data-annotate": what,
        "data-about": about,
        "data-text": text,
        "data-field": field,
    }
    return html.Button(what if field else "×", type="button", **said, **labelled(title))


def annotation_field(name: str, title: str, button: Component) -> Component:
    """Return a field for a line of text with its label, and the button that sends it."""
    return html.Div(
        [html.Label(title, htmlFor=name), dcc.Input(id=name, type="text", autoComplete="off"), button],
        className="annotate",
    )
