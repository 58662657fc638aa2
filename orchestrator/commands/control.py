"""What people say beside the drivers: `actiongrid pause`, `resume`, `cancel`, `retry`, `note` and `tag`."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.commands.common import NotFoundError, StorageOption, existing_storage, run_again

if TYPE_CHECKING:
    from catalog import Catalog
    from catalog.events import ControlAction
    from catalog.storage.storage import Storage
    from orchestrator.coordination.drivers import DriverRecord

_NAMED = 5

StudyName = Annotated[str, typer.Argument(help="The study's name, as `actiongrid status` shows it.")]
Cells = Annotated[str, typer.Option(help="Only cells whose names match; * and ? stand for any letters.")]


def pause(study: StudyName, cells: Cells = "*", storage: StorageOption = None) -> None:
    """Stop a running study's cells after their current epoch and start no others until `resume`."""
    typer.echo(give("pause", study, cells, existing_storage(storage)))


def resume(study: StudyName, cells: Cells = "*", storage: StorageOption = None) -> None:
    """Let paused cells of a running study go on from their last epoch."""
    typer.echo(give("resume", study, cells, existing_storage(storage)))


def cancel(study: StudyName, cells: Cells = "*", storage: StorageOption = None) -> None:
    """Stop cells of a running study for good; its driver ends without them, a new run takes them up again."""
    typer.echo(give("cancel", study, cells, existing_storage(storage)))


def retry(study: StudyName, cells: Cells = "*", storage: StorageOption = None) -> None:
    """Try a study's failed cells again, from their last epoch, and all that waits for them."""
    typer.echo(give("retry", study, cells, existing_storage(storage)))


Named = Annotated[
    str, typer.Argument(metavar="STUDY|CELL", help="A study, a cell, or the beginning of its key.")
]


def note(
    about: Named,
    text: Annotated[str | None, typer.Argument(help="What to write; without it the notes are shown.")] = None,
    remove: Annotated[
        str | None, typer.Option("--remove", metavar="NOTE", help="A note as it is shown.")
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Write a note about a study or a cell, or show them; no key changes with it."""
    from catalog import Catalog
    from orchestrator.coordination.annotations import remove_note, write_note

    if text is not None and remove is not None:
        raise typer.BadParameter("write a note or remove one")
    chosen = existing_storage(storage)
    with Catalog.open(chosen.root) as catalog:
        if text is not None:
            typer.echo(write_note(catalog, chosen, about, text))
        elif remove is not None:
            typer.echo(remove_note(catalog, chosen, about, remove))
        else:
            typer.echo("\n".join(_annotations(catalog, about)))


def tag(
    about: Named,
    names: Annotated[list[str] | None, typer.Argument(help="Tags; without any they are shown.")] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take these tags away.")] = False,
    storage: StorageOption = None,
) -> None:
    """Give a study or a cell tags, take them away, or show them; no key changes with it."""
    from catalog import Catalog
    from orchestrator.coordination.annotations import set_tags

    if remove and not names:
        raise typer.BadParameter("--remove needs the tags to take away")
    chosen = existing_storage(storage)
    with Catalog.open(chosen.root) as catalog:
        if names:
            typer.echo(set_tags(catalog, chosen, about, tuple(names), present=not remove))
        else:
            typer.echo("\n".join(_annotations(catalog, about)))


def _annotations(catalog: Catalog, about: str) -> list[str]:
    """The tags and notes of a study or cell, a line each."""
    from catalog.queries.annotations import notes_about, tags_about
    from orchestrator.coordination.annotations import annotated

    subject = annotated(catalog, about)
    tags = tags_about(catalog, subject.about, subject.name).column("tag").to_pylist()
    notes = notes_about(catalog, subject.about, subject.name).to_pylist()
    lines = [f"{subject.shown}: {', '.join(tags) or 'no tags'}"]
    return [
        *lines,
        *(f"  {row['note'][:8]} {row['written']:%Y-%m-%d} {row['who']}: {row['text']}" for row in notes),
    ]


def annotate(what: str, named: str, text: str, storage: Storage) -> str:
    """Do what a page asks, in words: `note`, `forget` (a note), `tag`, `untag`, `save` or `unsave` (a view).

    Raises:
        AnnotationError: there is no such thing, or the text says nothing.
        JournalError: the journal is not to be had, or cannot be written.
    """
    from catalog import Catalog
    from orchestrator.coordination.annotations import (
        remove_note,
        remove_view,
        save_view,
        set_tags,
        write_note,
    )

    with Catalog.open(storage.root) as catalog:
        if what in ("tag", "untag"):
            return set_tags(catalog, storage, named, tuple(text.split()), present=what == "tag")
        if what in ("note", "forget"):
            return (write_note if what == "note" else remove_note)(catalog, storage, named, text)
        return (
            save_view(catalog, storage, named, text)
            if what == "save"
            else remove_view(catalog, storage, named)
        )


def give(action: ControlAction, study: str, pattern: str, storage: Storage) -> str:
    """Give a command to a study's drivers; who was told, in words.

    What failed can be asked to be retried without a driver: the next run tries it again in any case.

    Raises:
        NotFoundError: no such study or cell, none of these has failed (`retry`), or no driver works on it.
        JournalError: the journal is not to be had, or cannot be written.
    """
    from catalog import Catalog
    from catalog.events import StudyControlled
    from catalog.queries.drivers import next_time
    from orchestrator.coordination.annotations import journal_by_people, who
    from orchestrator.coordination.requests import matching

    with Catalog.open(storage.root) as catalog:
        states = _cells_of(catalog, study)
        given = next_time(catalog, study, time.time())
        start = run_again(catalog, study, storage.location)
    names = [*states]
    chosen = matching(names, pattern)
    if not chosen:
        raise NotFoundError(
            "no cell matches",
            f"--cells {pattern}",
            f"study {study} has {', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''}",
        )
    if action == "retry":
        chosen = [name for name in chosen if states[name] == "failed"]
        if not chosen:
            raise NotFoundError(
                "nothing to retry",
                f"no cell of study {study} that matches has failed",
                "see actiongrid status",
            )
    drivers = _drivers(study, storage)
    if not drivers and action != "retry":
        raise NotFoundError(
            f"nothing to {action}", f"no driver works on study {study}", f"start one with: {start}"
        )
    event = StudyControlled(study, uuid.uuid4().hex, action, pattern, who(), time=given)
    journal_by_people(storage, event)
    told = (
        f"told {', '.join(map(str, drivers))}" if drivers else f"no driver works on it; go on with: {start}"
    )
    return f"{action}: {len(chosen)} of {len(names)} cells of {study}; {told}"


def _cells_of(catalog: Catalog, study: str) -> dict[str, str]:
    """The states of a study's cells by name.

    Raises:
        NotFoundError: no such study.
    """
    from catalog.queries.cells import current_cells

    rows = current_cells(catalog).to_pylist()
    states = {row["cell"]: row["state"] for row in rows if row["study"] == study}
    if not states:
        known = sorted({row["study"] for row in rows})
        raise NotFoundError("no such study", study, f"this storage has {', '.join(known) or 'none yet'}")
    return states


def _drivers(study: str, storage: Storage) -> list[DriverRecord]:
    from orchestrator.coordination.drivers import Watch

    watch = Watch(storage.shared_files(storage.layout.drivers))
    return [one for one in watch.drivers() if one.study == study]
