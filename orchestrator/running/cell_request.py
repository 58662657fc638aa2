"""From a cell to the trial that trains it: all that the worker has to know (reads the parent's result)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from catalog.queries.training import videos_to_recheck
from catalog.storage.layout import RESULT_FILE, attempt_log, file_name
from catalog.storage.storage import Storage
from orchestrator.ray_runtime.trial import TrialRequest
from orchestrator.running.cell_run import CellWork
from trainables.recipe.cell_spec import CellSpec, ParentCheckpoint
from trainables.recipe.local_files import address_of, fetch_records
from trainables.recipe.plug_ins import named_packages
from trainables.training.result import read_result


@dataclass(frozen=True)
class SubmissionSettings:
    """What holds for all cells of a submission. `ray_files`: where Tune and Train write for themselves."""

    writer: str
    retries: int
    parent_check: bool
    weights_dir: str | None
    frames_on_local_disk: str | None
    local: bool
    ray_files: str


def cell_request(
    item: CellWork, attempt: int, storage: Storage, settings: SubmissionSettings
) -> TrialRequest:
    """The trial of one attempt at a cell."""
    name = item.cell.name
    run_dir = storage.layout.run_dir(name, item.key)
    return TrialRequest(
        name=f"{file_name(name)}-{item.key[:8]}-a{attempt}",
        cell=name,
        key=item.key,
        attempt=attempt,
        spec=_spec(item, attempt, run_dir, storage, settings).model_dump_json(),
        workers=item.cell.resources.workers,
        cpus_per_worker=item.cell.resources.cpus_per_worker,
        gpus_per_worker=item.cell.resources.gpus_per_worker,
        train_storage=str(Path(settings.ray_files) / "train" / settings.writer),
        log=str(attempt_log(run_dir, attempt)),
        local=settings.local,
        storage=storage.location,
    )


def _spec(
    item: CellWork, attempt: int, run_dir: Path, storage: Storage, settings: SubmissionSettings
) -> CellSpec:
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
        weights_dir=settings.weights_dir,
        frames_on_local_disk=settings.frames_on_local_disk,
        parent=_parent(item, storage, settings),
        storage=address_of(storage),
        attempt=attempt,
        keep=cell.keep,
        choose_on=cell.choose_on,
        accumulation=item.reduction.accumulation,
        plug_ins=cell.plug_ins,
        imports=named_packages() if cell.plug_ins else (),
    )


def _parent(item: CellWork, storage: Storage, settings: SubmissionSettings) -> ParentCheckpoint | None:
    """The parent's chosen checkpoint. A missing result is the worker's to refuse: it names the file."""
    if item.parent_key is None or item.cell.parent is None:
        return None
    run_dir = storage.layout.run_dir(item.cell.parent, item.parent_key)
    fetch_records(storage, run_dir)
    result = read_result(run_dir, item.parent_key)
    chosen = result.checkpoint(item.cell.recipe.inherit) if result is not None else {}
    parent_frames = int(result.frames) if result is not None else item.cell.frames
    recheck = videos_to_recheck(item.train_videos) if settings.parent_check else 0
    return ParentCheckpoint(
        key=item.parent_key,
        cell=item.cell.parent,
        path=str(run_dir / chosen.get("path", RESULT_FILE)),
        sha256=chosen.get("sha256", ""),
        frames=parent_frames,
        epoch=int(chosen.get("epoch", 1)),
        evaluation=result.protocol if result is not None else item.cell.evaluation,
        predictions_path=str(run_dir / chosen.get("predictions", "")),
        recheck_videos=recheck,
        manifest=item.parent_manifest,
        num_classes=item.parent_classes,
    )
