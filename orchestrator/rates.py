"""How fast cells train: measured where something like them has run, assumed elsewhere (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from orchestrator.gpus import Gpu


class Modelled(Protocol):
    """What of a cell decides how fast it trains; `orchestrator.cell.Cell` has it."""

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
    """What one unit achieves for a cell, in TFLOP/s. `measured` tells it from an assumption."""

    tflops: float
    measured: bool


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
        for level in _levels(cell):
            found = [sample for sample in self.samples if level.items() <= _axes(sample).items()]
            if found:
                return Rate(_tflops(found), measured=True)
        return Rate(self.gpu.assumed_tflops, measured=False)


def _levels(cell: Modelled) -> Iterator[Mapping[str, Any]]:
    axes = _axes(cell)
    for names in (tuple(axes), ("module", "backbone", "frames"), ("module", "backbone"), ("backbone",)):
        yield {name: axes[name] for name in names}


def _axes(one: Modelled) -> dict[str, Any]:
    return {
        "module": one.module,
        "backbone": one.backbone,
        "temporal_pooling": one.temporal_pooling,
        "frames": one.frames,
    }


def _tflops(samples: Iterable[Sample]) -> float:
    chosen = tuple(samples)
    return sum(one.flops for one in chosen) / sum(one.seconds for one in chosen) / 1e12


def busiest_device(samples: Sequence[Sample]) -> str | None:
    """The device that most of the measured time was spent on."""
    seconds: dict[str, float] = {}
    for sample in samples:
        seconds[sample.device] = seconds.get(sample.device, 0.0) + sample.seconds
    return max(seconds, key=lambda device: seconds[device]) if seconds else None
