"""One `actiongrid evaluate`: measure finished cells with another protocol, never train, never measure twice.

Safe beside other drivers: it reads what finished cells left behind, writes a journal of its own, and measures
under a lease of each evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from catalog import Catalog, Journal
from catalog.journal import open_journal
from catalog.maintenance import leave_snapshot
from catalog.queries.cells import known_evaluations
from catalog.storage.outage import exit_despite_outage
from catalog.storage.storage import Storage
from orchestrator.coordination.drivers import writer_name
from orchestrator.coordination.shared_cells import shared_cells
from orchestrator.evaluation.cells import FinishedCell, VideoSets, choose_cells, is_pattern
from orchestrator.evaluation.driver import EvaluationDriver, Terms
from orchestrator.evaluation.jobs import (
    EvaluationError,
    EvaluationJob,
    Wanted,
    check_checkpoint,
    dataset_built_event,
    evaluated_event,
    make_job,
    standing_result,
)
from orchestrator.ray_runtime.cluster_checks import check_cluster
from orchestrator.ray_runtime.dispatch import (
    Grid,
    RayPlace,
    StopSignals,
    Terminal,
    dispatch,
    ray_files,
)
from orchestrator.ray_runtime.session import SaidEvery, redirect_output
from trainables.recipe.local_files import fetch_run
from trainables.training.evaluate_cell import EvaluationResult, result_path

Announce = Callable[[str], None]

# That of a study that says nothing of its own.
_PRIORITY = 0


@dataclass(frozen=True)
class Place:
    """Where to work: the storage, and which Ray. Progress is said on the descriptor `said_on`."""

    storage: Storage
    address: str | None = None
    cpus: int | None = None
    gpus: int | None = None
    said_on: int = 1


@dataclass(frozen=True)
class Evaluated:
    """How one cell's evaluation ended. `identity` is empty where not even the job could be made."""

    cell: str
    key: str
    identity: str
    computed: bool
    error: str | None = None


def evaluate_cells(
    text: str,
    study: str | None,
    wanted: Wanted,
    place: Place,
    announce: Announce,
    phase: Announce | None = None,
) -> tuple[Evaluated, ...]:
    """Evaluate the finished cells that `text` means, and journal what was measured.

    What stands already with the same identity is not measured again, unless `wanted.again`. Of several cells,
    one that fails does not stop the others. `phase` is told what begins (default: `announce` is).

    Raises:
        CellChoiceError: no finished cell, or several where one was meant.
        ProtocolError: a protocol that no video can be measured with.
        EvaluationError: the one cell that was meant cannot be evaluated.
        ClusterError: the cluster cannot do it, such as machines that do not share the storage.
        RaySessionError: Ray does not start or cannot be reached.
        KeyboardInterrupt: stopped by a signal; what was measured before is journalled.
    """
    (phase or announce)("reading the catalog")
    with Catalog.open(place.storage.root) as catalog:
        choice = choose_cells(catalog, text, study)
        if choice.unfinished:
            announce(f"left out, not finished: {', '.join(choice.unfinished)}")
        asked = [(cell, one) for cell in choice.cells for one in wanted.of_checkpoints()]
        return evaluate_each(asked, catalog, place, announce, phase, several=is_pattern(text))


def evaluate_each(
    asked: Sequence[tuple[FinishedCell, Wanted]],
    catalog: Catalog,
    place: Place,
    announce: Announce,
    phase: Announce | None = None,
    *,
    several: bool = True,
) -> tuple[Evaluated, ...]:
    """Evaluate each finished cell as wanted, all in one Ray, and journal what was measured.

    With `several`, one that fails does not stop the others. None may want both checkpoints.

    Raises:
        As `evaluate_cells`.
    """
    evaluating = _Evaluating(place, catalog, announce, phase or announce)
    try:
        return evaluating.run(asked, several=several)
    finally:
        if evaluating.journalled:
            leave_snapshot(catalog, announce)


class _Evaluating:
    """The state of one `evaluate`; used once."""

    def __init__(self, place: Place, catalog: Catalog, announce: Announce, phase: Announce) -> None:
        self._place = place
        self._storage = place.storage
        self._layout = place.storage.layout
        self._catalog = catalog
        self._announce, self._phase = announce, phase
        self._outcomes: list[Evaluated] = []
        self.journalled = False

    def run(self, asked: Sequence[tuple[FinishedCell, Wanted]], *, several: bool) -> tuple[Evaluated, ...]:
        """Evaluate all cells; the outcomes come in the order of their names."""
        self._phase("comparing with what was measured before")
        jobs = self._jobs(asked, several=several)
        again = any(wanted.again for _, wanted in asked)
        found = {} if again else {job.spec.identity: standing_result(job) for job in jobs}
        standing = [(job, result) for job in jobs if (result := found.get(job.spec.identity)) is not None]
        missing = self._usable([job for job in jobs if found.get(job.spec.identity) is None], several=several)
        known = known_evaluations(self._catalog)
        unknown = [(job, result) for job, result in standing if _names(job) not in known]
        if missing or unknown:
            with open_journal(self._storage, writer_name()) as journal:
                results = _Results(journal, self._catalog, self._place, again=again)
                for job, result in unknown:
                    results.journal(job, result)
                try:
                    self._measure(missing, results, journal.path.stem)
                finally:
                    self.journalled = results.journalled
                self._outcomes.extend(results.outcomes)
        self._outcomes.extend(_outcome(job, computed=False) for job, _ in standing)
        return tuple(sorted(self._outcomes, key=lambda one: (one.cell, one.key)))

    def _jobs(self, asked: Sequence[tuple[FinishedCell, Wanted]], *, several: bool) -> list[EvaluationJob]:
        videos, jobs = VideoSets(self._layout), []
        for cell, one in asked:
            try:
                fetch_run(self._storage, self._layout.run_dir(cell.cell, cell.key))
                job = make_job(cell, one, self._storage, videos)
            except EvaluationError as error:
                if not several:
                    raise
                self._outcomes.append(Evaluated(cell.cell, cell.key, "", computed=False, error=str(error)))
                continue
            if not job.same_videos:
                self._announce(
                    f"{cell.cell}: the validation videos are not those of its training; {job.videos.path}"
                )
            jobs.append(job)
        return jobs

    def _usable(self, jobs: list[EvaluationJob], *, several: bool) -> list[EvaluationJob]:
        usable = []
        for job in jobs:
            try:
                check_checkpoint(job.spec)
            except EvaluationError as error:
                if not several:
                    raise
                self._outcomes.append(_outcome(job, computed=False, error=str(error)))
                continue
            usable.append(job)
        return usable

    def _measure(self, jobs: Sequence[EvaluationJob], results: _Results, writer: str) -> None:
        """Run the jobs beside other drivers, until they are done or a signal comes."""
        if not jobs:
            return
        from orchestrator.ray_runtime.train_run import run_evaluation

        place, layout = self._place, self._layout
        log = layout.log(writer)
        if place.address is not None:
            self._phase("checking the cluster")
        check_cluster(place.address, place.storage, log, place.said_on)
        self._announce(f"{len(jobs)} to measure; Ray's own output: {log}")
        self._phase("starting Ray, then measuring")
        with (
            StopSignals() as signals,
            exit_despite_outage(signals.asked, self._announce),
            # No study's commands are meant for it.
            shared_cells(place.storage, writer, "", _PRIORITY, self._catalog) as (shared, presence),
            ray_files(place.address, place.storage) as files,
            redirect_output(log, place.said_on) as terminal,
        ):

            def say(line: str) -> None:
                print(line, file=terminal)

            terms = Terms(files / "train" / writer, place.address is None)
            driver = EvaluationDriver(jobs, shared, results, terms, signals.asked, say=say)
            dispatch(
                driver,
                Grid(writer, files / "tune", run_evaluation),
                RayPlace(place.address, place.cpus, place.gpus),
                presence,
                signals,
                Terminal(lambda: SaidEvery(say, driver.progress_line), say, terminal.fileno()),
            )
        if not driver.is_finished:
            raise KeyboardInterrupt


class _Results:
    """Journals what was measured, here or by others, and keeps how each job ended."""

    def __init__(self, journal: Journal, catalog: Catalog, place: Place, *, again: bool) -> None:
        self._file = journal
        self._catalog = catalog
        self._storage = place.storage
        self._together = place.address is None
        self._again = again
        self.outcomes: list[Evaluated] = []
        self.journalled = False

    def take_in(self, job: EvaluationJob) -> bool:
        """Whether another driver has measured this meanwhile."""
        if self._again:
            return False
        fetch_run(self._storage, job.run_dir)
        result = standing_result(job)
        if result is None:
            return False
        self._catalog.refresh()
        if _names(job) not in known_evaluations(self._catalog):
            self.journal(job, result)
        self.outcomes.append(_outcome(job, computed=False))
        return True

    def ended(self, job: EvaluationJob, error: str | None) -> None:
        """Journal what a job that has run measured, if it did."""
        if error is None and not self._together:
            fetch_run(self._storage, job.run_dir)
        result = None if error else standing_result(job)
        if result is None:
            error = error or "it ended without a result; report this as a bug"
            self.outcomes.append(_outcome(job, computed=False, error=error))
            return
        self.journal(job, result)
        self.outcomes.append(_outcome(job, computed=True))

    def journal(self, job: EvaluationJob, result: EvaluationResult) -> None:
        """Journal a result, and on which dataset it was measured."""
        dataset, videos = job.spec.cell.dataset, job.videos
        folder = result_path(job.run_dir, result.identity).parent
        self._file.append(dataset_built_event(dataset, videos.path, videos.manifest, self._storage))
        self._file.append(evaluated_event(result, folder, self._storage))
        self.journalled = True


def _names(job: EvaluationJob) -> tuple[str, str]:
    """The evaluation as the catalog names it."""
    return job.spec.cell.key, job.spec.identity


def _outcome(job: EvaluationJob, *, computed: bool, error: str | None = None) -> Evaluated:
    spec = job.spec
    return Evaluated(spec.cell.cell, spec.cell.key, spec.identity, computed, error)
