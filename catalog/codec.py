"""One event ↔ one line of JSON.

Types are checked in both directions: an ill-typed event never enters a journal, and a damaged line that still
parses cannot spoil the catalog. A line carries a checksum (`catalog.storage.checksums`); those of earlier
versions, which have none, are looked at more closely. JSON knows no NaN or infinity, so that they are written
as strings.

Reading everything again is bound by `columns_of`: each type of event has a form for msgspec, which takes
lines whose values all have their fields' own types; any other line (NaN as text, an integer beyond 64 bits,
a field too many) is left to `decode`, which says what is wrong with it, if anything.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, cast

import msgspec

from catalog.events import EVENT_TYPES, Event
from catalog.storage.checksums import ChecksumError, is_checked, lines_hold, load_checked, with_checksum
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


Origin = tuple[str, int]
"""A line's writer and byte offset."""
Refused = Callable[[Origin, EventError], None]
"""Is told of a line that is no event's."""
Placed = tuple[Origin, bytes]
"""A line, its line break included, and where it stands."""
Values = tuple[object, ...]
_Rows = list[tuple[Origin, bool, Values]]
"""Where each line stands, whether it carries a checksum, and its values."""
Texts = dict[tuple[bytes, type, bool], str]
"""JSON values as they stand in lines, with what a field may hold, and as the catalog has them."""

_OLDER = b'{"v":'
"""How lines without a checksum begin."""
_INTEGER = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_FLOAT = Annotated[float, msgspec.Meta(gt=-(2.0**63), lt=2.0**63)]
"""Written as an integer it may have no more than 64 bits, and nobody can tell afterwards."""
_TIME = Annotated[float, msgspec.Meta(gt=0.0, lt=2.0**33)]
"""Plainly seconds since 1970."""


@dataclasses.dataclass(frozen=True, slots=True)
class Columns:
    """The fields of events of one type, `time` among them, by name; and where each event stands.

    Lists and objects are JSON. `unchecked` counts the lines without a checksum.
    """

    fields: Mapping[str, Sequence[object]]
    origins: Sequence[Origin]
    unchecked: int = 0


@dataclasses.dataclass(frozen=True)
class _Form:
    """How a type of event is read: its fields' names, and the places and types of those that are JSON."""

    event_type: type[Event]
    names: tuple[str, ...]
    texts: tuple[tuple[int, FieldType], ...]

    def row(self, line: msgspec.Struct, known: Texts) -> Values:
        """The values of a line; ValueError where a list stands for an object or the other way round."""
        values: Values = msgspec.structs.astuple(line)
        if not self.texts:
            return values
        changed = [*values]
        for place, kind in self.texts:
            changed[place] = _json_of(changed[place], kind, known)
        return tuple(changed)

    def row_of(self, event: Event) -> Values:
        """The values of an event."""
        values = [getattr(event, name) for name in self.names]
        for place, _ in self.texts:
            values[place] = _compact(values[place])
        return tuple(values)

    def columns(self, rows: _Rows) -> Columns:
        """The columns of some rows; one of a plain line has a few values more than there are names."""
        values = zip(*(row for _, _, row in rows), strict=False)
        fields = dict(zip(self.names, values, strict=False))
        return Columns(fields, [origin for origin, _, _ in rows], sum(not checked for _, checked, _ in rows))


def columns_of(lines: Sequence[Placed], refused: Refused) -> Mapping[type[Event], Columns]:
    """Return the columns of those lines that are events, by type; the others are told to `refused`."""
    rows = _plain(lines, {})
    if rows is None:
        rows = _one_by_one(lines, refused)
    return {one: _FORMS[one].columns(rows[one]) for one in rows}


def _plain(lines: Sequence[Placed], known: Texts) -> dict[type[Event], _Rows] | None:
    """The rows of lines that are what was written, with values of their fields' own types; else None."""
    texts = [text for _, text in lines]
    checked = lines_hold(texts)
    if not checked and not all(text.startswith(_OLDER) for text in texts):
        return None
    rows: dict[type[Event], _Rows] = defaultdict(list)
    try:
        for (origin, _), line in zip(lines, _READER.decode_lines(b"".join(texts)), strict=True):
            form = _FORMS_BY_STRUCT[type(line)]
            rows[form.event_type].append((origin, checked, form.row(line, known)))
    except (ValueError, RecursionError):
        return None
    return rows


def _one_by_one(lines: Sequence[Placed], refused: Refused) -> dict[type[Event], _Rows]:
    rows: dict[type[Event], _Rows] = defaultdict(list)
    known: Texts = {}
    for line in lines:
        try:
            for event_type, own in (_plain([line], known) or _odd(*line)).items():
                rows[event_type] += own
        except EventError as error:
            refused(line[0], error)
    return rows


def _odd(origin: Origin, text: bytes) -> dict[type[Event], _Rows]:
    event = decode(text)
    form = _FORMS[type(event)]
    return {form.event_type: [(origin, is_checked(text), form.row_of(event))]}


def _json_of(raw: object, kind: FieldType, known: Texts) -> str:
    """A JSON value as the catalog has it."""
    content = bytes(cast(msgspec.Raw, raw))
    place = (content, kind.base, kind.optional)  # many lines have the same
    if place not in known:
        value = msgspec.json.decode(content)
        if not (isinstance(value, kind.base) or (value is None and kind.optional)):
            raise ValueError("not of the field's type")
        known[place] = _compact(value)
    return known[place]


def _compact(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _struct(event_type: type[Event]) -> type[msgspec.Struct]:
    """A class whose first fields are the event's, in order."""
    defaults = {
        field.name: field.default
        for field in dataclasses.fields(event_type)
        if field.default is not dataclasses.MISSING
    }
    own: list[Any] = []
    for name, kind in FIELD_TYPES[event_type].items():
        default = msgspec.Raw(b"null") if _is_json(kind) else defaults.get(name)
        own.append((name, _type_of(kind), *([] if name in _REQUIRED[event_type] else [default])))
    own += [("time", _TIME), ("v", Literal[event_type.version]), ("id", str), ("crc", str, "")]
    return msgspec.defstruct(
        event_type.__name__,
        own,
        tag_field="event",
        tag=event_type.__name__,
        kw_only=True,
        gc=False,
        forbid_unknown_fields=True,
    )


def _type_of(kind: FieldType) -> Any:  # noqa: ANN401  (a type hint has no type of its own)
    if _is_json(kind):
        return msgspec.Raw
    own: Any = {int: _INTEGER, float: _FLOAT}.get(kind.base, kind.base)
    return own | None if kind.optional else own


def _is_json(kind: FieldType) -> bool:
    return kind.base in (dict, list)


def _form(event_type: type[Event]) -> _Form:
    kinds = FIELD_TYPES[event_type]
    texts = tuple((place, kind) for place, kind in enumerate(kinds.values()) if _is_json(kind))
    return _Form(event_type, (*kinds, "time"), texts)


_FORMS = {event_type: _form(event_type) for event_type in FIELD_TYPES}
_FORMS_BY_STRUCT = {_struct(event_type): form for event_type, form in _FORMS.items()}
_READER: Any = msgspec.json.Decoder(Union[tuple(_FORMS_BY_STRUCT)])  # noqa: UP007  (of a tuple)
