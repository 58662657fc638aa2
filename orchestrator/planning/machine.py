"""What this machine has, and what a study's cells ask for beyond it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from catalog.storage.errors import BAD_INPUT, ActionGridError
from orchestrator.study.model import Resources


class MachineTooSmallError(ActionGridError):
    """No cell of a study fits the machine that is to run it."""

    exit_code = BAD_INPUT


@dataclass(frozen=True)
class Machine:
    """CPUs and GPUs that a local Ray would have."""

    cpus: int
    gpus: int


@dataclass(frozen=True)
class Shortage:
    """`cells` cells ask for `needed` of a `unit` (`GPU`, `CPU`) at once, of which a machine has `there`."""

    unit: str
    needed: float
    there: int
    cells: int

    def __str__(self) -> str:
        needed = f"{self.needed:g} {self.unit}{'' if self.needed == 1 else 's'}"
        return f"needs {needed}, this machine has {self.there or 'none'}"


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus_here() -> int:
    """GPUs that CUDA shows this process (imports torch)."""
    import torch

    return torch.cuda.device_count()


def this_machine(asked: Iterable[Resources], cpus: int | None = None, gpus: int | None = None) -> Machine:
    """This machine, as a local Ray of `cpus` and `gpus` sees it; GPUs are only looked for where asked for."""
    if gpus is None:
        gpus = gpus_here() if any(one.gpus for one in asked) else 0
    return Machine(cores() if cpus is None else cpus, gpus)


def shortages(asked: Iterable[Resources], machine: Machine) -> tuple[Shortage, ...]:
    """What cells ask for and the machine does not have, the most cells first."""
    found: Counter[tuple[str, float, int]] = Counter()
    for one in asked:
        if one.gpus > machine.gpus:
            found["GPU", one.gpus, machine.gpus] += 1
        elif one.cpus > machine.cpus:
            found["CPU", one.cpus, machine.cpus] += 1
    return tuple(Shortage(*kind, cells) for kind, cells in found.most_common())


def require_room(asked: Iterable[Resources], machine: Machine) -> None:
    """Refuse a study of which this machine can run nothing.

    Raises:
        MachineTooSmallError: no cell fits.
    """
    cells = tuple(asked)
    lacking = shortages(cells, machine)
    if cells and sum(one.cells for one in lacking) == len(cells):
        raise MachineTooSmallError(
            f"the study {lacking[0]}",
            "resources",
            "lower the study's resources, or give --address of a cluster",
        )
