"""One `actiongrid run`: datasets, plan, journal, grid, snapshot. Safe to repeat: what is done stays done."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from catalog import Catalog, Journal, attempts_made
from catalog.catalog import leave_snapshot
from catalog.events import AttemptEnded, StudySubmitted, VideosQuarantined
from catalog.storage.layout import Layout
from catalog.storage.locks import LockHeldError
from catalog.storage.outage import exit_despite_outage
from orchestrator.coordination.drivers import Presence, writer_name
from orchestrator.coordination.shared_cells import SharedCells, shared_cells
from orchestrator.datasets.build import Announce, Builder, ShowProgress, build_missing, dataset_states
from orchestrator.evaluation.records import dataset_built_event
from orchestrator.planning.measured import overshoots
from orchestrator.planning.measurement_files import chosen_packing
from orchestrator.planning.plan_model import Plan, PlannedCell, State
from orchestrator.planning.storage_plan import memory_reductions, plan_with, weights_problems
from orchestrator.ray_runtime.cluster_checks import check_cluster
from orchestrator.ray_runtime.leftovers import leftovers, remove
from orchestrator.running.cell_request import SubmissionSettings
from orchestrator.running.cell_run import CellFailure, CellWork, finished_seconds
from orchestrator.running.driver import Driver
from orchestrator.running.journal_events import epoch_event, finished_event, planned_event
from orchestrator.running.model_size_worker import counted_apart
from orchestrator.running.remote import address_of, fetch_results, hear, open_journal, require_writable
from orchestrator.running.retention import Retention
from orchestrator.running.signals import StopSignals
from orchestrator.study.cells import expand
from orchestrator.study.datasets import DatasetState
from orchestrator.study.model import Study
from orchestrator.terminal.grid_view import GridViewer
from trainables.training.result import read_result

if TYPE_CHECKING:
    from orchestrator.terminal.live_view import LiveView

WAIT_SECONDS = 0.5
BUILD_WAIT_SECONDS = 2.0


@dataclass(frozen=True)
class Options:
    """What the command line decides beside the study."""

    storage: Path
    study_file: str
    address: str | None = None
    cpus: int | None = None
    gpus: int | None = None
    weights_dir: str | None = None
    packing: Path | None = None


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


class Submission:
    """The state of one submission between its steps; used once."""

    def __init__(
        self,
        study: Study,
        options: Options,
        journal: Journal,
        catalog: Catalog,
        shared: SharedCells,
        ray_files: Path,
    ) -> None:
        self.ray_files = ray_files
        self._study = study
        self._options = options
        self._layout = Layout(options.storage)
        self._journal = journal
        self._catalog = catalog
        self._shared = shared
        self._writer = journal.path.stem
        self._states: Mapping[str, DatasetState] = {}
        self._weights_problems: Mapping[str, str] = {}
        self._plan: Plan | None = None

    @property
    def plan(self) -> Plan:
        """The plan that `prepare` made."""
        if self._plan is None:
            raise RuntimeError("no plan yet; call prepare first")
        return self._plan

    @property
    def writer(self) -> str:
        """The name of this submission's driver: of its journal, log and Tune experiment."""
        return self._writer

    def prepare(self, show: ShowProgress, announce: Announce) -> Plan:
        """Build missing datasets, journal the plan, take in results that no driver has journalled yet."""
        from orchestrator.datasets.ingest_tasks import Readers

        known = dataset_states(self._study, self._layout)
        readers = Readers(self._options.address, self._layout.log(f"{self._writer}-data"))
        states = self._build(known, Builder(show, announce, readers))
        self._states = states
        self._journal_datasets(states)
        # Cells that wait for a dataset need no weights yet, so nothing is downloaded for them.
        runnable = any(state.built for state in states.values())
        weights_dir = self._options.weights_dir
        self._weights_problems = weights_problems(self._study, weights_dir, download=runnable)
        plan = self._replan(states)
        self._journal_plan(plan)
        self._close_dead_attempts()
        if self._adopt_results(plan):
            plan = self._replan(states)
        self._plan = plan
        return plan

    def _build(self, known: Mapping[str, DatasetState], builder: Builder) -> Mapping[str, DatasetState]:
        """Build what is missing; a dataset that another driver is building is waited for."""
        told = ""
        while True:
            try:
                return build_missing(self._study, known, self._layout, builder)
            except LockHeldError as error:
                if str(error) != told:
                    told = str(error)
                    builder.announce(f"waiting: {told.split('; ')[0]}")
                time.sleep(BUILD_WAIT_SECONDS)
                known = dataset_states(self._study, self._layout)

    def _replan(self, states: Mapping[str, DatasetState]) -> Plan:
        hear(self._options.storage)
        self._catalog.refresh()
        size_of = counted_apart(expand(self._study), [state.num_classes or 1 for state in states.values()])
        where, packing = self._options.storage, self._options.packing
        return plan_with(self._study, where, states, self._catalog, self._weights_problems, packing, size_of)

    def _journal_datasets(self, states: Mapping[str, DatasetState]) -> None:
        from trainables.data.frames.manifest import read_manifest

        for name, state in states.items():
            if state.manifest is None:
                continue
            manifest = read_manifest(Path(state.manifest))
            videos = [{"path": video.path, "reason": video.reason} for video in manifest.quarantined]
            self._journal.append(VideosQuarantined(name, len(videos), videos))
            self._journal.append(dataset_built_event(name, Path(state.manifest), manifest, self._layout))

    def _journal_plan(self, plan: Plan) -> None:
        config = self._study.model_dump(mode="json")
        self._journal.append(
            StudySubmitted(self._study.name, self._writer, len(plan.cells), self._options.study_file, config)
        )
        self._journal.append_all(
            [planned_event(planned, self._study.name, self._writer) for planned in plan.cells]
        )

    def _close_dead_attempts(self) -> None:
        for attempt in self._shared.dead_attempts():
            error = f"its driver {attempt.driver} ended without a word"
            self._journal.append(AttemptEnded(attempt.key, attempt.attempt, "interrupted", error))

    def _adopt_results(self, plan: Plan) -> bool:
        """Journal results that a worker finished after its driver had died."""
        attempts = attempts_made(self._catalog)
        adopted = False
        fetch_results(self._options.storage)
        for planned in plan.cells:
            if planned.state is not State.TO_RUN:
                continue
            run_dir = self._layout.run_dir(planned.cell.name, planned.key)
            result = read_result(run_dir, planned.key)
            if result is not None and self._shared.claim(planned.key).attempt is not None:
                item = self._work_item(planned, frozenset())
                attempt = attempts.get(planned.key, 1)
                for row in result.history:
                    self._journal.append(epoch_event(planned.key, attempt, row))
                self._journal.append(finished_event(item, attempt, result, self._layout))
                self._shared.release(planned.key)
                adopted = True
        return adopted

    def driver(self, stop: Event) -> Driver:
        """The driver of the cells that have to run, until `stop` is set."""
        to_run = [planned for planned in self.plan.cells if planned.state is State.TO_RUN]
        names = frozenset(planned.cell.name for planned in to_run)
        before = memory_reductions(self._catalog)
        work = [self._work_item(planned, names) for planned in to_run]
        work = [item.reduced(before[item.key]) if item.key in before else item for item in work]
        settings = SubmissionSettings(
            writer=self._writer,
            retries=self._study.retries,
            parent_check=self._study.parent_check,
            weights_dir=self._options.weights_dir,
            frames_on_local_disk=self._study.frames_on_local_disk,
            local=self._options.address is None,
            ray_files=str(self.ray_files),
        )
        retention = Retention(self._layout, self._catalog, self._journal.append, self._study.keep)
        retention.sweep(planned.key for planned in self.plan.cells if planned.state is State.DONE)
        driver = Driver(work, self._layout, retention.append, self._shared, settings, stop)
        driver.refresh_leases()
        return driver

    def _work_item(self, planned: PlannedCell, running: frozenset[str]) -> CellWork:
        parent = planned.cell.parent
        return CellWork(
            cell=planned.cell,
            key=planned.key,
            parent_key=planned.parent_key,
            waits_for=parent if parent in running else None,
            flops=float(planned.flops or 0),
            params=planned.params or 0,
            macs=planned.macs,
            manifest=planned.manifest or "",
            num_classes=planned.num_classes or 0,
            train_videos=self._states[planned.cell.dataset].train_videos or 0,
            evaluation_key=planned.evaluation_key,
        )


def submit(study: Study, options: Options, show: ShowProgress, announce: Announce) -> Outcome:
    """Run what is missing of `study` on one storage, beside other drivers: one of them trains each cell.

    Ctrl-C, SIGTERM and SIGHUP stop the cells well; before they run, they raise KeyboardInterrupt.

    Raises:
        DatasetError: A dataset cannot be built as declared.
        ClusterError: The cluster cannot do it, such as machines that do not share the storage.
        RaySessionError: Ray does not start or cannot be reached.
        LeaseError: The storage cannot be shared by several drivers.
    """
    layout, writer = Layout(options.storage), writer_name()
    require_writable(options.storage)
    chosen_packing(options.storage, options.packing)
    check_cluster(options.address, options.storage, layout.log(f"{writer}-check"))
    for leftover in leftovers(layout):
        if leftover.warning:
            announce(leftover.warning)
        remove(leftover)
    with (
        StopSignals() as signals,
        exit_despite_outage(signals.asked, announce),
        open_journal(options.storage, writer) as journal,
        Catalog.open(options.storage) as catalog,
        shared_cells(layout, writer, study.name, study.priority, catalog) as (shared, presence),
        _ray_files(options, layout) as ray_files,
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
def _ray_files(options: Options, layout: Layout) -> Iterator[Path]:
    """Where Tune and Train write for themselves: on the storage only where other machines have to see it.

    Nothing is ever restored from it, and neither of them outlives a storage that is full.
    """
    # Of a mirror every machine has its own; Train's and Tune's own files are the head's alone anyway.
    if options.address is not None and address_of(options.storage) is None:
        yield layout.ray_dir
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

    layout = Layout(options.storage)
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
    view = GridViewer(submission.plan, driver).view()
    return Outcome(
        states=view.states,
        trained=len(finished_seconds(driver.cells)),
        failures=driver.failures,
        blocked_at_plan=blocked,
        interrupted=interrupted,
        cancelled=tuple(name for name, state in view.states.items() if state == "cancelled"),
    )
