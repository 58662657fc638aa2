"""Finished results of studies as they were before: how many wait to be replaced, and what they are of."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from catalog.queries.planner import superseded_results
from orchestrator.planning.changes import PARENT, key_difference

if TYPE_CHECKING:
    from catalog import Catalog

_VIDEOS = ("data.train", "initial.chosen_on")
"""The parts of a key that are another where the dataset's videos are."""
_OTHER = {"code": "another version of the code", "resources": "other resources"}
_MOST_FIELDS = 3
_NO_MORE = "cells that the study has no more"


def earlier_lines(catalog: Catalog, study: str | None, show: str, *, everything: bool = False) -> list[str]:
    """A line a study on its results that are of another version of it.

    Args:
        catalog: of the storage.
        study: one study, or None for all.
        show: the command that shows these results.
        everything: also results that newer ones have replaced, and of cells that the study has no more.
    """
    found = _counted(catalog, study, everything=everything)
    return [_line(counts, name if study is None else "", show) for name, counts in found.items()]


def earlier_by_study(catalog: Catalog, study: str | None, show: str) -> dict[str, str]:
    """Return the lines of `earlier_lines` by the studies' names, without these names in them."""
    found = _counted(catalog, study, everything=False)
    return {name: _line(counts, "", show) for name, counts in found.items()}


def _counted(catalog: Catalog, study: str | None, *, everything: bool) -> Mapping[str, Mapping[str, int]]:
    """By study, how many earlier results are of what."""
    found: dict[str, Counter[str]] = {}
    for row in superseded_results(catalog, study).to_pylist():
        if everything or (row["planned"] and not row["replaced"]):
            found.setdefault(row["study"], Counter())[what_they_are_of(row)] += row["results"]
    return found


def _line(counts: Mapping[str, int], study: str, show: str) -> str:
    total = sum(counts.values())
    results = f"{total} earlier result{'s' * (total > 1)}{f' of study {study}' if study else ''}"
    if len(counts) == 1:
        return f"{results} {'is' if total == 1 else 'are'} of {next(iter(counts))}: `{show}` shows them"
    parts = ", ".join(f"{count} of {what}" for what, count in counts.items())
    return f"{results} ({parts}): `{show}` shows them"


def what_they_are_of(row: Mapping[str, Any]) -> str:
    """What superseded results are of, in words; a row of `superseded_results`."""
    if not row["planned"]:
        return _NO_MORE
    before, now = json.loads(row["key_parts"] or "{}"), json.loads(row["new_key_parts"] or "{}")
    differences = [one for one in key_difference(before, now) if one.field != PARENT]
    kinds: dict[str, list[str]] = {}
    for one in differences:
        kinds.setdefault("dataset" if one.field in _VIDEOS else one.kind, []).append(one.words)
    words = [_version(kind, fields, row) for kind, fields in kinds.items()]
    return " and ".join(words) or "cells that start from another parent"


def _version(kind: str, fields: Sequence[str], row: Mapping[str, Any]) -> str:
    if kind == "dataset":
        before, now = row["train_videos"], row["new_train_videos"]
        told = f" ({before} training videos, now {now})" if before and now and before != now else ""
        return f"another version of dataset {row['dataset']}{told}"
    more = ", …" if len(fields) > _MOST_FIELDS else ""
    return f"{_OTHER.get(kind, f'another {kind}')} ({', '.join(fields[:_MOST_FIELDS])}{more})"
