"""The training step: forward, loss, backward, optimiser, over one epoch of one worker."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from trainables.data.loader import train_batches

if TYPE_CHECKING:
    from trainables.data.clip_ring import Batch, ClipRing
    from trainables.data.manifest import Video
    from trainables.data.reader import FrameReader
    from trainables.device import Compute, Normalisation
    from trainables.recipe import CellSpec
    from trainables.sgd import Sgd


class DivergedError(RuntimeError):
    """The loss is no number any more."""


@dataclass(frozen=True)
class EpochTotals:
    """Mean loss and top-1 (percent) over the clips that the optimiser saw in one epoch, over all workers."""

    loss: float
    top1: float
    clips: int


@dataclass(frozen=True)
class TrainingStep:
    """What one step needs. `network` is the DDP-wrapped model where there are several workers."""

    network: nn.Module
    optimiser: Sgd
    compute: Compute
    norm: Normalisation
    accumulate: int
    clip_norm: float | None

    @classmethod
    def create(
        cls,
        spec: CellSpec,
        model: nn.Module,
        optimiser: Sgd,
        compute: Compute,
        norm: Normalisation,
        world: int,
    ) -> TrainingStep:
        """Wrap `model` for `world` workers (SyncBN where the recipe asks for it)."""
        network = model
        recipe = spec.recipe
        if world > 1:
            if recipe.sync_bn:
                if compute.device.type != "cuda":
                    raise ValueError(
                        f"sync_bn of {spec.cell} needs GPUs; recipe.sync_bn; set it to false on CPUs"
                    )
                network = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
            device_ids = [compute.device.index] if compute.device.type == "cuda" else None
            network = nn.parallel.DistributedDataParallel(network, device_ids=device_ids)
        pieces = recipe.accumulate * spec.accumulation
        return cls(network, optimiser, compute, norm, pieces, recipe.clip_norm)

    def run(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step on a worker's share of a batch, in `accumulate` pieces.

        Returns the summed loss and the number of right top-1 predictions, as 0-d tensors on the device.
        """
        size = len(batch.labels)
        pieces = min(self.accumulate, size)
        loss_sum = torch.zeros((), device=self.compute.device)
        right = torch.zeros((), device=self.compute.device)
        self.optimiser.zero_grad()
        for share in batch.chunks(pieces):
            target = share.labels.to(self.compute.device)
            clips = self.compute.inputs(share, self.norm)
            with self.compute.autocast():
                logits = self.network(clips)
                loss = F.cross_entropy(logits, target, reduction="sum")
            (loss / size).backward()  # type: ignore[no-untyped-call]
            loss_sum += loss.detach()
            right += (logits.detach().argmax(dim=1) == target).sum()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.clip_norm)
        self.optimiser.step()
        return loss_sum, right


def seed_everything(seed: int, epoch: int, rank: int) -> None:
    """Seed torch for one epoch of one worker, so that a resumed epoch repeats the undisturbed one."""
    torch.manual_seed((seed * 1_000_003 + epoch) * 4_099 + rank)


def train_one_epoch(
    step: TrainingStep,
    spec: CellSpec,
    videos: tuple[Video, ...],
    reader: FrameReader,
    ring: ClipRing,
    epoch: int,
    rank: int,
    world: int,
) -> EpochTotals:
    """Train one epoch; every worker returns the totals over all workers.

    Raises:
        DivergedError: The epoch's mean loss is not finite.
    """
    step.network.train()
    totals = torch.zeros(3, dtype=torch.float64)
    batches = train_batches(
        videos,
        spec.recipe,
        spec.frames,
        reader,
        seed=spec.seed,
        epoch=epoch,
        rank=rank,
        world=world,
        threads=spec.threads,
        ring=ring,
    )
    for batch in batches:
        loss_sum, right = step.run(batch)
        totals += torch.stack([loss_sum, right, torch.full_like(right, len(batch.labels))]).cpu().double()
    if world > 1:
        totals = totals.to(step.compute.device)
        dist.all_reduce(totals)
    loss, right_total, clips = (float(x) for x in totals)
    mean_loss = loss / clips
    if not math.isfinite(mean_loss):
        raise DivergedError(
            f"training loss of {spec.cell} is {mean_loss} in epoch {epoch}; "
            "lower recipe.lr or set recipe.clip_norm"
        )
    return EpochTotals(mean_loss, 100.0 * right_total / clips, int(clips))
