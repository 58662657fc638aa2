"""How fast cells train: measured where something like them has run, assumed from the GPU elsewhere (pure).

Assumption: every card reaches the same share of its dense half-precision peak as the A100s of the study's
bill did (64 of 312 TFLOP/s: data loading, start-up and evaluation included). Bandwidth does not grow as peaks
do, so the newest cards are flattered, and so are those before Ampere, which have no bf16 units. Any finished
cell, or a file of measured rates, replaces these figures.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Protocol

from catalog.storage.errors import BAD_INPUT, ActionGridError

# Achieved on the study's GPUs according to its own bill (docs/decisions.md: 608 EFLOP in 2,640 GPU-hours).
ASSUMED_TFLOPS = 64.0
A100_PEAK = 312.0
SHARE_OF_PEAK = ASSUMED_TFLOPS / A100_PEAK


class UnknownGpuError(ActionGridError):
    """A GPU was named that no figure is known for."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class Gpu:
    """A device. `peak` is in dense TFLOP/s; `mark` is how CUDA's device names contain it."""

    name: str
    peak: float
    mark: str

    @property
    def assumed_tflops(self) -> float:
        """What a cell is assumed to achieve on one of them, in TFLOP/s."""
        return self.peak * SHARE_OF_PEAK


# Peaks: NVIDIA's data sheets, matrix units in bf16 (fp16 before Ampere) with fp32 sums, without sparsity.
_GPUS = (
    Gpu("b200", 2250.0, "B200"),
    Gpu("h200", 989.0, "H200"),
    Gpu("h100-pcie", 756.0, "H100 PCIE"),
    Gpu("h100", 989.0, "H100"),
    Gpu("a100", A100_PEAK, "A100"),
    Gpu("l40s", 362.0, "L40S"),
    Gpu("l4", 121.0, "L4"),
    Gpu("a10g", 70.0, "A10G"),
    Gpu("a10", 125.0, "A10"),
    Gpu("a40", 150.0, "A40"),
    Gpu("a6000", 155.0, "A6000"),
    Gpu("rtx-4090", 165.0, "RTX 4090"),
    Gpu("rtx-3090", 71.0, "RTX 3090"),
    Gpu("v100", 125.0, "V100"),
    Gpu("t4", 65.0, "T4"),
)
GPUS: Mapping[str, Gpu] = MappingProxyType({gpu.name: gpu for gpu in _GPUS})

DEFAULT_GPU = GPUS["a100"]
# One core with 256-bit vectors at 3 GHz peaks at about 0.1 TFLOP/s in fp32.
CPU_CORE = Gpu("cpu", 0.1, "CPU")


def gpu_named(name: str) -> Gpu:
    """The GPU of this name.

    Raises:
        UnknownGpuError: there is none; names those that are known.
    """
    found = GPUS.get(name.lower())
    if found is not None:
        return found
    close = difflib.get_close_matches(name.lower(), GPUS, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise UnknownGpuError(f"unknown GPU '{name}'{hint}", "--gpu", f"known: {', '.join(GPUS)}")


def gpu_of(device: str) -> Gpu | None:
    """The GPU that a CUDA device name such as `NVIDIA A100-SXM4-80GB` means, if it is known.

    The first mark found counts, so longer names stand before those that they contain.
    """
    words = device.upper().replace("-", " ").replace("_", " ")
    padded = f" {words} "
    return next((gpu for gpu in _GPUS if f" {gpu.mark} " in padded), None)


Likeness = tuple[str | int | bool, ...]

ASSUMED = "assumed"
# In the order of `_likenesses`.
BASES = ("this cell", "its length", "its model", "its backbone")


class Modelled(Protocol):
    """What of a cell decides how fast it trains; `orchestrator.study.cells.Cell` has it."""

    @property
    def module(self) -> str:
        """The spatio-temporal module."""

    @property
    def backbone(self) -> str:
        """The backbone."""

    @property
    def temporal_pooling(self) -> bool:
        """Whether features are pooled over time."""

    @property
    def frames(self) -> int:
        """Frames of a clip."""


@dataclass(frozen=True)
class Sample:
    """One measurement: `flops` took `seconds` of one unit (a GPU; a core, where no GPU was used).

    `device` is the hardware's own name.
    """

    device: str
    module: str
    backbone: str
    temporal_pooling: bool
    frames: int
    flops: float
    seconds: float


@dataclass(frozen=True)
class Rate:
    """What one unit achieves for a cell, in TFLOP/s. `measured` tells it from an assumption.

    `basis` says what was measured: this cell, or others of its length, its model or its backbone.
    """

    tflops: float
    measured: bool
    basis: str = ASSUMED


@dataclass(frozen=True)
class Rates:
    """The rates of one kind of device, whose figure is `gpu`'s where nothing of the kind was measured.

    `origin` says in words where the measurements come from. `start_up_seconds` is what a cell takes beside
    its training and evaluation.
    """

    gpu: Gpu
    samples: tuple[Sample, ...]
    origin: str
    start_up_seconds: float

    def of(self, cell: Modelled) -> Rate:
        """The rate of the measured cells that are most like this one.

        The same cell, else the same module and backbone, else the same backbone. A model on another backbone
        says nothing: rates of large and toy models are a thousandfold apart.
        """
        for basis, likeness in zip(BASES, _likenesses(cell), strict=True):
            if likeness in self._measured:
                return Rate(self._measured[likeness], measured=True, basis=basis)
        return Rate(self.gpu.assumed_tflops, measured=False)

    @cached_property
    def _measured(self) -> Mapping[Likeness, float]:
        """TFLOP/s by likeness, over all the samples that have it."""
        work: dict[Likeness, tuple[float, float]] = {}
        for sample in self.samples:
            for likeness in _likenesses(sample):
                flops, seconds = work.get(likeness, (0.0, 0.0))
                work[likeness] = flops + sample.flops, seconds + sample.seconds
        return {likeness: flops / seconds / 1e12 for likeness, (flops, seconds) in work.items()}


def _likenesses(one: Modelled) -> tuple[Likeness, ...]:
    """What a rate can be known of, from this very cell to its backbone."""
    return (
        (one.backbone, one.module, one.frames, one.temporal_pooling),
        (one.backbone, one.module, one.frames),
        (one.backbone, one.module),
        (one.backbone,),
    )


def busiest_device(samples: Sequence[Sample]) -> str | None:
    """The device that most of the measured time was spent on."""
    seconds: dict[str, float] = {}
    for sample in samples:
        seconds[sample.device] = seconds.get(sample.device, 0.0) + sample.seconds
    return max(seconds, key=lambda device: seconds[device]) if seconds else None


def mean_device(name: str, samples: Sequence[Sample]) -> Gpu:
    """A device that achieves for any model what it achieved for those measured."""
    mean = sum(one.flops for one in samples) / sum(one.seconds for one in samples) / 1e12
    return Gpu(name, mean / SHARE_OF_PEAK, name)
