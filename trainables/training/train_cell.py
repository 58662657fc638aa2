"""Train one cell as one Ray Train worker: resume, epochs, checkpoints, the final result."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.recipe.cell_spec import CellSpec
from trainables.training.workers import WorkerPlace, join_workers

if TYPE_CHECKING:
    from catalog.storage.storage import Storage
    from trainables.training.session import CellSession

logger = logging.getLogger(__name__)

LOCK_WAIT_SECONDS = 60.0


def train_cell(config: dict[str, Any]) -> None:
    """Ray Train's `train_loop_per_worker`: `config["spec"]` is a CellSpec as JSON.

    Reports one metrics row per epoch; rank 0 writes checkpoints, predictions and `result.json` into the run
    directory before it reports, so that whatever was reported also stands on disk.
    """
    import torch

    from catalog.storage.layout import RUN_LOCK_FILE
    from catalog.storage.locks import exclusive
    from trainables.data.frames.store_reader import prepare_frames
    from trainables.data.frames.transfer import fetch_dataset
    from trainables.recipe.local_files import localise_paths, storage_of

    spec = localise_paths(CellSpec.model_validate_json(config["spec"]))
    storage = storage_of(spec)
    fetch_dataset(storage, Path(spec.manifest))
    # Before the workers meet: one that copies for an hour must not let the others run into their time limit.
    prepare_frames(Path(spec.manifest), spec.frames_on_local_disk)
    place = join_workers()
    torch.set_num_threads(spec.threads)
    if place.rank != 0:
        _run_epochs(spec, storage, place)
        return
    # The last worker of a killed driver may outlive it by a second: never write beside it.
    run_dir = Path(spec.run_dir)
    with exclusive(run_dir / RUN_LOCK_FILE, LOCK_WAIT_SECONDS, f"the run directory of {spec.cell}"):
        storage.require_fence(run_dir, spec.attempt)
        _run_epochs(spec, storage, place)


def _run_epochs(spec: CellSpec, storage: Storage, place: WorkerPlace) -> None:
    import ray.train

    from trainables.recipe.local_files import fetch_parent, fetch_run
    from trainables.training.session import CellSession

    if place.world > 1:
        import torch.distributed as dist

        # Rank 0 is here only with the lock in hand: from now on all workers see the same checkpoints.
        dist.barrier()
    fetch_run(storage, Path(spec.run_dir))
    if spec.parent is not None:
        fetch_parent(storage, spec.parent)
    session = CellSession.open(spec, place.rank, place.world, place.local_rank)
    for row in _remaining_epochs(session, spec):
        ray.train.report(row)
    session.finish()


def _remaining_epochs(session: CellSession, spec: CellSpec) -> Any:  # noqa: ANN401 - a generator of metric rows
    for epoch in range(session.first_epoch, spec.recipe.epochs + 1):
        yield session.train_epoch(epoch)
