"""Accuracy over an evaluation set in which every video counts exactly once (DESIGN invariant 7)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F

from trainables.data.files import replaced_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from trainables.data.loader import Batch
    from trainables.device import Compute, Normalisation

TOP = 5


@dataclass(frozen=True)
class Predictions:
    """One row per evaluated video, ordered by `index`: arrays (n,); `top` (n, ≤ 5), the best class first."""

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    top: NDArray[np.int64]
    loss: NDArray[np.float64]

    def accuracy(self, k: int) -> float:
        """Share of videos, in percent, whose label is among the first `k` classes."""
        if len(self.label) == 0:
            return float("nan")
        hits = (self.top[:, :k] == self.label[:, None]).any(axis=1)
        return float(hits.mean() * 100.0)

    @property
    def mean_loss(self) -> float:
        """Mean cross-entropy over the videos."""
        return float(self.loss.mean()) if len(self.loss) else float("nan")


def predict(model: nn.Module, batches: Iterable[Batch], compute: Compute, norm: Normalisation) -> Predictions:
    """Evaluate `model` on `batches` with clips (N, V, 3, T, S, S); logits are averaged over the V views.

    The mean is of logits, not of softmax scores (section 9). The model is left in evaluation mode.
    """
    model.eval()
    rows: list[tuple[torch.Tensor, ...]] = []
    for batch in batches:
        videos, views = batch.clips.shape[:2]
        clips = compute.normalise(batch.clips.flatten(0, 1), norm)
        # Not around the loop: the loader's reused buffers must not become inference tensors.
        with torch.inference_mode(), compute.autocast():
            logits = model(clips)
        logits = logits.clone().float().view(videos, views, -1).mean(dim=1).cpu()
        loss = F.cross_entropy(logits, batch.labels, reduction="none")
        top = logits.topk(min(TOP, logits.shape[1]), dim=1).indices
        rows.append((batch.indices, batch.labels, top, loss))
    if not rows:
        empty = np.empty(0, dtype=np.int64)
        return Predictions(empty, empty, np.empty((0, TOP), dtype=np.int64), np.empty(0, dtype=np.float64))
    columns = [torch.cat(column).numpy() for column in zip(*rows, strict=True)]
    return _ordered(Predictions(columns[0], columns[1], columns[2], columns[3].astype(np.float64)))


def gather(own: Predictions, world: int) -> Predictions:
    """All workers' predictions, on every worker. Shares may differ in length, so nothing needs padding.

    Raises:
        RuntimeError: A video was evaluated twice: the shares overlap.
    """
    if world == 1:
        return own
    shares: list[Predictions | None] = [None] * world
    dist.all_gather_object(shares, own)
    parts = [share for share in shares if share is not None and len(share.index)]
    merged = _ordered(
        Predictions(
            *(np.concatenate([getattr(p, name) for p in parts]) for name in ("index", "label", "top", "loss"))
        )
    )
    if len(np.unique(merged.index)) != len(merged.index):
        raise RuntimeError(
            "a video was evaluated by two workers; evaluation shares overlap; report this as a bug"
        )
    return merged


def _ordered(predictions: Predictions) -> Predictions:
    order = np.argsort(predictions.index, kind="stable")
    return Predictions(
        predictions.index[order], predictions.label[order], predictions.top[order], predictions.loss[order]
    )


def write_predictions(predictions: Predictions, path: Path) -> None:
    """Write Parquet columns `index`, `label`, `top` (list), `loss`: temporary name, fsync, rename."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "index": predictions.index,
            "label": predictions.label,
            "top": pa.array(predictions.top.tolist(), type=pa.list_(pa.int64())),
            "loss": predictions.loss,
        }
    )
    with replaced_atomically(path) as temporary:
        pq.write_table(table, temporary)


def read_predictions(path: Path) -> Predictions:
    """Read what `write_predictions` wrote."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return Predictions(
        table["index"].to_numpy(),
        table["label"].to_numpy(),
        np.array(table["top"].to_pylist(), dtype=np.int64),
        table["loss"].to_numpy(),
    )


class Stopwatch:
    """Seconds and clips of a phase, for clips per second."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    def seconds(self) -> float:
        """Seconds since construction."""
        return time.perf_counter() - self._start
