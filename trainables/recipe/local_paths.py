"""A cell's specification on the machine that works on it: where a bucket's mirror lies here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from catalog.storage.atomic import writing
from catalog.storage.mirror import open_mirror

if TYPE_CHECKING:
    from trainables.recipe.cell_spec import CellSpec


def localise_paths(spec: CellSpec) -> CellSpec:
    """The same cell with the paths of this machine; a storage that all machines share needs none.

    Raises:
        StoreWriteError: This machine's cache folder cannot be used.
    """
    if spec.storage is None:
        return spec
    parent = spec.parent
    if parent is not None:
        paths = {"path": here(spec, parent.path), "predictions_path": here(spec, parent.predictions_path)}
        parent = parent.model_copy(update=paths)
    # The mirror is on the machine's own disk already.
    changes = {"parent": parent, "frames_on_local_disk": None}
    moved = {"manifest": here(spec, spec.manifest), "run_dir": here(spec, spec.run_dir)}
    return spec.model_copy(update=changes | moved)


def here(spec: CellSpec, path: str) -> str:
    """A path of the machine that made `spec`, on this machine."""
    if spec.storage is None:
        return path
    with writing(Path(path)):
        root = open_mirror(spec.storage.url).root
    return str(root / Path(path).relative_to(spec.storage.root))
