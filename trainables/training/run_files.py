"""Which of a cell's files come to a machine before it works on the cell, or looks how far it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.atomic import sha256_of, writing
from catalog.storage.layout import EPOCHS

if TYPE_CHECKING:
    from catalog.storage.storage import Storage
    from trainables.recipe.cell_spec import ParentCheckpoint

_RECORDS = (".json", ".log")


def fetch_run(storage: Storage, run_dir: Path) -> None:
    """Make a run directory what the storage says: another machine may have trained this cell since.

    Raises:
        StoreWriteError: The storage does not answer, or the disk is full.
    """
    with writing(run_dir):
        storage.fetch_exactly(run_dir, EPOCHS)


def fetch_records(storage: Storage, run_dir: Path) -> None:
    """Bring what tells how far a cell is: records, results and logs, no weights.

    Raises:
        OSError: The storage does not answer.
    """
    storage.fetch(run_dir, _is_record)


def _is_record(name: str) -> bool:
    return name.endswith(_RECORDS) and not name.rpartition("/")[2].startswith(".")


def fetch_parent(storage: Storage, parent: ParentCheckpoint) -> None:
    """Bring the checkpoint that a child starts from; one that was damaged on its way comes again.

    Raises:
        StoreWriteError: The storage does not answer, or the disk is full.
    """
    path = Path(parent.path)
    wanted = {path.name, Path(parent.predictions_path).name}
    with writing(path.parent):
        storage.fetch(path.parent, wanted.__contains__)
        if storage.mirrored and path.is_file() and sha256_of(path) != parent.sha256:
            storage.fetch_again(path)
