"""What pydantic finds wrong in a file that people write, in words: path, line, and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from catalog.field_errors import Location, Problem, choices, closest_spelling
from catalog.yaml_source import Document


def json_data(data: object) -> object:
    """Return data as JSON can hold it: text for keys and for what YAML made dates or bytes of."""
    if isinstance(data, dict):
        return {str(key): json_data(value) for key, value in data.items()}
    if isinstance(data, list):
        return [json_data(value) for value in data]
    return data if data is None or isinstance(data, (str, int, float)) else str(data)


def field_problems(
    model: type[BaseModel], error: ValidationError, document: Document, tagged: str = ""
) -> list[Problem]:
    """Return one problem for each of pydantic's, in the file's order.

    `tagged` is the field at the top whose values are told apart by their `kind`.
    """
    details = error.errors()
    misspelt = {meant for detail in details if (meant := _meant(model, detail)) is not None}
    told = [one for one in details if one["type"] != "missing" or tuple(one["loc"]) not in misspelt]
    problems = [_problem(model, detail, document, tagged) for detail in told]
    return sorted(problems, key=lambda problem: problem.line or 0)


def _meant(model: type[BaseModel], detail: ErrorDetails) -> Location | None:
    """The field that an unknown one was probably meant to be: no need to call that one missing too."""
    if detail["type"] != "extra_forbidden":
        return None
    around, name = detail["loc"][:-1], detail["loc"][-1]
    close = closest_spelling(name, _fields_at(model, around))
    return None if close is None else (*around, close)


def _problem(model: type[BaseModel], detail: ErrorDetails, document: Document, tagged: str) -> Problem:
    full = tuple(detail["loc"])
    location = _as_written(full, document, tagged)
    kind = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    if kind == "extra_forbidden":
        what = f"unknown field; {choices(full[-1], _fields_at(model, full[:-1]))}"
    elif kind == "missing":
        what = "missing, and it has no default; add it"
    elif kind in ("literal_error", "enum"):
        what = (
            f"{_shown(detail['input'])} is not one of them; {_expected(detail['input'], context['expected'])}"
        )
    elif kind == "union_tag_invalid":
        location = (*location, "kind")
        what = f"{context['tag']!r} is not one of them; {_expected(context['tag'], context['expected_tags'])}"
    elif kind == "union_tag_not_found":
        location = (*location, "kind")
        what = f"missing; {choices('', _kinds(model, tagged))}"
    else:
        what = _in_words(detail)
    return Problem(location, what, document.line(location))


def _in_words(detail: ErrorDetails) -> str:
    if detail["type"] == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "model_type":
        return f"should be fields with values, got {_shown(detail['input'])}"
    return f"{detail['msg'].replace('Input should', 'should')}, got {_shown(detail['input'])}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _expected(given: object, expected: str) -> str:
    options = [text or number for text, number in re.findall(r"'([^']*)'|(\d+)", expected)]
    return choices(given, options)


def _as_written(location: Location, document: Document, tagged: str) -> Location:
    """Without what pydantic adds: a value's kind, and the index of a value written without a list."""
    if location[:1] == (tagged,) and len(location) > 3 and location[:3] not in document.lines:
        location = (*location[:2], *location[3:])
    if location and isinstance(location[-1], int) and location not in document.lines:
        location = location[:-1]
    return location


def _fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """The field names that the model at this place of the file may have."""
    found = [model]
    for part in location:
        inside = [inner for outer in found for inner in _step(outer, part)]
        found = inside or found
    return list(dict.fromkeys(name for one in found for name in one.model_fields))


def _step(model: type[BaseModel], part: str | int) -> list[type[BaseModel]]:
    if isinstance(part, str) and part in model.model_fields:
        return list(_models_in(model.model_fields[part].annotation))
    return [model] if part == _kind_of(model) else []


def _kinds(model: type[BaseModel], tagged: str) -> list[str]:
    kinds = (_kind_of(one) for one in _models_in(model.model_fields[tagged].annotation))
    return [kind for kind in kinds if kind is not None]


def _kind_of(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return str(get_args(field.annotation)[0]) if field is not None and get_args(field.annotation) else None


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Every model in an annotation, through unions, tuples, dicts and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
