"""A whole cell against its step alone: clips per second, the GPU's idle time, the cores that it takes.

    python -m benchmarks.cell [--model I3D-ResNet50 …] [--frames 8 …] [--threads 1 2 4 8 16] [--json]
    python -m benchmarks.cell --required 500 2000 [--rates benchmarks/results/GPU.json] [--json]

For each model and clip length: the step alone (forward, loss, backward, optimiser, on clips that lie on the
device already), the loader alone, then end to end with each number of loader threads: frame store → threads →
pinned ring → upload → views → step. Columns:

- clips_per_s, tflops: end to end; of_step: against the step alone in this run (step_clips_per_s).
- views_of_step: the same for steps that cut their clips from bytes on the device, without loading or upload.
- idle: the part of the time in which the training stream had no step to work on.
- cores_used: CPU seconds of the whole process (loader, upload, launching) per second.
- loader_clips_per_cpu_s: the loader alone with so many threads. cores_needed: what the step alone would need
  at its full rate: its clips through the loader, and the launching itself.

The rows have what `actiongrid plan --rates` asks for, so they project a study with its loading.

`--required` trains nothing and needs no GPU: the loader's clips per CPU-second, and the cores that so many
clips a second need; with `--rates`, those of the default rows of a file of measured steps.

Everything runs on a CPU too (`--device cpu`; `--shape tiny --crop 32` for small pictures). There `idle`, the
step's rates and `of_step` say nothing of a GPU: these need one. What the loader takes is measured anywhere.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.training_cell import (
    ALL_SHAPES,
    Cell,
    Clock,
    Setting,
    Source,
    make_store,
    show,
    spec_of,
    tflops,
    use_device,
)

if TYPE_CHECKING:
    import torch

    from trainables.data.clips.ring import Batch
    from trainables.training.execution.device import Compute
    from trainables.training.session import CellSession
    from trainables.training.step import TrainingStep

THREADS = (1, 2, 4, 8, 16)
WARM_UP = 3  # steps; the first compiles, the others fill the loader


def main() -> None:
    """Measure and print a table or JSON rows."""
    options = _options()
    use_device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        manifest = make_store(options.shape, Path(folder))
        asking = options.required is not None or options.rates is not None
        rows = list(required_rows(options, manifest) if asking else cell_rows(options, manifest))
    show(rows, as_json=options.json)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["I3D-ResNet50", "TAM-ResNet50", "TSN-ResNet18"])
    parser.add_argument("--frames", nargs="+", type=int, default=[8])
    parser.add_argument("--batch", type=int, default=72)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--threads", nargs="+", type=int, default=list(THREADS))
    parser.add_argument("--shape", choices=sorted(ALL_SHAPES), default="kinetics")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--required", nargs="*", type=float, help="clips per second to be fed")
    parser.add_argument("--rates", type=Path, help="rows of benchmarks/train_step.py to be fed")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def cell_rows(options: argparse.Namespace, manifest: Path) -> Iterator[dict[str, Any]]:
    for model in options.model:
        for frames in options.frames:
            setting = Setting(model, frames, options.batch, options.crop)
            yield from measure_cell(setting, manifest, options.threads, options.seconds)


@dataclass(frozen=True)
class Pace:
    """What came of running for a while: clips a second, cores in use, the device's share of idle time."""

    clips_per_s: float
    cores: float
    idle: float


def measure_cell(
    setting: Setting, manifest: Path, threads: list[int], seconds: float
) -> Iterator[dict[str, Any]]:
    """A row for each number of threads; the step alone is measured before them and after."""
    with tempfile.TemporaryDirectory() as run_dir:
        cell = Cell.open(setting, manifest, Path(run_dir))
        alone = [step_alone(cell, seconds / 2)]
        cut = step_alone(cell, seconds / 2, views=True)
        fed = [
            (count, loader_alone(cell.source, count, seconds), end_to_end(cell, count, seconds))
            for count in threads
        ]
        alone.append(step_alone(cell, seconds / 2))
    step, launching = _mean(alone)
    for count, loader, whole in fed:
        yield {
            "gpu": cell.device_name,
            "model": setting.model,
            "frames": setting.frames,
            "batch": setting.batch,
            "variant": f"end to end, {count} threads",
            "threads": count,
            "clips_per_s": round(whole.clips_per_s, 2),
            "tflops": tflops(setting, whole.clips_per_s),
            "step_clips_per_s": round(step, 2),
            "of_step": round(whole.clips_per_s / step, 4),
            "views_of_step": round(cut.clips_per_s / step, 4),
            "idle": round(whole.idle, 4),
            "cores_used": round(whole.cores, 2),
            "loader_clips_per_cpu_s": round(loader, 2),
            "cores_needed": round(step / loader + launching, 2),
        }


def _mean(paces: list[Pace]) -> tuple[float, float]:
    """Clips a second, and cores."""
    count = len(paces)
    return sum(one.clips_per_s for one in paces) / count, sum(one.cores for one in paces) / count


def end_to_end(cell: Cell, threads: int, seconds: float) -> Pace:
    """From the frame store to the step."""
    from trainables.training.execution.upload import uploaded

    session = cell.session
    return paced(
        session, session.step, uploaded(cell.source.batches(threads), session.compute.device), seconds
    )


def step_alone(cell: Cell, seconds: float, *, views: bool = False) -> Pace:
    """The step on clips that are ready on the device; with `views`, on bytes there that each step cuts."""
    session = cell.session
    with closing(cell.source.batches(threads=1)) as batches:
        batch = next(batches)
        there = replace(batch, pixels=batch.pixels.clone().to(session.compute.device))
    if views:
        return paced(session, session.step, repeat(there), seconds)
    given = _Given(session.compute, session.compute.inputs(there, session.norm))
    return paced(session, replace(session.step, compute=given), repeat(there), seconds)


class _Given:
    """A `Compute` whose inputs are there already."""

    def __init__(self, compute: Compute, clips: torch.Tensor) -> None:
        self._compute = compute
        self._clips = clips

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - all else that a Compute has
        return getattr(self._compute, name)

    def inputs(self, batch: Batch, norm: object) -> torch.Tensor:
        return self._clips[: len(batch.labels)]


def paced(session: CellSession, step: TrainingStep, batches: Iterator[Batch], seconds: float) -> Pace:
    """Step after step for some seconds; ends `batches` where they can be ended."""
    with session.compute.backends():
        return _measured(session, step, batches, seconds)


def _measured(session: CellSession, step: TrainingStep, batches: Iterator[Batch], seconds: float) -> Pace:
    step.network.train()
    for _ in range(WARM_UP):
        step.run(next(batches))
    clock = Clock(session.compute.device)
    clock.wait()
    clips, start, worked = 0, time.perf_counter(), time.process_time()
    while clips == 0 or time.perf_counter() - start < seconds:
        batch = next(batches)
        clock.begin()
        step.run(batch)
        clock.end()
        clips += len(batch.labels)
    clock.wait()
    wall, worked = time.perf_counter() - start, time.process_time() - worked
    if isinstance(batches, Generator):
        batches.close()
    return Pace(clips / wall, worked / wall, 1 - clock.busy_seconds() / wall)


def loader_alone(source: Source, threads: int, seconds: float) -> float:
    """Clips per CPU-second of the loader with nobody to hold it back but this loop."""
    with closing(source.batches(threads)) as batches:
        for _ in range(WARM_UP):
            next(batches)
        clips, start, worked = 0, time.perf_counter(), time.process_time()
        while clips == 0 or time.perf_counter() - start < seconds:
            clips += len(next(batches).labels)
        return clips / (time.process_time() - worked)


def required_rows(options: argparse.Namespace, manifest: Path) -> Iterator[dict[str, Any]]:
    """The cores that a loader needs for rates that are given, at this machine's clips per CPU-second."""
    rates = options.required or ()
    wanted = [(f"{rate:g} clips/s", frames, rate) for frames in options.frames for rate in rates]
    wanted += list(_default_rates(options.rates)) if options.rates else []
    lengths = sorted({frames for _, frames, _ in wanted})
    loader = {frames: _loader_rate(options, frames, manifest) for frames in lengths}
    for model, frames, rate in wanted:
        yield {
            "model": model,
            "frames": frames,
            "required_clips_per_s": rate,
            "loader_clips_per_cpu_s": round(loader[frames], 2),
            "loader_cores": round(rate / loader[frames], 2),
        }


def _default_rates(path: Path) -> Iterator[tuple[str, int, float]]:
    """Model, frames and clips per second that a file's steps reach as training runs them."""
    from orchestrator.planning.measurement_files import best_rows

    for row in best_rows(path):
        yield row.model, row.frames, row.clips_per_s


def _loader_rate(options: argparse.Namespace, frames: int, manifest: Path) -> float:
    """Clips per CPU-second of one thread; no model is built."""
    setting = Setting(options.model[0], frames, options.batch, options.crop)
    return loader_alone(Source.of(spec_of(setting, manifest, manifest.parent), pin=False), 1, options.seconds)


if __name__ == "__main__":
    main()
