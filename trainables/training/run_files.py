"""A cell's files on a storage in a bucket: each is there before it stands here, and comes from there.

Everything here does nothing on a storage that is a directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.atomic import sha256_of, writing
from catalog.storage.folder_sync import Folder
from catalog.storage.mirror import mirror_around

if TYPE_CHECKING:
    from trainables.recipe.cell_spec import ParentCheckpoint

EPOCHS = "epoch-*"
_SMALL = (".json", ".log")


def send(path: Path, content: bytes | None = None) -> None:
    """Put a file that was written, or `content` that will become it, into the bucket.

    Raises:
        BucketError: The bucket does not answer; nobody may be told of the file.
    """
    folder = _folder(path.parent)
    if folder is not None:
        folder.send(path.name, content)


def drop(path: Path) -> None:
    """Remove a file from the bucket.

    Raises:
        BucketError: The bucket does not answer.
    """
    mirror = mirror_around(path.parent)
    if mirror is not None:
        mirror.bucket.remove([mirror.name(path)])


def names_in_bucket(run_dir: Path, pattern: str) -> set[str]:
    """The names of a run directory's files that only the bucket may have.

    Raises:
        BucketError: The bucket does not answer.
    """
    mirror = mirror_around(run_dir)
    objects = mirror.bucket.below(mirror.name(run_dir)) if mirror is not None else ()
    return {path.name for path in (Path(one.name) for one in objects) if path.match(pattern)}


def drop_pruned(run_dir: Path) -> None:
    """Remove from the bucket the epochs whose files were removed here."""
    folder = _folder(run_dir)
    if folder is not None:
        folder.drop_missing(EPOCHS)


def fetch_run(run_dir: Path) -> None:
    """Make a run directory what the bucket says: another machine may have trained this cell since.

    Raises:
        StoreWriteError: The bucket does not answer, or the disk is full.
    """
    folder = _folder(run_dir)
    if folder is not None:
        with writing(run_dir):
            run_dir.mkdir(parents=True, exist_ok=True)
            folder.match(EPOCHS)


def fetch_small(run_dir: Path) -> None:
    """Bring down what tells how far a cell is: records, results and logs, no weights.

    Raises:
        BucketError: The bucket does not answer.
    """
    folder = _folder(run_dir)
    if folder is not None:
        folder.fetch(lambda name: name.endswith(_SMALL) and not name.rpartition("/")[2].startswith("."))


def fetch_parent(parent: ParentCheckpoint) -> None:
    """Bring down the checkpoint that a child starts from; one that was damaged on its way comes again.

    Raises:
        StoreWriteError: The bucket does not answer, or the disk is full.
    """
    path = Path(parent.path)
    folder = _folder(path.parent)
    if folder is None:
        return
    wanted = {path.name, Path(parent.predictions_path).name}
    with writing(path.parent):
        folder.fetch(wanted.__contains__)
        if path.is_file() and sha256_of(path) != parent.sha256:
            folder.fetch_again(path.name)


def fetch_file(path: Path) -> None:
    """Bring down one file that is not here.

    Raises:
        BucketError: The bucket does not answer.
    """
    folder = None if path.exists() else _folder(path.parent)
    if folder is not None:
        folder.fetch_again(path.name)


def _folder(path: Path) -> Folder | None:
    mirror = mirror_around(path)
    return None if mirror is None else Folder(mirror, path)
