"""AdamW (Loshchilov and Hutter, 2019) as video transformers are trained with it: torch's own.

With layer decay (Clark et al., 2020; Bao et al., 2022) blocks near the pixels learn more slowly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.recipe.switches import Optimiser

NOT_DECAYED = ("rel_pos", "relative_position", "class_token")
"""Parts of names whose tensors carry no weight decay; nor do tensors of one dimension, such as biases."""


class TorchOptimiser:
    """An optimiser of torch's form behind the few methods that a training step uses.

    Each of its groups has a `scale`, by which its rate differs from `lr`. `keep_gradients` as of
    `trainables.training.optimiser.Sgd`.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, *, keep_gradients: bool = False) -> None:
        self._optimiser = optimiser
        self._keep_gradients = keep_gradients

    @classmethod
    def starting_at(cls, optimiser: torch.optim.Optimizer, lr: float, *, keep_gradients: bool) -> Self:
        """One whose groups have their own rates, which a schedule that starts at `lr` scales."""
        for group in optimiser.param_groups:
            group["scale"] = float(group["lr"]) / lr
        return cls(optimiser, keep_gradients=keep_gradients)

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        group = self._optimiser.param_groups[-1]
        return float(group["lr"] / group["scale"])

    @lr.setter
    def lr(self, rate: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = rate * group["scale"]

    def zero_grad(self) -> None:
        """Forget the gradients, or set them to zero in their places."""
        if self._keep_gradients:
            import torch

            for group in self._optimiser.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is None:
                        parameter.grad = torch.zeros_like(parameter)
        self._optimiser.zero_grad(set_to_none=not self._keep_gradients)

    def step(self) -> None:
        """One step of every parameter that has a gradient, in place."""
        self._optimiser.step()

    def state_dict(self) -> dict[str, Any]:
        """Both moments of every parameter, and the settings."""
        return self._optimiser.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the moments and the learning rate of a checkpoint.

        Raises:
            ValueError: it is of another number of parameters.
        """
        self._optimiser.load_state_dict(state)


class AdamW(TorchOptimiser):
    """Steps a model's parameters against their gradients.

    The rate of each is `lr` times its `rate_scales`. `kernels` and `keep_gradients` as of
    `trainables.training.optimiser.Sgd`.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        layer_decay: float = 1.0,
        kernels: Optimiser | None = None,
        keep_gradients: bool = False,
    ) -> None:
        # Imports torch's compiler with its first step, which the plain step of SGD spares.
        from torch.optim import AdamW as TorchAdamW

        scales = rate_scales(model, layer_decay)
        groups: dict[tuple[float, bool], dict[str, Any]] = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                decayed = is_decayed(name, parameter)
                own = {"params": [], "scale": scales[name], "weight_decay": weight_decay if decayed else 0.0}
                groups.setdefault((scales[name], decayed), own)["params"].append(parameter)
        chosen = {} if kernels is None else {"foreach": kernels == "foreach", "fused": kernels == "fused"}
        super().__init__(
            TorchAdamW(list(groups.values()), lr=lr, betas=betas, **chosen), keep_gradients=keep_gradients
        )
        self.lr = lr


def is_decayed(name: str, parameter: torch.Tensor) -> bool:
    """Whether weight decay shrinks a parameter of this name."""
    return parameter.dim() > 1 and not any(part in name for part in NOT_DECAYED)


def rate_scales(model: nn.Module, layer_decay: float) -> Mapping[str, float]:
    """By parameter, `layer_decay` to the power of how many layers come after its own; the head's is 1.

    Layers are the parts that can be left out in training (stochastic depth), what is before the first of
    them, and what is behind the last; what lies between two belongs to the first of these.
    """
    from torchvision.ops import StochasticDepth

    optional = [name for name, part in model.named_modules() if isinstance(part, StochasticDepth)]
    blocks = tuple(dict.fromkeys(f"{name.rpartition('.')[0]}." for name in optional))
    names = [name for name, _ in model.named_parameters()]
    own = {name: number for number, block in enumerate(blocks, 1) for name in names if name.startswith(block)}
    last = max((at for at, name in enumerate(names) if name in own), default=-1)
    scales, layer = {}, 0
    for at, name in enumerate(names):
        layer = own.get(name, layer) if at <= last else len(blocks) + 1
        scales[name] = layer_decay ** (len(blocks) + 1 - layer)
    return scales
