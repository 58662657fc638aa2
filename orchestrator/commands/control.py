"""`actiongrid pause`, `resume` and `cancel`: tell a study's drivers what to do, from another terminal."""

from __future__ import annotations

import platform
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

JOURNAL_WAIT_SECONDS = 5.0
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


def give(action: ControlAction, study: str, pattern: str, storage: Storage) -> str:
    """Give a command to a study's drivers; who was told, in words.

    Raises:
        NotFoundError: no such study or cell, or no driver works on it.
        JournalError: the journal is not to be had, or cannot be written.
    """
    from catalog import Catalog
    from catalog.queries.drivers import next_time
    from orchestrator.coordination.requests import matching

    with Catalog.open(storage.root) as catalog:
        names = _cells_of(catalog, study)
        given = next_time(catalog, study, time.time())
        start = run_again(catalog, study, storage.location)
    chosen = matching(names, pattern)
    if not chosen:
        raise NotFoundError(
            "no cell matches",
            f"--cells {pattern}",
            f"study {study} has {', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''}",
        )
    drivers = _drivers(study, storage)
    if not drivers:
        raise NotFoundError(
            f"nothing to {action}", f"no driver works on study {study}", f"start one with: {start}"
        )
    _journal(action, study, pattern, given, storage)
    told = ", ".join(map(str, drivers))
    return f"{action}: {len(chosen)} of {len(names)} cells of {study}; told {told}"


def _cells_of(catalog: Catalog, study: str) -> list[str]:
    from catalog.queries.cells import current_cells

    rows = current_cells(catalog).to_pylist()
    names = [row["cell"] for row in rows if row["study"] == study]
    if not names:
        known = sorted({row["study"] for row in rows})
        raise NotFoundError("no such study", study, f"this storage has {', '.join(known) or 'none yet'}")
    return names


def _drivers(study: str, storage: Storage) -> list[DriverRecord]:
    from orchestrator.coordination.drivers import Watch

    watch = Watch(storage.shared_files(storage.layout.drivers))
    return [one for one in watch.drivers() if one.study == study]


def _journal(action: ControlAction, study: str, pattern: str, given: float, storage: Storage) -> None:
    """Write the command into this host's journal of commands; those who give one at once take turns.

    Raises:
        JournalError: the journal is not to be had, or cannot be written.
    """
    from catalog.events import StudyControlled
    from catalog.journal import JournalError, open_journal
    from catalog.storage.layout import file_name
    from orchestrator.coordination.drivers import user_name

    who = f"{user_name()}@{platform.node()}"
    event = StudyControlled(study, uuid.uuid4().hex, action, pattern, who, time=given)
    writer = file_name(f"control-{platform.node() or 'host'}")
    if storage.mirrored:
        # No lock reaches other machines: each command there has a journal of its own.
        writer = f"{writer}-{event.command}"
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
