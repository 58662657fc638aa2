"""Views whose rows are kept as long as nothing changes that they read: the schema `kept`, without a database.

They are filled when a query first needs them, so that what nobody asks about costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

KEPT = ("planned_keys", "open_cells", "cell_accuracies", "cell_costs")
"""The tables of the schema `kept` that are filled from a view; later ones build on earlier ones."""

FOLLOWED = "attempt_epochs"
"""The table of the schema `kept` that grows with every reading of the journals."""

_CREATE = re.compile(r"CREATE (?:VIEW|MACRO) ([\w.]+)")
_NAME = re.compile(r"(?<![\w.])(?:main\.)?\w+(?:\.\w+)?")
_TEXT = re.compile(r"'((?:[^']|'')*)'")
_NEW_NAME = re.compile(r"\bAS \w+")


@dataclass(frozen=True)
class Sources:
    """What a view or macro reads, directly or through others: tables of `kept`, and of `recorded`."""

    kept: frozenset[str]
    recorded: frozenset[str]


def sources(texts: Sequence[str]) -> Mapping[str, Sources]:
    """Return what every view and macro reads; `texts` are the statements that create them, in their order.

    A word that only looks like a view's name counts as one: at worst, something is filled that nobody needs.
    """
    found: dict[str, Sources] = {}
    for text in texts:
        code = re.sub(r"--.*", "", text)
        starts = [*_CREATE.finditer(code)]
        for start, end in zip(starts, [*(one.start() for one in starts[1:]), len(code)], strict=True):
            found[start.group(1)] = _read_by(_names(code[start.end() : end]), found)
    return found


def needed(sql: str, known: Mapping[str, Sources]) -> tuple[str, ...]:
    """Return the tables of `kept` that a statement may read, in the order in which they can be filled."""
    read = _read_by(_names(sql), known).kept
    return tuple(name for name in KEPT if name in read)


def outdated(changed: Collection[str], known: Mapping[str, Sources]) -> frozenset[str]:
    """Return the tables of `kept` that read one of the tables of `recorded` that have changed."""
    return frozenset(name for name in KEPT if known[f"computed.{name}"].recorded & set(changed))


def _names(code: str) -> set[str]:
    # Texts and new names are no names of views; a text of one word can be: that is how macros get relations.
    plain = _NEW_NAME.sub("", _TEXT.sub(lambda text: text[1] if _NAME.fullmatch(text[1]) else "", code))
    return {name.removeprefix("main.") for name in _NAME.findall(plain)}


def _read_by(names: Iterable[str], known: Mapping[str, Sources]) -> Sources:
    kept: set[str] = set()
    recorded: set[str] = set()
    for name in names:
        schema, _, table = name.rpartition(".")
        if schema == "recorded":
            recorded.add(table)
        elif name == f"kept.{FOLLOWED}":
            recorded.add("epochs")
        elif schema == "kept":
            kept.add(table)
        behind = known.get(f"computed.{table}" if schema == "kept" else name)
        if behind is not None:
            kept |= behind.kept
            recorded |= behind.recorded
    return Sources(frozenset(kept), frozenset(recorded))
