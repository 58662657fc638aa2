"""Where and in which precision a worker computes, and how a batch of bytes becomes the model's input."""

from __future__ import annotations

import contextlib
import resource
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from trainables.data.clips.resample import views_by_products, views_one_by_one
from trainables.models.registry import backbone_info
from trainables.recipe.switches import PLAIN, Machine, Switches, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainables.data.clips.ring import Batch
    from trainables.models.video_model import VideoModel
    from trainables.recipe.cell_spec import Recipe


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation of RGB in [0, 1] (docs/protocol.md §1)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, backbone: str) -> Normalisation:
        """The statistics that `backbone` was pretrained with."""
        info = backbone_info(backbone)
        return cls(tuple(info.input_mean), tuple(info.input_std))


@dataclass(frozen=True)
class Compute:
    """Device, autocast and switches of one worker. bf16 is used on GPUs only, unless asked for."""

    device: torch.device
    bf16: bool
    switches: Switches = PLAIN

    @classmethod
    def choose(cls, recipe: Recipe, local_rank: int) -> Compute:
        """CUDA device `local_rank` if there is one, else the CPU; `precision: auto` means bf16 on CUDA."""
        if not torch.cuda.is_available():
            switches = resolve(recipe.speed, recipe.precision, Machine(cuda=False))
            return cls(torch.device("cpu"), recipe.precision == "bf16", switches)
        device = torch.device("cuda", local_rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
        switches = resolve(recipe.speed, recipe.precision, Machine(True, _can_compile(device)))
        return cls(device, recipe.precision in ("auto", "bf16"), switches)

    def place(self, model: VideoModel) -> VideoModel:
        """Move `model` here with channels-last weights: quicker on GPUs, and 1.1 to 1.8 times so on a CPU."""
        if self.switches.channels_last:
            model = model.to(memory_format=model.memory_format)
        return model.to(self.device)

    @contextlib.contextmanager
    def backends(self) -> Iterator[None]:
        """Have cuDNN and cuBLAS as the switches want them, and afterwards as they were."""
        from torch.backends import cuda, cudnn

        if not self.switches.cudnn_benchmark and self.switches.fp32 == "as is":
            yield
            return
        before = cudnn.benchmark, cudnn.allow_tf32, cuda.matmul.allow_tf32
        cudnn.benchmark = self.switches.cudnn_benchmark
        if self.switches.fp32 != "as is":
            # One pair of the older names: the newer ones cannot be read by the older afterwards.
            cudnn.allow_tf32 = cuda.matmul.allow_tf32 = self.switches.fp32 == "tf32"
        try:
            yield
        finally:
            cudnn.benchmark, cudnn.allow_tf32, cuda.matmul.allow_tf32 = before

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """bf16 autocast where chosen, nothing elsewhere."""
        if not self.bf16:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def inputs(self, batch: Batch, norm: Normalisation) -> torch.Tensor:
        """All views of a batch, (N * V, 3, T, S, S), resized and normalised on the device.

        An accelerator works on the rectangles of bytes that were copied to it, in the autocast dtype.
        """
        if self.device.type == "cpu":
            views = views_one_by_one(batch.pixels, batch.cuts, batch.size)
        else:
            # `trainables.training.execution.upload` has brought them; for those that it has not, the host
            # waits here.
            pixels = batch.pixels.to(self.device)
            dtype = torch.bfloat16 if self.bf16 else torch.float32
            views = views_by_products(pixels, batch.cuts, batch.size, dtype)
        return self.normalise(views.flatten(0, 1), norm)

    def normalise(self, clips: torch.Tensor, norm: Normalisation) -> torch.Tensor:
        """Clips (N, 3, T, H, W) of grey levels 0 to 255 → normalised, on the device; bytes become float32."""
        on_device = clips.to(self.device, non_blocking=True)
        scale, shift = _constants(norm, self.device)
        floats = on_device if on_device.is_floating_point() else on_device.float()
        return floats.div_(scale).sub_(shift)

    def reset_peak(self) -> None:
        """Start measuring peak memory afresh (CUDA only; a process's resident peak cannot be reset)."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory_bytes(self) -> int:
        """Peak allocated CUDA memory, or the process's peak resident size on a CPU."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@lru_cache(maxsize=8)
def _constants(norm: Normalisation, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Divisor and subtrahend of grey levels, (1, 3, 1, 1, 1), uploaded once for a process."""
    shape = (1, 3, 1, 1, 1)
    with torch.inference_mode(False):
        scale = torch.tensor([255.0 * s for s in norm.std], device=device)
        shift = torch.tensor([m / s for m, s in zip(norm.mean, norm.std, strict=True)], device=device)
    return scale.view(shape), shift.view(shape)


def _can_compile(device: torch.device) -> bool:
    """Whether torch's compiler has what it needs here: Triton, and a card that it knows (Volta or newer)."""
    return find_spec("triton") is not None and torch.cuda.get_device_capability(device) >= (7, 0)
