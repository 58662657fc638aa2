"""Commands to the drivers from a page: who may look at the dashboard may give them, unless it only reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import flask

from catalog.storage.errors import ActionGridError

ACTION_ROUTE = "/act"
ANNOTATION_ROUTE = "/annotate"
_FIELDS = frozenset({"action", "study", "cells"})
_ANNOTATIONS = frozenset({"note", "forget", "tag", "untag", "save", "unsave"})
_LONGEST = 1000  # characters of a study's name or a pattern of cells
_LONGEST_TEXT = 32 << 10  # of a note or an address

GiveCommand = Callable[[Any, str, str], str]
"""Gives a command (one of the pages' actions; a study; a pattern of cells' names) and says who was told.

Raises an ActionGridError where there is no such study or cell, or nobody to tell and nothing to do later.
"""


Annotate = Callable[[str, str, str], str]
"""Writes or removes a note (`note`, `forget`), tags (`tag`, `untag`) or a saved view (`save`, `unsave`).

Takes what to do, the cell's key, study or view, and a text; says what was done. Raises an ActionGridError
where that cannot be.
"""


class ActionError(ActionGridError):
    """A request for an action that no page sends."""


def add_actions(server: flask.Flask, actions: tuple[str, ...], give: GiveCommand) -> None:
    """Answer POSTs of `{"action": …, "study": …, "cells": …}`: 200, 400 (no such request), 409 (refused).

    The app's guard has seen to the token and the origin; a form of another site cannot send JSON.
    """
    _add_route(server, ACTION_ROUTE, lambda: _asked(actions), give)


def add_annotations(server: flask.Flask, annotate: Annotate) -> None:
    """Answer POSTs of `{"what": …, "about": …, "text": …}` as `add_actions` does."""
    _add_route(server, ANNOTATION_ROUTE, _said, annotate)


def _add_route(
    server: flask.Flask, route: str, read: Callable[[], tuple[str, str, str]], do: Callable[..., str]
) -> None:
    """Answer POSTs: `read` gives what a request says, or raises; `do` does it, in words, or refuses."""

    def answer() -> flask.Response:
        try:
            words = read()
        except ActionError as error:
            return _answer(400, str(error))
        try:
            return _answer(200, do(*words))
        except ActionGridError as error:
            return _answer(409, str(error))

    server.add_url_rule(route, route.strip("/"), answer, methods=["POST"])


def _asked(actions: tuple[str, ...]) -> tuple[str, str, str]:
    """The action, study and pattern of a request.

    Raises:
        ActionError: it is no such request.
    """
    body = _body(_FIELDS)
    if not all(map(_is_name, body.values())):
        raise ActionError("an action has `action`, `study` and `cells`, and they are names")
    if body["action"] not in actions:
        raise ActionError("no such action", "", f"one of {', '.join(actions)}")
    return body["action"], body["study"], body["cells"]


def _said() -> tuple[str, str, str]:
    """What to do, the subject and the text of a request.

    Raises:
        ActionError: it is no such request.
    """
    body = _body(frozenset({"what", "about", "text"}))
    named = _is_name(body["what"]) and _is_name(body["about"])
    if not named or body["what"] not in _ANNOTATIONS or not _is_text(body["text"]):
        raise ActionError("an annotation has `what`, `about` and `text`")
    return body["what"], body["about"], body["text"]


def _body(fields: frozenset[str]) -> dict[str, Any]:
    """The request's JSON.

    Raises:
        ActionError: it has none, or other fields.
    """
    if flask.request.mimetype != "application/json":
        raise ActionError("no JSON")
    try:
        body = json.loads(flask.request.get_data())
    except (ValueError, RecursionError) as error:
        raise ActionError("no JSON") from error
    if not isinstance(body, dict) or body.keys() != fields:
        raise ActionError(f"no JSON with {', '.join(sorted(fields))} alone")
    return body


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT and value.replace("\n", "").isprintable()


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable()


def _answer(status: int, text: str) -> flask.Response:
    return flask.Response(f"{text}\n", status, mimetype="text/plain")
