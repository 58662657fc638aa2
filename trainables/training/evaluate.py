"""Accuracy over an evaluation set in which every video counts exactly once (docs/architecture.md)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F

from trainables.training.execution.upload import uploaded
from trainables.training.predictions import (
    TOP,
    Predictions,
    join_shares,
    no_predictions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from trainables.data.clips.ring import Batch
    from trainables.recipe.cell_spec import Average
    from trainables.training.execution.device import Compute, Forward, Normalisation


@dataclass(frozen=True)
class Views:
    """How the views of a video become one prediction.

    `average`: the mean of logits (docs/protocol.md §9), or of softmax probabilities. `keep`: whether each
    view's own first class is kept. `at_once`: the most clips that pass through the model
    together; None: a whole batch.
    """

    average: Average = "logits"
    keep: bool = False
    at_once: int | None = None


def predict(
    model: nn.Module,
    batches: Iterable[Batch],
    compute: Compute,
    norm: Normalisation,
    views: Views = Views(),
    forward: Forward | None = None,
) -> Predictions:
    """Evaluate `model` on `batches` of V views a video, averaged over the V views.

    Of each video only the best classes are kept, so memory does not grow with classes or views' logits. The
    model is left in evaluation mode. `forward` is how it is executed, if not plainly
    (`build_evaluation_forward`).
    """
    model.eval()
    # What is compiled in inference mode can break the training of the same model (pytorch#135892).
    no_gradients = torch.inference_mode if forward in (None, model) else torch.no_grad
    forward = forward or model
    rows: list[tuple[torch.Tensor, ...]] = []
    before: _Scores | None = None
    for batch in uploaded(batches, compute.device):
        clips = compute.inputs(batch, norm)
        # Not around the loop: the loader's reused buffers must not become inference tensors.
        with no_gradients(), compute.autocast():
            logits = in_pieces(forward, clips, views.at_once)
        logits = logits.clone().float().view(len(batch.labels), batch.views, -1)
        scores = _Scores.start_copy(logits, batch, views)
        # Ranked only now: the device has the next batch to work on while these scores are looked at.
        if before is not None:
            rows.append(before.ranked(views))
        before = scores
    if before is not None:
        rows.append(before.ranked(views))
    if not rows:
        return no_predictions()
    index, label, top, score, loss, view_top, view_score = (
        torch.cat(column).numpy() for column in zip(*rows, strict=True)
    )
    return Predictions(
        index, label, top, score, loss.astype(np.float64), view_top.astype(np.int64), view_score
    ).ordered()


def in_pieces(forward: Forward, clips: torch.Tensor, at_once: int | None) -> torch.Tensor:
    """Logits (N, K) of clips (N, 3, T, S, S), in pieces: all views of one video can be too many at once."""
    if at_once is None or len(clips) <= at_once:
        return forward(clips)
    return torch.cat([forward(piece) for piece in torch.split(clips, at_once)])


@dataclass(frozen=True)
class _Scores:
    """What a batch of N videos gave, on its way to the CPU; there once `arrived` (None: there already).

    `mean`: (N, K), averaged over the views. `view_score`, `view_top`: (N, V), the first class of each view.
    """

    indices: torch.Tensor
    labels: torch.Tensor
    mean: torch.Tensor
    view_score: torch.Tensor
    view_top: torch.Tensor
    arrived: torch.cuda.Event | None

    @classmethod
    def start_copy(cls, logits: torch.Tensor, batch: Batch, views: Views) -> _Scores:
        """Average logits (N, V, K) on their device, and start to copy what is needed of them."""
        if views.average == "softmax":
            logits = logits.softmax(dim=2)
        figures = (logits.mean(dim=1), *logits.max(dim=2))
        mean, view_score, view_top = (part.to("cpu", non_blocking=True) for part in figures)
        arrived = None
        if logits.is_cuda:
            arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            arrived.record(torch.cuda.current_stream(logits.device))
        return cls(batch.indices, batch.labels, mean, view_score, view_top, arrived)

    def ranked(self, views: Views) -> tuple[torch.Tensor, ...]:
        """Indices, labels; top, scores (N, k), loss (N,), view_top, view_score (N, V or 0)."""
        if self.arrived is not None:
            self.arrived.synchronize()
        mean, labels = self.mean, self.labels.clone()
        if views.average == "softmax":
            loss = F.nll_loss(mean.clamp_min(torch.finfo(mean.dtype).tiny).log(), labels, reduction="none")
        else:
            loss = F.cross_entropy(mean, labels, reduction="none")
        scores, top = mean.topk(min(TOP, mean.shape[1]), dim=1)
        kept = self.view_top.shape[1] if views.keep else 0
        # Copies: what is kept to the end must not hold pinned memory, which every batch would need anew.
        view_top, view_score = (one[:, :kept].clone() for one in (self.view_top, self.view_score))
        return self.indices, labels, top, scores, loss, view_top, view_score


def gather_predictions(own: Predictions, world: int) -> Predictions:
    """All workers' predictions, on every worker. Shares may differ in length, so nothing needs padding.

    Raises:
        RuntimeError: A video was evaluated twice: the shares overlap.
    """
    if world == 1:
        return own
    shares: list[Predictions | None] = [None] * world
    dist.all_gather_object(shares, own)
    return join_shares([share for share in shares if share is not None])


class Stopwatch:
    """Seconds and clips of a phase, for clips per second."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Seconds since construction."""
        return time.perf_counter() - self._start
