"""One cell in one submission: what is known of it, the state it is in, and the states that may follow.

All decisions here are functions of the record alone; `orchestrator.running.grid` keeps the records.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from catalog.queries.drivers import MeasuredTop1
from orchestrator.coordination.requests import StopRequest
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.scheduling.retry import Attempts, MemoryReduction, reduced_resources
from orchestrator.scheduling.schedule import Task
from orchestrator.study.cells import Cell

# Longer than writing a large checkpoint takes, shorter than the grace that clusters give after SIGTERM.
CHECKPOINT_WAIT_SECONDS = 10.0


class CellState(StrEnum):
    """Where a cell is in this submission.

    WAITING for its parent, for resources or for its next attempt; HELD_ELSEWHERE by another driver; STARTING
    while its lease is claimed and its attempt journalled; STOPPING: it runs, and is to be ended where no
    epoch is lost by it. CANCELLED by itself, or because a cell that it waits for is.
    """

    WAITING = "waiting"
    HELD_ELSEWHERE = "held elsewhere"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    PAUSED = "paused"
    CANCELLED = "cancelled"


RESTING = frozenset({CellState.WAITING, CellState.HELD_ELSEWHERE, CellState.PAUSED, CellState.CANCELLED})
"""Neither started nor over."""
TRAINING = frozenset({CellState.RUNNING, CellState.STOPPING})
OCCUPYING = TRAINING | {CellState.STARTING}
ENDED = frozenset({CellState.DONE, CellState.FAILED, CellState.BLOCKED})

TRANSITIONS: Mapping[CellState, frozenset[CellState]] = {
    # Done, failed: by another driver, or because it is larger than the cluster.
    CellState.WAITING: (RESTING | ENDED | {CellState.STARTING}) - {CellState.WAITING},
    # Its parent is done, so nothing blocks it any more.
    CellState.HELD_ELSEWHERE: frozenset(
        {CellState.WAITING, CellState.PAUSED, CellState.CANCELLED, CellState.DONE, CellState.FAILED}
    ),
    CellState.STARTING: RESTING | {CellState.RUNNING},
    CellState.RUNNING: frozenset(
        {
            CellState.STOPPING,
            CellState.WAITING,
            CellState.HELD_ELSEWHERE,
            CellState.DONE,
            CellState.FAILED,
        }
    ),
    # Back to running: people said "resume" in time. The error of a cell that was stopped is no failure.
    CellState.STOPPING: frozenset({CellState.RUNNING, CellState.PAUSED, CellState.CANCELLED, CellState.DONE}),
    CellState.PAUSED: (RESTING | ENDED) - {CellState.PAUSED},
    # Out again: the cancelled cell that it waited for was finished by another driver.
    CellState.CANCELLED: frozenset({CellState.WAITING, CellState.PAUSED}) | ENDED,
    CellState.DONE: frozenset(),
    # People asked to try a failed cell again; what it blocks waits for it then.
    CellState.FAILED: RESTING,
    CellState.BLOCKED: RESTING,
}


@dataclass(frozen=True)
class CellWork:
    """One cell that has to run. `waits_for` is its parent's name if that has to run too; `flops` its cost.

    `cell` is as its study has it; `begun` is the epoch up to which it was trained before; `reduction` how it
    is trained where memory was short. Of a parent on another dataset there are `parent_manifest` and
    `parent_classes`.
    """

    cell: Cell
    key: str
    parent_key: str | None
    waits_for: str | None
    flops: float
    params: int
    macs: int
    manifest: str
    num_classes: int
    train_videos: int
    evaluation_key: str
    videos_hash: str | None = None
    parent_manifest: str | None = None
    parent_classes: int | None = None
    begun: int = 0
    reduction: MemoryReduction = field(default_factory=MemoryReduction)

    def reduced(self, reduction: MemoryReduction) -> CellWork:
        """The same cell under this reduction."""
        resources = reduced_resources(self.cell.resources, reduction)
        return replace(self, cell=replace(self.cell, resources=resources), reduction=reduction)

    @property
    def task(self) -> Task:
        """The cell as the schedule sees it."""
        demand, alone = self.cell.resources, self.reduction.alone
        return Task(self.cell.name, self.waits_for, max(self.flops, 1.0), demand, alone)


@dataclass(frozen=True)
class RunningCell:
    """A cell in training, as the terminal shows it. Times are seconds since 1970.

    `begun`: the epoch from which it went on, as long as there are no `metrics` of its own.
    """

    name: str
    attempt: int
    started: float
    epochs: int
    metrics: Mapping[str, float]
    begun: int = 0


@dataclass(frozen=True)
class CellFailure:
    """Why a cell was given up."""

    name: str
    error: str
    log: str
    blocked: tuple[str, ...]


@dataclass(frozen=True)
class StopPoint:
    """When a stopping cell may be ended: past this epoch, or (None) as soon as it writes no checkpoint.

    In the second case `by` at the latest, in seconds on the driver's clock.
    """

    after_epoch: int | None
    by: float = 0.0


@dataclass(frozen=True)
class CellRun:
    """All that a driver knows of one cell.

    `started` and `ended` are seconds since 1970, `not_before` is on the driver's clock. `holder`: who else
    holds it, in words, "" for nobody. `ends`: its attempts without a result. `trial`: the attempt in
    training, or the one that was stopped last, whose worker may finish an epoch before it dies. `epoch`: the
    last one in this driver's journal, from 1. `measured`: its top-1, whoever finished it. `retried_after`:
    people asked to try it again after this attempt, so that no failure up to it counts.
    """

    work: CellWork
    state: CellState = CellState.WAITING
    stop_request: StopRequest | None = None
    holder: str = ""
    ends: Attempts = field(default_factory=Attempts)
    not_before: float = 0.0
    trial: TrialRequest | None = None
    started: float = 0.0
    epoch: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    stop_point: StopPoint | None = None
    ended: float = 0.0
    measured: MeasuredTop1 | None = None
    failure: CellFailure | None = None
    retried_after: int = 0

    @property
    def name(self) -> str:
        """The cell's name."""
        return self.work.cell.name

    @property
    def key(self) -> str:
        """The cell's key."""
        return self.work.key

    @property
    def is_training(self) -> bool:
        """Whether a trial of it runs."""
        return self.state in TRAINING

    @property
    def seconds(self) -> float | None:
        """Wall seconds from start to end of the attempt with which this driver finished it, else None."""
        return self.ended - self.started if self.state is CellState.DONE and self.ended else None

    @property
    def as_running(self) -> RunningCell:
        """What the terminal shows of it in training."""
        attempt = self.trial.attempt if self.trial is not None else 0
        epochs = self.work.cell.recipe.epochs
        return RunningCell(self.name, attempt, self.started, epochs, self.metrics, self.begun)

    @property
    def begun(self) -> int:
        """The last epoch that is trained, by whichever attempt; 0 before the first."""
        return max(self.work.begun, self.epoch)


def check_transition(run: CellRun, after: CellState) -> None:
    """See that a cell may come into a state.

    Raises:
        ValueError: It may not.
    """
    if after not in TRANSITIONS[run.state]:
        allowed = ", ".join(sorted(TRANSITIONS[run.state])) or "nothing"
        raise ValueError(f"cannot become {after}; {run.name} is {run.state}; it may become {allowed}")


def resting_state(run: CellRun, *, parent_cancelled: bool) -> CellState:
    """The state of a cell that neither runs nor is over: what people asked goes before what others do."""
    if parent_cancelled or run.stop_request is StopRequest.CANCELLED:
        return CellState.CANCELLED
    if run.stop_request is StopRequest.PAUSED:
        return CellState.PAUSED
    return CellState.HELD_ELSEWHERE if run.holder else CellState.WAITING


def next_stop_point(run: CellRun, now: float) -> StopPoint | None:
    """Where a cell in training is to end by what people ask now; a pause counts from when it was given."""
    before = run.stop_point
    if run.stop_request is None:
        return None
    if run.stop_request is StopRequest.PAUSED:
        return before or StopPoint(run.epoch)
    cancelled = before is not None and before.after_epoch is None
    return before if cancelled else StopPoint(None, now + CHECKPOINT_WAIT_SECONDS)


def may_be_ended(run: CellRun, now: float, is_writing: Callable[[CellRun], bool]) -> bool:
    """Whether a cell has come to its stop point; `is_writing`: whether it writes a checkpoint."""
    point = run.stop_point
    if point is None:
        return False
    if point.after_epoch is None:
        return now >= point.by or not is_writing(run)
    # After its last epoch a cell has only its result to write.
    return point.after_epoch < run.epoch < run.work.cell.recipe.epochs


def finished_seconds(cells: Mapping[str, CellRun]) -> dict[str, float]:
    """Wall seconds of the attempts with which a driver finished cells, by name."""
    return {name: run.seconds for name, run in cells.items() if run.seconds is not None}
