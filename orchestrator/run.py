"""One `actiongrid run` from beginning to end: puts the parts of a submission together, and takes signals.

Safe to repeat: what is done stays done.
"""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

from rich.console import Console

from catalog import Catalog
from catalog.catalog import leave_snapshot
from catalog.journal import open_journal
from catalog.storage.outage import exit_despite_outage
from orchestrator.coordination.drivers import Presence, writer_name
from orchestrator.coordination.shared_cells import shared_cells
from orchestrator.datasets.build import Announce, ShowProgress
from orchestrator.planning.measured import overshoots
from orchestrator.planning.measurement_files import chosen_packing
from orchestrator.planning.plan_model import State
from orchestrator.ray_runtime.cluster_checks import check_cluster
from orchestrator.ray_runtime.leftovers import leftovers, remove
from orchestrator.running.cell_run import CellFailure, finished_seconds
from orchestrator.running.driver import Driver
from orchestrator.running.submission import Options, Submission
from orchestrator.study.model import Study
from orchestrator.terminal.grid_view import GridViewer, shown_states

if TYPE_CHECKING:
    from orchestrator.terminal.live_view import LiveView

WAIT_SECONDS = 0.5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Outcome:
    """How a submission ended. `states` by cell name; `trained` counts the cells that this run finished.

    `blocked_at_plan` names, by reason, the cells that could not even start; `cancelled` those that people
    cancelled, and what waits for them.
    """

    states: Mapping[str, str]
    trained: int
    failures: tuple[CellFailure, ...]
    blocked_at_plan: Mapping[str, tuple[str, ...]]
    interrupted: bool
    cancelled: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every cell of the study is done."""
        return all(state == "done" for state in self.states.values())


class StopSignals:
    """Turns the three signals into `KeyboardInterrupt`, or, where work can be stopped well, into a request.

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


def submit(study: Study, options: Options, show: ShowProgress, announce: Announce) -> Outcome:
    """Run what is missing of `study` on one storage, beside other drivers: one of them trains each cell.

    Ctrl-C, SIGTERM and SIGHUP stop the cells well; before they run, they raise KeyboardInterrupt.

    Raises:
        DatasetError: A dataset cannot be built as declared.
        ClusterError: The cluster cannot do it, such as machines that do not share the storage.
        RaySessionError: Ray does not start or cannot be reached.
        LeaseError: The storage cannot be shared by several drivers.
    """
    storage, writer = options.storage, writer_name()
    layout = storage.layout
    storage.require_usable()
    chosen_packing(storage.root, options.packing)
    check_cluster(options.address, storage, layout.log(f"{writer}-check"))
    for leftover in leftovers(storage):
        if leftover.warning:
            announce(leftover.warning)
        remove(leftover)
    with (
        StopSignals() as signals,
        exit_despite_outage(signals.asked, announce),
        open_journal(storage, writer) as journal,
        Catalog.open(storage.root) as catalog,
        shared_cells(storage, writer, study.name, study.priority, catalog) as (shared, presence),
        _ray_files(options) as ray_files,
    ):
        submission = Submission(study, options, journal, catalog, shared, ray_files)
        plan = submission.prepare(show, announce)
        driver = submission.driver(signals.asked)
        if driver.cells:
            log = layout.log(submission.writer)
            announce(f"{len(driver.cells)} of {len(plan.cells)} cells to run; Ray's own output: {log}")
            try:
                with signals.deferred():
                    _run(submission, driver, options, signals, presence)
            except KeyboardInterrupt:
                # Asked a second time: Ray is gone by now, and what follows takes no time.
                signals.asked.set()
            finally:
                driver.interrupted()
        outcome = _outcome(submission, driver, interrupted=not driver.is_finished)
        catalog.refresh()
        for warning in overshoots(catalog, finished_seconds(driver.cells)):
            announce(f"warning: {warning}")
        leave_snapshot(catalog, announce)
    return outcome


@contextmanager
def _ray_files(options: Options) -> Iterator[Path]:
    """Where Tune and Train write for themselves: on the storage only where other machines have to see it.

    Nothing is ever restored from it, and neither of them outlives a storage that is full.
    """
    # Of a mirror every machine has its own; Train's and Tune's own files are the head's alone anyway.
    if options.address is not None and not options.storage.mirrored:
        yield options.storage.layout.ray_dir
        return
    with tempfile.TemporaryDirectory(prefix="actiongrid-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _run(
    submission: Submission, driver: Driver, options: Options, signals: StopSignals, presence: Presence
) -> None:
    """Run the driver's cells with a live view until they are done or the driver is to stop."""
    from orchestrator.ray_runtime.session import cluster_address, ray_session, redirect_output, watched
    from orchestrator.ray_runtime.tune_adapter import run_grid
    from orchestrator.terminal.live_view import LiveView

    layout = options.storage.layout
    with redirect_output(layout.log(submission.writer)) as terminal:
        console = Console(file=terminal)
        driver.outage.tell(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True))
        viewer = GridViewer(submission.plan, driver)
        if not driver.has_work:
            # Ray takes seconds to start and half a gigabyte: not only to wait for others.
            with LiveView(console, viewer.view):
                _wait_for_work(driver)
        if driver.is_finished or driver.is_stopping:
            return
        with ray_session(options.address, options.cpus, options.gpus) as way:
            signals.take_over()
            presence.publish(cluster=cluster_address() if options.address else None)
            with (
                LiveView(console, viewer.view) as view,
                watched(lambda: _ray_died(driver, signals, view, console)),
            ):
                run_grid(driver, submission.writer, submission.ray_files / "tune", way)


def _ray_died(driver: Driver, signals: StopSignals, view: LiveView, console: Console) -> NoReturn:
    """Journal what still ran, give the leases back and leave: without Ray nothing here goes on."""
    from orchestrator.ray_runtime.session import end_process

    def on_exit() -> None:
        signals.asked.set()  # nobody waits any more for a storage that takes nothing
        view.close()
        console.print("interrupted: Ray died on this machine; give the same command again to go on")
        driver.interrupted()

    end_process(on_exit)


def _wait_for_work(driver: Driver) -> None:
    while not (driver.has_work or driver.is_finished or driver.is_stopping):
        time.sleep(WAIT_SECONDS)
        driver.poll()


def _outcome(submission: Submission, driver: Driver, *, interrupted: bool) -> Outcome:
    blocked: dict[str, tuple[str, ...]] = {}
    for planned in submission.plan.cells:
        if planned.state is State.BLOCKED:
            blocked[planned.reason] = (*blocked.get(planned.reason, ()), planned.cell.name)
    states = shown_states(submission.plan, driver.cells)
    return Outcome(
        states=states,
        trained=len(finished_seconds(driver.cells)),
        failures=driver.failures,
        blocked_at_plan=blocked,
        interrupted=interrupted,
        cancelled=tuple(name for name, state in states.items() if state == "cancelled"),
    )
