"""The training step alone, on synthetic clips that are already on the device: how near is it to the limit?

    python -m benchmarks.train_step [--models TAM-ResNet50 …] [--frames 8 32] [--batch N | --largest-batch]
                                    [--variants NAME …] [--kernels N] [--json] [--out [FILE]]

Each row is forward, loss, backward and optimiser step of one model in one variant (`train_step_variants.py`;
the one named `default` is what training does here). `tflops` counts 3 x 2 x MACs a clip; `of_peak` is the
share of the card's bf16 peak; `of_conv_roof` the time that the model's convolutions take alone
(`train_step_roof.py`), over the step's. A variant that fails is a row with `error` on stderr, and the others
go on. `actiongrid plan --rates FILE` reads the rows.

All of it runs on a CPU too, for a test: figures that mean something need a GPU, `of_peak` and `peak_gib` are
null elsewhere, and variants with TF32, cuDNN or CUDA graphs are errors there.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.largest_batch import (
    TrainedModel,
    build_step,
    largest_batch,
    synthetic_clips,
)
from benchmarks.train_step_reference import as_reference
from benchmarks.train_step_roof import roof_seconds, shapes_of, timed
from benchmarks.train_step_variants import VARIANTS, Variant
from orchestrator.planning.measurement_files import models
from orchestrator.planning.rates import gpu_of
from trainables.models.macs import model_cost
from trainables.models.memory_estimate import bare_for_training
from trainables.training.step import TrainingStep

RESULTS = Path(__file__).parent / "results"
FLOPS_A_CLIP = 3 * 2  # a MAC is two; the backward pass takes twice the forward pass
# Clips x frames of the default batch: 32 clips of 8 frames.
DEFAULT_FRAMES = 256
FIGURES = ("clips_per_s", "tflops", "of_peak", "of_conv_roof", "peak_gib")
Row = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What a run measures with. `seconds` is about how long each figure is measured."""

    device: torch.device
    seconds: float
    kernels: int

    @property
    def name(self) -> str:
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return f"CPU {platform.machine()}"

    @property
    def dtype(self) -> torch.dtype:
        """The precision that training takes here, in which the roof is measured."""
        return torch.bfloat16 if self.device.type == "cuda" else torch.float32


def roof(model: TrainedModel, batch: int, bench: Bench) -> float:
    """Seconds of the convolutions of one step alone."""
    bare = bare_for_training(
        model.module, model.backbone, model.temporal_pooling, model.frames, model.num_classes
    )
    clips = torch.empty((batch, 3, model.frames, model.size, model.size), device="meta")
    return roof_seconds(shapes_of(bare, clips), bench.dtype, bench.device, bench.seconds / 10)


def measure(model: TrainedModel, batch: int, variant: Variant, bench: Bench) -> Row:
    """The variant's own figures: clips a second, peak memory, kernels by time."""
    compute = variant.compute(bench.device)
    compute.reset_peak()
    with compute.backends():
        step = build_step(model, variant.recipe, compute, as_reference if variant.reference else None)
        share = synthetic_clips(model, compute, batch)
        seconds = timed(lambda: step.learn([share], batch), bench.device, bench.seconds)
        peak = compute.peak_memory_bytes() / 2**30 if bench.device.type == "cuda" else None
        found: Row = {"clips_per_s": batch / seconds, "peak_gib": peak}
        if bench.kernels:
            found["kernels"] = kernels(step, share, bench)
    return found


def kernels(step: TrainingStep, share: tuple[torch.Tensor, torch.Tensor], bench: Bench) -> list[Row]:
    """The kernels (on a CPU, operators) that take most of three steps, with their share of all."""
    from torch.profiler import ProfilerActivity, profile

    cuda = bench.device.type == "cuda"
    with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as profiler:
        for _ in range(3):
            step.learn([share], len(share[1]))
        if cuda:
            torch.cuda.synchronize(bench.device)
    times = {
        event.key: (event.self_device_time_total if cuda else event.self_cpu_time_total)
        for event in profiler.key_averages()
    }
    whole = sum(times.values()) or 1.0
    longest = sorted(times, key=lambda name: -times[name])[: bench.kernels]
    return [
        {"kernel": name, "ms": round(times[name] / 3000, 3), "share": round(times[name] / whole, 4)}
        for name in longest
    ]


def rows(
    name: str, model: TrainedModel, batch: int, variants: Sequence[Variant], bench: Bench
) -> Iterator[Row]:
    """One row a variant, in the order that was asked for; failed ones carry `error` and no figures."""
    macs = model_cost(
        model.module, model.backbone, model.temporal_pooling, model.frames, model.num_classes, model.size
    ).macs
    card = gpu_of(bench.name)
    alone = roof(model, batch, bench)
    for variant in variants:
        place = {
            "gpu": bench.name,
            "model": name,
            "frames": model.frames,
            "batch": batch,
            "variant": variant.name,
        }
        try:
            found = measure(model, batch, variant, bench)
        except Exception as error:  # out of memory, a compiler's hundred kinds: all are findings
            said = " ".join(str(error).split())[:500]
            yield place | {"error": f"{type(error).__name__}: {said}"}
            continue
        finally:
            clean_up(bench.device)
        tflops = FLOPS_A_CLIP * macs * found["clips_per_s"] / 1e12
        yield place | {
            "clips_per_s": found["clips_per_s"],
            "tflops": tflops,
            "of_peak": None if card is None else tflops / card.peak,
            "of_conv_roof": alone * found["clips_per_s"] / batch,
            **{key: value for key, value in found.items() if key != "clips_per_s"},
        }


def clean_up(device: torch.device) -> None:
    """Forget what the last variant compiled, recorded and allocated."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def all_rows(options: argparse.Namespace, bench: Bench) -> Iterator[Row]:
    chosen = [variant for variant in VARIANTS if not options.variants or variant.name in options.variants]
    for name in options.models:
        module, backbone, pooled = models()[name]
        for frames in options.frames:
            model = TrainedModel(module, backbone, pooled, frames, options.classes, options.size)
            batch = options.batch or max(1, DEFAULT_FRAMES // frames)
            if options.largest_batch:
                default = VARIANTS[0]
                batch = largest_batch(model, default.recipe, default.compute(bench.device))
            yield from rows(name, model, batch, chosen, bench)


def parsed() -> argparse.Namespace:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    several = ["TAM-ResNet50", "TSN-ResNet50", "I3D-ResNet50", "S3D-InceptionV1"]
    parser.add_argument("--models", nargs="+", default=several, choices=list(models()), metavar="MODEL")
    parser.add_argument("--frames", nargs="+", type=int, default=[8, 32])
    parser.add_argument("--batch", type=int, help="clips a step; default: 32 of 8 frames")
    parser.add_argument("--largest-batch", action="store_true", help="the largest that the default trains on")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=400)
    names = [variant.name for variant in VARIANTS]
    parser.add_argument("--variants", nargs="+", choices=names, metavar="NAME", help="; ".join(names))
    parser.add_argument("--seconds", type=float, default=3.0, help="about how long each figure is measured")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--kernels", type=int, default=0, metavar="N", help="and the N longest kernels")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--out", nargs="?", const="", metavar="FILE", help="default: results/GPU.json here")
    return parser.parse_args()


def table(found: Sequence[Row]) -> str:
    def shown(value: object) -> str:
        return f"{value:.3g}" if isinstance(value, float) else "-" if value is None else str(value)

    columns = ("model", "frames", "batch", "variant", *FIGURES)
    lines = [columns, *([shown(row[column]) for column in columns] for row in found)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    padded = ([text.ljust(width) for text, width in zip(line, widths, strict=True)] for line in lines)
    return "\n".join("  ".join(line).rstrip() for line in padded)


def main() -> None:
    options = parsed()
    bench = Bench(torch.device(options.device), options.seconds, options.kernels)
    found: list[Row] = []
    for row in all_rows(options, bench):
        if "error" in row:
            print(json.dumps(row), file=sys.stderr, flush=True)
        else:
            found.append(row)
    print(json.dumps(found, indent=1) if options.json else table(found))
    if options.out is not None and found:
        slug = re.sub(r"[^a-z0-9]+", "-", bench.name.lower()).strip("-")
        path = Path(options.out) if options.out else RESULTS / f"{slug}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1) + "\n")
    sys.exit(not found)


if __name__ == "__main__":
    main()
