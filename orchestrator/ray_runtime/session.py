"""Starts a local Ray, or connects to a cluster; stops only what it started."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

logger = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 256 << 20
_TRIES = 3


class RaySessionError(RuntimeError):
    """Ray cannot be started, reached or used."""


def cluster_address() -> str:
    """The connected cluster's own address: the same for all its drivers, however they named it."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


@contextmanager
def ray_session(address: str | None, cpus: int | None, gpus: int | None) -> Iterator[None]:
    """Run the body with an initialised Ray: a local one of `cpus` and `gpus`, or the cluster at `address`.

    The local one runs without Ray's dashboard, some ten processes: what Train needed it for, giving back the
    resources of dead trials, `orchestrator.ray_runtime.placement_groups` does.

    Raises:
        RaySessionError: Ray does not start or answer.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    try:
        if address is None:
            _start_local(cpus, gpus)
        else:
            ray.init(address=address, log_to_driver=False)
    except Exception as error:
        where = "a local Ray" if address is None else address
        raise RaySessionError(
            f"Ray does not start ({type(error).__name__}: {error}); {where}; see the log named above, "
            "check `--address` and, on a cluster with tokens, export RAY_AUTH_MODE=token"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _start_local(cpus: int | None, gpus: int | None) -> None:
    """Start a local Ray; tries again where a busy machine needs longer than Ray's own 30 s."""
    import ray

    for tries_left in reversed(range(_TRIES)):
        try:
            ray.init(
                address="local",
                num_cpus=cpus,
                num_gpus=gpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
            )
        except Exception as error:
            ray.shutdown()
            if not tries_left or "timed out" not in str(error):
                raise
            logger.warning("Ray did not start in time; trying again: %s", error)
        else:
            return
