"""Which rates a plan is reckoned with: a file's, those measured here, or assumed ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from orchestrator.planning.cost import START_UP_SECONDS
from orchestrator.planning.gpus import CPU_CORE, DEFAULT_GPU, Gpu, UnknownGpuError, gpu_named, gpu_of
from orchestrator.planning.measured_rates import Measured, devices
from orchestrator.planning.rates import Rates, Sample, busiest_device, mean_device
from orchestrator.planning.rates_file import RatesError, one_device, read_rates


def choose_rates(
    measured: Measured, *, on_gpus: bool, gpu: str | None = None, file: Path | None = None
) -> Rates:
    """The rates to reckon with: of `file` where given, else measured here on such a device, else assumed.

    Args:
        measured: what the storage's finished cells tell.
        on_gpus: whether the study's cells hold GPUs.
        gpu: a GPU's name (`orchestrator.planning.gpus.GPUS`); default: the one most cells ran on,
            else an A100.
        file: measured rates; only those of `gpu`, where one is named.

    Raises:
        UnknownGpuError: `gpu` is unknown, or the study's cells hold none.
        RatesError: the file is unusable, or has nothing measured on `gpu`.
    """
    wanted = None if gpu is None else gpu_named(gpu)
    if not on_gpus and (wanted or file):
        raise UnknownGpuError(
            "the study's cells hold no GPU; --gpu or --rates; set resources.default.gpus_per_worker"
        )
    if file is not None:
        return _from_file(read_rates(file), wanted, file)
    found = devices(measured.samples, gpus=on_gpus)
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
            raise RatesError(f"no rates of {wanted.name}; {file}; it has {there}")
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
