"""The driver of one `actiongrid evaluate`: which evaluation starts next, under which lease, and how it ended.

Its twin is `orchestrator.running.driver.Driver`. Knows no Ray: `orchestrator.ray_runtime.dispatch` runs it.
"""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from catalog.names import count_text
from catalog.storage.layout import file_name
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.scheduling.retry import unmarked
from orchestrator.scheduling.schedule import Free, GridState, Progress, Task
from trainables.recipe.local_files import storage_of
from trainables.training.evaluate_cell import result_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from threading import Event

    from orchestrator.coordination.shared_cells import SharedCells
    from orchestrator.evaluation.jobs import EvaluationJob

logger = logging.getLogger(__name__)

POLL_SECONDS = 2.0
_MOST_NAMED = 3  # running evaluations in a line of progress


class Results(Protocol):
    """Where evaluations end."""

    def take_in(self, job: EvaluationJob) -> bool:
        """Whether somebody has measured this by now; then it is journalled and not measured again."""

    def ended(self, job: EvaluationJob, error: str | None) -> None:
        """A job has run; `error` is None where it ended well."""


@dataclass(frozen=True)
class Terms:
    """What holds for all jobs: where Train writes for itself; whether all are on one machine."""

    train_files: Path
    local: bool


class EvaluationDriver:
    """State of one `evaluate` while its jobs run; see `orchestrator.ray_runtime.tune_adapter.GridDriver`.

    A job is started only under the lease of its evaluation, so that two drivers measure nothing twice.
    `stop`, once set, asks the driver to leave its jobs: they have nothing to lose.
    """

    def __init__(
        self,
        jobs: Sequence[EvaluationJob],
        shared: SharedCells,
        results: Results,
        terms: Terms,
        stop: Event,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._say = say
        self._jobs = {job.spec.identity: job for job in jobs}
        self._shared = shared
        self._results = results
        self._terms = terms
        self._stop = stop
        self._clock = clock
        self._grid = GridState(
            [Task(name, None, _cost(job), job.resources) for name, job in self._jobs.items()]
        )
        self._running: dict[str, str] = {}
        self._since: dict[str, float] = {}
        self._elsewhere = {name for name in self._jobs if shared.holder(name) is not None}
        self._next_poll = 0.0

    @property
    def is_finished(self) -> bool:
        """Nothing runs and nothing is left, here or elsewhere."""
        return self._grid.is_finished

    @property
    def has_work(self) -> bool:
        """Whether something runs or could be started here."""
        return bool(self._running) or any(
            name not in self._elsewhere for name in self._grid.names(Progress.READY)
        )

    @property
    def leave_now(self) -> bool:
        """Whether the driver was asked to stop."""
        return self._stop.is_set()

    @property
    def to_kill(self) -> frozenset[str]:
        """No evaluation is ever stopped by itself."""
        return frozenset()

    def next_trial(self, total: Free) -> TrialRequest | None:
        """Start the largest evaluation that fits beside what other drivers run on the cluster."""
        self.poll()
        if self._stop.is_set():
            return None
        for large in set(self._grid.never_fits(total)) - self._elsewhere:
            self._end(large, _too_large(self._jobs[large], total))
        left = self._shared.resources_left(total)
        while left is not None and (name := self._grid.next(left, skip=self._elsewhere)) is not None:
            request = self._start(name)
            if request is not None:
                return request
        return None

    def _start(self, name: str) -> TrialRequest | None:
        """The request, or None where another driver has the evaluation, or has had it by now."""
        claim = self._shared.claim(name)
        if claim.attempt is None:
            self._elsewhere.add(name)
            return None
        if self._take_in(name):
            self._shared.release(name)
            return None
        request = _request(self._jobs[name], claim.attempt, self._terms)
        self._grid.started(name)
        self._running[request.name] = name
        self._since[name] = self._clock()
        self._say(f"started {_words(self._jobs[name])}")
        self._publish()
        return request

    def _take_in(self, name: str) -> bool:
        if not self._results.take_in(self._jobs[name]):
            return False
        self._grid.started(name)
        self._grid.finished(name)
        return True

    def poll(self) -> None:
        """See what other drivers do; looks every other second, and does without where the storage is away."""
        if self._clock() < self._next_poll:
            return
        self._next_poll = self._clock() + POLL_SECONDS
        with suppress(OSError):
            self._shared.read_update()
            for name in sorted(self._elsewhere):
                if self._shared.holder(name) is None:
                    self._elsewhere.discard(name)
                    self._take_in(name)

    def trial_ended(self, request: TrialRequest, error: str | None) -> None:
        """Journal what was measured, then let others have the evaluation."""
        name = self._running.pop(request.name)
        self._end(name, f"{unmarked(error)}; log: {request.log}" if error else None)
        self._shared.release(name)
        self._publish()

    def _end(self, name: str, error: str | None) -> None:
        self._results.ended(self._jobs[name], error)
        if error is None:
            self._grid.finished(name)
        else:
            self._grid.failed(name)
        took = self._clock() - self._since.pop(name, self._clock())
        self._say(
            f"{'done   ' if error is None else 'failed '} {_named(self._jobs[name])}: {took:.0f} s with its "
            f"start ({self._ended}/{len(self._jobs)})"
        )

    @property
    def _ended(self) -> int:
        return len(self._grid.names(Progress.DONE)) + len(self._grid.names(Progress.FAILED))

    def progress_line(self, seconds: float) -> str:
        """How far it is after `seconds` of work: what has ended, what runs and for how long."""
        now = self._clock()
        running = {name: now - since for name, since in [*self._since.items()]}
        named = [f"{_named(self._jobs[name])} {took:.0f} s" for name, took in running.items()]
        more = [f"{len(named) - _MOST_NAMED} more"] if len(named) > _MOST_NAMED else []
        what = f": {', '.join(named[:_MOST_NAMED] + more)}" if named else ""
        waits = "; others measure the rest" if not named and self._elsewhere else ""
        return (
            f"{self._ended} of {len(self._jobs)} measured, {len(named)} running{what}{waits}; "
            f"{seconds:.0f} s since Ray is up"
        )

    def _publish(self) -> None:
        running = [self._jobs[name].resources for name in self._running.values()]
        waiting = (name for name in self._grid.names(Progress.READY) if name not in self._elsewhere)
        ready = {self._jobs[name].resources for name in waiting}
        amount = (float(sum(one.cpus for one in running)), float(sum(one.gpus for one in running)))
        self._shared.publish(amount, sorted((float(one.cpus), float(one.gpus)) for one in ready))

    def interrupted(self) -> None:
        """What still runs was stopped on purpose: it is measured from its start the next time."""
        self._running.clear()
        self._shared.release_all()


def _cost(job: EvaluationJob) -> float:
    """Frames that go through the model: enough to start the longest first."""
    cell, protocol = job.spec.cell, job.spec.cell.evaluation
    return float(max(1, _videos(job) * protocol.clips * protocol.crops * cell.frames))


def _videos(job: EvaluationJob) -> int:
    return len(job.videos.manifest.split(job.spec.split))


def _named(job: EvaluationJob) -> str:
    return f"{job.spec.cell.cell} ({job.spec.which} checkpoint)"


def _words(job: EvaluationJob) -> str:
    """What is measured, and how much that is."""
    protocol = job.spec.cell.evaluation
    views = protocol.clips * protocol.crops
    of_each = f", {views} views of each" if views > 1 else ""
    return f"{_named(job)}: {count_text(_videos(job), 'video')}{of_each}"


def _request(job: EvaluationJob, attempt: int, terms: Terms) -> TrialRequest:
    log = result_path(job.run_dir, job.spec.identity).with_suffix(".log")
    log.unlink(missing_ok=True)
    return TrialRequest(
        name=f"{file_name(job.spec.cell.cell)}-{job.spec.identity[:12]}-a{attempt}",
        cell=job.spec.cell.cell,
        key=job.spec.cell.key,
        attempt=attempt,
        spec=job.spec.model_dump_json(),
        workers=job.resources.workers,
        cpus_per_worker=job.resources.cpus_per_worker,
        gpus_per_worker=job.resources.gpus_per_worker,
        train_storage=str(terms.train_files),
        log=str(log),
        local=terms.local,
        storage=storage_of(job.spec.cell).location,
    )


def _too_large(job: EvaluationJob, total: Free) -> str:
    return (
        f"asks for {job.resources.cpus} CPUs and {job.resources.gpus:g} GPUs, Ray has {total.cpus:g} and "
        f"{total.gpus:g}; resources; use fewer --workers or a larger cluster"
    )
