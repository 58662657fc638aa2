"""Which checkpoints of finished cells may go: what no study keeps and no child can still ask for.

While a cell trains its worker prunes (`KeepPolicy.while_training`); what is left is decided here, when the
cell and its children are done. The removal is journalled first: a plan then knows that no child can start
from there any more, and a kill between the two is made up for by the next sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from catalog.events import CellFinished, CheckpointRemoved, Event
from catalog.queries.drivers import checkpoint_needs
from catalog.storage.storage import Storage
from trainables.recipe.keep import KeepPolicy
from trainables.training.checkpoint import remove, stored_epochs

if TYPE_CHECKING:
    from catalog import Catalog

logger = logging.getLogger(__name__)


class Retention:
    """Removes what a submission's finished cells need not keep; reads all journals, writes this driver's."""

    def __init__(
        self, storage: Storage, catalog: Catalog, append: Callable[[Event], Event], keep: KeepPolicy
    ) -> None:
        self._storage = storage
        self._catalog = catalog
        self._append = append
        # What a worker leaves behind is never less than this, so there is nothing to remove.
        self._idle = keep.best and keep.last >= KeepPolicy().last

    def append(self, event: Event) -> Event:
        """Journal an event; where it says that a cell is done, remove what is not needed any more."""
        stamped = self._append(event)
        if isinstance(event, CellFinished):
            self.sweep(key for key in (event.key, event.parent_key) if key is not None)
        return stamped

    def sweep(self, keys: Iterable[str]) -> None:
        """Remove what these cells need not keep, as far as they are done.

        A storage that takes nothing now is left as it is: a later sweep finds the same.
        """
        if self._idle:
            return
        try:
            self._catalog.refresh()
            for row in checkpoint_needs(self._catalog, keys).to_pylist():
                self._remove(row, needed_epochs(row))
        except OSError as error:
            logger.warning("checkpoints are not removed now: %s", error)

    def _remove(self, row: Mapping[str, Any], needed: frozenset[int]) -> None:
        run_dir = self._storage.layout.run_dir(row["cell"], row["key"])
        spare = sorted(stored_epochs(self._storage, run_dir) - needed)
        for epoch in spare:
            self._append(CheckpointRemoved(row["key"], epoch, ", ".join(filter(None, row["keep"]))))
        remove(self._storage, run_dir, spare)


def needed_epochs(row: Mapping[str, Any]) -> frozenset[int]:
    """The epochs of a finished cell whose checkpoints stay.

    They are what any of its studies keeps, and what a child that is not done starts from.
    """
    last, best = row["epochs"], row["best_epoch"]
    policies = {KeepPolicy.parse(text) for text in row["keep"] if text is not None}
    if row["by_default"] or not policies:
        policies.add(KeepPolicy())
    kept = (policy.epochs(last, best) for policy in policies)
    chosen = {"best": {best}, "last": {last}}
    # Where a journal does not say how a child starts, both stay.
    asked = (chosen.get(how or "", {best, last}) for how in row["awaited"] or ())
    return frozenset().union(*kept, *asked)
