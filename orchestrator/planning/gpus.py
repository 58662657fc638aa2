"""What common GPUs are assumed to achieve before anything was measured on them.

Assumption: every card reaches the same share of its dense half-precision peak as the A100s of the study's
bill did (64 of 312 TFLOP/s: data loading, start-up and evaluation included). Bandwidth does not grow as peaks
do, so the newest cards are flattered, and so are those before Ampere, which have no bf16 units. Any finished
cell, or a file of measured rates, replaces these figures.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from orchestrator.planning.cost import ASSUMED_TFLOPS

A100_PEAK = 312.0
SHARE_OF_PEAK = ASSUMED_TFLOPS / A100_PEAK


class UnknownGpuError(ValueError):
    """A GPU was named that no figure is known for."""


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
    raise UnknownGpuError(f"unknown GPU '{name}'{hint}; --gpu; known: {', '.join(GPUS)}")


def gpu_of(device: str) -> Gpu | None:
    """The GPU that a CUDA device name such as `NVIDIA A100-SXM4-80GB` means, if it is known.

    The first mark found counts, so longer names stand before those that they contain.
    """
    words = device.upper().replace("-", " ").replace("_", " ")
    padded = f" {words} "
    return next((gpu for gpu in _GPUS if f" {gpu.mark} " in padded), None)
