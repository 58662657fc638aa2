"""The ways to execute one training step that `benchmarks/train_step.py` compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from trainables.recipe.cell_spec import Recipe
from trainables.recipe.switches import Execution, Machine, Precision, resolve
from trainables.training.execution.device import Compute


class NotHereError(RuntimeError):
    """A variant that only a GPU can run."""


@dataclass(frozen=True)
class Variant:
    """A named way. `reference`: TAM as the paper's code computes it."""

    name: str
    recipe: Recipe
    reference: bool = False

    def compute(self, device: torch.device) -> Compute:
        """The device with this variant's precision and switches.

        Raises:
            NotHereError: the variant is about something that a CPU does not have.
        """
        speed, precision = self.recipe.speed, self.recipe.precision
        if device.type == "cuda":
            return Compute.choose(self.recipe, device.index or 0)
        if precision == "tf32" or "on" in (speed.cuda_graphs, speed.cudnn_benchmark):
            raise NotHereError(f"{self.name} needs a GPU")
        return Compute(device, precision == "bf16", resolve(speed, precision, Machine(cuda=False)))


_OFF: dict[str, Any] = {
    "compile": "off",
    "cuda_graphs": "off",
    "channels_last": "off",
    "optimiser": "single",
    "cudnn_benchmark": "off",
    "checkpoint_activations": "off",
}
# The fast eager form that the compiled ones are to beat.
_EAGER: dict[str, Any] = {"channels_last": "on", "optimiser": "foreach"}


def _recipe(precision: Precision, **on: str) -> Recipe:
    return Recipe(precision=precision, speed=Execution(**_OFF | on))


def _alone(name: str, precision: Precision = "fp32", **on: str) -> Variant:
    return Variant(f"reference + {name}", _recipe(precision, **on), reference=True)


def _together(name: str, **on: str) -> Variant:
    return Variant(name, _recipe("bf16", **_EAGER | on))


VARIANTS: tuple[Variant, ...] = (
    Variant("default", Recipe()),
    Variant("reference", _recipe("fp32"), reference=True),
    Variant("reference + own graph", _recipe("fp32")),
    _alone("tf32", precision="tf32"),
    _alone("bf16", precision="bf16"),
    _alone("channels-last", channels_last="on"),
    _alone("foreach", optimiser="foreach"),
    _alone("fused", optimiser="fused"),
    _alone("cudnn benchmark", cudnn_benchmark="on"),
    _alone("compile", compile="default"),
    _alone("compile max-autotune", compile="max-autotune"),
    _alone("cuda graphs", cuda_graphs="on"),
    _together("bf16 channels-last eager"),
    _together("bf16 channels-last eager, fused", optimiser="fused"),
    _together("bf16 channels-last benchmark", cudnn_benchmark="on"),
    _together("bf16 channels-last benchmark graphs", cudnn_benchmark="on", cuda_graphs="on"),
    _together("bf16 channels-last compile", compile="default"),
    _together("bf16 NCHW compile", compile="default", channels_last="off", cudnn_benchmark="on"),
    _together("bf16 channels-last compile benchmark", compile="default", cudnn_benchmark="on"),
    _together("all, compile", compile="default", cudnn_benchmark="on", cuda_graphs="on", optimiser="fused"),
    _together("max-autotune", compile="max-autotune", cudnn_benchmark="on"),
    _together(
        "all, max-autotune", compile="max-autotune", cudnn_benchmark="on", cuda_graphs="on", optimiser="fused"
    ),
    _together("bf16 channels-last eager recomputed", checkpoint_activations="on"),
    _together("compile recomputed", compile="default", cudnn_benchmark="on", checkpoint_activations="on"),
)
