"""How fast cells train: measured where something like them has run, assumed elsewhere (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from orchestrator.planning.gpus import SHARE_OF_PEAK, Gpu

Place = tuple[str | int | bool, ...]

ASSUMED = "assumed"
# In the order of `_places`.
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
        for basis, place in zip(BASES, _places(cell), strict=True):
            if place in self._measured:
                return Rate(self._measured[place], measured=True, basis=basis)
        return Rate(self.gpu.assumed_tflops, measured=False)

    @cached_property
    def _measured(self) -> Mapping[Place, float]:
        """TFLOP/s by place, over all the samples that belong there."""
        work: dict[Place, tuple[float, float]] = {}
        for sample in self.samples:
            for place in _places(sample):
                flops, seconds = work.get(place, (0.0, 0.0))
                work[place] = flops + sample.flops, seconds + sample.seconds
        return {place: flops / seconds / 1e12 for place, (flops, seconds) in work.items()}


def _places(one: Modelled) -> tuple[Place, ...]:
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
