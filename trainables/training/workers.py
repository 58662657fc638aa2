"""How the workers of one cell find each other: which of them this is, and torch's process group."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any

PROCESS_GROUP_TIMEOUT_SECONDS = 1800


@dataclass(frozen=True)
class WorkerPlace:
    """Which of the cell's workers this is."""

    rank: int
    world: int
    local_rank: int


def join_workers() -> WorkerPlace:
    """Start torch.distributed where there are several workers; returns which of them this is."""
    context = _context()
    place = WorkerPlace(context.get_world_rank(), context.get_world_size(), context.get_local_rank())
    _join_process_group(place)
    return place


def _context() -> Any:  # noqa: ANN401 - Ray ships no types
    import ray.train

    return ray.train.get_context()


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
