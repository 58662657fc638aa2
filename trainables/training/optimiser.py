"""SGD with momentum and the learning-rate schedule of a recipe (docs/protocol.md §8).

The arithmetic is torch's own, without what `torch.optim.Optimizer` loads beside it: its first step imports
torch's compiler, which a plain step does not use: more than a CPU-second a process, a fifth of what a small
cell's worker takes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from trainables.recipe.plug_ins import OptimiserInfo, code_of
from trainables.training.adamw import AdamW, TorchOptimiser

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.recipe.cell_spec import Recipe
    from trainables.recipe.switches import Optimiser, Switches


_TORCHS_OWN = {"dampening": 0, "maximize": False, "foreach": None, "differentiable": False, "fused": None}
"""Settings that ours has not, with which torch.optim.SGD takes up our state."""


class Sgd:
    """Steps parameters against their gradients; the state is laid out as `torch.optim.SGD` lays it out.

    `kernels`: one parameter after the other, lists of them, or one kernel for all; None: lists on a GPU, else
    one after the other. `keep_gradients`: they stay where they are and are set to zero, for recorded backward
    passes (`trainables.training.execution.compiled`).
    """

    def __init__(
        self,
        parameters: Iterable[torch.Tensor],
        *,
        lr: float,
        momentum: float,
        weight_decay: float,
        nesterov: bool,
        kernels: Optimiser | None = None,
        keep_gradients: bool = False,
    ) -> None:
        self.lr = lr
        self._parameters = [one for one in parameters if one.requires_grad]
        self._momentum, self._weight_decay, self._nesterov = momentum, weight_decay, nesterov
        self._kernels, self._keep_gradients = kernels, keep_gradients
        self._buffers: dict[int, torch.Tensor] = {}

    def zero_grad(self) -> None:
        """Forget the gradients, or set them to zero in their places."""
        if self._keep_gradients:
            self._fill_with_zeros()
            return
        for parameter in self._parameters:
            parameter.grad = None

    def _fill_with_zeros(self) -> None:
        import torch

        for parameter in self._parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        torch._foreach_zero_([one.grad for one in self._parameters if one.grad is not None])

    def step(self) -> None:
        """One step of every parameter that has a gradient, in place."""
        import torch
        from torch.optim.sgd import sgd

        places = [at for at, one in enumerate(self._parameters) if one.grad is not None]
        parameters = [self._parameters[at] for at in places]
        buffers = [self._buffers.get(at) for at in places]
        kernels = self._kernels or ("foreach" if parameters and parameters[0].is_cuda else "single")
        if kernels == "fused" and len({one is None for one in buffers}) > 1:
            # One kernel makes either all momentum buffers or none.
            kernels = "foreach"
        with torch.no_grad():
            sgd(
                parameters,
                [one.grad for one in parameters if one.grad is not None],
                buffers,
                foreach=kernels == "foreach",
                fused=kernels == "fused",
                lr=self.lr,
                momentum=self._momentum,
                weight_decay=self._weight_decay,
                nesterov=self._nesterov,
                dampening=0.0,
                maximize=False,
            )
        self._buffers.update({at: one for at, one in zip(places, buffers, strict=True) if one is not None})

    def state_dict(self) -> dict[str, Any]:
        """Momentum buffers by the parameter's place, and the settings."""
        group = {
            "lr": self.lr,
            "momentum": self._momentum,
            "weight_decay": self._weight_decay,
            "nesterov": self._nesterov,
            **_TORCHS_OWN,
            "params": list(range(len(self._parameters))),
        }
        state = {at: {"momentum_buffer": buffer} for at, buffer in self._buffers.items()}
        return {"state": state, "param_groups": [group]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the momentum and the learning rate of a checkpoint.

        Raises:
            ValueError: it is of another number of parameters, or a buffer has another shape.
        """
        (group,) = state["param_groups"]
        if len(group["params"]) != len(self._parameters):
            raise ValueError(
                f"optimiser state of {len(group['params'])} parameters, the model has {len(self._parameters)}"
            )
        buffers: dict[int, torch.Tensor] = {}
        for at, entry in state["state"].items():
            parameter, buffer = self._parameters[int(at)], entry.get("momentum_buffer")
            if buffer is None:
                continue
            if buffer.shape != parameter.shape:
                shapes = f"{tuple(buffer.shape)}, not {tuple(parameter.shape)}"
                raise ValueError(f"momentum of parameter {at} has the shape {shapes}")
            buffers[int(at)] = buffer.to(device=parameter.device, dtype=parameter.dtype, copy=True)
        self._buffers = buffers
        self.lr = float(group["lr"])


def learning_rate(recipe: Recipe, epoch: float, lasts: float = 1.0) -> float:
    """The rate of `epoch` (1-based; 2.5: from the middle of the second on): resuming needs no state.

    `lasts` is how many epochs it is used for; in the warm-up the rate is the one that its line has reached
    when they end. cosine: from `lr` towards 0 over the epochs after the warm-up. multistep: times `gamma`
    after each milestone (in epochs, the warm-up's included).
    """
    completed = epoch - 1
    if completed < recipe.warmup_epochs:
        return recipe.lr * min((completed + lasts) / recipe.warmup_epochs, 1.0)
    if recipe.schedule == "cosine":
        passed = (completed - recipe.warmup_epochs) / (recipe.epochs - recipe.warmup_epochs)
        return recipe.lr * 0.5 * (1.0 + math.cos(math.pi * passed))
    if recipe.schedule == "multistep":
        steps = sum(1 for milestone in recipe.milestones if completed >= milestone)
        return float(recipe.lr * recipe.gamma**steps)
    return recipe.lr


AnyOptimiser = Sgd | TorchOptimiser


def build_optimiser(model: nn.Module, recipe: Recipe, switches: Switches | None = None) -> AnyOptimiser:
    """The recipe's optimiser over all parameters; SGD decays BN and biases too, as in the reference.

    Raises:
        PlugInError: it is another package's, and that is not here.
    """
    kernels = None if switches is None else switches.optimiser
    # What a recorded backward pass returns lies where the next one writes: it has to be added elsewhere.
    keep_gradients = switches is not None and switches.cuda_graphs
    if recipe.optimiser == "adamw":
        return AdamW(
            model,
            lr=recipe.lr,
            layer_decay=recipe.layer_decay,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            kernels=kernels,
            keep_gradients=keep_gradients,
        )
    if recipe.optimiser != "sgd":
        made = code_of(OptimiserInfo, recipe.optimiser)(model, recipe)
        return TorchOptimiser.starting_at(made, recipe.lr, keep_gradients=keep_gradients)
    return Sgd(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
        kernels=kernels,
        keep_gradients=keep_gradients,
    )
