"""The driver of one submission: which cell next, what is journalled, what is retried. Knows no Ray.

Tune's adapter (`orchestrator.tuner`) asks and tells; every fact is in the journal before anything is done
about it. What a trial did is read from its cell's run directory.
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from catalog.events import AttemptEnded, AttemptStarted, CellFailed, Event
from orchestrator.cell_trial import TrialRequest
from orchestrator.layout import Layout, file_name
from orchestrator.records import epoch_event, finished_event
from orchestrator.retry import Attempts, classify, decide
from orchestrator.schedule import Free, GridState, Progress, Task
from orchestrator.work import CellFailure, CellWork, RunningCell, Terms
from trainables.recipe import CellSpec, ParentCheckpoint
from trainables.result import read_history, read_result

BACK_OFF_SECONDS = 2.0
POLL_SECONDS = 1.0


class Driver:
    """State of one submission. Tune's thread changes it, the terminal's reads it; both hold the lock."""

    def __init__(
        self,
        work: Sequence[CellWork],
        layout: Layout,
        append: Callable[[Event], Event],
        attempts_made: Mapping[str, int],
        terms: Terms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._work = {item.cell.name: item for item in work}
        self._layout = layout
        self._append = append
        self._terms = terms
        self._attempts_made = dict(attempts_made)
        self._counts: dict[str, Attempts] = {}
        self._not_before: dict[str, float] = {}
        self._running: dict[str, RunningCell] = {}
        self._requests: dict[str, TrialRequest] = {}
        self._next_poll = 0.0
        self._failures: list[CellFailure] = []
        self._journalled_epochs: dict[str, int] = {}
        self._seconds: dict[str, float] = {}
        self._top1: dict[str, float] = {}
        self._lock = threading.RLock()
        self._grid = GridState(
            [Task(item.cell.name, item.waits_for, max(item.flops, 1.0), item.cell.resources) for item in work]
        )

    @property
    def is_finished(self) -> bool:
        """Nothing runs and nothing can start any more."""
        with self._lock:
            return self._grid.is_finished

    @property
    def progress(self) -> Mapping[str, Progress]:
        """How far every cell of this submission is, by name."""
        with self._lock:
            return self._grid.progress

    @property
    def running(self) -> tuple[RunningCell, ...]:
        """The cells in training."""
        with self._lock:
            return tuple(self._running.values())

    @property
    def failures(self) -> tuple[CellFailure, ...]:
        """The cells that were given up, with what they block."""
        with self._lock:
            return tuple(self._failures)

    @property
    def finished_seconds(self) -> Mapping[str, float]:
        """Wall seconds from start to end of the cells that this submission finished, by name."""
        with self._lock:
            return dict(self._seconds)

    @property
    def top1(self) -> Mapping[str, float]:
        """Top-1 in percent of the cells that this submission finished, by name."""
        with self._lock:
            return dict(self._top1)

    @property
    def work(self) -> Mapping[str, CellWork]:
        """The cells of this submission, by name."""
        return self._work

    def next_trial(self, total: Free) -> TrialRequest | None:
        """Start the ready cell with the longest remaining chain that fits; journal it, return its trial."""
        with self._lock:
            self._give_up_what_never_fits(total)
            name = self._grid.next(total, skip=self._backing_off())
            if name is None:
                return None
            request = self._start(self._work[name])
            self._grid.started(name)
            return request

    def _backing_off(self) -> frozenset[str]:
        now = self._clock()
        return frozenset(name for name, moment in self._not_before.items() if moment > now)

    def _give_up_what_never_fits(self, total: Free) -> None:
        for name in self._grid.never_fits(total):
            if self._grid.progress[name] is Progress.READY:
                demand = self._work[name].cell.resources
                self._give_up(
                    self._work[name],
                    self._attempts_made.get(self._work[name].key, 0),
                    f"asks for {demand.cpus} CPUs and {demand.gpus:g} GPUs, the cluster has {total.cpus:g} "
                    f"and {total.gpus:g}; resources; lower the study's resources or use a larger cluster",
                    "",
                )

    def _start(self, item: CellWork) -> TrialRequest:
        attempt = self._attempts_made.get(item.key, 0) + 1
        self._attempts_made[item.key] = attempt
        run_dir = self._layout.run_dir(item.cell.name, item.key)
        log = run_dir / f"attempt-{attempt}.log"
        name = item.cell.name
        request = TrialRequest(
            name=f"{file_name(name)}-{item.key[:8]}-a{attempt}",
            cell=name,
            key=item.key,
            attempt=attempt,
            spec=self._spec(item, run_dir).model_dump_json(),
            workers=item.cell.resources.workers,
            cpus_per_worker=item.cell.resources.cpus_per_worker,
            gpus_per_worker=item.cell.resources.gpus_per_worker,
            train_storage=str(self._layout.ray_dir / "train" / self._terms.writer),
            log=str(log),
            local=self._terms.local,
        )
        self._append(AttemptStarted(item.key, attempt, self._terms.writer, platform.node(), str(run_dir)))
        self._requests[name] = request
        self._running[name] = RunningCell(name, attempt, time.time(), item.cell.recipe.epochs, {})
        return request

    def _spec(self, item: CellWork, run_dir: Path) -> CellSpec:
        cell = item.cell
        return CellSpec(
            cell=cell.name,
            key=item.key,
            module=cell.module,
            backbone=cell.backbone,
            temporal_pooling=cell.temporal_pooling,
            frames=cell.frames,
            dataset=cell.dataset,
            seed=cell.seed,
            num_classes=item.num_classes,
            recipe=cell.recipe,
            evaluation=cell.evaluation,
            manifest=item.manifest,
            run_dir=str(run_dir),
            workers=cell.resources.workers,
            threads=cell.resources.cpus_per_worker,
            weights_dir=self._terms.weights_dir,
            frames_on_local_disk=self._terms.frames_on_local_disk,
            parent=self._parent(item),
        )

    def _parent(self, item: CellWork) -> ParentCheckpoint | None:
        """The parent's chosen checkpoint. A missing result is the worker's to refuse: it names the file."""
        if item.parent_key is None or item.cell.parent is None:
            return None
        run_dir = self._layout.run_dir(item.cell.parent, item.parent_key)
        result = read_result(run_dir, item.parent_key)
        chosen = result.checkpoint(item.cell.recipe.inherit) if result is not None else {}
        parent_frames = int(result.frames) if result is not None else item.cell.frames
        # A tenth of an epoch at most: the parent's clips are shorter and need no backward pass.
        recheck = max(1, item.train_videos // 10) if self._terms.parent_check else 0
        return ParentCheckpoint(
            key=item.parent_key,
            cell=item.cell.parent,
            path=str(run_dir / chosen.get("path", "result.json")),
            sha256=chosen.get("sha256", ""),
            frames=parent_frames,
            epoch=int(chosen.get("epoch", 1)),
            evaluation=result.protocol if result is not None else item.cell.evaluation,
            predictions_path=str(run_dir / chosen.get("predictions", "")),
            recheck_videos=recheck,
        )

    def poll(self) -> None:
        """Journal the epochs that stand on disk by now; looks at most once a second.

        The run directory is the truth: a checkpoint's record is written before its epoch is reported. Reports
        that travel through Ray are neither exactly- nor at-least-once, so nothing else is asked.
        """
        with self._lock:
            if self._clock() < self._next_poll:
                return
            self._next_poll = self._clock() + POLL_SECONDS
            for request in tuple(self._requests.values()):
                self._journal_epochs(request)

    def _journal_epochs(self, request: TrialRequest) -> None:
        known = self._journalled_epochs.get(request.key, 0)
        for row in read_history(self._layout.run_dir(request.cell, request.key))[known:]:
            self._append(epoch_event(request.key, request.attempt, row))
            self._journalled_epochs[request.key] = int(row["epoch"])
            if request.cell in self._running:
                self._running[request.cell] = replace(self._running[request.cell], metrics=dict(row))

    def trial_ended(self, request: TrialRequest, error: str | None) -> None:
        """Journal the end of an attempt: done if a result stands, else retried or given up."""
        with self._lock:
            self._journal_epochs(request)
            running = self._running.pop(request.cell)
            del self._requests[request.cell]
            item = self._work[request.cell]
            result = read_result(self._layout.run_dir(request.cell, request.key), request.key)
            if result is not None:
                self._append(AttemptEnded(request.key, request.attempt, "done"))
                self._append(finished_event(item, request.attempt, result, self._layout))
                self._seconds[request.cell] = time.time() - running.started
                self._top1[request.cell] = result.history[-1]["top1"]
                self._grid.finished(request.cell)
                return
            self._failed(item, request, error or "the trial ended without a result; report this as a bug")

    def _failed(self, item: CellWork, request: TrialRequest, error: str) -> None:
        self._append(AttemptEnded(request.key, request.attempt, "failed", error, request.log))
        kind = classify(error)
        counts = self._counts.get(request.cell, Attempts()).after(kind)
        self._counts[request.cell] = counts
        decision = decide(kind, counts, retries=self._terms.retries)
        if decision.retry:
            self._grid.requeued(request.cell)
            ended = counts.failures + counts.preemptions
            self._not_before[request.cell] = self._clock() + BACK_OFF_SECONDS * 2 ** (ended - 1)
            return
        self._give_up(item, request.attempt, f"{error} ({decision.reason})", request.log)

    def _give_up(self, item: CellWork, attempt: int, error: str, log: str) -> None:
        self._append(CellFailed(item.key, attempt, error, log))
        blocked = self._grid.failed(item.cell.name)
        self._failures.append(CellFailure(item.cell.name, error, log, blocked))

    def interrupted(self) -> None:
        """Journal that what still runs was stopped on purpose; it goes on from its last epoch next time."""
        with self._lock:
            for cell in self._running.values():
                item = self._work[cell.name]
                self._append(AttemptEnded(item.key, cell.attempt, "interrupted"))
            self._running.clear()
            self._requests.clear()
