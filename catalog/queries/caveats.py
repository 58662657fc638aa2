"""What a reader must know beside results: what they mix that is in no key, and their own caveats."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catalog.catalog import Catalog

MOST_NOTES = 12
"""More lines than this are left to the view `result_caveats`."""

_MOST_CELLS = 3
"""Of a note on no more cells than these each is named."""

_TRAINED = """
    WITH trained AS (
        SELECT {column}, count(*) AS results
        FROM recorded.finished LEFT JOIN materialised.planned_keys AS keys USING (key)
        WHERE len($keys) = 0 AND coalesce(keys.current, true) OR list_contains($keys, key)
        GROUP BY {column}
    )
"""
_CONDITIONS = f"""
    {_TRAINED.format(column="hardware")}
    SELECT precision_of(hardware) AS precision, device_of(hardware) AS device, sum(results)::BIGINT AS results
    FROM trained GROUP BY ALL HAVING precision IS NOT NULL ORDER BY results DESC, precision, device
"""
# Those that what a cell computes, or what it sees of a video, goes through.
_VERSIONS = f"""
    {_TRAINED.format(column="versions")}
    SELECT package, versions ->> ('$.' || package) AS version, sum(results)::BIGINT AS results
    FROM trained CROSS JOIN (VALUES ('torch'), ('decord2'), ('av')) AS packages(package)
    WHERE version <> 'unknown' GROUP BY ALL ORDER BY package DESC, results DESC, version
"""
_CAVEATS = """
    SELECT kind, caveat, count(DISTINCT key) AS results, list(DISTINCT cell ORDER BY cell)[:4] AS cells
    FROM result_caveats_all
    WHERE len($keys) = 0 AND current OR list_contains($keys, key)
    GROUP BY kind, caveat ORDER BY results DESC, kind, caveat
"""


def result_notes(catalog: Catalog, keys: Sequence[str] = ()) -> list[str]:
    """Return sentences on the results of the cells with these keys (none given: on all current ones).

    First the warnings of `mixture_notes`. Then each caveat with the cells that it holds for, most first; of
    more than three cells with their number, and how they can be found.
    """
    mixed = mixture_notes(catalog, keys)
    rows = catalog.query(_CAVEATS, {"keys": list(keys)}).to_pylist()
    notes = [_note(row) for row in rows[:MOST_NOTES]]
    left = len(rows) - len(notes)
    more = [f"and {left} more kinds of notes: SELECT * FROM result_caveats"] if left else []
    return [*mixed, *notes, *more]


def mixture_notes(catalog: Catalog, keys: Sequence[str] = ()) -> list[str]:
    """Return a warning where these results (none given: all current ones) mix what is in none of their keys.

    That is precisions, or CPUs and GPUs, which `precision: auto` leaves to the machine; and the versions of
    a library that computes or decodes.
    """
    conditions, versions = (
        catalog.query(sql, {"keys": list(keys)}).to_pylist() for sql in (_CONDITIONS, _VERSIONS)
    )
    return [*_mixed(conditions), *_mixed_versions(versions)]


def _mixed(rows: Sequence[dict[str, Any]]) -> list[str]:
    kinds = {(row["precision"], str(row["device"]).startswith("CPU")) for row in rows}
    if len(kinds) < 2:
        return []
    counts = ", ".join(f"{row['results']} in {row['precision']} on {row['device']}" for row in rows)
    return [f"these results mix precisions and devices, and may differ by that alone: {counts}"]


def _mixed_versions(rows: Sequence[dict[str, Any]]) -> list[str]:
    notes = []
    for package, own in itertools.groupby(rows, key=itemgetter("package")):
        counts = [f"{row['results']} with {row['version']}" for row in own]
        if len(counts) > 1:
            told = "these results mix versions of {}, and may differ by that alone: {}"
            notes.append(told.format(package, ", ".join(counts)))
    return notes


def _note(row: dict[str, Any]) -> str:
    if len(row["cells"]) <= _MOST_CELLS:
        return f"{', '.join(row['cells'])}: {row['caveat']}"
    kind = row["kind"].replace("'", "''")
    return (
        f"{row['results']} results: {row['caveat']}; "
        f"which: SELECT cell FROM result_caveats WHERE kind = '{kind}'"
    )
