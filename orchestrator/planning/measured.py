"""What a storage's finished cells tell of its machines, and which rates a plan is reckoned with."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from catalog.queries.planner import finished_memory, finished_times
from orchestrator.planning.cost import START_UP_SECONDS, evaluation_flops, training_flops
from orchestrator.planning.gpu_share import CardMemory, allowed_bytes
from orchestrator.planning.measurement_files import RatesError, chosen_packing, one_device, read_rates
from orchestrator.planning.rates import (
    CPU_CORE,
    DEFAULT_GPU,
    Gpu,
    Rates,
    Sample,
    UnknownGpuError,
    busiest_device,
    gpu_named,
    gpu_of,
    mean_device,
)

if TYPE_CHECKING:
    from catalog import Catalog


@dataclass(frozen=True)
class Measured:
    """What the finished cells of a storage tell of its machines; `start_up_seconds` by device."""

    samples: tuple[Sample, ...]
    start_up_seconds: Mapping[str, float]


def measured_rates(catalog: Catalog) -> Measured:
    """The rates of all finished cells, and what they took beside training and evaluation (median)."""
    samples: list[Sample] = []
    beside: dict[str, list[float]] = {}
    worked = lru_cache(maxsize=None)(_work)  # seeds of a cell differ in their seconds alone
    for row in finished_times(catalog).to_pylist():
        found = _sample(row, worked(*(row[name] for name in _OF_WORK)))
        if found is None:
            continue
        samples.append(found)
        if row["whole"] is not None:
            rest = row["whole"] - row["train_seconds"] - row["eval_seconds"]
            beside.setdefault(found.device, []).append(max(rest, 0.0))
    return Measured(tuple(samples), {device: median(seconds) for device, seconds in beside.items()})


_COUNTS = ("macs", "epochs", "train_videos", "eval_videos", "choose_videos")
_OF_WORK = ("config", "hardware", *_COUNTS)


def _work(config: str, hardware: str, *counts: int | None) -> tuple[object, float, float]:
    """The device, the units that the cell held of it, and its FLOPs; `config` and `hardware` are JSON."""
    configured, used = json.loads(config), json.loads(hardware)
    resources = configured.get("resources", {})
    units = units_of(
        used.get("workers", 1), resources.get("cpus_per_worker", 1), resources.get("gpus_per_worker", 0)
    )
    flops = recorded_flops(dict(zip(_COUNTS, counts, strict=True)), configured)
    return used.get("device"), units, float(flops)


def _sample(row: Mapping[str, Any], work: tuple[object, float, float]) -> Sample | None:
    """A finished cell's rate, or None where its record lacks what it takes.

    The seconds count once for each GPU (or CPU core) that the cell held; a share of a GPU counts as that.
    """
    (device, units, flops), seconds = work, row["train_seconds"] + row["eval_seconds"]
    if not isinstance(device, str) or seconds <= 0 or flops <= 0:
        return None
    model = (row["module"], row["backbone"], row["temporal_pooling"], row["frames"])
    return Sample(device, *model, flops, seconds * units)


def units_of(workers: int, cpus_per_worker: int, gpus_per_worker: float) -> float:
    """GPUs that a cell holds, or CPU cores where it holds no GPU."""
    return workers * (gpus_per_worker or cpus_per_worker)


def recorded_flops(sizes: Mapping[str, Any], config: Mapping[str, Any]) -> float:
    """FLOPs of a cell from its `epochs`, `macs`, counts of videos and its configuration.

    `train_videos`, `eval_videos` and, where some were held out to choose epochs on, `choose_videos`.
    """
    recipe, evaluation = config.get("recipe", {}), config.get("evaluation", {})
    trained = training_flops(sizes["macs"], sizes["train_videos"], sizes["epochs"])
    views = evaluation.get("clips", 1) * evaluation.get("crops", 1)
    # Convolutions' work grows with the picture's area, near enough.
    area: float = (evaluation.get("crop_size", 224) / recipe.get("crop_size", 224)) ** 2
    videos = sizes["eval_videos"] + (sizes.get("choose_videos") or 0)
    return trained + area * evaluation_flops(sizes["macs"], videos, sizes["epochs"], views)


def samples_of_kind(samples: Sequence[Sample], *, gpus: bool) -> tuple[Sample, ...]:
    """The samples of GPUs, or those of CPUs."""
    return tuple(sample for sample in samples if sample.device.upper().startswith("CPU") is not gpus)


def cards_and_packing(catalog: Catalog, storage: Path, packing: Path | None = None) -> CardMemory:
    """What the finished cells of a storage tell of its GPUs, with what was measured side by side.

    Raises:
        RatesError: the file of measurements cannot be used (`orchestrator.planning.measurement_files`).
    """
    return replace(card_memory(catalog), packing=chosen_packing(storage, packing))


def card_memory(catalog: Catalog) -> CardMemory:
    """The smallest card that a cell has run on, and the largest ratio of a peak to its estimate.

    Both on the safe side: too large a share costs time, too small a one an attempt. A cell whose batch was
    summed in parts says nothing of its estimate.
    """
    rows = _rows(catalog)
    cards = [row["card"] for row in rows if row["card"]]
    whole = [row for row in rows if row["estimated"] and row["accumulation"] in (None, 1)]
    ratios = [row["peak"] / row["estimated"] for row in whole]
    return CardMemory(min(cards, default=None), max(ratios, default=1.0))


def overshoots(catalog: Catalog, names: Collection[str]) -> list[str]:
    """A warning for each of these cells that took more of its GPU's memory than its share."""
    return [
        f"{row['cell']} took {row['peak'] / 1e9:.2f} GB of a GPU's {row['card'] / 1e9:.2f} GB, its share was "
        f"{row['gpus']:g}; resources; where shares are auto, larger ones are planned from now on"
        for row in _rows(catalog)
        if row["cell"] in names
        and row["card"]
        and row["gpus"]
        and row["gpus"] < 1
        and row["peak"] > allowed_bytes(row["gpus"], row["card"])
    ]


def _rows(catalog: Catalog) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = finished_memory(catalog).to_pylist()
    return rows


def choose_rates(
    measured: Measured, *, on_gpus: bool, gpu: str | None = None, file: Path | None = None
) -> Rates:
    """The rates to reckon with: of `file` where given, else measured here on such a device, else assumed.

    Args:
        measured: what the storage's finished cells tell.
        on_gpus: whether the study's cells hold GPUs.
        gpu: a GPU's name (`orchestrator.planning.rates.GPUS`); default: the one most cells ran on,
            else an A100.
        file: measured rates; only those of `gpu`, where one is named.

    Raises:
        UnknownGpuError: `gpu` is unknown, or the study's cells hold none.
        RatesError: the file is unusable, or has nothing measured on `gpu`.
    """
    wanted = None if gpu is None else gpu_named(gpu)
    if not on_gpus and (wanted or file):
        raise UnknownGpuError(
            "the study's cells hold no GPU", "--gpu or --rates", "set resources.default.gpus_per_worker"
        )
    if file is not None:
        return _from_file(read_rates(file), wanted, file)
    found = samples_of_kind(measured.samples, gpus=on_gpus)
    if wanted is not None:
        found = _of_gpu(found, wanted)
    device = busiest_device(found)
    if device is None:
        assumed = wanted or (DEFAULT_GPU if on_gpus else CPU_CORE)
        return Rates(assumed, (), _assumption(assumed), START_UP_SECONDS)
    own = tuple(sample for sample in found if sample.device == device)
    start_up = measured.start_up_seconds.get(device, START_UP_SECONDS)
    origin = f"measured on {device}: {len(own)} finished cell{'s' if len(own) > 1 else ''} here"
    return Rates(wanted or _device(device, own), own, origin, start_up)


def _from_file(samples: tuple[Sample, ...], wanted: Gpu | None, file: Path) -> Rates:
    if wanted is not None:
        own = _of_gpu(samples, wanted)
        if not own:
            there = ", ".join(sorted({sample.device for sample in samples}))
            raise RatesError(f"no rates of {wanted.name}", file, f"it has {there}")
        return Rates(wanted, own, f"{file.name}, measured on {own[0].device}", START_UP_SECONDS)
    device = one_device(samples, file)
    return Rates(_device(device, samples), samples, f"{file.name}, measured on {device}", START_UP_SECONDS)


def _of_gpu(samples: Sequence[Sample], wanted: Gpu) -> tuple[Sample, ...]:
    return tuple(sample for sample in samples if gpu_of(sample.device) == wanted)


def _device(name: str, samples: Sequence[Sample]) -> Gpu:
    """The device of this name; one that no figure is known for runs other models as it ran those measured."""
    known = gpu_of(name)
    return mean_device(name, samples) if known is None else known


def _assumption(gpu: Gpu) -> str:
    what = "one CPU core" if gpu is CPU_CORE else gpu.name
    return f"assumed: {gpu.assumed_tflops:.3g} TFLOP/s on {what}; nothing measured here yet"
