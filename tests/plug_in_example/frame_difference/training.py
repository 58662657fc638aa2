"""An optimiser and an augmentation: parts of a recipe."""

import numpy as np
import torch
from torch import nn

from trainables.data.clips.augment import Box, View
from trainables.recipe.cell_spec import Recipe


def rmsprop(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """RMSProp (Hinton, 2012) with the recipe's rate, momentum and decay."""
    return torch.optim.RMSprop(
        model.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )


def centre_crop(width: int, height: int, recipe: Recipe, rng: np.random.Generator) -> View:
    """The largest square in the middle of a picture, flipped as often as the recipe says."""
    side = min(width, height)
    box = Box((width - side) // 2, (height - side) // 2, side, side)
    return View((width, height), box, flip=bool(rng.random() < recipe.flip))
