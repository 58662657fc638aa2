"""Starts a local Ray, or connects to a cluster; stops only what it started."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

OBJECT_STORE_BYTES = 256 << 20


class RaySessionError(RuntimeError):
    """Ray cannot be started, reached or used."""


def cluster_address() -> str:
    """The connected cluster's own address: the same for all its drivers, however they named it."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


@contextmanager
def ray_session(address: str | None, cpus: int | None, gpus: int | None) -> Iterator[None]:
    """Run the body with an initialised Ray: a local one of `cpus` and `gpus`, or the cluster at `address`.

    Raises:
        RaySessionError: Ray does not start or answer, or runs without its dashboard. Train's placement-group
            cleaner needs the dashboard: without it the GPUs of a dead trial are never given back.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    try:
        if address is None:
            context = ray.init(
                address="local",
                num_cpus=cpus,
                num_gpus=gpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=True,
                log_to_driver=False,
            )
        else:
            context = ray.init(address=address, log_to_driver=False)
    except Exception as error:
        where = "a local Ray" if address is None else address
        raise RaySessionError(
            f"Ray does not start ({type(error).__name__}: {error}); {where}; see the log named above, "
            "check `--address` and, on a cluster with tokens, export RAY_AUTH_MODE=token"
        ) from error
    try:
        if not context.address_info.get("webui_url"):
            raise RaySessionError(
                "Ray runs without its dashboard, so a dead trial's GPUs would never be given back; "
                f"{address or 'local Ray'}; start Ray with --include-dashboard=true"
            )
        yield
    finally:
        ray.shutdown()
