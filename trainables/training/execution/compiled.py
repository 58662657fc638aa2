"""The network's forward pass as the switches execute it: plain, compiled, or recorded as CUDA graphs.

All of it is for one fixed shape of clips, the first that comes: a smaller last piece of a batch runs plainly,
so that nothing is compiled or recorded a second time. Parameters, buffers and the names in a checkpoint are
the network's own. torch's compiler is imported only where it is switched on.

What a recorded backward pass returns lies where its next run writes, and autograd takes such a tensor over as
`.grad` where there is none (pytorch#181723, #96693): with `cuda_graphs` gradients have to stand before the
first backward pass and to be added up in place, which
`trainables.training.optimiser.Sgd(keep_gradients=True)` does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from trainables.training.execution.device import Forward, is_out_of_memory

if TYPE_CHECKING:
    from trainables.recipe.switches import Switches

logger = logging.getLogger(__name__)

# Dropout's masks are drawn as eager mode draws them: the same cell, whether it is compiled or not.
_ALWAYS = {"fallback_random": True}
_HARDER = {"max_autotune": True, "coordinate_descent_tuning": True}


def build_forward(network: nn.Module, switches: Switches) -> Forward:
    """`network` in training, as `switches` say; the network itself where they say nothing.

    Raises:
        ValueError: `cuda_graphs` for a network that several workers share.
    """
    if switches.cuda_graphs and isinstance(network, nn.parallel.DistributedDataParallel):
        raise ValueError(
            "a step that workers share cannot be recorded; recipe.speed.cuda_graphs; set it to off"
        )
    if switches.compile != "off":
        return Compiled(network, switches)
    if switches.cuda_graphs:
        return Recorded(network)
    return network


def build_evaluation_forward(model: nn.Module, switches: Switches) -> Forward:
    """How `model` is executed in evaluation: compiled where training is, for the first shape that comes.

    Never recorded: batches follow each other without gaps, and a recording would keep its memory.
    """
    return build_forward(model, replace(switches, cuda_graphs=False))


def compiler_options(switches: Switches) -> dict[str, str | int | bool | Callable[..., Any]]:
    """What torch's compiler is told: its own modes' options, spelt out, and ours."""
    harder = _HARDER if switches.compile == "max-autotune" else {}
    return {**_ALWAYS, **harder, "triton.cudagraphs": switches.cuda_graphs}


class Compiled:
    """The network through torch.compile for the first shape that it sees, in the mode that it sees it in.

    Where the compiler was nobody's wish (`may_fall_back`) and fails at its first call, the log says so and
    the network runs plainly from there on.
    """

    def __init__(self, network: nn.Module, switches: Switches) -> None:
        self._network = network
        self._graphs = switches.cuda_graphs
        self._may_fall_back = switches.may_fall_back
        self._shape: torch.Size | None = None
        options = compiler_options(switches)
        self._fast: Forward | None = torch.compile(network, dynamic=False, options=options)

    def __call__(self, clips: Tensor) -> Tensor:
        """Logits of `clips`; compiles at the first call."""
        if self._shape is None:
            return self._first(clips)
        if self._fast is None or clips.shape != self._shape:
            plain: Tensor = self._network(clips)
            return plain
        if self._graphs:
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return self._fast(clips)

    def _first(self, clips: Tensor) -> Tensor:
        self._shape = clips.shape
        try:
            return self(clips)
        except Exception as error:
            if not self._may_fall_back or is_out_of_memory(error):
                raise
            said = " ".join(str(error).split())[:300]
            logger.warning("the model runs uncompiled: %s: %s", type(error).__name__, said)
            self._fast = None
            return self(clips)


class Recorded:
    """The uncompiled network's kernels, recorded as two CUDA graphs: forward and backward.

    Recording runs the network a few times; BN's statistics and the random generator are set back afterwards.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._shape: torch.Size | None = None
        self._replay: Forward | None = None

    def __call__(self, clips: Tensor) -> Tensor:
        """Logits of `clips`; records at the first call."""
        if self._shape is None:
            self._shape = clips.shape
            self._replay = self._record(clips)
        if self._replay is None or clips.shape != self._shape:
            plain: Tensor = self._network(clips)
            return plain
        return self._replay(clips)

    def _record(self, clips: Tensor) -> Forward:
        network = self._network
        buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
        generator = torch.cuda.get_rng_state(clips.device)
        # Weights that autocast has cached would be no part of the recording.
        uncached = torch.autocast(
            "cuda",
            dtype=torch.get_autocast_dtype("cuda"),
            enabled=torch.is_autocast_enabled("cuda"),
            cache_enabled=False,
        )
        with uncached:
            torch.cuda.make_graphed_callables(network, (clips.detach().clone(),))
        # It stands in the network's own `forward`; there it would be given other shapes too.
        replay: Forward = network.__dict__.pop("forward")
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        torch.cuda.set_rng_state(generator, clips.device)
        return replay
