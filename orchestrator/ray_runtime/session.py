"""A Ray session: what earlier ones left behind, starting one or connecting to one, and where it prints."""

from __future__ import annotations

import logging
import os
import pickletools
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from catalog.storage.answers import NoAnswerError, answer_seconds, require_grpc
from catalog.storage.checksums import parse_json
from catalog.storage.errors import WORK_FAILED, ActionGridError
from catalog.storage.storage import Storage
from orchestrator.coordination.drivers import Watch
from orchestrator.ray_runtime.ray_compat import RayWay, meant_address, ray_way
from orchestrator.ray_runtime.temporary_folders import held_session, ray_folder, usual_ray_root

logger = logging.getLogger(__name__)

OBJECT_STORE_BYTES = 256 << 20
_TRIES = 3
SAID_EVERY_SECONDS = 10.0
"""How often something that takes long says that it still lasts."""
_SAID_OFTEN = 6  # lines, then they are rarer
_LONGEST = 800  # characters of what Ray says
# Tune's experiment and searcher; a Train run's checkpoints. Both are rewritten in place, so that a kill can
# leave them empty or cut short. Nothing is ever restored from them: every submission plans from the journal.
_STATE_FILES = ("experiment_state-*.json", "*.pkl", "checkpoint_manager_snapshot.json")


class RaySessionError(ActionGridError):
    """Ray cannot be started, reached or used."""


def cluster_address() -> str:
    """The connected cluster's own address: the same for all its drivers, however they named it."""
    import ray

    return str(ray.get_runtime_context().gcs_address)


class SaidEvery:
    """Says `line(seconds since it began)` every few seconds from a thread of its own, until it is closed.

    After a minute only a third as often.
    """

    def __init__(
        self, say: Callable[[str], None], line: Callable[[float], str], pause: float = SAID_EVERY_SECONDS
    ) -> None:
        self._say, self._line, self._pause = say, line, pause
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="said-every", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Say nothing any more; a second call does nothing."""
        self._over.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        began, said = time.monotonic(), 0
        while not self._over.wait(self._pause if said < _SAID_OFTEN else 3 * self._pause):
            self._say(self._line(time.monotonic() - began))
            said += 1


@contextmanager
def ray_session(
    address: str | None,
    cpus: int | None,
    gpus: int | None,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[RayWay]:
    """Run the body with an initialised Ray: a local one of `cpus` and `gpus`, or the cluster at `address`.

    Yields how to use it. `say` is told while that takes long, and where a start is tried again. The local
    one runs without Ray's dashboard, some ten processes, where `orchestrator.ray_runtime.ray_compat` does
    what Train needs it for.

    Raises:
        RaySessionError: Ray does not start or answer.
        NoAnswerError: nothing answers at the cluster's address.
        RayWayError: the environment names a way that does not exist.
    """
    way = ray_way(local=address is None)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    doing = "starting Ray" if address is None else "connecting to the cluster"
    with ExitStack() as at_end:
        try:
            with SaidEvery(say, lambda seconds: f"{doing}: {seconds:.0f} s so far"):
                if address is None:
                    folder = at_end.enter_context(ray_folder(usual_ray_root()))
                    session = _start_local(cpus, gpus, folder, say, dashboard=way is RayWay.PUBLIC)
                    at_end.enter_context(held_session(session))
                else:
                    require_head(address)
                    ray.init(address=address, log_to_driver=False)
        except NoAnswerError:
            raise
        except Exception as error:
            raise _not_started(address, error) from error
        at_end.callback(ray.shutdown)
        yield way


def require_head(address: str) -> None:
    """Return if the head of the cluster at `address` answers.

    Raises:
        NoAnswerError: it does not, within `ACTIONGRID_ANSWER_SECONDS`.
    """
    require_grpc(meant_address(address), "check that the cluster's head runs, and --address or RAY_ADDRESS")


@contextmanager
def ended_if_silent(address: str, say: Callable[[str], None]) -> Iterator[None]:
    """End this process with one line if the cluster's head falls silent during the block.

    Ray's own calls wait for it for minutes then, and no signal reaches them. While it answers, but the block
    takes long, that is said once.
    """
    over = threading.Event()

    def watch() -> None:
        told = False
        while not over.wait(answer_seconds()):
            try:
                require_head(address)
            except NoAnswerError as error:
                if not over.is_set():
                    say(f"error: {error}")
                    os._exit(WORK_FAILED)
            if not told:
                told = True
                say(f"still connecting to the cluster at {meant_address(address)}")

    threading.Thread(target=watch, name="silent-head", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _not_started(address: str | None, error: Exception) -> RaySessionError:
    told = " ".join(str(error).split())[:_LONGEST]
    return RaySessionError(
        f"Ray does not start ({type(error).__name__}: {told})",
        "a local Ray" if address is None else address,
        "see the log named above, check `--address` and, on a cluster with tokens, "
        "export RAY_AUTH_MODE=token",
    )


def _start_local(
    cpus: int | None,
    gpus: int | None,
    folder: Path | None,
    say: Callable[[str], None],
    *,
    dashboard: bool,
) -> Path:
    """Start a local Ray and give its session's folder.

    Tries again where a busy machine needs longer than Ray's own 30 s.
    """
    import ray

    for tries_left in reversed(range(_TRIES)):
        try:
            context = ray.init(
                address="local",
                num_cpus=cpus,
                num_gpus=gpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=dashboard,
                log_to_driver=False,
                _temp_dir=None if folder is None else str(folder),
            )
        except Exception as error:
            ray.shutdown()
            if not tries_left or "timed out" not in str(error):
                raise
            logger.warning("Ray did not start in time; trying again: %s", error)
            say(f"Ray did not start in time, as on a busy machine; try {_TRIES - tries_left + 1} of {_TRIES}")
        else:
            return Path(context.address_info["session_dir"])
    raise AssertionError  # the last try returns or raises


@contextmanager
def redirect_output(log: Path, said_on: int = 1) -> Iterator[TextIO]:
    """Send everything that this process and its children print to `log`; yields the real standard output.

    Where `said_on` is 2 it yields standard error, for commands whose output is data.

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
        with os.fdopen(os.dup(saved_err if said_on == 2 else saved_out), "w", buffering=1) as terminal:
            yield terminal
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(saved_out, 1)
        os.dup2(saved_err, 2)
        for descriptor in (saved_out, saved_err, sink):
            os.close(descriptor)


@dataclass(frozen=True)
class Leftover:
    """The directories that a dead driver's Ray wrote, and which of the state files in them are damaged."""

    writer: str
    folders: tuple[Path, ...]
    damaged: tuple[Path, ...]

    @property
    def warning(self) -> str:
        """One line for the terminal; "" where nothing is damaged."""
        if not self.damaged:
            return ""
        names = ", ".join(dict.fromkeys(path.name for path in self.damaged))
        return (
            f"warning: Ray's state files of {self.writer}, which died, are damaged ({names}); "
            f"{self.damaged[0].parent}; nothing has to be done: going on from the journal"
        )


def leftovers(storage: Storage) -> tuple[Leftover, ...]:
    """What drivers left whose processes are known to have ended. To be asked before they are forgotten."""
    watch = Watch(storage.shared_files(storage.layout.drivers))
    folders: dict[str, list[Path]] = {}
    for folder in sorted(storage.layout.ray_dir.glob("*/*")):
        folders.setdefault(folder.name, []).append(folder)
    return tuple(
        Leftover(writer, tuple(found), tuple(path for folder in found for path in damaged_files(folder)))
        for writer, found in folders.items()
        if watch.record(writer) is not None and watch.is_dead(writer)
    )


def remove_leftover(leftover: Leftover) -> None:
    """Remove it, as far as the storage lets us."""
    for folder in leftover.folders:
        shutil.rmtree(folder, ignore_errors=True)


def damaged_files(folder: Path) -> Iterator[Path]:
    """The state files below `folder` that are empty, cut short or no JSON; none is ever unpickled."""
    for pattern in _STATE_FILES:
        for path in sorted(folder.rglob(pattern)):
            if not _is_whole(path):
                yield path


def _is_whole(path: Path) -> bool:
    try:
        content = path.read_bytes()
        if path.suffix == ".json":
            parse_json(content)
        else:
            # Reads the instructions up to the last one and carries none of them out.
            deque(pickletools.genops(content), maxlen=0)
    except (OSError, ValueError, IndexError):
        return False
    return True
