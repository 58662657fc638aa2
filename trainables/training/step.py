"""The training step: forward, loss, backward, optimiser, over one epoch of one worker."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.distributed as dist
from torch import nn

from catalog.storage.errors import ActionGridError, FailureKind
from trainables.data.clips.loader import num_train_steps, train_batches
from trainables.models.recompute import recompute_blocks
from trainables.training.execution.compiled import build_forward
from trainables.training.execution.upload import uploaded
from trainables.training.mixup import mixed
from trainables.training.optimiser import build_optimiser, learning_rate
from trainables.training.usage import EpochUsage, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from trainables.data.clips.ring import Batch, ClipRing
    from trainables.data.frames.manifest import Video
    from trainables.data.frames.reader import FrameReader
    from trainables.recipe.cell_spec import CellSpec, Recipe
    from trainables.training.execution.device import Compute, Forward, Normalisation
    from trainables.training.optimiser import AnyOptimiser


class DivergedError(ActionGridError):
    """The loss is no number any more."""

    failure_kind = FailureKind.DIVERGED


@dataclass(frozen=True)
class EpochTotals:
    """Mean loss and top-1 (percent) over the clips that the optimiser saw in one epoch, over all workers.

    `usage` is what `usage_of` says.
    """

    loss: float
    top1: float
    clips: int
    usage: Mapping[str, float]


@dataclass(frozen=True)
class TrainingStep:
    """What one step needs. `network` is the DDP-wrapped model where there are several workers.

    `pieces` are those of a worker's share of a batch: the recipe's, and more where memory was short.
    `forward` is the network as the switches execute it (`trainables.training.execution.compiled`).
    """

    network: nn.Module
    forward: Forward
    optimiser: AnyOptimiser
    compute: Compute
    norm: Normalisation
    pieces: int
    recipe: Recipe

    @classmethod
    def create(
        cls,
        spec: CellSpec,
        model: nn.Module,
        optimiser: AnyOptimiser,
        compute: Compute,
        norm: Normalisation,
        world: int,
    ) -> TrainingStep:
        """Wrap `model` for `world` workers (SyncBN where the recipe asks for it)."""
        network = model
        recipe = spec.recipe
        if compute.switches.checkpoint_activations:
            recompute_blocks(model)
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
        # The compiler comes last: it has to see where DDP cuts the backward pass into buckets.
        forward = build_forward(network, compute.switches)
        return cls(network, forward, optimiser, compute, norm, pieces, recipe)

    @classmethod
    def alone(cls, model: nn.Module, recipe: Recipe, compute: Compute, norm: Normalisation) -> TrainingStep:
        """The step of one worker that holds `model`, without a cell around it."""
        if compute.switches.checkpoint_activations:
            recompute_blocks(model)
        optimiser = build_optimiser(model, recipe, compute.switches)
        forward = build_forward(model, compute.switches)
        return cls(model, forward, optimiser, compute, norm, recipe.accumulate, recipe)

    def run(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step on a worker's share of a batch, in `pieces`.

        Returns the summed loss and the number of right top-1 predictions, as 0-d tensors on the device.
        """
        size = len(batch.labels)
        return self.learn(self._shares(batch, min(self.pieces, size)), size)

    def _shares(self, batch: Batch, pieces: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for share in batch.chunks(pieces):
            target = share.labels.to(self.compute.device, non_blocking=True)
            yield self.compute.inputs(share, self.norm), target

    def learn(
        self, shares: Iterable[tuple[torch.Tensor, torch.Tensor]], size: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One optimiser step on `size` clips in shares of (clips (n, 3, T, H, W), labels (n,)), as `run`.

        Nothing in it waits for the device.
        """
        loss_sum = torch.zeros((), device=self.compute.device)
        right = torch.zeros((), device=self.compute.device)
        self.optimiser.zero_grad()
        for pixels, target in shares:
            clips, targets = mixed(pixels, target, self.recipe.mixup)
            with self.compute.autocast():
                logits = self.forward(clips)
                loss = targets.loss(logits, self.recipe.label_smoothing)
            # Before the backward pass: a recorded one may write its results over the logits.
            right += (logits.detach().argmax(dim=1) == target).sum()
            (loss / size).backward()  # type: ignore[no-untyped-call]
            loss_sum += loss.detach()
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.optimiser.step()
        return loss_sum, right


class LossWatch:
    """Notices within an epoch that the summed loss is no number any more, without waiting for the device.

    On a CPU every step is looked at. From an accelerator every `LOOK_STEPS`-th sum travels to the host while
    later steps run, and is looked at when it is there.
    """

    LOOK_STEPS: ClassVar[int] = 16

    def __init__(self, device: torch.device) -> None:
        self._on_cpu = device.type == "cpu"
        self._steps = 0
        self._sent: tuple[torch.Tensor, torch.cuda.Event] | None = None

    def diverged(self, loss_sum: torch.Tensor) -> bool:
        """Whether a sum (0-d, on the device) that was seen by now is not finite; to be asked at each step."""
        if self._on_cpu:
            return not math.isfinite(loss_sum.item())
        self._steps += 1
        if self._sent is None:
            if self._steps % self.LOOK_STEPS == 0:
                self._send(loss_sum)
            return False
        seen, copied = self._sent
        if not copied.query():  # type: ignore[no-untyped-call]
            return False
        self._sent = None
        return not math.isfinite(seen.item())

    def _send(self, loss_sum: torch.Tensor) -> None:
        seen = torch.empty((), dtype=loss_sum.dtype, pin_memory=True)
        seen.copy_(loss_sum, non_blocking=True)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record()
        self._sent = seen, copied


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
        DivergedError: The loss is not finite: within the epoch, some steps after it happened.
    """
    step.network.train()
    # On the device, so that no step waits for the one before it to be computed.
    totals = torch.zeros(3, dtype=torch.float64, device=step.compute.device)
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
    steps = num_train_steps(len(videos), spec.recipe.batch_size)
    watch, usage = LossWatch(step.compute.device), EpochUsage(step.compute.device)
    with closing(uploaded(usage.waiting(batches), step.compute.device)) as arriving:
        for number, batch in enumerate(arriving, start=1):
            if spec.recipe.schedule_by == "iteration":
                step.optimiser.lr = learning_rate(spec.recipe, epoch + (number - 1) / steps, 1 / steps)
            loss_sum, right = step.run(batch)
            totals += torch.stack([loss_sum, right, torch.full_like(right, len(batch.labels))]).double()
            usage.look(step.network)
            if watch.diverged(totals[0]):
                raise _diverged(spec, f"is not finite after step {number} of epoch {epoch}")
    sums = torch.cat([totals, usage.counts()])
    if world > 1:
        dist.all_reduce(sums)
    loss, right_total, clips, *used = sums.tolist()
    mean_loss = loss / clips
    if not math.isfinite(mean_loss):
        raise _diverged(spec, f"is {mean_loss} in epoch {epoch}")
    return EpochTotals(mean_loss, 100.0 * right_total / clips, int(clips), usage_of(used, world))


def _diverged(spec: CellSpec, what: str) -> DivergedError:
    mend = "lower recipe.lr or set recipe.clip_norm"
    return DivergedError(f"training loss of {spec.cell} {what}", what_to_do=mend)
