"""Accuracy over an evaluation set in which every video counts exactly once (DESIGN invariant 7)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F

from trainables.predictions import (
    TOP,
    Predictions,
    merge,
    no_predictions,
    read_predictions,
    write_predictions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from trainables.data.clip_ring import Batch
    from trainables.device import Compute, Normalisation
    from trainables.evaluate_cell import Average

__all__ = [
    "Predictions",
    "Stopwatch",
    "gather",
    "predict",
    "read_predictions",
    "write_predictions",
]


@dataclass(frozen=True)
class Views:
    """How the views of a video become one prediction.

    `average`: the mean of logits (section 9), or of softmax probabilities. `keep`: whether each view's own
    first class is kept. `at_once`: the most clips that pass through the model together; None: a whole batch.
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
) -> Predictions:
    """Evaluate `model` on `batches` of V views a video, averaged over the V views.

    Of each video only the best classes are kept, so memory does not grow with classes or views' logits. The
    model is left in evaluation mode.
    """
    model.eval()
    rows: list[tuple[torch.Tensor, ...]] = []
    for batch in batches:
        clips = compute.inputs(batch, norm)
        # Not around the loop: the loader's reused buffers must not become inference tensors.
        with torch.inference_mode(), compute.autocast():
            logits = _forward(model, clips, views.at_once)
        scores = logits.clone().float().view(len(batch.labels), batch.views, -1)
        rows.append((batch.indices, batch.labels, *_ranked(scores, batch.labels, views)))
    if not rows:
        return no_predictions()
    index, label, top, score, loss, view_top, view_score = (
        torch.cat(column).numpy() for column in zip(*rows, strict=True)
    )
    return Predictions(
        index, label, top, score, loss.astype(np.float64), view_top.astype(np.int64), view_score
    ).ordered()


def _forward(model: nn.Module, clips: torch.Tensor, at_once: int | None) -> torch.Tensor:
    """Logits (N, K) of clips (N, 3, T, S, S), in pieces: all views of one video can be too many at once."""
    if at_once is None or len(clips) <= at_once:
        return model(clips)  # type: ignore[no-any-return]
    return torch.cat([model(piece) for piece in torch.split(clips, at_once)])


def _ranked(logits: torch.Tensor, labels: torch.Tensor, views: Views) -> tuple[torch.Tensor, ...]:
    """Logits (N, V, K) → on the CPU: top, scores (N, k), loss (N,), view_top, view_score (N, V or 0)."""
    if views.average == "softmax":
        logits = logits.softmax(dim=2)
        mean = logits.mean(dim=1).cpu()
        loss = F.nll_loss(mean.clamp_min(torch.finfo(mean.dtype).tiny).log(), labels, reduction="none")
    else:
        mean = logits.mean(dim=1).cpu()
        loss = F.cross_entropy(mean, labels, reduction="none")
    scores, top = mean.topk(min(TOP, mean.shape[1]), dim=1)
    view_score, view_top = (part.cpu() for part in logits.max(dim=2))
    kept = logits.shape[1] if views.keep else 0
    return top, scores, loss, view_top[:, :kept], view_score[:, :kept]


def gather(own: Predictions, world: int) -> Predictions:
    """All workers' predictions, on every worker. Shares may differ in length, so nothing needs padding.

    Raises:
        RuntimeError: A video was evaluated twice: the shares overlap.
    """
    if world == 1:
        return own
    shares: list[Predictions | None] = [None] * world
    dist.all_gather_object(shares, own)
    return merge([share for share in shares if share is not None])


class Stopwatch:
    """Seconds and clips of a phase, for clips per second."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Seconds since construction."""
        return time.perf_counter() - self._start
