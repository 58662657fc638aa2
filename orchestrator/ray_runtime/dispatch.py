"""How any driver's cells run on a Ray, trained or evaluated: wait for work, start it, watch it, stop well."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, Self

from catalog.storage.answers import NoAnswerError
from catalog.storage.errors import INTERRUPTED
from orchestrator.ray_runtime.session import cluster_address, ended_if_silent, ray_session, require_head
from orchestrator.ray_runtime.temporary_folders import sweep, temporary_folder

if TYPE_CHECKING:
    from catalog.storage.storage import Storage
    from orchestrator.coordination.drivers import Presence
    from orchestrator.ray_runtime.tune_adapter import GridDriver

logger = logging.getLogger(__name__)

WAIT_SECONDS = 0.5
WATCH_SECONDS = 2.0
# Two looks: a Ray that is busy starting nodes may answer late once.
LOOKS = 2
# Less than the minute after which Ray's client ends the process without a word.
SILENT_SECONDS = 30.0
_ENDED_BY_RAY = (
    "error: ended while Ray started (one of its processes died, or this one was killed); this machine; "
    "see the log named above, then give the same command again to go on"
)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class RayPlace:
    """Which Ray: the cluster at `address`, or a local one of `cpus` and `gpus` (None: all there are)."""

    address: str | None = None
    cpus: int | None = None
    gpus: int | None = None


@dataclass(frozen=True)
class Grid:
    """What is run: `run` is the Tune trainable of every request; Tune's own files go to `files/name`."""

    name: str
    files: Path
    run: Callable[[dict[str, Any]], None]


class View(Protocol):
    """What is shown while a driver works."""

    def close(self) -> None:
        """Show the last state and leave the terminal as it was; a second call does nothing."""


@dataclass(frozen=True)
class Terminal:
    """Where people look: `show` opens a view of the driver, `say` prints a line, to the same `descriptor`."""

    show: Callable[[], AbstractContextManager[View]]
    say: Callable[[str], None]
    descriptor: int = 1


def dispatch(
    driver: GridDriver,
    grid: Grid,
    place: RayPlace,
    presence: Presence,
    signals: StopSignals,
    terminal: Terminal,
) -> None:
    """Run the driver's cells until they are done or it is to stop; then end what still runs of them.

    The first signal asks the driver to stop well, a second one stops at once. No Ray is started only to wait
    for other drivers. Where Ray dies on this machine, this process ends with exit code 130.

    Raises:
        RaySessionError: Ray does not start or cannot be reached.
        GridError: the driver's code failed; what was journalled before stands.
    """
    try:
        with signals.deferred():
            _run(driver, grid, place, presence, signals, terminal)
    except KeyboardInterrupt:
        # Asked a second time: Ray is gone by now, and what follows takes no time.
        signals.asked.set()
    finally:
        driver.interrupted()


def _run(
    driver: GridDriver,
    grid: Grid,
    place: RayPlace,
    presence: Presence,
    signals: StopSignals,
    terminal: Terminal,
) -> None:
    if not driver.has_work:
        # Ray takes seconds to start and half a gigabyte: not only to wait for others.
        with terminal.show():
            while not (driver.has_work or driver.is_finished or signals.asked.wait(WAIT_SECONDS)):
                driver.poll()
    if driver.is_finished or signals.asked.is_set():
        return
    from orchestrator.ray_runtime.tune_adapter import run_grid

    with ExitStack() as session:
        started = session.enter_context(told_if_ended(terminal.descriptor, _ENDED_BY_RAY))

        def say_alone(line: str) -> None:
            started()
            terminal.say(line)

        began = time.monotonic()
        with nullcontext() if place.address is None else ended_if_silent(place.address, say_alone):
            way = session.enter_context(ray_session(place.address, place.cpus, place.gpus, terminal.say))
        started()
        terminal.say(f"Ray is up after {time.monotonic() - began:.0f} s; starting workers")
        signals.take_over()
        head = cluster_address()
        presence.publish(cluster=head if place.address else None)
        with (
            terminal.show() as view,
            watched(
                lambda: _ray_died(driver, signals, view, terminal, f"the Ray at {head} is gone"),
                lambda: _is_alive(head),
                say=terminal.say,
            ),
        ):
            run_grid(driver, grid.name, grid.files, way, grid.run)


def _is_alive(head: str) -> bool:
    """Whether the head answers and counts this node among the living; NoAnswerError where it is silent."""
    require_head(head)  # Ray's own question would wait a minute for a head that is gone
    return this_node_is_alive()


def _ray_died(
    driver: GridDriver, signals: StopSignals, view: View, terminal: Terminal, what: str
) -> NoReturn:
    """Journal what still ran, give the leases back and leave: without Ray nothing here goes on."""

    def on_exit() -> None:
        signals.asked.set()  # nobody waits any more for a storage that takes nothing
        view.close()
        terminal.say(f"interrupted: {what}; give the same command again to go on")
        driver.interrupted()

    end_process(on_exit)


@contextmanager
def told_if_ended(descriptor: int, words: str) -> Iterator[Callable[[], None]]:
    """Have `words` said where this process ends before the block does, or before what is yielded is called.

    Ray's core ends a process whose Ray dies while it starts, past all handlers, so another process says it.
    """
    script = 'read -r line || printf "%s\\n" "$1"'
    guard = subprocess.Popen(
        ["/bin/sh", "-c", script, "sh", words],
        stdin=subprocess.PIPE,
        stdout=descriptor,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def dismiss() -> None:
        if guard.returncode is None:
            with suppress(OSError):
                guard.communicate(b"\n")

    try:
        yield dismiss
    finally:
        dismiss()


@contextmanager
def ray_files(address: str | None, storage: Storage) -> Iterator[Path]:
    """Where Tune and Train write for themselves: on the storage only where other machines have to see it.

    Nothing is ever restored from it, and neither of them outlives a storage that is full.
    """
    # Of a mirror every machine has its own; Train's and Tune's own files are the head's alone anyway.
    if address is not None and not storage.mirrored:
        yield storage.layout.ray_dir
        return
    sweep()
    with temporary_folder() as folder:
        yield folder


class StopSignals:
    """Turns Ctrl-C, SIGTERM and SIGHUP into `KeyboardInterrupt`, or into a request to stop well.

    In a thread that is not the main one, where Python takes no signals, it changes nothing.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self._deferred = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {one: signal.getsignal(one) for one in _SIGNALS}
            self.take_over()
        return self

    def take_over(self) -> None:
        """Receive the signals, again after `ray.init`, which takes SIGTERM. What was ignored stays so."""
        for one, before in self._before.items():
            if before is not signal.SIG_IGN:
                signal.signal(one, self._received)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """In this block, which then has to end soon, the first signal only sets `asked`; a second raises."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _received(self, number: int, frame: FrameType | None) -> None:
        first = not self.asked.is_set()
        self.asked.set()
        if not (self._deferred and first):
            raise KeyboardInterrupt

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one, before in self._before.items():
            signal.signal(one, before if before is not None else signal.SIG_DFL)


def this_node_is_alive() -> bool:
    """Whether the cluster still counts this process's own node among its living ones."""
    import ray

    node = ray.get_runtime_context().get_node_id()
    return any(one["NodeID"] == node and one["Alive"] for one in ray.nodes())


@contextmanager
def watched(
    lost: Callable[[], None],
    alive: Callable[[], bool] = this_node_is_alive,
    seconds: float = WATCH_SECONDS,
    say: Callable[[str], None] = lambda _: None,
) -> Iterator[None]:
    """Call `lost` once, from another thread, if during this block the node dies under an initialised Ray.

    Ray's blocking calls do not return then, nor can a signal end them; `lost` has to end the process. So it
    has to after `SILENT_SECONDS` without an answer (`alive` raises NoAnswerError), of which `say` is told.
    """
    over = threading.Event()

    def watch() -> None:
        dead, silence = 0, Silence(say)
        while not over.wait(seconds):
            try:
                dead = 0 if alive() else dead + 1
                silence.ends()
            except NoAnswerError as error:
                if silence.lasts(error):
                    dead = LOOKS
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


class Silence:
    """Since when a head has not answered; `say` is told when that begins and ends."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._since: float | None = None

    def lasts(self, error: NoAnswerError) -> bool:
        """Note that there was no answer; whether that has lasted too long."""
        if self._since is None:
            self._since = time.monotonic()
            self._say(f"error: {error}; waiting for {SILENT_SECONDS:.0f} s more")
        return time.monotonic() - self._since >= SILENT_SECONDS

    def ends(self) -> None:
        """Note that there was an answer."""
        if self._since is not None:
            self._since = None
            self._say("Ray answers again; going on")


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
