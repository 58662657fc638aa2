"""What a model's convolutions reach alone: the practical roof of its training step.

The same layer shapes as bare calls, forward and backward (gradients of the weights, and of the input for all
but the first), in the step's precision, cuDNN trying its algorithms, each in the quicker of both memory
layouts. Depthwise convolutions (TAM) are left out: they are bound by memory, and the step fuses them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.backends import cudnn

Convolution = nn.Conv2d | nn.Conv3d


@dataclass(frozen=True)
class Shape:
    """One convolution call; `first`: nothing before it wants a gradient."""

    inputs: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    first: bool


def shapes_of(model: nn.Module, clips: Tensor) -> Counter[Shape]:
    """How often each dense convolution is called in a forward pass of `clips` (N, 3, T, H, W)."""
    found: Counter[Shape] = Counter()

    def note(conv: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(conv, (nn.Conv2d, nn.Conv3d))
        if conv.groups == 1:
            # `padding` is given in numbers everywhere in our models.
            padding = tuple(int(part) for part in conv.padding)
            shape = tuple(inputs[0].shape)
            found[Shape(shape, tuple(conv.weight.shape), conv.stride, padding, shape[1] == 3)] += 1

    convolutions = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Conv3d))]
    hooks = [conv.register_forward_pre_hook(note) for conv in convolutions]
    try:
        with torch.no_grad():
            model(clips)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def roof_seconds(shapes: Counter[Shape], dtype: torch.dtype, device: torch.device, seconds: float) -> float:
    """Seconds of all of them, forward and backward, once; each is measured for about `seconds`."""
    with cudnn.flags(enabled=True, benchmark=True, allow_tf32=True):
        return sum(count * _best(shape, dtype, device, seconds) for shape, count in shapes.items())


def timed(work: Callable[[], object], device: torch.device, seconds: float, least: int = 3) -> float:
    """Seconds of one call, over as many as take about `seconds`, after two that do not count."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    work()
    wait()
    began = time.perf_counter()
    work()
    wait()
    calls = max(least, int(seconds / max(time.perf_counter() - began, 1e-9)))
    began = time.perf_counter()
    for _ in range(calls):
        work()
    wait()
    return (time.perf_counter() - began) / calls


def _best(shape: Shape, dtype: torch.dtype, device: torch.device, seconds: float) -> float:
    volumetric = len(shape.inputs) == 5
    layouts = (torch.contiguous_format, torch.channels_last_3d if volumetric else torch.channels_last)
    return min(timed(_call(shape, dtype, device, layout), device, seconds) for layout in layouts)


def _call(
    shape: Shape, dtype: torch.dtype, device: torch.device, layout: torch.memory_format
) -> Callable[[], object]:
    def drawn(size: tuple[int, ...]) -> Tensor:
        return torch.randn(size, dtype=dtype, device=device).contiguous(memory_format=layout)

    inputs, weight = drawn(shape.inputs), drawn(shape.weight)
    spatial = len(shape.stride)
    ones, zeros = [1] * spatial, [0] * spatial
    settings = (list(shape.stride), list(shape.padding), ones, False, zeros, 1)
    gradient = torch.ops.aten.convolution(inputs, weight, None, *settings)
    wanted = [not shape.first, True, False]

    def both() -> None:
        torch.ops.aten.convolution(inputs, weight, None, *settings)
        torch.ops.aten.convolution_backward(gradient, inputs, weight, None, *settings, wanted)

    return both
