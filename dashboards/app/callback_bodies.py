"""What a browser may send to Dash's callbacks: these ids, these kinds of values, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from catalog.storage.errors import ActionGridError
from dashboards.render.theme import THEMES

LONGEST_TEXT = 64 << 10
MOST_ENTRIES = 20_000


class BodyError(ActionGridError):
    """A body that the pages never send; the text says what is wrong with it."""


def check_body(data: bytes, callbacks: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse the body of a callback's request unless it is as the app's own pages send it.

    `callbacks` is Dash's map: by output, with `output`, `inputs` and `state`.

    Raises:
        BodyError: it is no JSON of that form, or a value that the callback cannot have.
    """
    body = _json(data)
    if not isinstance(body, dict) or not isinstance(body.get("output"), str):
        raise BodyError("not the body of a callback")
    declared = callbacks.get(body["output"])
    if declared is None or "callback" not in declared:
        raise BodyError("no such callback")
    _match(_outputs_of(declared["output"]), _listed(body.get("outputs")))
    inputs = list(_match(_declared(declared["inputs"]), body.get("inputs", [])))
    inputs += _match(_declared(declared["state"]), body.get("state", []))
    for name, prop, value in inputs:
        if not _allowed(name, prop, value):
            raise BodyError(f"a value that {prop} cannot have")
    _check_triggers(body.get("changedPropIds", []), inputs)


def _json(data: bytes) -> Any:  # noqa: ANN401
    def refuse(name: str) -> None:
        raise BodyError(f"{name} is no JSON")

    try:
        return json.loads(data, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise BodyError("no JSON") from error


Slot = tuple[Any, str]
"""An id (a text, or a pattern as a dict) and a property."""


def _declared(entries: Sequence[Mapping[str, str]]) -> list[Slot]:
    return [(_id(one["id"]), one["property"]) for one in entries]


def _outputs_of(output: Any) -> list[Slot]:  # noqa: ANN401  (one of Dash's outputs, or several)
    several = output if isinstance(output, (list, tuple)) else [output]
    return [(_id(one.component_id_str()), one.component_property) for one in several]


def _id(text: str) -> Any:  # noqa: ANN401
    return json.loads(text) if text.startswith("{") else text


def _listed(value: Any) -> Any:  # noqa: ANN401
    return [value] if isinstance(value, dict) else value


def _match(slots: Sequence[Slot], given: Any) -> Iterator[tuple[Any, str, Any]]:  # noqa: ANN401
    """The id, property and value of everything that is given; it has to be what is declared, in its order."""
    if not isinstance(given, list) or len(given) != len(slots):
        raise BodyError("not what the callback declares")
    found = []
    for (pattern, prop), entry in zip(slots, given, strict=True):
        every = isinstance(pattern, dict) and ["ALL"] in pattern.values()
        if every != isinstance(entry, list):
            raise BodyError("not what the callback declares")
        for one in entry if every else [entry]:
            if not _is_slot(one, pattern, prop):
                raise BodyError("not what the callback declares")
            found.append((one["id"], prop, one.get("value")))
    return iter(found)


def _is_slot(given: Any, pattern: Any, prop: str) -> bool:  # noqa: ANN401
    if not isinstance(given, dict) or not isinstance(given.get("property"), str):
        return False
    # Behind the @ stands which of several callbacks with this output it is.
    if given["property"].partition("@")[0] != prop.partition("@")[0]:
        return False
    name = given.get("id")
    if isinstance(pattern, str):
        return bool(name == pattern)
    return (
        isinstance(name, dict)
        and name.keys() == pattern.keys()
        and all(
            _is_text(name[key]) if isinstance(wanted, list) else name[key] == wanted
            for key, wanted in pattern.items()
        )
    )


def _check_triggers(changed: Any, inputs: Sequence[tuple[Any, str, Any]]) -> None:  # noqa: ANN401
    known = {f"{_written(name)}.{prop}" for name, prop, _ in inputs}
    if not isinstance(changed, list) or not all(isinstance(one, str) and one in known for one in changed):
        raise BodyError("changedPropIds names no input")


def _written(name: Any) -> str:  # noqa: ANN401
    if isinstance(name, str):
        return name
    return json.dumps(name, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _allowed(name: Any, prop: str, value: Any) -> bool:  # noqa: ANN401
    kind = name if isinstance(name, str) else name["kind"]
    return (value is None and (kind, prop) not in _NEVER_ABSENT) or _VALUES[kind, prop](value)


def _is_text(value: object) -> bool:
    # A lone surrogate has no bytes: neither SQL nor JSON can take it.
    return (
        isinstance(value, str)
        and len(value) <= LONGEST_TEXT
        and not any("\ud800" <= sign <= "\udfff" for sign in value)
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _is_choice(value: object) -> bool:
    return _is_text(value) or _is_count(value)


def _is_list(value: object, each: Callable[[object], bool]) -> bool:
    return isinstance(value, list) and len(value) <= MOST_ENTRIES and all(map(each, value))


def _is_option(value: object) -> bool:
    return isinstance(value, dict) and len(value) <= 8 and all(_is_choice(one) for one in value.values())


def _are_digests(value: object) -> bool:
    return isinstance(value, dict) and len(value) <= MOST_ENTRIES and all(map(_is_text, value.values()))


_VALUES: dict[tuple[str, str], Callable[[object], bool]] = {
    ("clock", "n_intervals"): _is_count,
    ("revision", "data"): _is_count,
    ("again", "data"): _is_count,
    ("trouble", "children"): _is_text,
    ("address", "pathname"): _is_text,
    ("address", "search"): _is_text,
    ("theme", "data"): lambda value: isinstance(value, str) and value in THEMES,
    ("digests", "data"): _are_digests,
    ("filter", "value"): lambda value: _is_list(value, _is_choice),
    ("filter", "options"): lambda value: _is_list(value, _is_option),
    ("cells", "search_value"): _is_text,
    ("cells", "value"): lambda value: _is_text(value) or _is_list(value, _is_text),
}
"""What each input and state can hold, by id (of patterns: by kind) and property."""
_NEVER_ABSENT = frozenset({("revision", "data"), ("again", "data"), ("digests", "data")})
