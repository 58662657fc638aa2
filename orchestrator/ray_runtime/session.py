"""A Ray session: a local Ray or a connection to a cluster, where it prints, and what to do if it dies."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TextIO

from catalog.storage.errors import INTERRUPTED, ActionGridError
from orchestrator.ray_runtime.ray_compat import RayWay, ray_way

logger = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 256 << 20
_TRIES = 3
WATCH_SECONDS = 2.0
# Two looks: a Ray that is busy starting nodes may answer late once.
LOOKS = 2


class RaySessionError(ActionGridError):
    """Ray cannot be started, reached or used."""


def cluster_address() -> str:
    """The connected cluster's own address: the same for all its drivers, however they named it."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


@contextmanager
def ray_session(address: str | None, cpus: int | None, gpus: int | None) -> Iterator[RayWay]:
    """Run the body with an initialised Ray: a local one of `cpus` and `gpus`, or the cluster at `address`.

    Yields how to use it. The local one runs without Ray's dashboard, some ten processes, where
    `orchestrator.ray_runtime.ray_compat` does what Train needs it for.

    Raises:
        RaySessionError: Ray does not start or answer.
        RayWayError: the environment names a way that does not exist.
    """
    way = ray_way(local=address is None)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    try:
        if address is None:
            _start_local(cpus, gpus, dashboard=way is RayWay.PUBLIC)
        else:
            ray.init(address=address, log_to_driver=False)
    except Exception as error:
        where = "a local Ray" if address is None else address
        raise RaySessionError(
            f"Ray does not start ({type(error).__name__}: {error})",
            where,
            "see the log named above, check `--address` and, on a cluster with tokens, "
            "export RAY_AUTH_MODE=token",
        ) from error
    try:
        yield way
    finally:
        ray.shutdown()


def _start_local(cpus: int | None, gpus: int | None, *, dashboard: bool) -> None:
    """Start a local Ray; tries again where a busy machine needs longer than Ray's own 30 s."""
    import ray

    for tries_left in reversed(range(_TRIES)):
        try:
            ray.init(
                address="local",
                num_cpus=cpus,
                num_gpus=gpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=dashboard,
                log_to_driver=False,
            )
        except Exception as error:
            ray.shutdown()
            if not tries_left or "timed out" not in str(error):
                raise
            logger.warning("Ray did not start in time; trying again: %s", error)
        else:
            return


@contextmanager
def redirect_output(log: Path) -> Iterator[TextIO]:
    """Send everything that this process and its children print to `log`; yields the real standard output.

    Redirects the descriptors, not `sys.stdout`: Ray's C++ core and its child processes write there directly.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved_out, saved_err = os.dup(1), os.dup(2)
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        with os.fdopen(os.dup(saved_out), "w", buffering=1) as terminal:
            yield terminal
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved_out, 1)
        os.dup2(saved_err, 2)
        for descriptor in (saved_out, saved_err, sink):
            os.close(descriptor)


def this_node_is_alive() -> bool:
    """Whether the cluster still counts this process's own node among its living ones."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())


@contextmanager
def watched(
    lost: Callable[[], None], alive: Callable[[], bool] = this_node_is_alive, seconds: float = WATCH_SECONDS
) -> Iterator[None]:
    """Call `lost` once, from another thread, if during this block the node dies under an initialised Ray.

    Ray's blocking calls do not return then, nor can a signal end them; `lost` has to end the process.
    """
    over = threading.Event()

    def watch() -> None:
        dead = 0
        while not over.wait(seconds):
            try:
                dead = 0 if alive() else dead + 1
            except Exception:
                # Without an answer nothing is known; Ray's client itself ends the process after a minute.
                logger.exception("Ray does not say whether this node is alive")
            if dead >= LOOKS and not over.is_set():
                lost()
                return

    thread = threading.Thread(target=watch, name="ray-watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def end_process(on_exit: Callable[[], None]) -> NoReturn:
    """End this process, with all that it started, although its main thread waits for Ray; exit code 130.

    `on_exit` is called when its children are gone; after ten seconds nobody waits for it any more.
    """
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            child.kill()
    thread = threading.Thread(target=on_exit, name="on-exit", daemon=True)
    thread.start()
    thread.join(10.0)
    os._exit(INTERRUPTED)
