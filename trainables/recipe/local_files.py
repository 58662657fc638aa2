"""A cell's files on the machine that works on it: their storage, their places there, and which come first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.atomic import sha256_of, writing
from catalog.storage.folder_storage import FolderStorage
from catalog.storage.layout import EPOCHS
from catalog.storage.storage import Storage, open_storage
from trainables.recipe.cell_spec import StorageAddress

if TYPE_CHECKING:
    from trainables.recipe.cell_spec import CellSpec, ParentCheckpoint


_RECORDS = (".json", ".log")


def address_of(storage: Storage) -> StorageAddress | None:
    """What a worker has to know of the storage; None where all machines share the paths of its files."""
    return StorageAddress(url=storage.location, root=str(storage.root)) if storage.mirrored else None


def storage_of(spec: CellSpec) -> Storage:
    """The storage that a cell's files lie in.

    Raises:
        StoreWriteError: This machine's cache folder cannot be used.
    """
    if spec.storage is None:
        # All machines share the paths as they are, so every one of them lies below its root.
        return FolderStorage(Path("/"))
    with writing(Path(spec.run_dir)):
        return open_storage(spec.storage.url)


def localise_paths(spec: CellSpec) -> CellSpec:
    """The same cell with the paths of this machine; a storage that all machines share needs none.

    Raises:
        StoreWriteError: This machine's cache folder cannot be used.
    """
    if spec.storage is None:
        return spec
    parent = spec.parent
    if parent is not None:
        names = ("path", "predictions_path", *(["manifest"] if parent.manifest else []))
        paths = {name: localise_path(spec, getattr(parent, name)) for name in names}
        parent = parent.model_copy(update=paths)
    # The mirror is on the machine's own disk already.
    changes = {"parent": parent, "frames_on_local_disk": None}
    moved = {name: localise_path(spec, getattr(spec, name)) for name in ("manifest", "run_dir")}
    return spec.model_copy(update=changes | moved)


def localise_path(spec: CellSpec, path: str) -> str:
    """A path of the machine that made `spec`, on this machine.

    Raises:
        StoreWriteError: This machine's cache folder cannot be used.
    """
    if spec.storage is None:
        return path
    return str(storage_of(spec).root / Path(path).relative_to(spec.storage.root))


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
