"""Where and in which precision a worker computes, how bytes become the model's input, and lack of memory.

A worker that runs out of memory says so, with figures, in one line that every caller can tell apart.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from catalog.storage.errors import ActionGridError, FailureKind
from trainables.data.clips.rand_augment import with_operations
from trainables.data.clips.resample import views_by_products, views_one_by_one
from trainables.models.registry import input_statistics
from trainables.recipe.switches import PLAIN, Machine, Switches, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trainables.data.clips.ring import Batch
    from trainables.models.video_model import VideoModel
    from trainables.recipe.cell_spec import CellSpec, Recipe


Forward = Callable[[torch.Tensor], torch.Tensor]
"""Clips (N, 3, T, H, W), normalised, on the device → logits (N, K)."""


@dataclass(frozen=True)
class Normalisation:
    """Per-channel mean and standard deviation of RGB in [0, 1] (docs/protocol.md §1)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(cls, module: str, backbone: str) -> Normalisation:
        """The statistics that weights of this network are, or would be, pretrained with."""
        return cls(*input_statistics(module, backbone))


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

    def in_numbers(self) -> dict[str, float]:
        """What an epoch's row says of device and precision: 1 where it was a `gpu`, `bf16`, `tf32`."""
        tf32 = self.switches.fp32 == "tf32"
        return {"gpu": float(self.device.type == "cuda"), "bf16": float(self.bf16), "tf32": float(tf32)}

    def place(self, model: VideoModel) -> VideoModel:
        """Move `model` here with channels-last weights: quicker on GPUs, and 1.1 to 1.8 times so on a CPU."""
        if self.switches.channels_last:
            model = model.to(memory_format=model.memory_format)
        return model.to(self.device)

    @contextmanager
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

    def autocast(self) -> AbstractContextManager[object]:
        """bf16 autocast where chosen, nothing elsewhere."""
        if not self.bf16:
            return nullcontext()
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
        views = with_operations(views, batch.cuts)
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


# Not all of torch's allocators raise OutOfMemoryError: the CPU's and cuBLAS's raise a plain RuntimeError, and
# oneDNN, which a CPU convolves with, has no other word for it than the last one.
_SIGNS = (
    "can't allocate memory",
    "out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "Cannot allocate memory",
    "could not create a primitive",
)


class CellMemoryError(ActionGridError):
    """The cell does not fit into its memory with this many clips at a time."""

    failure_kind = FailureKind.MEMORY


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, on the GPU or the machine, could not be had."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, (RuntimeError, OSError)) and any(sign in str(error) for sign in _SIGNS)


@contextmanager
def memory_figures_in_errors(spec: CellSpec, compute: Compute) -> Iterator[None]:
    """Run a part of a cell.

    Raises:
        CellMemoryError: in place of whatever says that there is no memory left.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise _with_figures(spec, compute, error) from error


def clips_at_a_time(spec: CellSpec) -> int:
    """The largest number of clips in one forward pass of one worker."""
    share = -(-spec.recipe.batch_size // spec.workers)
    return -(-share // min(share, spec.recipe.accumulate * spec.accumulation))


def _with_figures(spec: CellSpec, compute: Compute, error: Exception) -> CellMemoryError:
    used = f"peak {compute.peak_memory_bytes() / 1e9:.2f} GB"
    if compute.device.type == "cuda":
        free, whole = torch.cuda.mem_get_info(compute.device)
        card = torch.cuda.get_device_name(compute.device)
        used += f" in torch, {free / 1e9:.2f} of {whole / 1e9:.2f} GB free on {card}"
    said = " ".join(str(error).split()) or type(error).__name__
    return CellMemoryError(
        f"out of memory with {clips_at_a_time(spec)} clips of {spec.frames} frames at a time, accumulation "
        f"{spec.accumulation}, {used}",
        spec.cell,
        f"lower batch_size or use more workers or a larger GPU ({said[:300]})",
    )
