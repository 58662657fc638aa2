"""AdamW (Loshchilov and Hutter, 2019) as video transformers are trained with it: torch's own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from trainables.recipe.switches import Optimiser

NOT_DECAYED = ("rel_pos", "relative_position", "class_token")
"""Parts of names whose tensors carry no weight decay; nor do tensors of one dimension, such as biases."""


class AdamW:
    """Steps named parameters against their gradients.

    `kernels` and `keep_gradients` as of `trainables.training.optimiser.Sgd`.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, torch.Tensor]],
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        kernels: Optimiser | None = None,
        keep_gradients: bool = False,
    ) -> None:
        # Imports torch's compiler with its first step, which the plain step of SGD spares.
        from torch.optim import AdamW as TorchAdamW

        trained = [(name, one) for name, one in parameters if one.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [one for name, one in trained if is_decayed(name, one)]},
            {"params": [one for name, one in trained if not is_decayed(name, one)], "weight_decay": 0.0},
        ]
        chosen = {} if kernels is None else {"foreach": kernels == "foreach", "fused": kernels == "fused"}
        self._optimiser = TorchAdamW(groups, lr=lr, betas=betas, weight_decay=weight_decay, **chosen)
        self._keep_gradients = keep_gradients

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return float(self._optimiser.param_groups[0]["lr"])

    @lr.setter
    def lr(self, rate: float) -> None:
        for group in self._optimiser.param_groups:
            group["lr"] = rate

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


def is_decayed(name: str, parameter: torch.Tensor) -> bool:
    """Whether weight decay shrinks a parameter of this name."""
    return parameter.dim() > 1 and not any(part in name for part in NOT_DECAYED)
