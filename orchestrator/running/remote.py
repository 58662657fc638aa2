"""A storage in a bucket, as the orchestrator uses it: what has to come down before one looks, and go up.

Everything here does nothing, and costs next to nothing, on a storage that is a directory.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.journal import Journal
from catalog.storage.bucket import AddressError, BucketError
from catalog.storage.errors import BAD_INPUT, ActionGridError
from catalog.storage.folder_sync import Folder
from catalog.storage.journal_segments import Segments, pull_journals, unite_abandoned
from catalog.storage.mirror import mirror_at, open_mirror
from trainables.data.frames.transfer import fetch_manifests
from trainables.recipe.cell_spec import StorageAddress
from trainables.training.result import RESULT_FILE
from trainables.training.run_files import fetch_file, fetch_run

if TYPE_CHECKING:
    from catalog.storage.layout import Layout

_RUNS = "runs"


class StorageError(ActionGridError):
    """A storage that this version cannot use, or that is not there."""

    exit_code = BAD_INPUT


def arrive(url: str) -> Path:
    """The mirror of the bucket at `url`, with its journals and manifests up to date.

    Raises:
        StorageError: Not an address, no such bucket, no credentials, or no answer.
    """
    try:
        mirror = open_mirror(url)
        pull_journals(mirror)
        fetch_manifests(mirror)
    except AddressError as error:
        raise StorageError(*error.args) from None
    except BucketError as error:
        raise _unusable(error) from None
    return mirror.root


def require_writable(storage: Path) -> None:
    """Find out now, and not after an hour, whether a bucket takes writes, and conditional ones.

    Raises:
        StorageError: It does not.
    """
    mirror = mirror_at(storage)
    if mirror is not None:
        try:
            mirror.bucket.check_exclusive()
        except BucketError as error:
            raise _unusable(error) from None


def open_journal(storage: Path, writer: str) -> Journal:
    """A journal for appending, in the bucket where the storage is one.

    Raises:
        JournalError: As `Journal.open`.
        BucketError: The bucket does not answer.
    """
    mirror = mirror_at(storage)
    if mirror is None:
        return Journal.open(storage, writer)
    pull_journals(mirror)
    return Journal.open(storage, writer, Segments(mirror, writer))


def hear(storage: Path) -> None:
    """Bring the journals up to date.

    Raises:
        BucketError: The bucket does not answer.
    """
    mirror = mirror_at(storage)
    if mirror is not None:
        pull_journals(mirror)


def tidy(storage: Path, living: frozenset[str]) -> None:
    """Unite what dead writers left in pieces; it saves readers many requests, so an outage is no reason."""
    mirror = mirror_at(storage)
    if mirror is not None:
        with suppress(BucketError):
            unite_abandoned(mirror, living)


def address_of(storage: Path) -> StorageAddress | None:
    """What a worker needs to find the files on its own machine; None where all machines share them."""
    mirror = mirror_at(storage)
    return None if mirror is None else StorageAddress(url=mirror.bucket.url, root=str(mirror.root))


def fetch_results(storage: Path) -> None:
    """Bring down the results of all finished cells.

    Raises:
        BucketError: The bucket does not answer.
    """
    mirror = mirror_at(storage)
    if mirror is None:
        return
    for one in mirror.bucket.below(_RUNS):
        path = mirror.path(one.name)
        if path.name == RESULT_FILE and not path.exists():
            Folder(mirror, path.parent).fetch_of([one], lambda _: True)


def fetch_cell(layout: Layout, cell: str, key: str) -> None:
    """Bring down all files of one cell.

    Raises:
        StoreWriteError: The bucket does not answer, or the disk is full.
    """
    fetch_run(layout.run_dir(cell, key))


def fetch_predictions(path: Path) -> None:
    """Bring a file of predictions down, if the bucket has it and answers (`catalog.predictions.Fetch`)."""
    with suppress(BucketError):
        fetch_file(path)


def _unusable(error: BucketError) -> StorageError:
    mend = "see that the bucket exists and that its credentials are in the environment (AWS_… or GOOGLE_…)"
    return StorageError(error.what, error.where, mend)
