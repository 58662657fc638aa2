"""How fast a model is evaluated: clips per second by protocol and batch size, forward alone and end to end.

    python -m benchmarks.evaluation [--model I3D-ResNet50 …] [--frames 8 …] [--batch 72 144 288] [--json]

Protocols: `1x1`, one uniform clip and one centre crop a video (after each epoch of training); `10x3`, ten
dense clips and three crops at 256 pixels (30 views). A batch is in views; a video's views stay together.

- forward_clips_per_s: views, model and ranking, on bytes that lie on the device already.
- clips_per_s, videos_per_s: end to end from the frame store with `--threads`; of_forward: against the above.
- same_top1: the part of the videos whose first class is the one that the first batch size gives;
  score_difference: the largest difference of a score to it.

Runs on a CPU too (`--device cpu --shape tiny --crop 32`); rates of GPUs need one.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.training_cell import ALL_SHAPES, Cell, Setting, listed, make_store, show, use_device
from catalog.storage.layout import SHARDS
from trainables.recipe.cell_spec import Evaluation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trainables.data.clips.ring import Batch
    from trainables.training.predictions import Predictions

PROTOCOLS = {"1x1": (1, 1), "10x3": (10, 3)}


def main() -> None:
    """Measure and print a table or JSON rows."""
    options = _options()
    use_device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        manifest = make_store(options.shape, Path(folder))
        rows = [
            row
            for model in options.model
            for frames in options.frames
            for row in measure_model(options, Setting(model, frames, 1, options.crop), manifest)
        ]
    show(rows, as_json=options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["I3D-ResNet50", "TAM-ResNet50", "TSN-ResNet18"])
    parser.add_argument("--frames", nargs="+", type=int, default=[8])
    parser.add_argument("--batch", nargs="+", type=int, default=[72, 144, 288], help="views at once")
    parser.add_argument("--protocol", nargs="+", choices=sorted(PROTOCOLS), default=sorted(PROTOCOLS))
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--videos", type=int, default=600, help="evaluated end to end")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--shape", choices=sorted(ALL_SHAPES), default="kinetics")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


@dataclass(frozen=True)
class Measured:
    """Seconds that some views took, and what came out."""

    views: int
    seconds: float
    predictions: Predictions


def measure_model(options: argparse.Namespace, setting: Setting, manifest: Path) -> Iterator[dict[str, Any]]:
    """A row for each protocol and batch size."""
    with tempfile.TemporaryDirectory() as run_dir:
        cell = Cell.open(setting, manifest, Path(run_dir))
        for protocol in options.protocol:
            clips, crops = PROTOCOLS[protocol]
            first: Measured | None = None
            for batch in options.batch:
                evaluation = _protocol(options.crop, clips, crops, batch)
                _for_another_shape(cell)
                alone = forward(cell, evaluation, options.videos)
                whole = end_to_end(cell, evaluation, options.videos, options.threads)
                first = first or whole
                rate = whole.views / whole.seconds
                yield {
                    "gpu": cell.device_name,
                    "model": setting.model,
                    "frames": setting.frames,
                    "protocol": protocol,
                    "batch": batch,
                    "threads": options.threads,
                    "clips_per_s": round(rate, 2),
                    "videos_per_s": round(rate / (clips * crops), 2),
                    "forward_clips_per_s": round(alone.views / alone.seconds, 2),
                    "of_forward": round(rate / (alone.views / alone.seconds), 4),
                    "same_top1": _same(whole.predictions, first.predictions),
                    "score_difference": _apart(whole.predictions, first.predictions),
                }


def _for_another_shape(cell: Cell) -> None:
    """What is compiled is so for one shape: begin anew."""
    from trainables.training.execution.compiled import build_evaluation_forward

    switches = cell.session.compute.switches
    if switches.compile != "off":
        import torch

        torch.compiler.reset()
    cell.session.in_evaluation = build_evaluation_forward(cell.session.model, switches)


def _protocol(crop: int, clips: int, crops: int, batch: int) -> Evaluation:
    """Centre crops at the training size, or three crops of the whole shorter side."""
    short = crop * 8 // 7
    return Evaluation(
        sampling="uniform" if clips == 1 else "dense",
        clips=clips,
        crops=crops,  # type: ignore[arg-type]
        crop_size=crop if crops == 1 else short,
        short_side=short,
        batch_size=batch,
    )


def end_to_end(cell: Cell, evaluation: Evaluation, videos: int, threads: int) -> Measured:
    """All `videos`, after one whole batch for what is compiled or tried out once."""
    views = evaluation.clips * evaluation.crops
    for count in (min(videos, max(1, evaluation.batch_size // views)), videos):
        start = time.perf_counter()
        with closing(_batches(cell, evaluation, count, threads)) as batches:
            found = _predicted(cell, batches, evaluation)
        seconds = time.perf_counter() - start
    return Measured(videos * views, seconds, found)


def forward(cell: Cell, evaluation: Evaluation, videos: int) -> Measured:
    """As many views from one batch that lies on the device: neither loading nor the way to the device."""
    with closing(_batches(cell, evaluation, videos, threads=1)) as batches:
        batch = next(batches)
        there = batch.pixels.clone().to(cell.session.compute.device)
    count = -(-videos // len(batch.labels))
    given = [
        replace(batch, pixels=there, indices=batch.indices + turn * len(batch.labels))
        for turn in range(count)
    ]
    _predicted(cell, given[:1], evaluation)
    start = time.perf_counter()
    found = _predicted(cell, given, evaluation)
    return Measured(count * len(batch.labels) * batch.views, time.perf_counter() - start, found)


def _predicted(cell: Cell, batches: Iterable[Batch], evaluation: Evaluation) -> Predictions:
    from trainables.training.evaluate import Views, predict

    session = cell.session
    views = Views(at_once=evaluation.batch_size)
    with session.compute.backends():
        return predict(session.model, batches, session.compute, session.norm, views, session.in_evaluation)


def _batches(cell: Cell, evaluation: Evaluation, videos: int, threads: int) -> Any:  # noqa: ANN401 - a generator
    from trainables.data.clips.loader import eval_batches, eval_ring
    from trainables.data.frames.store_reader import FrameStoreReader

    own = listed(Path(cell.session.spec.manifest), "val", videos)
    frames = cell.setting.frames
    ring = eval_ring(own, evaluation, frames, pin=cell.session.compute.device.type == "cuda")
    reader = FrameStoreReader(Path(cell.session.spec.manifest).parent / SHARDS)
    return eval_batches(own, evaluation, frames, reader, rank=0, world=1, threads=threads, ring=ring)


def _same(found: Predictions, first: Predictions) -> float:
    return round(float((found.top[:, 0] == first.top[:, 0]).mean()), 4)


def _apart(found: Predictions, first: Predictions) -> float:
    return float(np.abs(found.scores - first.scores).max())


if __name__ == "__main__":
    main()
