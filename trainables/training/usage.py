"""What an epoch used: the wait for clips, processor time, memory, the GPU; and the length of the gradient."""

from __future__ import annotations

import math
import resource
import time
from contextlib import closing
from typing import TYPE_CHECKING, ClassVar

import torch
from torch.nn.utils import get_total_norm

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from torch import nn

    from trainables.data.clips.ring import Batch


class EpochUsage:
    """Counts over one epoch of one worker; every `LOOK_STEPS`-th step is looked at, the first one too.

    Nothing in it waits for the device.
    """

    LOOK_STEPS: ClassVar[int] = 16

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._waited = 0.0
        self._began = time.process_time()
        self._steps = 0
        self._norms: list[torch.Tensor] = []
        self._busy: list[float] = []

    def waiting(self, batches: Generator[Batch, None, None]) -> Generator[Batch, None, None]:
        """Yield the batches of a loader; the time until each is there counts as waiting for it."""
        with closing(batches):
            while True:
                began = time.perf_counter()
                batch = next(batches, None)
                self._waited += time.perf_counter() - began
                if batch is None:
                    return
                yield batch

    def look(self, network: nn.Module) -> None:
        """Look at the gradient that a step has used, and at the GPU; to be called after each step."""
        self._steps += 1
        if self._steps % self.LOOK_STEPS != 1:
            return
        gradients = [one.grad for one in network.parameters() if one.grad is not None]
        self._norms.append(get_total_norm(gradients))
        busy = gpu_percent(self._device)
        self._busy += [] if busy is None else [busy]

    def counts(self) -> torch.Tensor:
        """What this worker used, (6,) float64 on its device: to be summed over workers, for `usage_of`."""
        used = time.process_time() - self._began
        resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        own = [self._waited, used, resident, sum(self._busy), len(self._busy), math.nan]
        counts = torch.tensor(own, dtype=torch.float64, device=self._device)
        if self._norms:
            counts[-1] = torch.stack(self._norms).mean(dtype=torch.float64)
        return counts


def usage_of(counts: Sequence[float], world: int) -> dict[str, float]:
    """Return what `world` workers used, by the names of `EpochFinished`; nothing of what nobody can tell.

    `counts` is the sum of theirs. `wait_seconds` (a worker's mean) and `cpu_seconds` (all together) are of
    the training part, `resident_bytes` is the greatest size of all processes so far, `gpu_percent` the mean
    of the GPUs. `grad_norm` is the mean L2 norm of the gradient that the optimiser saw (after
    `recipe.clip_norm`).
    """
    waited, cpu, memory, busy, looks, norm = counts
    return {
        "wait_seconds": round(waited / world, 3),
        "cpu_seconds": round(cpu, 3),
        "resident_bytes": memory,
        **({"gpu_percent": round(busy / looks, 1)} if looks else {}),
        **({"grad_norm": float(f"{norm / world:.6g}")} if math.isfinite(norm) else {}),
    }


def gpu_percent(device: torch.device) -> float | None:
    """How busy a GPU was in the last moments (percent, by NVML); None where nobody can tell."""
    if device.type != "cuda":
        return None
    try:
        return float(torch.cuda.utilization(device))
    except Exception:  # whatever NVML or its library lacks: a measurement never ends a cell
        return None
