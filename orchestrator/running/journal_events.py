"""What happened, in the journal's words: metrics rows, results and planned cells as events (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from catalog.events import CellFinished, CellPlanned, EpochFinished
from catalog.storage.layout import Layout
from orchestrator.planning.plan_model import PlannedCell
from orchestrator.running.work import CellWork
from trainables.training.result import CellResult


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
        },
        submission=submission,
        num_classes=planned.num_classes,
    )


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
    )


def finished_event(item: CellWork, attempt: int, result: CellResult, layout: Layout) -> CellFinished:
    """The journal's form of a cell's result; `checkpoint` is the one that this cell's own `inherit` names."""
    last = result.history[result.last_epoch - 1]
    best = result.history[result.best_epoch - 1]
    inherit = item.cell.recipe.inherit
    chosen = result.checkpoint(inherit)
    run_dir = layout.run_dir(item.cell.name, item.key)
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
        checkpoint=layout.named(run_dir / chosen["path"]),
        checkpoint_sha256=chosen["sha256"],
        predictions=layout.named(run_dir / chosen["predictions"]),
        versions=result.versions,
        hardware=result.hardware,
        evaluation=item.evaluation_key,
        accumulation=result.accumulation,
    )
