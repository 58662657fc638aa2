"""What a submission does before its cells run: datasets, plan, journal, results that nobody has taken in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from catalog import Catalog, Journal
from catalog.events import CellPlanned, StudySubmitted, VideosQuarantined
from catalog.events import Event as CatalogEvent
from catalog.queries.drivers import next_time
from catalog.queries.planner import attempts_made
from catalog.queries.training import hours_spent
from catalog.storage.layout import command_on
from catalog.storage.locks import LockHeldError
from catalog.storage.storage import Storage
from orchestrator.coordination.shared_cells import SharedCells
from orchestrator.datasets.build import Announce, Builder, ShowProgress, build_missing
from orchestrator.datasets.built import dataset_states
from orchestrator.evaluation.jobs import dataset_built_event
from orchestrator.planning.model_size_worker import counted_apart
from orchestrator.planning.plan_model import Plan, PlannedCell, State
from orchestrator.planning.storage_plan import (
    memory_reductions,
    plan_on_catalog,
    pretrained_weights,
    weights_problems,
)
from orchestrator.running.attempt_files import fetch_results
from orchestrator.running.cell_request import SubmissionSettings
from orchestrator.running.cell_run import CellWork
from orchestrator.running.driver import Driver
from orchestrator.running.finished_files import FinishedFiles
from orchestrator.running.journal_events import (
    epoch_event,
    finished_event,
    is_journalled,
    last_events,
    planned_event,
)
from orchestrator.running.notifications import AlertSubject
from orchestrator.running.retention import Retention
from orchestrator.study.cells import expand
from orchestrator.study.datasets import DatasetState
from orchestrator.study.model import Study
from trainables.recipe.cell_spec import Which
from trainables.recipe.local_files import fetch_records
from trainables.training.result import read_history, read_result

if TYPE_CHECKING:
    from trainables.training.checkpoint import Metrics

BUILD_WAIT_SECONDS = 2.0


def _unsaid(_line: str) -> None:
    """Nobody is told."""


@dataclass(frozen=True)
class Options:
    """What the command line decides beside the study."""

    storage: Storage
    study_file: str
    address: str | None = None
    cpus: int | None = None
    gpus: int | None = None
    weights_dir: str | None = None
    packing: Path | None = None
    check_checkpoints: bool = False


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
        self._cells = expand(study)
        self._options = options
        self._storage = options.storage
        self._layout = options.storage.layout
        self._journal = journal
        self._catalog = catalog
        self._shared = shared
        self._writer = journal.path.stem
        self._states: Mapping[str, DatasetState] = {}
        self._weights_problems: Mapping[str, str] = {}
        self._lost: dict[str, str] = {}
        self._plan: Plan | None = None

    @property
    def plan(self) -> Plan:
        """The plan that `prepare` made."""
        if self._plan is None:
            raise RuntimeError("no plan yet; call prepare first")
        return self._plan

    @property
    def report(self) -> Which:
        """The checkpoint whose accuracies the study reports."""
        return self._study.report

    @property
    def writer(self) -> str:
        """The name of this submission's driver: of its journal, log and Tune experiment."""
        return self._writer

    def prepare(self, show: ShowProgress, announce: Announce, phase: Announce = _unsaid) -> Plan:
        """Build missing datasets, journal the plan, take in results that no driver has journalled yet.

        `phase` is told what begins.
        """
        from orchestrator.datasets.ingest_tasks import VideoReaders

        known = dataset_states(self._study, self._layout)
        readers = VideoReaders(self._storage, self._options.address, self._layout.log(f"{self._writer}-data"))
        missing = [name for name, state in known.items() if not state.built]
        if missing:
            phase(f"building datasets: {', '.join(missing)}")
        states = self._build(known, Builder(show, announce, readers))
        self._states = states
        self._journal_datasets(states)
        # Cells that wait for a dataset need no weights yet, so nothing is downloaded for them.
        runnable = any(state.built for state in states.values())
        weights_dir = self._options.weights_dir
        if pretrained := pretrained_weights(self._cells):
            phase(f"looking for pretrained weights: {', '.join(one.name for one in pretrained)}")
        self._weights_problems = weights_problems(pretrained, weights_dir, download=runnable)
        phase("planning: counting models, comparing keys with the catalog's")
        self._close_dead_attempts()
        plan = self._plan_on_what_stands(states, announce)
        self._journal_plan(plan)
        if self._adopt_results(plan):
            plan = self._replan(states)
        self._plan = plan
        return plan

    def _build(self, known: Mapping[str, DatasetState], builder: Builder) -> Mapping[str, DatasetState]:
        """Build what is missing; a dataset that another driver is building is waited for."""
        told = ""
        while True:
            try:
                return build_missing(self._study, known, self._storage, builder)
            except LockHeldError as error:
                if str(error) != told:
                    told = str(error)
                    builder.announce(f"waiting: {told.split('; ')[0]}")
                time.sleep(BUILD_WAIT_SECONDS)
                known = dataset_states(self._study, self._layout)

    def _plan_on_what_stands(self, states: Mapping[str, DatasetState], announce: Announce) -> Plan:
        """The plan, with finished cells to run again whose weights a child needs and that do not stand."""
        plan = self._replan(states)
        fetch_results(self._storage)
        files = FinishedFiles(
            self._storage, self._catalog, self._shared, announce, self._options.check_checkpoints
        )
        while found := files.lost(plan):
            self._lost |= found
            plan = self._replan(states)
        return plan

    def _replan(self, states: Mapping[str, DatasetState]) -> Plan:
        self._storage.refresh_journals()
        self._catalog.refresh()
        size_of = counted_apart(self._cells, [state.num_classes or 1 for state in states.values()])
        known = (self._catalog, self._weights_problems, self._options.packing, size_of, self._lost)
        return plan_on_catalog(self._study, self._storage.root, states, *known, self._cells)

    def _journal_datasets(self, states: Mapping[str, DatasetState]) -> None:
        from trainables.data.frames.manifest import read_manifest

        for name, state in states.items():
            if state.manifest is None:
                continue
            manifest = read_manifest(Path(state.manifest))
            videos = [{"path": video.path, "reason": video.reason} for video in manifest.quarantined]
            self._journal.append(VideosQuarantined(name, len(videos), videos))
            self._journal.append(dataset_built_event(name, Path(state.manifest), manifest, self._storage))

    def _journal_plan(self, plan: Plan) -> None:
        name, config = self._study.name, self._study.model_dump(mode="json")
        given = next_time(self._catalog, name, time.time())
        self._journal.append(
            StudySubmitted(name, self._writer, len(plan.cells), self._options.study_file, config, time=given)
        )
        self._journal.append_all(
            [planned_event(planned, self._study.name, self._writer) for planned in plan.cells]
        )

    def _close_dead_attempts(self) -> None:
        for dead in self._shared.dead_attempts():
            history = self._history(dead.cell, dead.key) if dead.cell else ()
            self._journal.append_all(last_events(dead, history, time.time()))

    def _history(self, cell: str, key: str) -> Sequence[Metrics]:
        """Rows of a cell's epochs that stand."""
        run_dir = self._layout.run_dir(cell, key)
        if self._storage.mirrored:
            fetch_records(self._storage, run_dir)
        return read_history(run_dir, key)

    def _adopt_results(self, plan: Plan) -> bool:
        """Journal results that a worker finished after its driver had died."""
        attempts = attempts_made(self._catalog)
        adopted = False
        for planned in plan.cells:
            if planned.state is not State.TO_RUN:
                continue
            run_dir = self._layout.run_dir(planned.cell.name, planned.key)
            result = read_result(run_dir, planned.key)
            if result is not None and self._shared.claim(planned.key).attempt is not None:
                item = self._work_item(planned, frozenset())
                attempt = attempts.get(planned.key, 1)
                known = self._shared.journalled_epochs(planned.key)
                for row in result.history:
                    if not is_journalled(row, known):
                        self._journal.append(epoch_event(planned.key, attempt, row))
                self._journal.append(finished_event(item, attempt, result, self._storage))
                self._shared.release(planned.key)
                self._lost.pop(planned.key, None)
                adopted = True
        return adopted

    def planned_events(self) -> list[CellPlanned]:
        """The cells of the plan as the journal has them."""
        return [planned_event(planned, self._study.name, self._writer) for planned in self.plan.cells]

    def alert_subject(self) -> AlertSubject:
        """What messages to people are about."""
        cells = {one.key: (one.cell.name, one.cell.resources) for one in self.plan.cells}
        on_gpus = any(resources.gpus for _, resources in cells.values())
        spent = hours_spent(self._catalog, self._study.name, on_gpus=on_gpus)
        start = command_on(self._storage.location, "run", self._options.study_file)
        return AlertSubject(self._study.name, cells, spent, start)

    def driver(self, stop: Event, observers: Sequence[Callable[[CatalogEvent], None]] = ()) -> Driver:
        """The driver of the cells that have to run, until `stop` is set; `observers` see its events."""
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
        retention = Retention(self._storage, self._catalog, self._journal.append, self._study.keep)
        retention.sweep(planned.key for planned in self.plan.cells if planned.state is State.DONE)

        def append(event: CatalogEvent) -> CatalogEvent:
            written = retention.append(event)
            for see in observers:
                see(written)
            return written

        driver = Driver(work, self._storage, append, self._shared, settings, stop)
        driver.refresh_leases()
        return driver

    def _work_item(self, planned: PlannedCell, running: frozenset[str]) -> CellWork:
        # The parent of another study may have the name of a cell here.
        parent, origin = None if planned.origin else planned.cell.parent, planned.origin
        apart = origin if planned.cell.new_head else None
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
            videos_hash=self._states[planned.cell.dataset].val_hash,
            begun=planned.begun,
            parent_manifest=apart.manifest if apart else None,
            parent_classes=apart.num_classes if apart else None,
        )
