"""A worker that runs out of memory says so, with figures, in one line that every caller can tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from catalog.storage.errors import ActionGridError, FailureKind

if TYPE_CHECKING:
    from trainables.recipe.cell_spec import CellSpec
    from trainables.training.execution.device import Compute

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
