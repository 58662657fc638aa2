"""YAML → plain data and the line of every field; what is wrong with fields, in words.

Stricter than plain YAML where that saves a wrong file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from catalog.field_errors import FieldsError, Location, Problem, choices, closest_spelling

MAX_NODES = 100_000
MAX_DEPTH = 50  # files have a few levels; pydantic reads 200
PLAIN_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_LARGEST = 2**63  # numbers beyond have no place in a database
_OTHER_BASE = re.compile(r"[-+]?(?:0[0-9_]+|[0-9_]+(?::[0-9.]+)+)")  # YAML 1.1: 010 is 8, 1:30 is 90
_TOO_DEEP = "nested too deeply; a few levels are enough"
# What PyYAML lets through of Python's own where a scalar is not what it says, such as `2024-99-99`.
_PYTHONS_OWN = (ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError)


class _Loader(yaml.SafeLoader):
    """The safe loader, with YAML 1.2's floats: `1e-2` is a number, as everyone who writes it means."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401 - any value
        """The value of a node.

        Raises:
            yaml.MarkedYAMLError: it has none, or one that no other file could hold.
        """
        try:
            value = super().construct_object(node, deep)
        except _PYTHONS_OWN as error:
            what = f"{_shown(node.value)} is no {node.tag.rpartition(':')[2]}"
            raise _no_value(node, what) from error
        if isinstance(value, int) and abs(value) >= _LARGEST:
            raise _no_value(node, f"{_shown(node.value)} is too large a number")
        if isinstance(value, (int, float)) and _OTHER_BASE.fullmatch(str(node.value)):
            what = f"{_shown(node.value)} would be read as {value}; write {value}, or put it into quotes"
            raise _no_value(node, what)
        if isinstance(value, str) and any("\ud800" <= one <= "\udfff" for one in value):
            raise _no_value(node, "half a character (a lone surrogate); write the whole character")
        return value


def _no_value(node: yaml.Node, what: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, what, node.start_mark)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


@dataclass(frozen=True)
class Document:
    """A parsed file: its data, and the 1-based line at which each field starts."""

    data: object
    lines: Mapping[Location, int]

    def line(self, location: Location) -> int | None:
        """The line of a field, or of the closest field around it that the file has."""
        for length in range(len(location), 0, -1):
            if location[:length] in self.lines:
                return self.lines[location[:length]]
        return None


class _Walk:
    """Records lines and finds duplicate keys, self-references and alias bombs before data is built."""

    def __init__(self, source: str, error: type[FieldsError]) -> None:
        self._source, self._error = source, error
        self.lines: dict[Location, int] = {}
        self.problems: list[Problem] = []
        self._nodes = 0

    def visit(self, node: yaml.Node, location: Location, around: frozenset[int] = frozenset()) -> None:
        self._nodes += 1
        if len(location) > MAX_DEPTH:
            raise self._error.of(self._source, [Problem((), _TOO_DEEP, _line(node))])
        if id(node) in around or self._nodes > MAX_NODES:
            endless = Problem(location, "the file refers to itself or is too large", _line(node))
            raise self._error.of(self._source, [endless])
        inside = around | {id(node)}
        if isinstance(node, yaml.MappingNode):
            self._visit_mapping(node, location, inside)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.lines[(*location, index)] = _line(item)
                self.visit(item, (*location, index), inside)

    def _visit_mapping(self, node: yaml.MappingNode, location: Location, inside: frozenset[int]) -> None:
        seen: dict[str, int] = {}
        for key, value in node.value:
            name = str(key.value)
            where = (*location, name)
            if name in seen and key.tag != "tag:yaml.org,2002:merge":
                what = f"given twice, first in line {seen[name]}; keep one of them"
                self.problems.append(Problem(where, what, _line(key)))
            seen.setdefault(name, _line(key))
            self.lines[where] = _line(key)
            self.visit(value, where, inside)


def parse_yaml(text: str, source: str, error: type[FieldsError], needs: str) -> Document:
    """Parse one YAML document with the safe loader; `source` names it, `needs` says what it must have.

    Raises:
        FieldsError: of the class `error`: the syntax is wrong (with its line), the file is empty, a key is
            given twice, a number is not finite, or a tag asks for anything but plain data.
    """
    try:
        data, walk = _load(text, source, error, needs)
    except yaml.MarkedYAMLError as wrong:
        raise error.of(source, [_syntax_problem(wrong, text)]) from wrong
    except yaml.YAMLError as wrong:
        raise error.of(source, [Problem((), f"not YAML: {wrong}")]) from wrong
    except RecursionError as wrong:
        raise error.of(source, [Problem((), _TOO_DEEP)]) from wrong
    except _PYTHONS_OWN as wrong:  # the scanner's, such as a code point beyond Unicode
        raise error.of(source, [Problem((), f"not YAML: {wrong}")]) from wrong
    problems = walk.problems + _not_finite(data, (), walk.lines)
    if problems:
        raise error.of(source, problems)
    return Document(data, walk.lines)


def _load(text: str, source: str, error: type[FieldsError], needs: str) -> tuple[object, _Walk]:
    loader = _Loader(text)
    node = loader.get_single_node()
    if node is None:
        empty = Problem((), f"the file is empty; it needs at least {needs}")
        raise error.of(source, [empty])
    walk = _Walk(source, error)
    walk.visit(node, ())
    return loader.construct_document(node), walk


def _not_finite(data: object, location: Location, lines: Mapping[Location, int]) -> list[Problem]:
    if isinstance(data, float) and not math.isfinite(data):
        return [Problem(location, f"{data} is not a usable number", lines.get(location))]
    items: list[tuple[str | int, object]] = []
    if isinstance(data, dict):
        items = [(str(key), value) for key, value in data.items()]
    elif isinstance(data, list):
        items = list(enumerate(data))
    return [problem for key, value in items for problem in _not_finite(value, (*location, key), lines)]


def _syntax_problem(error: yaml.MarkedYAMLError, text: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    what = f"not YAML: {_in_plain_words(error, text) or error.problem or error.context}"
    if mark is None:
        return Problem((), what)
    return Problem((), f"{what} (column {mark.column + 1})", mark.line + 1)


def _in_plain_words(error: yaml.MarkedYAMLError, text: str) -> str:
    """What is wrong, where the parser's own words speak of its inside; else empty."""
    said, around, lines = error.problem or "", error.context or "", text.splitlines()
    first = None if error.context_mark is None else error.context_mark.line
    opened = "" if first is None else f"that opens in line {first + 1}"
    found = {
        "flow sequence": f"a [ {opened} is not closed by ] before here, or a comma is missing",
        "flow mapping": f"a {{ {opened} is not closed by }} before here, or a comma is missing",
        "quoted scalar": f"a quote {opened} is not closed",
        "found character '\\t'": "a tab; indent with spaces",
        "mapping values are not allowed": _of_a_colon(error.problem_mark, lines),
        "<block": "does not fit what stands above it: another indentation, or a quote above is not closed",
    }
    if "could not find expected ':'" in said and first is not None and ":" not in lines[first]:
        return f"line {first + 1} has no ':' between a field's name and its value"
    return next((words for part, words in found.items() if part in around or part in said), "")


def _of_a_colon(mark: yaml.Mark | None, lines: list[str]) -> str:
    """Why a `:` stands where none may: the line or the one above is written or indented otherwise."""
    if mark is None or mark.line >= len(lines):
        return ""
    line = lines[mark.line]
    above = next((number for number in range(mark.line - 1, -1, -1) if lines[number].strip()), None)
    if ":" in line[: mark.column] or above is None:
        return "a second ': ' in one line; put the value into quotes"
    if ":" not in lines[above]:
        return f"line {above + 1} has no ':' between a field's name and its value"
    return "indented further than the line above, which has a value already; fields of one kind begin alike"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


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
    if detail["type"] == "string_pattern_mismatch" and detail.get("ctx", {}).get("pattern") == PLAIN_NAME:
        what = "should begin with a letter or digit and have letters, digits, '.', '_' and '-' only"
        return f"{what}, got {_shown(detail['input'])}"
    if detail["type"] == "model_type":
        return f"should be fields with values, got {_shown(detail['input'])}"
    said = f"{detail['msg'].replace('Input should', 'should')}, got {_shown(detail['input'])}"
    return f"{said}{as_list(detail['input'])}"


def as_list(value: object) -> str:
    """The end of a line about a value: how several are written, where they stand there without brackets."""
    if not isinstance(value, str) or "," not in value:
        return ""
    values = ", ".join(part.strip() for part in value.strip("[] ").split(","))
    return f"; write a list: [{_shown(values)[1:-1]}]"


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
    return list(dict.fromkeys(name for one in found for name in _written(one)))


def _written(model: type[BaseModel]) -> Iterable[str]:
    """The names that a file may use of a model's fields: its own, unless it tells others."""
    told = getattr(model, "written_fields", None)
    return told() if told is not None else model.model_fields


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
