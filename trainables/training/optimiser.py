"""Optimiser and learning-rate schedule of a recipe (models-and-protocol.md, section 8)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trainables.training.sgd import Sgd

if TYPE_CHECKING:
    from torch import nn

    from trainables.recipe.cell_spec import Recipe
    from trainables.recipe.switches import Switches


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """Learning rate of `epoch` (1-based), stepped per epoch: a pure function, so resuming needs no state.

    cosine: from `lr` towards 0 over all epochs. multistep: times `gamma` after each milestone (in epochs).
    """
    completed = epoch - 1
    if recipe.schedule == "cosine":
        return recipe.lr * 0.5 * (1.0 + math.cos(math.pi * completed / recipe.epochs))
    if recipe.schedule == "multistep":
        passed = sum(1 for milestone in recipe.milestones if completed >= milestone)
        return float(recipe.lr * recipe.gamma**passed)
    return recipe.lr


def build_optimiser(model: nn.Module, recipe: Recipe, switches: Switches | None = None) -> Sgd:
    """SGD over all parameters; weight decay applies to BN and biases too, as in the reference."""
    return Sgd(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
        kernels=None if switches is None else switches.optimiser,
        # What a recorded backward pass returns lies where the next one writes: it has to be added elsewhere.
        keep_gradients=switches is not None and switches.cuda_graphs,
    )
