"""One `actiongrid evaluate`: measure finished cells with another protocol, never train, never measure twice.

Safe beside a running driver: it reads what finished cells left behind, writes a journal of its own, and needs
no lock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from catalog import Catalog, Journal
from catalog.catalog import leave_snapshot
from catalog.journal import open_journal
from catalog.queries.cells import known_evaluations
from catalog.storage.storage import Storage
from orchestrator.coordination.drivers import writer_name
from orchestrator.evaluation.cells import FinishedCell, choose_cells, is_pattern
from orchestrator.evaluation.jobs import EvaluationError, EvaluationJob, Wanted, check_checkpoint, make_job
from orchestrator.evaluation.records import dataset_built_event, evaluated_event
from orchestrator.evaluation.videos import VideoSets
from trainables.training.evaluate_cell import EvaluationResult, read_evaluation, result_path
from trainables.training.run_files import fetch_run

Announce = Callable[[str], None]


@dataclass(frozen=True)
class Place:
    """Where to work: the storage, and which Ray."""

    storage: Storage
    address: str | None = None
    cpus: int | None = None
    gpus: int | None = None


@dataclass(frozen=True)
class Evaluated:
    """How one cell's evaluation ended. `identity` is empty where not even the job could be made."""

    cell: str
    key: str
    identity: str
    computed: bool
    error: str | None = None


def evaluate_cells(
    text: str, study: str | None, wanted: Wanted, place: Place, announce: Announce
) -> tuple[Evaluated, ...]:
    """Evaluate the finished cells that `text` means, and journal what was measured.

    What stands already with the same identity is not measured again, unless `wanted.again`. Of several cells,
    one that fails does not stop the others.

    Raises:
        CellChoiceError: no finished cell, or several where one was meant.
        ProtocolError: a protocol that no video can be measured with.
        EvaluationError: the one cell that was meant cannot be evaluated.
        RaySessionError: Ray does not start or cannot be reached.
    """
    with Catalog.open(place.storage.root) as catalog:
        choice = choose_cells(catalog, text, study)
        if choice.unfinished:
            announce(f"left out, not finished: {', '.join(choice.unfinished)}")
        evaluating = _Evaluating(place, known_evaluations(catalog), announce)
        outcomes = evaluating.run(choice.cells, wanted, several=is_pattern(text))
        if evaluating.journalled:
            leave_snapshot(catalog, announce)
    return outcomes


class _Evaluating:
    """The state of one `evaluate`; used once."""

    def __init__(self, place: Place, known: frozenset[tuple[str, str]], announce: Announce) -> None:
        self._place = place
        self._storage = place.storage
        self._layout = place.storage.layout
        self._known = known
        self._announce = announce
        self._outcomes: list[Evaluated] = []
        self.journalled = False

    def run(self, cells: tuple[FinishedCell, ...], wanted: Wanted, *, several: bool) -> tuple[Evaluated, ...]:
        """Evaluate all cells; the outcomes come in the order of their names."""
        jobs = self._jobs(cells, wanted, several=several)
        standing = {} if wanted.again else self._standing(jobs)
        missing = self._usable([job for job in jobs if job.spec.identity not in standing], several=several)
        unknown = [job for job in jobs if job.spec.identity in standing and not self._is_known(job)]
        if missing or unknown:
            with open_journal(self._storage, writer_name()) as journal:
                for job in unknown:
                    self._journal(journal, job, standing[job.spec.identity])
                self._measure(journal, missing)
        for job in jobs:
            if job.spec.identity in standing:
                self._outcomes.append(_outcome(job, computed=False))
        return tuple(sorted(self._outcomes, key=lambda one: (one.cell, one.key)))

    def _jobs(self, cells: tuple[FinishedCell, ...], wanted: Wanted, *, several: bool) -> list[EvaluationJob]:
        videos, jobs = VideoSets(self._layout), []
        for cell in cells:
            try:
                fetch_run(self._storage, self._layout.run_dir(cell.cell, cell.key))
                job = make_job(cell, wanted, self._storage, videos)
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

    def _standing(self, jobs: list[EvaluationJob]) -> dict[str, EvaluationResult]:
        """What was measured before, of this very checkpoint, by identity."""
        found = {job.spec.identity: read_evaluation(job.run_dir, job.spec.identity) for job in jobs}
        sums = {job.spec.identity: job.spec.sha256 for job in jobs}
        return {
            identity: result
            for identity, result in found.items()
            if result is not None and result.asked.sha256 == sums[identity]
        }

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

    def _is_known(self, job: EvaluationJob) -> bool:
        return (job.spec.cell.key, job.spec.identity) in self._known

    def _journal(self, journal: Journal, job: EvaluationJob, result: EvaluationResult) -> None:
        dataset, videos, folder = (
            job.spec.cell.dataset,
            job.videos,
            result_path(job.run_dir, result.identity).parent,
        )
        journal.append(dataset_built_event(dataset, videos.path, videos.manifest, self._storage))
        journal.append(evaluated_event(result, folder, self._storage))
        self.journalled = True

    def _measure(self, journal: Journal, jobs: list[EvaluationJob]) -> None:
        if not jobs:
            return
        from orchestrator.evaluation.runs import run_jobs
        from orchestrator.ray_runtime.cluster_checks import check_cluster
        from orchestrator.ray_runtime.session import ray_session, redirect_output

        writer = journal.path.stem
        log = self._layout.log(writer)
        self._announce(f"{len(jobs)} to measure; Ray's own output: {log}")

        def ended(job: EvaluationJob, error: str | None) -> None:
            result = None if error else read_evaluation(job.run_dir, job.spec.identity)
            if result is None:
                error = error or "it ended without a result; report this as a bug"
                self._outcomes.append(_outcome(job, computed=False, error=error))
                return
            self._journal(journal, job, result)
            self._outcomes.append(_outcome(job, computed=True))

        place = self._place
        check_cluster(place.address, place.storage, log)
        with redirect_output(log), ray_session(place.address, place.cpus, place.gpus) as way:
            run_jobs(jobs, self._layout.ray_dir / "train" / writer, place.address is None, way, ended)


def _outcome(job: EvaluationJob, *, computed: bool, error: str | None = None) -> Evaluated:
    spec = job.spec
    return Evaluated(spec.cell.cell, spec.cell.key, spec.identity, computed, error)
