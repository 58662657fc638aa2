"""`actiongrid pause`, `resume`, `cancel` and `retry`: tell a study's drivers what to do, from elsewhere."""

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


def retry(study: StudyName, cells: Cells = "*", storage: StorageOption = None) -> None:
    """Try a study's failed cells again, from their last epoch, and all that waits for them."""
    typer.echo(give("retry", study, cells, existing_storage(storage)))


def give(action: ControlAction, study: str, pattern: str, storage: Storage) -> str:
    """Give a command to a study's drivers; who was told, in words.

    What failed can be asked to be retried without a driver: the next run tries it again in any case.

    Raises:
        NotFoundError: no such study or cell, none of these has failed (`retry`), or no driver works on it.
        JournalError: the journal is not to be had, or cannot be written.
    """
    from catalog import Catalog
    from catalog.queries.drivers import next_time
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
    _journal(action, study, pattern, given, storage)
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
