"""What stands of finished cells: a damaged result is taken from the journal, lost weights are trained again.

The journal says what a cell came to; its directory holds the weights that children start from. Where a child
needs weights that are gone or damaged, its parent is trained again, from the newest epoch that still stands;
where a submission is asked to check them all, so is every cell.
Nothing is thrown away: what is damaged lies beside its place as `set-aside-1-…` afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from catalog.queries.planner import (
    attempts_made,
    done_cells,
    failed_cells,
    journalled_epochs,
    removed_checkpoints,
)
from catalog.storage.atomic import sha256_of
from catalog.storage.layout import RESULT_FILE, epoch_file
from catalog.storage.outage import retry_reading
from orchestrator.planning.plan_model import Plan, PlannedCell, State
from trainables.recipe.cell_spec import Which
from trainables.recipe.local_files import fetch_run
from trainables.training.checkpoint import CheckpointRecord, Metrics, is_intact, records
from trainables.training.result import CellResult, read_history, read_result, reference, store_result

if TYPE_CHECKING:
    from catalog import Catalog
    from catalog.events import CellFinished
    from catalog.storage.storage import Storage
    from orchestrator.coordination.shared_cells import SharedCells

_THREADS = 16


@dataclass(frozen=True)
class FinishedFiles:
    """Looks after the directories of finished cells before a submission's cells start.

    `check_all`: of all that were kept, not only of those that children start from.
    """

    storage: Storage
    catalog: Catalog
    shared: SharedCells
    announce: Callable[[str], None]
    check_all: bool = False

    def lost(self, plan: Plan) -> dict[str, str]:
        """By key, why finished cells of this plan have to be trained again.

        Results that cannot be read are taken from the journal on the way, and written anew.

        Raises:
            OSError, StoreReadError: the storage does not answer.
        """
        done, attempts = done_cells(self.catalog), attempts_made(self.catalog)
        needed, failed = _needed(plan), failed_cells(self.catalog)
        suspected = {one.parent_key for one in plan.cells if one.key in failed}
        cells = [
            _FinishedCell(self, one, done[one.key], attempts.get(one.key, 0), one.key in suspected)
            for one in _with_origins(plan)
            if one.state is State.DONE and one.key in done
        ]
        removed = removed_checkpoints(self.catalog) if self.check_all else {}
        found = {}
        # A file server answers several questions at once.
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="results") as pool:
            for cell, result in zip(cells, pool.map(_FinishedCell.standing, cells), strict=True):
                wanted = needed.get(cell.planned.key, frozenset())
                if self.check_all:
                    wanted |= cell.kept(removed.get(cell.planned.key, frozenset()))
                if why := cell.mend(result, wanted):
                    self.shared.disregard(cell.planned.key, cell.finished.attempt)
                    found[cell.planned.key] = why
        return found


def _with_origins(plan: Plan) -> Iterable[PlannedCell]:
    """The cells of a plan and those of another study that they start from, each once."""
    cells = (*plan.cells, *(one.origin for one in plan.cells if one.origin is not None))
    return {one.key: one for one in cells}.values()


def _needed(plan: Plan) -> Mapping[str, frozenset[Which]]:
    """By key, which checkpoints of cells are asked for by children that have to run."""
    found: dict[str, frozenset[Which]] = {}
    for planned in plan.cells:
        if planned.state is State.TO_RUN and planned.parent_key is not None:
            asked = found.get(planned.parent_key, frozenset())
            found[planned.parent_key] = asked | {planned.cell.recipe.inherit}
    return found


@dataclass(frozen=True)
class _FinishedCell:
    """One finished cell. `attempts` were made at it so far. `suspected`: a child of it has failed."""

    files: FinishedFiles
    planned: PlannedCell
    finished: CellFinished
    attempts: int
    suspected: bool

    @property
    def _run_dir(self) -> Path:
        return self.files.storage.layout.run_dir(self.planned.cell.name, self.planned.key)

    @property
    def _path(self) -> Path:
        return self._run_dir / RESULT_FILE

    def kept(self, removed: frozenset[int]) -> frozenset[Which]:
        """Its checkpoints that should be there: of epochs not `removed`; none where it has no directory."""
        if not self._run_dir.is_dir():
            return frozenset()
        epochs = {"last": self.finished.epochs, "best": self.finished.best_epoch}
        return frozenset(which for which in get_args(Which) if epochs[which] not in removed)

    def mend(self, result: CellResult | None, wanted: Iterable[Which]) -> str:
        """Bring its result in order; why it has to be trained again, or ""."""
        if result is not None and not self._is_journalled(result):
            return "the result of its later attempt is not in the journal"  # and is journalled, as it stands
        if result is None and not (wanted or self._run_dir.is_dir()):
            return ""  # people removed its directory, and nothing asks for it
        known = result or self._from_journal()
        for which in wanted:
            if fault := self._fault(known, which):
                self._prepare_training(which, fault)
                return fault
        if result is None and known is not None:
            self._write_result(known)
        return ""

    def _write_result(self, result: CellResult) -> None:
        with self._claimed() as ours:
            if ours:
                self._set_aside([self._path])
                store_result(self.files.storage, self._run_dir, result)
                self._say(f"{self._path} was gone or damaged; it is taken from the journal")

    def standing(self) -> CellResult | None:
        """The result in the directory; None where there is none, or another one than any attempt's."""
        read = partial(read_result, self._run_dir, self.planned.key)
        found = retry_reading(read, self._path)
        if found is None and self.files.storage.mirrored and self.files.storage.fetch_again(self._path):
            found = retry_reading(read, self._path)
        later = self.attempts > self.finished.attempt
        return found if later or found is None or self._is_journalled(found) else None

    def _is_journalled(self, result: CellResult) -> bool:
        told = self.finished.checkpoints
        return told is None or _hashes(result.checkpoints) == _hashes(told)

    def _fault(self, known: CellResult | None, which: Which) -> str:
        """What is wrong with one of its checkpoints, or ""."""
        if known is None:
            return f"neither {self._path} nor the journal says which weights are its {which} ones"
        path, sha256 = self._run_dir / known.checkpoint(which)["path"], known.checkpoint(which)["sha256"]
        if self.files.storage.mirrored:
            # Its worker brings and checks it; here that is worth the time once a worker has refused it.
            if not (self.suspected or self.files.check_all):
                return ""
            self.files.storage.fetch_again(path)
        if not path.is_file():
            return f"its {which} checkpoint is gone; {path}"
        if retry_reading(lambda: sha256_of(path), path) != sha256:
            return f"its {which} checkpoint is damaged; {path}"
        return ""

    def _prepare_training(self, which: Which, fault: str) -> None:
        """Set aside what is damaged, so that the cell's training goes on from what stands."""
        with self._claimed() as ours:
            if not ours:
                return  # another driver does this just now
            fetch_run(self.files.storage, self._run_dir)
            moved = self._set_aside([*self._damaged(which), self._path])
            kept = f"; set aside as {', '.join(path.name for path in moved)}" if moved else ""
            self._say(f"{fault}{kept}; it is trained again, then the cells that start from it")

    def _damaged(self, which: Which) -> list[Path]:
        """The weights that are not what was written, with their records."""
        known = {record.epoch: record for record in records(self._run_dir, self.planned.key)}
        bad = {epoch for epoch, record in known.items() if not _stands(record)}
        epoch = self.finished.epochs if which == "last" else self.finished.best_epoch
        if epoch not in known:
            bad.add(epoch)
        return [epoch_file(self._run_dir, one, suffix) for one in sorted(bad) for suffix in (".json", ".pt")]

    @contextmanager
    def _claimed(self) -> Iterator[bool]:
        """A block in which this driver may change the cell's files; False: another one trains it."""
        key, shared = self.planned.key, self.files.shared
        try:
            yield shared.claim(key, self._run_dir, self.finished.attempt).attempt is not None
        finally:
            shared.release(key)

    def _set_aside(self, paths: Iterable[Path]) -> list[Path]:
        """Move files out of the way, as far as they are there; where they lie now."""
        moved = []
        for path in paths:
            if path.is_file():
                moved.append(_free_name(path))
                path.rename(moved[-1])
                self.files.storage.publish(moved[-1])
            self.files.storage.remove(path)
        return moved

    def _say(self, what: str) -> None:
        self.files.announce(f"{self.planned.cell.name}: {what}")

    def _from_journal(self) -> CellResult | None:
        """The result as the journal has it; None where an earlier version did not journal all of it."""
        history, checkpoints = self._history(), self._checkpoints()
        if history is None or checkpoints is None:
            return None
        finished, cell = self.finished, self.planned.cell
        return CellResult(
            cell=cell.name,
            key=self.planned.key,
            history=history,
            last_epoch=finished.epochs,
            best_epoch=finished.best_epoch,
            checkpoints=checkpoints,
            train_videos=finished.train_videos,
            eval_videos=finished.eval_videos,
            train_seconds=finished.train_seconds,
            eval_seconds=finished.eval_seconds,
            train_clips_per_second=_known(finished.train_clips_per_second),
            eval_clips_per_second=_known(finished.eval_clips_per_second),
            peak_memory_bytes=finished.peak_memory_bytes or 0,
            params=finished.params,
            macs=finished.macs,
            parent_top1=finished.parent_top1_rechecked,
            frames=cell.frames,
            seed=cell.seed,
            evaluation=finished.protocol or cell.evaluation.model_dump(mode="json"),
            versions=finished.versions,
            hardware=finished.hardware,
            accumulation=finished.accumulation,
            choose_on=finished.choose_on,
            choose_videos=finished.choose_videos,
            fresh=None if finished.fresh is None else tuple(finished.fresh),
        )

    def _history(self) -> tuple[Metrics, ...] | None:
        """A metrics row an epoch: that of its records, else the journal's, which has fewer fields."""
        found = read_history(self._run_dir, self.planned.key)
        if not self._is_of(found):
            found = tuple(journalled_epochs(self.files.catalog, self.planned.key))
        return found if self._is_of(found) else None

    def _is_of(self, history: tuple[Metrics, ...]) -> bool:
        """Whether a history is that of the journal's result."""
        whole = [row["epoch"] for row in history] == [*range(1, self.finished.epochs + 1)]
        return whole and history[-1]["top1"] == self.finished.top1

    def _checkpoints(self) -> dict[str, dict[str, str]] | None:
        told = self.finished.checkpoints
        if told is not None:
            return {which: _reference(one) for which, one in told.items()}
        known = {record.epoch: record for record in records(self._run_dir, self.planned.key)}
        epochs = {"last": self.finished.epochs, "best": self.finished.best_epoch}
        if not all(epoch in known for epoch in epochs.values()):
            return None
        return {which: reference(known[epochs[which]]) for which in get_args(Which)}


def _known(value: float | None) -> float:
    return float("nan") if value is None else value


def _stands(record: CheckpointRecord) -> bool:
    return retry_reading(partial(is_intact, record), Path(record.path))


def _reference(told: Mapping[str, Any]) -> dict[str, str]:
    """The result's form of one of the journal's checkpoints."""
    names = {name: str(told[name]).rpartition("/")[2] for name in ("path", "predictions")}
    return {"epoch": str(told["epoch"]), "sha256": cast("str", told["sha256"]), **names}


def _hashes(checkpoints: Mapping[str, Any]) -> dict[str, str]:
    return {which: one["sha256"] for which, one in checkpoints.items()}


def _free_name(path: Path) -> Path:
    """A name beside a file that says that it was set aside; the first that is not taken."""
    number = 1
    while (found := path.with_name(f"set-aside-{number}-{path.name}")).exists():
        number += 1
    return found
