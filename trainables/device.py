"""Where and in which precision a worker computes, and how a batch of bytes becomes the model's input."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from trainables.recipe import Recipe


@dataclass(frozen=True)
class Compute:
    """Device and autocast of one worker. bf16 and channels-last are used on GPUs only."""

    device: torch.device
    bf16: bool

    @classmethod
    def choose(cls, recipe: Recipe, local_rank: int) -> Compute:
        """CUDA device `local_rank` if there is one, else the CPU; `precision: auto` means bf16 on CUDA."""
        if not torch.cuda.is_available():
            return cls(torch.device("cpu"), bf16=recipe.precision == "bf16")
        device = torch.device("cuda", local_rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
        return cls(device, bf16=recipe.precision != "fp32")

    def place(self, model: nn.Module) -> nn.Module:
        """Move `model` here, convolution weights in channels-last on CUDA."""
        if self.device.type == "cuda":
            # Each call touches only weights of its own rank (4-D and 5-D), so both are right for any module.
            model = model.to(memory_format=torch.channels_last)
            model = model.to(memory_format=torch.channels_last_3d)
        return model.to(self.device)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """bf16 autocast where chosen, nothing elsewhere."""
        if not self.bf16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def normalise(
        self, clips: torch.Tensor, mean: Sequence[float], std: Sequence[float], layout_3d: bool = True
    ) -> torch.Tensor:
        """uint8 clips (N, 3, T, H, W) → normalised float32 on the device (section 1: RGB in [0, 1])."""
        on_device = clips.to(self.device, non_blocking=True)
        shape = (1, 3, 1, 1, 1)
        scale = torch.tensor([255.0 * s for s in std], device=self.device).view(shape)
        shift = torch.tensor([m / s for m, s in zip(mean, std, strict=True)], device=self.device).view(shape)
        result = on_device.float().div_(scale).sub_(shift)
        if layout_3d and self.device.type == "cuda":
            result = result.contiguous(memory_format=torch.channels_last_3d)
        return result

    def reset_peak(self) -> None:
        """Start measuring peak memory afresh (CUDA only; a process's resident peak cannot be reset)."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory_bytes(self) -> int:
        """Peak allocated CUDA memory, or the process's peak resident size on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
