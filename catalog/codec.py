"""One event ↔ one line of JSON.

Types are checked in both directions: an ill-typed event never enters a journal, and a damaged line that still
parses cannot spoil the catalog. A line carries a checksum (`catalog.storage.checksums`); those of earlier
versions, which have none, are looked at more closely. JSON knows no NaN or infinity, so that they are written
as strings.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Literal

from catalog.events import EVENT_TYPES, Event
from catalog.storage.checksums import ChecksumError, load_checked, with_checksum
from catalog.storage.errors import ActionGridError
from catalog.storage.layout import escaped

TYPES_BY_NAME: dict[str, type[Event]] = {event.__name__: event for event in EVENT_TYPES}

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_INT64 = 2**63
_FIRST_TIME, _END_OF_TIME = (
    -62_135_596_800.0,
    253_402_300_800.0,
)  # the years 1 and 10,000: calendars hold no more


class EventError(ActionGridError):
    """An event or a line that does not have the documented form."""


class UnknownEventError(EventError):
    """A well-formed line of a type or version that this program does not know."""


class DamagedEventError(EventError):
    """A line that is not what was written."""


@dataclasses.dataclass(frozen=True)
class FieldType:
    """The type of one field: its base Python type and whether None is allowed.

    `exact` holds the types of values that need no closer look: replaying many events is bound by this check.
    """

    base: type
    optional: bool
    exact: frozenset[type]

    def accepts(self, value: object) -> bool:
        """Tell whether a value may stand in the field; integers may stand for floats, booleans may not."""
        if type(value) in self.exact:
            return True
        if self.base in (int, float):
            return type(value) is int and -_INT64 <= value < _INT64
        return isinstance(value, self.base)

    def as_base(self, value: object) -> object:
        """A value that is accepted, as the catalog's column has it: a field of floats has no integers."""
        return float(value) if self.base is float and isinstance(value, int) else value


def _field_types(event_type: type[Event]) -> dict[str, FieldType]:
    hints = typing.get_type_hints(event_type)
    names = [field.name for field in dataclasses.fields(event_type) if field.name != "time"]
    return {name: _field_type(hints[name]) for name in names}


def _field_type(hint: Any) -> FieldType:  # noqa: ANN401  (a type hint has no type of its own)
    options = typing.get_args(hint) if typing.get_origin(hint) in (types.UnionType, typing.Union) else (hint,)
    base = next(option for option in options if option is not type(None))
    origin = typing.get_origin(base)
    kind = str if origin is Literal else origin or base
    optional = type(None) in options
    # An integer is looked at closely, because the catalog's columns have 64 bits.
    exact = (set() if kind is int else {kind}) | ({type(None)} if optional else set())
    return FieldType(base=kind, optional=optional, exact=frozenset(exact))


def _required(event_type: type[Event]) -> frozenset[str]:
    fields = dataclasses.fields(event_type)
    return frozenset(field.name for field in fields if field.default is dataclasses.MISSING)


FIELD_TYPES: dict[type[Event], dict[str, FieldType]] = {event: _field_types(event) for event in EVENT_TYPES}
"""The fields of every event type, in order, `time` left out."""

_REQUIRED = {event: _required(event) for event in EVENT_TYPES}
_FIRST = frozenset({"v", "event", "id", "time"}).union(*FIELD_TYPES.values())


def encode(event: Event) -> bytes:
    """Return the event's line, newline included.

    Raises:
        EventError: the event has no time, a value of the wrong type, or one that could not be read again.
    """
    name = type(event).__name__
    if event.time is None or not _FIRST_TIME <= event.time < _END_OF_TIME:
        raise EventError("event without a time", name, "append it through a Journal, which stamps it")
    values = {field: getattr(event, field) for field in FIELD_TYPES[type(event)]}
    _check(type(event), values)
    head = {"v": event.version, "event": name, "id": event.id, "time": event.time}
    try:
        text = _text(head | _portable(values))
    except (TypeError, ValueError, RecursionError) as error:
        raise EventError(f"value that JSON cannot hold ({error})", name, "use plain Python values") from error
    return with_checksum(text) + b"\n"


def _text(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(_escaped(record), separators=(",", ":"), ensure_ascii=False).encode()


def _escaped(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    """The value with its texts that are no UTF-8 written as `catalog.storage.layout.escaped` does."""
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return escaped(value) if isinstance(value, str) and not _is_unicode(value) else value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def decode(line: bytes) -> Event:
    """Return the event of a line.

    Raises:
        UnknownEventError: the type or its version is not known here.
        DamagedEventError: the line is whole, and not what was written.
        EventError: the line is torn or damaged.
    """
    return event_of(*record_of(line))


def record_of(line: bytes) -> tuple[type[Event], dict[str, Any]]:
    """Return the type of a line's event and its fields, whose types `event_of` checks.

    Raises:
        UnknownEventError, DamagedEventError, EventError: as `decode`.
    """
    content = line.removesuffix(b"\n")
    try:
        record = load_checked(content, _FIRST)
    except ChecksumError as error:
        if content.endswith(b"}"):
            raise DamagedEventError(str(error)) from error
        raise EventError(f"not a whole line ({error})") from error
    except ValueError as error:
        raise EventError(f"not JSON ({error})") from error
    if not isinstance(record.get("event"), str):
        raise EventError("not an event")
    event_type = TYPES_BY_NAME.get(record["event"])
    if event_type is None or record.get("v") != event_type.version:
        raise UnknownEventError(f"unknown event {record['event']} version {record.get('v')}")
    return event_type, record


def event_of(event_type: type[Event], record: dict[str, Any]) -> Event:
    """Return the event with these fields.

    Raises:
        EventError: one is missing or has the wrong type.
    """
    missing = _REQUIRED[event_type] - record.keys()
    if missing:
        raise EventError(f"{event_type.__name__} without {', '.join(sorted(missing))}")
    kinds = FIELD_TYPES[event_type]
    values = {name: record[name] for name in kinds if name in record}
    for name, value in values.items():
        if type(value) is str and value in _NON_FINITE and kinds[name].base is float:
            values[name] = _NON_FINITE[value]
    _check(event_type, values)
    for name, value in values.items():
        if type(value) is int:
            values[name] = kinds[name].as_base(value)
    time: Any = record.get("time")
    if type(time) not in (float, int) or not _FIRST_TIME <= time < _END_OF_TIME:
        raise EventError(f"{event_type.__name__} without a time")
    return event_type(**values, time=float(time))


def _check(event_type: type[Event], values: dict[str, Any]) -> None:
    kinds = FIELD_TYPES[event_type]
    for name, value in values.items():
        if type(value) not in kinds[name].exact and not kinds[name].accepts(value):
            expected = kinds[name].base.__name__ + (" or None" if kinds[name].optional else "")
            text = "" if isinstance(value, int) else repr(str(value)[:40])  # an integer may have any length
            found = f"{type(value).__name__} {text}".rstrip()
            raise EventError("wrong type", f"{event_type.__name__}.{name} is {found}", f"use {expected}")


def _portable(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    if isinstance(value, dict):
        return {key: _portable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_portable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


_TIMES = (0.0, 2.0**33)
"""Times that are plainly seconds since 1970."""

Origin = tuple[str, int]
"""A line's writer and byte offset."""
Record = tuple[Origin, Mapping[str, Any]]
Refused = Callable[[Origin, EventError], None]
"""Is told of a line whose fields are not an event's."""


@dataclasses.dataclass(frozen=True, slots=True)
class Columns:
    """The fields of events of one type, `time` among them, by name; and where each event stands."""

    fields: Mapping[str, Sequence[object]]
    origins: Sequence[Origin]


def columns_of(event_type: type[Event], records: Sequence[Record], refused: Refused) -> Columns:
    """Return the columns of those records whose fields are an event's; the others are told to `refused`.

    Replaying is bound by this. A value of its field's own type is taken as it is; a record with any other
    value (an integer for a float, NaN as text, a field that is missing) is left to `event_of`.
    """
    names = (*FIELD_TYPES[event_type], "time")
    pick = itemgetter(*names)
    origins, rows, odd = [], [], []
    for record in records:
        try:
            rows.append(pick(record[1]))
            origins.append(record[0])
        except KeyError:
            odd.append(record)
    places = _not_plain(event_type, [*zip(*rows, strict=True)])
    if places:
        odd += [(origins[place], dict(zip(names, rows[place], strict=True))) for place in sorted(places)]
        rows = [row for place, row in enumerate(rows) if place not in places]
        origins = [origin for place, origin in enumerate(origins) if place not in places]
    for origin, event in _events(event_type, odd, refused):
        rows.append(tuple(getattr(event, name) for name in names))
        origins.append(origin)
    values = [*zip(*rows, strict=True)] or [()] * len(names)
    return Columns(dict(zip(names, values, strict=True)), origins)


def _events(
    event_type: type[Event], records: Iterable[Record], refused: Refused
) -> Iterator[tuple[Origin, Event]]:
    for origin, record in records:
        try:
            yield origin, event_of(event_type, dict(record))
        except EventError as error:
            refused(origin, error)


def _not_plain(event_type: type[Event], columns: Sequence[Sequence[object]]) -> set[int]:
    """The places of the rows in which some value needs a closer look."""
    if not columns:
        return set()
    found: set[int] = set()
    for column, exact in zip(columns, _EXACT[event_type], strict=True):
        types = set(map(type, column))
        if not types <= exact:
            found |= {place for place, value in enumerate(column) if type(value) not in exact}
        if int in types:
            found |= {
                place
                for place, value in enumerate(column)
                if type(value) is int and not -_INT64 <= value < _INT64
            }
    first, last = _TIMES
    times: Sequence[Any] = columns[-1]
    late = {place for place, time in enumerate(times) if place not in found and not first < time < last}
    return found | late


def _exact(kind: FieldType) -> frozenset[type]:
    return frozenset({kind.base} | ({type(None)} if kind.optional else set()))


_EXACT: dict[type[Event], tuple[frozenset[type], ...]] = {
    event: (*map(_exact, FIELD_TYPES[event].values()), frozenset({float})) for event in EVENT_TYPES
}
"""The types of values that need no closer look, by the place of the field; `time` is the last one."""
