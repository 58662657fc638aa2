"""What people wrote beside the results: notes and tags of cells and studies, and named views of Explore."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.catalog import Catalog
    from catalog.events import Subject

_LATER = 1e-3  # seconds
_LAST = """
    SELECT max(time) AS last FROM (
        SELECT time FROM recorded.notes UNION ALL SELECT time FROM recorded.tags
        UNION ALL SELECT time FROM recorded.saved_views
    )
"""
_ABOUT = "about = $about AND CASE about WHEN 'cell' THEN key ELSE study END = $name"
_NOTES = f"SELECT note, text, who, written FROM notes WHERE {_ABOUT} ORDER BY written, note"
_TAGS = f"SELECT tag, who, tagged FROM tags WHERE {_ABOUT} ORDER BY tag"
_ALL_NOTES = """
    SELECT about, note, study, cell, key, text, who, written FROM notes
    WHERE len($keys) = 0 OR list_contains($keys, key) ORDER BY written DESC, note
"""
_VIEWS = 'SELECT "view", search, who, saved FROM saved_views ORDER BY "view"'


def next_annotation_time(catalog: Catalog, now: float) -> float:
    """The time (seconds since 1970) of the next note, tag or view: `now`, or just after the last one.

    Of two that say something else of one thing the later one holds, though a clock was set back.
    """
    (row,) = catalog.query(_LAST).to_pylist()
    return max(now, (row["last"] or 0.0) + _LATER)


def notes_about(catalog: Catalog, about: Subject, name: str) -> pa.Table:
    """Return `note`, `text`, `who`, `written` of a cell's (by its key) or a study's notes, oldest first."""
    return catalog.query(_NOTES, {"about": about, "name": name})


def tags_about(catalog: Catalog, about: Subject, name: str) -> pa.Table:
    """Return `tag`, `who` and `tagged` of a cell's (by its key) or a study's own tags."""
    return catalog.query(_TAGS, {"about": about, "name": name})


def newest_notes(catalog: Catalog, keys: Sequence[str] = ()) -> pa.Table:
    """Return the notes on these cells (none named: on all cells and studies), the newest first."""
    return catalog.query(_ALL_NOTES, {"keys": list(keys)})


def saved_views(catalog: Catalog) -> pa.Table:
    """Return `view`, `search`, `who` and `saved` of the named views of the page Explore, by name."""
    return catalog.query(_VIEWS)
