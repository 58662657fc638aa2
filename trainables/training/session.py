"""One worker's part of one cell, epoch by epoch; independent of Ray, so that tests can run it directly."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import torch.distributed as dist

from catalog.storage.atomic import writing
from catalog.storage.errors import ActionGridError, FailureKind
from catalog.storage.layout import EPOCHS, epoch_file
from trainables.data.clips.loader import eval_batches, eval_ring, train_ring
from trainables.data.frames.manifest import hold_out, read_manifest
from trainables.data.frames.store_reader import open_reader
from trainables.recipe.local_files import storage_of
from trainables.training.checkpoint import (
    CheckpointRecord,
    Metrics,
    best_epoch,
    latest_intact,
    load_state,
    prune,
    records,
    save_checkpoint,
)
from trainables.training.evaluate import Stopwatch, Views, gather_predictions, predict
from trainables.training.execution.compiled import build_evaluation_forward
from trainables.training.execution.device import (
    Compute,
    Normalisation,
    clips_at_a_time,
    memory_figures_in_errors,
)
from trainables.training.initialise import initial_model
from trainables.training.optimiser import build_optimiser, learning_rate
from trainables.training.predictions import write_predictions
from trainables.training.result import Provenance, write_result
from trainables.training.step import TrainingStep, seed_everything, train_one_epoch

if TYPE_CHECKING:
    from trainables.data.frames.manifest import Manifest, Video
    from trainables.models.video_model import VideoModel
    from trainables.recipe.cell_spec import CellSpec
    from trainables.training.predictions import Predictions

logger = logging.getLogger(__name__)


class NothingHeldOutError(ActionGridError):
    """`choose_on` leaves no video to choose epochs on."""

    failure_kind = FailureKind.CONFIGURATION


class CellSession:
    """Model, data and state of one cell in one worker; made by `open`, which resumes where it can."""

    def __init__(
        self, spec: CellSpec, rank: int, world: int, compute: Compute, manifest: Manifest, model: VideoModel
    ) -> None:
        self.spec = spec
        self.rank = rank
        self.world = world
        self.compute = compute
        self.train_videos, self.choose_videos = _training_videos(spec, manifest)
        self.eval_videos = manifest.split("val")
        self.reader = open_reader(manifest, Path(spec.manifest), spec.frames_on_local_disk)
        pin = compute.device.type == "cuda"
        self.train_ring = train_ring(self.train_videos, spec.recipe, spec.frames, world, pin)
        evaluated = (*self.eval_videos, *self.choose_videos)
        self.eval_ring = eval_ring(evaluated, spec.evaluation, spec.frames, pin)
        self.model = model
        self.norm = Normalisation.of(spec.module, spec.backbone)
        self.history: list[Metrics] = []
        self.parent_top1: float | None = None
        self.fresh: tuple[str, ...] | None = None
        self.directory = Path(spec.run_dir)
        self.storage = storage_of(spec)
        # Now, so that nothing of it can fail when the epochs are behind the cell.
        self.provenance = Provenance.of(spec, compute)

    @classmethod
    def open(cls, spec: CellSpec, rank: int, world: int, local_rank: int) -> CellSession:
        """Build the cell and resume from its newest intact checkpoint, else initialise it.

        Raises:
            ParentMismatchError: The parent's checkpoint does not fit or does not measure as recorded.
            MissingWeightsError: ImageNet weights are called for and not to be had.
            CellMemoryError: Not even the model fits.
        """
        Path(spec.run_dir).mkdir(parents=True, exist_ok=True)
        compute = Compute.choose(spec.recipe, local_rank)
        with memory_figures_in_errors(spec, compute), compute.backends():
            return cls._open(spec, rank, world, compute)

    @classmethod
    def _open(cls, spec: CellSpec, rank: int, world: int, compute: Compute) -> CellSession:
        manifest = read_manifest(Path(spec.manifest))
        resumed = latest_intact(Path(spec.run_dir), spec.key)
        fresh = initial_model(spec, None if resumed else manifest, compute, rank)
        session = cls(spec, rank, world, compute, manifest, fresh.model)
        session.parent_top1, session.fresh = fresh.parent_top1, fresh.fresh
        session._prepare(resumed)
        return session

    def _prepare(self, resumed: CheckpointRecord | None) -> None:
        optimiser_state = None
        if resumed is not None:
            state = load_state(Path(resumed.path), resumed.sha256)
            self.model.load_state_dict(state["model"], strict=True)
            optimiser_state = state["optimiser"]
            self.history = [dict(row) for row in resumed.history]
            self.parent_top1, self.fresh = state["parent_top1"], state.get("fresh")
            logger.info("%s goes on from epoch %d", self.spec.cell, resumed.epoch)
        model = self.compute.place(self.model)
        optimiser = build_optimiser(model, self.spec.recipe, self.compute.switches)
        if optimiser_state is not None:
            optimiser.load_state_dict(optimiser_state)
        self.step = TrainingStep.create(self.spec, model, optimiser, self.compute, self.norm, self.world)
        self.in_evaluation = build_evaluation_forward(model, self.compute.switches)

    @property
    def first_epoch(self) -> int:
        """The first epoch that is not yet behind this cell, 1-based."""
        return len(self.history) + 1

    def train_epoch(self, epoch: int) -> Metrics:
        """Train and evaluate one epoch, write its checkpoint (rank 0) and return its metrics row.

        Raises:
            CellMemoryError: There is not enough memory for so many clips at a time.
        """
        with memory_figures_in_errors(self.spec, self.compute), self.compute.backends():
            return self._train_epoch(epoch)

    def _train_epoch(self, epoch: int) -> Metrics:
        rate = learning_rate(self.spec.recipe, epoch)
        self.step.optimiser.lr = rate
        seed_everything(self.spec.seed, epoch, self.rank)
        self.compute.reset_peak()
        watch = Stopwatch()
        totals = train_one_epoch(
            self.step,
            self.spec,
            self.train_videos,
            self.reader,
            self.train_ring,
            epoch,
            self.rank,
            self.world,
        )
        train_seconds = watch.seconds()
        row: Metrics = {
            "epoch": epoch,
            "lr": rate,
            "train_loss": totals.loss,
            "train_top1": totals.top1,
            "train_seconds": train_seconds,
            "train_clips": totals.clips,
            "clips_per_second": totals.clips / train_seconds,
            "accumulation": self.spec.accumulation,
            **totals.usage,
            **self.compute.in_numbers(),
        }
        self._evaluate(epoch, row)
        return row

    def _evaluate(self, epoch: int, row: Metrics) -> None:
        watch = Stopwatch()
        self._share_buffers()
        predictions = self._predictions(self.eval_videos)
        row.update(
            {
                "top1": predictions.accuracy(1),
                "top5": predictions.accuracy(5),
                "val_loss": predictions.mean_loss,
                "eval_videos": len(predictions.index),
            }
        )
        if self.choose_videos:
            chosen_by = self._predictions(self.choose_videos)
            row.update({"choose_top1": chosen_by.accuracy(1), "choose_loss": chosen_by.mean_loss})
        seconds = watch.seconds()
        row.update(
            {
                "eval_seconds": seconds,
                "eval_clips_per_second": (len(predictions.index) + len(self.choose_videos)) / seconds,
                "peak_memory_bytes": self.compute.peak_memory_bytes(),
            }
        )
        self._keep_epoch(epoch, row, predictions)

    def _predictions(self, videos: tuple[Video, ...]) -> Predictions:
        """What the model predicts for `videos` now, all workers' shares together."""
        batches = eval_batches(
            videos,
            self.spec.evaluation,
            self.spec.frames,
            self.reader,
            rank=self.rank,
            world=self.world,
            threads=self.spec.threads,
            ring=self.eval_ring,
        )
        # Where memory is short for training, it is shared out here too; what comes out is the same.
        at_once = None if self.spec.accumulation == 1 else clips_at_a_time(self.spec)
        views = Views(at_once=at_once)
        own = predict(self.model, batches, self.compute, self.norm, views, self.in_evaluation)
        return gather_predictions(own, self.world)

    def _keep_epoch(self, epoch: int, row: Metrics, predictions: Predictions) -> None:
        """Let the epoch stand (rank 0): its predictions, then its checkpoint; older ones go afterwards."""
        self.history.append(row)
        if self.rank == 0:
            self.storage.require_fence(self.directory, self.spec.attempt)
            path = epoch_file(self.directory, epoch, ".parquet")
            with writing(self.directory):
                videos = [video.path for video in self.eval_videos]
                write_predictions(predictions, path, videos, self.spec.key)
                self.storage.publish(path)
                save_checkpoint(
                    self.storage, self.directory, self._state(), path, self.history, self.spec.key
                )
                # Only now: the new one stands, so that a kill at any moment leaves one to go on from.
                done, best = len(self.history), best_epoch(self.history)
                prune(self.directory, self.spec.keep.while_training(done, best))
                self.storage.remove_missing(self.directory, EPOCHS)

    def _share_buffers(self) -> None:
        """Give every worker rank 0's BN statistics: the model that is evaluated is the one that is saved."""
        if self.world > 1:
            for buffer in self.model.buffers():
                dist.broadcast(buffer, src=0)

    def _state(self) -> dict[str, object]:
        return {
            "model": self.model.state_dict(),
            "optimiser": self.step.optimiser.state_dict(),
            "schedule": {"epoch": len(self.history), "lr": self.history[-1]["lr"]},
            # Every epoch seeds its generators from (seed, epoch, rank): this pair is the whole RNG state.
            "rng": {"seed": self.spec.seed, "next_epoch": len(self.history) + 1},
            "parent_top1": self.parent_top1,
            "fresh": self.fresh,
        }

    def finish(self) -> None:
        """Write `result.json` (rank 0): the cell is done once it stands."""
        if self.rank == 0:
            self.storage.require_fence(self.directory, self.spec.attempt)
            kept = {record.epoch: record for record in records(self.directory, self.spec.key)}
            with writing(self.directory):
                write_result(
                    self.storage,
                    self.spec,
                    self.history,
                    kept,
                    self.parent_top1,
                    self.provenance,
                    len(self.train_videos),
                    len(self.choose_videos),
                    self.fresh,
                )
        if self.world > 1:
            dist.barrier()
            dist.destroy_process_group()


def _training_videos(spec: CellSpec, manifest: Manifest) -> tuple[tuple[Video, ...], tuple[Video, ...]]:
    """The videos to train on, and those that are held out to choose the best epoch on.

    Raises:
        NothingHeldOutError: Every class has but one video to train on.
    """
    videos = manifest.split("train")
    if spec.choose_on is None:
        return videos, ()
    kept, held = hold_out(videos, spec.choose_on)
    if not held:
        what = f"choose_on: {spec.choose_on:g} holds no video out: no class has two different ones"
        raise NothingHeldOutError(what, spec.manifest, "leave choose_on out, or use a larger dataset")
    return kept, held
