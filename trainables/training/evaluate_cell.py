"""Evaluate one finished cell with another protocol as Ray Train workers; what was measured goes to disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.storage.checksums import load_checked, with_checksum
from catalog.storage.layout import EVALUATIONS
from catalog.storage.outage import is_outage
from trainables.recipe.cell_spec import EvaluationSpec, require_plug_ins

if TYPE_CHECKING:
    from trainables.data.frames.manifest import Manifest
    from trainables.models.video_model import VideoModel
    from trainables.training.execution.device import Compute
    from trainables.training.predictions import Predictions
    from trainables.training.result import Provenance


@dataclass(frozen=True)
class EvaluationResult:
    """One evaluation: accuracies in percent over `videos`, each counted once; `seconds` without start-up.

    `spec` is the EvaluationSpec as JSON fields, `predictions` the name of the Parquet file beside this one.
    """

    identity: str
    key: str
    cell: str
    spec: dict[str, Any]
    top1: float
    top5: float
    loss: float
    videos: int
    views: int
    seconds: float
    predictions: str
    peak_memory_bytes: int
    versions: dict[str, str]
    hardware: dict[str, Any]

    @property
    def asked(self) -> EvaluationSpec:
        """What was measured, and with what."""
        return EvaluationSpec.model_validate(self.spec)


def result_path(run_dir: Path, identity: str) -> Path:
    """Where the result of an evaluation stands; its predictions stand beside it as `.parquet`."""
    return run_dir / EVALUATIONS / f"{identity[:12]}.json"


def read_evaluation(run_dir: Path, identity: str) -> EvaluationResult | None:
    """The finished evaluation with its predictions, or None: not there, another one, unreadable.

    Raises:
        OSError: the storage is at fault; the evaluation may well stand.
    """
    path = result_path(run_dir, identity)
    names = {field.name for field in fields(EvaluationResult)}
    try:
        values = load_checked(path.read_bytes(), names, with_nan=True)
        result = EvaluationResult(**{name: values[name] for name in names})
    except (OSError, ValueError, TypeError, KeyError) as error:
        if is_outage(error):
            raise
        return None
    whole = result.identity == identity and (path.parent / result.predictions).is_file()
    return result if whole else None


def evaluate_cell(config: dict[str, Any]) -> None:
    """Ray Train's `train_loop_per_worker`: `config["spec"]` is an EvaluationSpec as JSON."""
    import torch
    import torch.distributed as dist

    from trainables.data.frames.store_reader import prepare_frames
    from trainables.data.frames.transfer import fetch_dataset
    from trainables.recipe.local_files import fetch_run, localise_path, localise_paths, storage_of
    from trainables.training.workers import join_workers

    spec = EvaluationSpec.model_validate_json(config["spec"])
    spec = spec.model_copy(
        update={"cell": localise_paths(spec.cell), "checkpoint": localise_path(spec.cell, spec.checkpoint)}
    )
    storage = storage_of(spec.cell)
    fetch_dataset(storage, Path(spec.cell.manifest))
    fetch_run(storage, Path(spec.cell.run_dir))
    prepare_frames(Path(spec.cell.manifest), spec.cell.frames_on_local_disk)
    place = join_workers()
    torch.set_num_threads(spec.cell.threads)
    measure(spec, place.rank, place.world, place.local_rank)
    if place.world > 1:
        dist.barrier()
        dist.destroy_process_group()


def measure(spec: EvaluationSpec, rank: int, world: int, local_rank: int) -> EvaluationResult | None:
    """This worker's part; rank 0 writes predictions, then the result, and returns it; the others None.

    Raises:
        CheckpointError: The checkpoint is missing or damaged.
        ParentMismatchError: The checkpoint is of another architecture.
        ReadError: A video cannot be read, by name.
        PlugInError: A plug-in is not here, or another version of it.
    """
    from trainables.data.frames.manifest import read_manifest
    from trainables.training.evaluate import Stopwatch, gather_predictions
    from trainables.training.execution.device import Compute
    from trainables.training.result import Provenance

    require_plug_ins(spec.cell)
    compute = Compute.choose(spec.cell.recipe, local_rank)
    provenance = Provenance.of(spec.cell, compute)
    manifest = read_manifest(Path(spec.cell.manifest))
    model = _model(spec, compute, rank)
    compute.reset_peak()
    watch = Stopwatch()
    with compute.backends():
        own = _predicted(spec, model, manifest, compute, rank, world)
    predictions = gather_predictions(own, world)
    return _write(spec, predictions, manifest, compute, provenance, watch.seconds()) if rank == 0 else None


def _model(spec: EvaluationSpec, compute: Compute, rank: int) -> VideoModel:
    from trainables.training.checkpoint import load_state
    from trainables.training.initialise import initial_model, load_strictly

    model = initial_model(spec.cell, None, compute, rank).model
    load_strictly(model, load_state(Path(spec.checkpoint), spec.sha256)["model"], spec.cell.cell)
    return compute.place(model)


def _predicted(
    spec: EvaluationSpec, model: VideoModel, manifest: Manifest, compute: Compute, rank: int, world: int
) -> Predictions:
    from trainables.data.clips.loader import eval_batches, eval_ring
    from trainables.data.frames.store_reader import open_reader
    from trainables.training.evaluate import Views, predict
    from trainables.training.execution.compiled import build_evaluation_forward
    from trainables.training.execution.device import Normalisation

    cell = spec.cell
    videos = manifest.split(spec.split)
    batches = eval_batches(
        videos,
        cell.evaluation,
        cell.frames,
        # Each video is read once: nothing to keep.
        open_reader(manifest, Path(cell.manifest), cell.frames_on_local_disk, memory_bytes=0),
        rank=rank,
        world=world,
        threads=cell.threads,
        ring=eval_ring(videos, cell.evaluation, cell.frames, pin=compute.device.type == "cuda"),
    )
    views = Views(spec.average, keep=True, at_once=cell.evaluation.batch_size)
    forward = build_evaluation_forward(model, compute.switches)
    return predict(model, batches, compute, Normalisation.of(cell.module, cell.backbone), views, forward)


def _write(
    spec: EvaluationSpec,
    predictions: Predictions,
    manifest: Manifest,
    compute: Compute,
    provenance: Provenance,
    seconds: float,
) -> EvaluationResult:
    """Predictions first: a result that can be read names predictions that are whole."""
    from trainables.recipe.local_files import storage_of
    from trainables.training.predictions import write_predictions

    path = result_path(Path(spec.cell.run_dir), spec.identity)
    table = path.with_suffix(".parquet")
    storage = storage_of(spec.cell)
    videos = [video.path for video in manifest.split(spec.split)]
    write_predictions(predictions, table, videos, spec.cell.key)
    storage.publish(table)
    protocol = spec.cell.evaluation
    result = EvaluationResult(
        identity=spec.identity,
        key=spec.cell.key,
        cell=spec.cell.cell,
        spec=spec.model_dump(mode="json"),
        top1=predictions.accuracy(1),
        top5=predictions.accuracy(5),
        loss=predictions.mean_loss,
        videos=len(predictions.index),
        views=protocol.clips * protocol.crops,
        seconds=seconds,
        predictions=table.name,
        peak_memory_bytes=compute.peak_memory_bytes(),
        versions=provenance.versions,
        hardware=provenance.hardware,
    )
    storage.write(path, with_checksum(json.dumps(asdict(result)).encode()))
    return result
