"""Which cells a page shows: part of its address, so that a view can be sent to a colleague."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import quote, unquote_plus

STATES = ("planned", "running", "done", "failed", "blocked")
AXES = ("module", "backbone", "temporal_pooling", "frames", "dataset")
"""The filters that literature results have too."""

_FLAGS = {"yes": True, "no": False}


class FilterError(ValueError):
    """An address with a filter that means nothing."""


@dataclass(frozen=True)
class Where:
    """An SQL condition and the values of its named parameters."""

    sql: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Filters:
    """The values that are let through, by name; no value lets everything through."""

    module: tuple[str, ...] = ()
    backbone: tuple[str, ...] = ()
    temporal_pooling: tuple[bool, ...] = ()
    frames: tuple[int, ...] = ()
    dataset: tuple[str, ...] = ()
    study: tuple[str, ...] = ()
    seed: tuple[int, ...] = ()
    state: tuple[str, ...] = ()

    def where(self, columns: Collection[str]) -> Where:
        """Return the condition on those of `columns` that are filtered; TRUE where none is."""
        chosen = {name: list(getattr(self, name)) for name in columns if getattr(self, name)}
        sql = " AND ".join(f"list_contains(${name}, {name})" for name in chosen)
        return Where(sql or "TRUE", chosen)

    def without(self, *names: str) -> Filters:
        """Return the filters without those named."""
        kept = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in names}
        return Filters(**kept)


ALL = Filters()


def to_query_string(filters: Filters) -> str:
    """Return the query of an address, `module=tam,i3d&frames=8`; empty without filters."""
    parts = []
    for field in fields(filters):
        values = getattr(filters, field.name)
        if values:
            parts.append(f"{field.name}={','.join(quote(_text(value), safe='') for value in values)}")
    return "&".join(parts)


def from_query_string(text: str) -> Filters:
    """Return the filters of an address; other parameters of a page are left alone.

    Raises:
        FilterError: a value that its filter cannot have.
    """
    found: dict[str, tuple[Any, ...]] = {}
    names = {field.name for field in fields(Filters)}
    for part in text.removeprefix("?").split("&"):
        name, _, values = part.partition("=")
        if name in names and values:
            raw = [unquote_plus(value) for value in values.split(",") if value]
            found[name] = found.get(name, ()) + tuple(_value(name, value) for value in raw)
    return Filters(**{name: tuple(dict.fromkeys(values)) for name, values in found.items()})


def _text(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _value(name: str, text: str) -> str | int | bool:
    if name == "temporal_pooling":
        if text not in _FLAGS:
            raise FilterError(f"{text!r} is no answer; filter {name}; use yes or no")
        return _FLAGS[text]
    if name in ("frames", "seed"):
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise FilterError(f"{text!r} is no number; filter {name}; use digits, for example 8")
        return int(text)
    if name == "state" and text not in STATES:
        raise FilterError(f"{text!r} is no state; filter {name}; use one of {', '.join(STATES)}")
    return text
