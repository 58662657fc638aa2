"""YAML → plain data and the line of every field. Stricter than plain YAML where that saves a wrong file."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from catalog.field_errors import FieldsError, Location, Problem

MAX_NODES = 100_000


class _Loader(yaml.SafeLoader):
    """The safe loader, with YAML 1.2's floats: `1e-2` is a number, as everyone who writes it means."""


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
        raise error.of(source, [_syntax_problem(wrong)]) from wrong
    except yaml.YAMLError as wrong:
        raise error.of(source, [Problem((), f"not YAML: {wrong}")]) from wrong
    except RecursionError as wrong:
        raise error.of(source, [Problem((), "nested too deeply; a few levels are enough")]) from wrong
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


def _syntax_problem(error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    what = f"not YAML: {error.problem or error.context}"
    if mark is None:
        return Problem((), what)
    return Problem((), f"{what} (column {mark.column + 1})", mark.line + 1)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1
