"""What a model predicted for each evaluated video, as arrays, and its Parquet file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from catalog.storage.parquet_files import read_parquet, write_parquet

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

TOP = 5


@dataclass(frozen=True)
class Predictions:
    """One row per evaluated video, ordered by `index` (its place in the split); n rows, k ≤ 5 classes.

    `index`, `label`, `loss`: (n,). `top`: (n, k), the best class first; `scores`: (n, k), what these classes
    got, averaged over the views (logits or probabilities). `view_top`, `view_score`: (n, views), the first
    class of each view and its score, clip by clip; (n, 0) where views are not kept.
    """

    index: NDArray[np.int64]
    label: NDArray[np.int64]
    top: NDArray[np.int64]
    scores: NDArray[np.float32]
    loss: NDArray[np.float64]
    view_top: NDArray[np.int64]
    view_score: NDArray[np.float32]

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

    def ordered(self) -> Predictions:
        """The same rows by `index`."""
        order = np.argsort(self.index, kind="stable")
        return Predictions(*(getattr(self, field.name)[order] for field in fields(self)))


def no_predictions() -> Predictions:
    """The predictions of no videos."""
    integers, one_float, none = np.empty(0, np.int64), np.empty(0, np.float64), np.empty((0, 0), np.int64)
    wide = np.empty((0, TOP), np.int64)
    return Predictions(
        index=integers,
        label=integers,
        top=wide,
        scores=wide.astype(np.float32),
        loss=one_float,
        view_top=none,
        view_score=none.astype(np.float32),
    )


def join_shares(shares: Sequence[Predictions]) -> Predictions:
    """All workers' shares as one, ordered.

    Raises:
        RuntimeError: A video was evaluated twice: the shares overlap.
    """
    # A share without videos does not know how many classes or views there are.
    parts = [share for share in shares if len(share.index)]
    if not parts:
        return no_predictions()
    columns = {field.name: [getattr(part, field.name) for part in parts] for field in fields(Predictions)}
    merged = Predictions(**{name: np.concatenate(column) for name, column in columns.items()}).ordered()
    if len(np.unique(merged.index)) != len(merged.index):
        raise RuntimeError(
            "a video was evaluated by two workers; evaluation shares overlap; report this as a bug"
        )
    return merged


def write_predictions(
    predictions: Predictions, path: Path, videos: Sequence[str] | None = None, key: str = ""
) -> None:
    """Write Parquet columns `index`, `label`, `top`, `scores`, `loss`: temporary name, fsync, rename.

    The file notes whose they are: the cell's `key` and its own name. It stands on this machine then; the
    caller publishes it (`Storage.publish`).

    Where views were kept, also the lists `view_top` and `view_scores`; where `videos` (the split's paths) are
    given, also `video`.
    """
    import pyarrow as pa

    columns: dict[str, object] = {"index": predictions.index}
    if videos is not None:
        columns["video"] = pa.array([videos[place] for place in predictions.index], pa.string())
    columns |= {
        "label": predictions.label,
        "top": _lists(predictions.top, pa.int32()),
        "scores": _lists(predictions.scores, pa.float32()),
        "loss": predictions.loss,
    }
    if predictions.view_top.shape[1]:
        columns["view_top"] = _lists(predictions.view_top, pa.int32())
        columns["view_scores"] = _lists(predictions.view_score, pa.float32())
    write_parquet(pa.table(columns), path, key)


def _lists(rows: NDArray[np.int64] | NDArray[np.float32], kind: pa.DataType) -> pa.ListArray:
    import pyarrow as pa

    ends = np.arange(len(rows) + 1, dtype=np.int32) * rows.shape[1]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(rows.reshape(-1), kind))


def read_predictions(path: Path, key: str = "") -> Predictions:
    """Read what `write_predictions` wrote of the cell `key`; scores that an older file lacks are NaN.

    Raises:
        OSError, ValueError: as `catalog.storage.parquet_files.read_parquet`.
    """
    table = read_parquet(path, key=key)
    count, known = table.num_rows, set(table.column_names)

    def rows(name: str, missing: int) -> NDArray[np.float64]:
        if name not in known or count == 0:
            return np.full((count, missing), np.nan)
        return np.array(table[name].to_pylist(), dtype=np.float64)

    top = rows("top", TOP)
    return Predictions(
        index=table["index"].to_numpy(),
        label=table["label"].to_numpy(),
        top=top.astype(np.int64),
        scores=rows("scores", top.shape[1]).astype(np.float32),
        loss=table["loss"].to_numpy(),
        view_top=rows("view_top", 0).astype(np.int64),
        view_score=rows("view_scores", 0).astype(np.float32),
    )
