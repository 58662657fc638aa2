"""What happened, as the journal's events: planned cells, epochs, and how an attempt ended (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from catalog.events import AttemptEnded, CellFailed, CellFinished, CellPlanned, EpochFinished, Event
from catalog.queries.drivers import MeasuredTop1
from catalog.storage.errors import FailureKind
from catalog.storage.storage import Storage
from orchestrator.planning.plan_model import PlannedCell
from orchestrator.running.cell_run import CellRun, CellState, CellWork
from orchestrator.scheduling.retry import back_off_seconds, classify, decide, next_reduction, unmarked
from orchestrator.study.cells import Cell
from orchestrator.study.keys import evaluation_key
from orchestrator.study.other_axes import axes_texts
from trainables.recipe.cell_spec import Which
from trainables.recipe.plug_ins import named_packages
from trainables.training.result import CellResult

if TYPE_CHECKING:
    from orchestrator.coordination.shared_cells import DeadAttempt
    from trainables.training.checkpoint import Metrics


def planned_event(planned: PlannedCell, study: str, submission: str) -> CellPlanned:
    """The journal's form of a planned cell."""
    cell = planned.cell
    return CellPlanned(
        key=planned.key,
        cell=cell.name,
        parent_key=planned.parent_key,
        study=study,
        module=cell.module,
        backbone=cell.backbone,
        temporal_pooling=cell.temporal_pooling,
        frames=cell.frames,
        dataset=cell.dataset,
        seed=cell.seed,
        params=planned.params,
        macs=planned.macs,
        key_parts=dict(planned.key_parts),
        config={
            "recipe": cell.recipe.model_dump(mode="json"),
            "evaluation": cell.evaluation.model_dump(mode="json"),
            "resources": cell.resources.model_dump(mode="json"),
            **({"memory": asdict(planned.share)} if planned.share else {}),
            **({"choose_on": cell.choose_on} if cell.choose_on is not None else {}),
            **({"axes": axes_texts(dict(cell.other))} if cell.other else {}),
            **_plug_in_fields(cell),
        },
        submission=submission,
        num_classes=planned.num_classes,
    )


def _plug_in_fields(cell: Cell) -> dict[str, Any]:
    """The plug-ins that a cell uses, and the packages to import for them; nothing for a cell without."""
    used = cell.plug_ins
    return {"plug_ins": used, "imports": list(named_packages())} if used else {}


_USAGE = ("wait_seconds", "cpu_seconds", "resident_bytes", "gpu_percent", "grad_norm")


def epoch_event(key: str, attempt: int, row: Mapping[str, float]) -> EpochFinished:
    """The journal's form of one metrics row."""
    return EpochFinished(
        key=key,
        epoch=int(row["epoch"]),
        attempt=attempt,
        train_loss=row["train_loss"],
        train_top1=row["train_top1"],
        lr=row["lr"],
        val_loss=row["val_loss"],
        top1=row["top1"],
        top5=row["top5"],
        clips_per_second=row["clips_per_second"],
        seconds=row["train_seconds"],
        choose_top1=row.get("choose_top1"),
        choose_loss=row.get("choose_loss"),
        peak_memory_bytes=row.get("peak_memory_bytes"),
        **{name: row.get(name) for name in _USAGE},
    )


def is_journalled(row: Mapping[str, float], known: Mapping[int, tuple[float | None, ...]]) -> bool:
    """Whether the journals have an epoch with these losses and this top-1."""
    return known.get(int(row["epoch"])) == (row["train_loss"], row["val_loss"], row["top1"])


def last_events(dead: DeadAttempt, history: Sequence[Metrics], now: float) -> list[Event]:
    """What an attempt whose driver is gone had still to say: epochs of it that stand, and its end.

    They are dated after the last that is known of it, each epoch by the seconds that it took. When somebody
    notices, weeks later, is no time of the attempt's; and clocks of two machines are never compared.

    Args:
        dead: the attempt.
        history: rows of the cell's epochs that stand, the first one first.
        now: seconds since 1970.
    """
    events: list[Event] = []
    time = dead.last_time
    for row in history[dead.epoch :]:
        time = min(time + row["train_seconds"] + row.get("eval_seconds", 0.0), max(now, time))
        events.append(replace(epoch_event(dead.key, dead.attempt, row), time=time))
    error = f"its driver {dead.driver} ended without a word"
    return [*events, AttemptEnded(dead.key, dead.attempt, "interrupted", error, time=time)]


def finished_event(item: CellWork, attempt: int, result: CellResult, storage: Storage) -> CellFinished:
    """The journal's form of a cell's result; `checkpoint` is the one that this cell's own `inherit` names."""
    last = result.history[result.last_epoch - 1]
    best = result.history[result.best_epoch - 1]
    inherit = item.cell.recipe.inherit
    chosen = result.checkpoint(inherit)
    run_dir = storage.layout.run_dir(item.cell.name, item.key)
    return CellFinished(
        key=item.key,
        attempt=attempt,
        epochs=result.last_epoch,
        best_epoch=result.best_epoch,
        top1=last["top1"],
        top5=last["top5"],
        loss=last["val_loss"],
        best_top1=best["top1"],
        best_top5=best["top5"],
        best_loss=best["val_loss"],
        eval_videos=result.eval_videos,
        train_videos=result.train_videos,
        train_seconds=result.train_seconds,
        eval_seconds=result.eval_seconds,
        train_clips_per_second=result.train_clips_per_second,
        eval_clips_per_second=result.eval_clips_per_second,
        peak_memory_bytes=result.peak_memory_bytes,
        params=result.params,
        macs=result.macs,
        inherit=inherit,
        parent_key=item.parent_key,
        parent_top1_rechecked=result.parent_top1,
        checkpoint=storage.named(run_dir / chosen["path"]),
        checkpoint_sha256=chosen["sha256"],
        predictions=storage.named(run_dir / chosen["predictions"]),
        versions=result.versions,
        hardware=result.hardware,
        evaluation=_measured_as(item, result),
        accumulation=result.accumulation,
        choose_on=result.choose_on,
        choose_videos=result.choose_videos,
        checkpoints=_checkpoints(result, run_dir, storage),
        protocol=result.protocol.model_dump(mode="json"),
        videos_hash=item.videos_hash,
        fresh=None if result.fresh is None else list(result.fresh),
    )


def _measured_as(item: CellWork, result: CellResult) -> str | None:
    """The evaluation's identity: of what was measured, though the study may say something else by now."""
    if result.protocol == item.cell.evaluation:
        return item.evaluation_key
    return item.videos_hash and evaluation_key(item.key, result.protocol, item.videos_hash)


def _checkpoints(result: CellResult, run_dir: Path, storage: Storage) -> dict[str, Any]:
    """`epoch`, `path`, `sha256` and `predictions` of the last and the best checkpoint."""
    found = {}
    for which in get_args(Which):
        one = result.checkpoint(which)
        paths = {name: storage.named(run_dir / one[name]) for name in ("path", "predictions")}
        found[which] = {"epoch": int(one["epoch"]), "sha256": one["sha256"], **paths}
    return found


@dataclass(frozen=True)
class TrialEnd:
    """What is found when a trial is over: whose the cell is, its result, and the error for want of one.

    `holder`: who has it in place of this driver, in words.
    """

    is_owned: bool
    holder: str
    result: CellResult | None
    error: str


@dataclass(frozen=True)
class AttemptOutcome:
    """What follows: events to journal, in this order; then the cell is done, failed, or waits (again).

    `changes`: what is different in the cell's record. `keeps_lease`: the same driver tries again.
    """

    state: CellState
    events: tuple[Event, ...]
    changes: Mapping[str, Any] = field(default_factory=dict)
    keeps_lease: bool = False
    failure: FailureKind | None = None


def attempt_outcome(
    run: CellRun, end: TrialEnd, storage: Storage, retries: int, now: float, wall: float
) -> AttemptOutcome:
    """Done if a result stands; else stopped, tried again or given up.

    Args:
        run: a cell in training.
        end: what was found.
        storage: for the names of files in it.
        retries: how many failures may be followed by another attempt.
        now: the driver's clock, in seconds.
        wall: seconds since 1970.
    """
    assert run.trial is not None
    if not end.is_owned:
        return _left(run, "another driver took the cell over", holder=end.holder or "another driver")
    if end.result is not None:
        events = (
            AttemptEnded(run.key, run.trial.attempt, "done"),
            finished_event(run.work, run.trial.attempt, end.result, storage),
        )
        result = end.result
        last, best = (result.history[epoch - 1]["top1"] for epoch in (result.last_epoch, result.best_epoch))
        changes = {"measured": MeasuredTop1(last, result.eval_videos, best), "ended": wall}
        return AttemptOutcome(CellState.DONE, events, changes)
    if run.state is CellState.STOPPING:
        return _left(run, "stopped by command")
    return _failed(run, end.error, storage.named(run.trial.log), retries, now, wall)


def _left(run: CellRun, why: str, holder: str = "") -> AttemptOutcome:
    assert run.trial is not None
    events = (AttemptEnded(run.key, run.trial.attempt, "interrupted", why),)
    return AttemptOutcome(CellState.WAITING, events, {"holder": holder, "stop_point": None})


def _failed(run: CellRun, error: str, log: str, retries: int, now: float, wall: float) -> AttemptOutcome:
    assert run.trial is not None
    attempt = run.trial.attempt
    kind, error = classify(error), unmarked(error)
    ended = AttemptEnded(run.key, attempt, "failed", error, log)
    ends = run.ends.after(kind)
    memory = kind is FailureKind.MEMORY
    reduction = next_reduction(run.work.cell, run.work.reduction) if memory else None
    decision = decide(kind, ends, retries=retries, way_out=str(reduction or ""))
    if not decision.retry:
        why = f"{error} ({decision.reason})"
        changes = {"error": why, "log": log, "ended": wall, "ends": ends}
        return AttemptOutcome(
            CellState.FAILED, (ended, CellFailed(run.key, attempt, why, log)), changes, failure=kind
        )
    work = run.work if reduction is None else run.work.reduced(reduction)
    changes = {"work": work, "ends": ends, "not_before": now + back_off_seconds(ends.ends), "trial": None}
    return AttemptOutcome(CellState.WAITING, (ended,), changes, keeps_lease=True, failure=kind)
