"""What people journal beside the drivers: notes and tags of cells and studies, named views of Explore.

None of it decides anything: no key changes, no driver reads it.
"""

from __future__ import annotations

import platform
import re
import time
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from catalog.events import Event, NoteWritten, Subject, TagSet, ViewSaved
from catalog.journal import JournalError, open_journal
from catalog.queries.annotations import next_annotation_time, notes_about, saved_views, tags_about
from catalog.queries.cells import cells_named
from catalog.queries.overview import studies_of
from catalog.storage.errors import BAD_INPUT, ActionGridError
from catalog.storage.layout import file_name
from orchestrator.coordination.drivers import user_name

if TYPE_CHECKING:
    from catalog import Catalog
    from catalog.storage.storage import Storage

JOURNAL_WAIT_SECONDS = 5.0
LONGEST_NOTE = 2000
LONGEST_NAME = 80
"""Characters of a note, and of the name of a view."""
# A list of tags in an address has commas between them.
_TAG = re.compile(r"[\w.+:/-]{1,40}")


class AnnotationError(ActionGridError):
    """A note, tag or view that cannot be written, or that is not there to be removed."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class Annotated:
    """What a note or a tag is about: `name` is a cell's key or a study's name, `shown` is for people."""

    about: Subject
    name: str
    shown: str


def annotated(catalog: Catalog, named: str) -> Annotated:
    """The study of this name, or the cell of this name or beginning of a key, one of today's plans first.

    Raises:
        AnnotationError: there is neither, or there are several such cells.
    """
    if named in studies_of(catalog):
        return Annotated("study", named, f"study {named}")
    rows = cells_named(catalog, named).to_pylist()
    chosen = [row for row in rows if row["current"]] or rows
    if not chosen:
        raise AnnotationError("no such study or cell", named, "see actiongrid status")
    if len(chosen) > 1:
        keys = ", ".join(row["key"][:12] for row in chosen[:5])
        raise AnnotationError(f"{len(chosen)} cells", named, f"give the beginning of one's key: {keys}")
    return Annotated("cell", chosen[0]["key"], chosen[0]["cell"])


def write_note(catalog: Catalog, storage: Storage, named: str, text: str) -> str:
    """Write a note about a study or cell; what was done, in words.

    Raises:
        AnnotationError: no such study or cell, or no text that a note can have.
        JournalError: the journal is not to be had, or cannot be written.
    """
    subject, said = annotated(catalog, named), text.strip()
    if not said or len(said) > LONGEST_NOTE or not said.replace("\n", " ").isprintable():
        what = f"a note has 1 to {LONGEST_NOTE} printable characters"
        raise AnnotationError(what, subject.shown, "write something else")
    _journal(catalog, storage, NoteWritten(uuid.uuid4().hex, subject.about, subject.name, said, who()))
    return f"noted about {subject.shown}"


def remove_note(catalog: Catalog, storage: Storage, named: str, note: str) -> str:
    """Remove the note of a study or cell whose name begins so; raises as `write_note`."""
    subject = annotated(catalog, named)
    notes = notes_about(catalog, subject.about, subject.name).column("note").to_pylist()
    found = [one for one in notes if note and one.startswith(note)]
    if len(found) != 1:
        what = "no such note" if not found else f"{len(found)} notes begin so"
        raise AnnotationError(
            what, note, f"{subject.shown} has {', '.join(one[:8] for one in notes) or 'none'}"
        )
    _journal(catalog, storage, NoteWritten(found[0], subject.about, subject.name, "", who()))
    return f"removed a note about {subject.shown}"


def set_tags(catalog: Catalog, storage: Storage, named: str, tags: tuple[str, ...], *, present: bool) -> str:
    """Give a study or cell tags, or (not `present`) take them away; raises as `write_note`."""
    subject = annotated(catalog, named)
    wrong = [tag for tag in tags if not _TAG.fullmatch(tag)]
    if wrong:
        what = "a tag has 1 to 40 letters, digits and . + : / - _"
        raise AnnotationError(what, repr(wrong[0]), "leave out blanks and commas")
    known = tags_about(catalog, subject.about, subject.name).column("tag").to_pylist()
    missing = [] if present else [tag for tag in tags if tag not in known]
    if missing:
        has = ", ".join(known) or "none"
        raise AnnotationError("no such tag", ", ".join(missing), f"{subject.shown} has {has}")
    for tag in dict.fromkeys(tags):
        _journal(catalog, storage, TagSet(subject.about, subject.name, tag, present, who()))
    return f"{'tagged' if present else 'untagged'} {subject.shown}: {', '.join(tags)}"


def save_view(catalog: Catalog, storage: Storage, name: str, search: str) -> str:
    """Name what an address of the page Explore shows (`search` begins with its `?`, or is empty).

    Raises:
        AnnotationError: no name that a view can have.
        JournalError: the journal is not to be had, or cannot be written.
    """
    said = name.strip()
    if not said or len(said) > LONGEST_NAME or not said.isprintable():
        what = f"a view's name has 1 to {LONGEST_NAME} printable characters"
        raise AnnotationError(what, repr(name[:20]), "name it otherwise")
    _journal(catalog, storage, ViewSaved(said, search, True, who()))
    return f"saved the view {said}"


def remove_view(catalog: Catalog, storage: Storage, name: str) -> str:
    """Take a view's name away; raises as `save_view`."""
    if name not in saved_views(catalog).column("view").to_pylist():
        raise AnnotationError("no such view", name, "reload the page Explore")
    _journal(catalog, storage, ViewSaved(name, "", False, who()))
    return f"removed the view {name}"


def who() -> str:
    """Who runs this process, and where."""
    return f"{user_name()}@{platform.node()}"


def _journal(catalog: Catalog, storage: Storage, event: Event) -> None:
    journal_by_people(storage, replace(event, time=next_annotation_time(catalog, time.time())))


def journal_by_people(storage: Storage, event: Event) -> None:
    """Write an event into this host's journal of what people say; those who do so at once take turns.

    Raises:
        JournalError: the journal is not to be had, or cannot be written.
    """
    writer = file_name(f"control-{platform.node() or 'host'}")
    if storage.mirrored:
        # No lock reaches other machines: each event there has a journal of its own.
        writer = f"{writer}-{uuid.uuid4().hex}"
    deadline = time.monotonic() + JOURNAL_WAIT_SECONDS
    while True:
        try:
            with open_journal(storage, writer) as journal:
                journal.append(event)
                return
        except JournalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
