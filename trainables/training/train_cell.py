"""Train one cell as one Ray Train worker: resume, epochs, checkpoints, the final result."""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.recipe.cell_spec import CellSpec

if TYPE_CHECKING:
    from catalog.storage.storage import Storage
    from trainables.training.session import CellSession

logger = logging.getLogger(__name__)

LOCK_WAIT_SECONDS = 60.0
PROCESS_GROUP_TIMEOUT_SECONDS = 1800


@dataclass(frozen=True)
class WorkerPlace:
    """Which of the cell's workers this is."""

    rank: int
    world: int
    local_rank: int


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
    from trainables.recipe.local_paths import localise_paths, storage_of

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


def join_workers() -> WorkerPlace:
    """Start torch.distributed where there are several workers; returns which of them this is."""
    context = _context()
    place = WorkerPlace(context.get_world_rank(), context.get_world_size(), context.get_local_rank())
    _join_process_group(place)
    return place


def _context() -> Any:  # noqa: ANN401 - Ray ships no types
    import ray.train

    return ray.train.get_context()


def _run_epochs(spec: CellSpec, storage: Storage, place: WorkerPlace) -> None:
    import ray.train

    from trainables.training.run_files import fetch_parent, fetch_run
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


def _join_process_group(place: WorkerPlace) -> None:
    """Start torch.distributed for more than one worker.

    The rendezvous address goes through Ray Train's own collective, so that neither the trial nor the Train
    controller has to import torch as `TorchTrainer` would make them (seconds of start-up for every cell).
    """
    if place.world == 1:
        return
    from datetime import timedelta

    import ray.train.collective
    import torch
    import torch.distributed as dist

    if dist.is_initialized():  # by TorchTrainer
        return
    address = _free_address() if place.rank == 0 else None
    address = ray.train.collective.broadcast_from_rank_zero(address)
    host, port = address
    os.environ.update(MASTER_ADDR=host, MASTER_PORT=str(port))
    dist.init_process_group(
        backend="nccl" if torch.cuda.is_available() else "gloo",
        rank=place.rank,
        world_size=place.world,
        timeout=timedelta(seconds=PROCESS_GROUP_TIMEOUT_SECONDS),
    )


def _free_address() -> tuple[str, int]:
    import ray.util

    host = ray.util.get_node_ip_address()
    with socket.socket() as probe:
        probe.bind((host, 0))
        return host, int(probe.getsockname()[1])
