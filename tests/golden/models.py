"""What models and their training compute, in float64 on one thread.

Weights and pictures are whole numbers scaled by exact factors: nothing depends on a random generator, so
another machine differs by rounding alone. Random starting weights are a case of their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tests.golden.pictures import CLASSES, Pictures, videos
from tests.support.architectures import architectures, modules_with
from trainables.data.clips.loader import train_batches
from trainables.models import build_model
from trainables.models.registry import MODULES
from trainables.models.video_model import VideoModel
from trainables.models.weights import inflate
from trainables.recipe.cell_spec import CellSpec, Evaluation, Recipe
from trainables.training.execution.device import Compute, Normalisation
from trainables.training.initialise import initial_model
from trainables.training.optimiser import build_optimiser, learning_rate
from trainables.training.step import TrainingStep, seed_everything

if TYPE_CHECKING:
    from trainables.data.clips.ring import Batch

STEPS = 10
FRAMES = 8
Values = list[Any]


@dataclass(frozen=True)
class Case:
    """One thing that is computed: the components that decide it and its values.

    It was made to show the first `shows` of its components; the others take part.
    On another kind of machine or with another torch floats may differ by `tolerance`, relative and absolute;
    what is not `portable`, because a random generator draws it, is not compared there.
    """

    name: str
    components: tuple[str, ...]
    values: Values
    tolerance: float = 1e-9
    portable: bool = True
    shows: int = 1


PAPER = ("tsn", "tam", "s3d", "i3d")
"""The modules of the 288 models: on every backbone."""


class Exact(Compute):
    """The CPU's computation in float64."""

    def inputs(self, batch: Batch, norm: Normalisation) -> torch.Tensor:
        return super().inputs(batch, norm).double()


def compute() -> Exact:
    return Exact(torch.device("cpu"), bf16=False)


def model_cases() -> Iterator[Case]:
    """All of them."""
    for module, pooled in architectures("tiny"):
        yield _training(module, pooled)
    yield _training("tam", False, "options", accumulate=2, clip_norm=1.0, nesterov=True, schedule="multistep")
    yield _training("tsn", False, "dropout", portable=False, dropout=0.5)
    for backbone, module, pooled in product(("inception_v1", "resnet18", "tiny"), PAPER, (False, True)):
        yield _logits(module, backbone, pooled, size=48 if backbone == "inception_v1" else 32)
    for module, pooled in architectures("tiny"):
        if module not in PAPER:
            yield _logits(module, "tiny", pooled, size=32)
    yield _logits("i3d_2017", "inception_v1", True, size=48)
    for module, backbone, pooled in NETWORKS:
        yield _logits(module, backbone, pooled, size=32)
    for backbone, module in (*product(("resnet50",), PAPER), ("resnet101", "tsn"), ("resnet50", "nonlocal")):
        yield _logits(module, backbone, False, size=32)
    yield Case("schedule", ("train step",), list(_schedules()))
    yield from (_random_start(module) for module in modules_with("tiny", False))
    yield _imagenet_start()


NETWORKS = (
    ("resnet3d", "resnet18", True),
    ("mc3", "resnet18", False),
    ("r2plus1d", "resnet18", True),
    ("s3d_2018", "inception_v1", True),
    ("tsn", "blresnet50", False),
)
"""What has no `tiny` form of its own."""


def exact_model(module: str, backbone: str, pooled: bool, **settings: Any) -> VideoModel:
    """A model in float64 whose weights are whole numbers, scaled by the square root of what they sum over."""
    model = build_model(
        module=module,
        backbone=backbone,
        temporal_pooling=pooled,
        frames=max(FRAMES, MODULES[module].fewest_frames),
        num_classes=CLASSES,
        **settings,
    ).double()
    with torch.no_grad():
        for number, (name, parameter) in enumerate(model.named_parameters()):
            drawn = np.random.default_rng(number).integers(-1000, 1001, size=parameter.shape)
            values = torch.from_numpy(drawn).double() / 1000.0
            if parameter.dim() > 1:
                parameter.copy_(values * math.sqrt(6.0 / parameter[0].numel()))
            else:
                parameter.copy_(values * 0.1 + (1.0 if name.endswith("weight") else 0.0))
    return model


def _models_of(module: str, backbone: str, pooled: bool) -> tuple[str, ...]:
    pooling = ("temporal pooling",) if pooled else ()
    return (f"module {module}", f"backbone {backbone}", *pooling)


def _training(module: str, pooled: bool, label: str = "", portable: bool = True, **choices: Any) -> Case:
    """Losses of ten steps through loader, step and optimiser, then what became of the weights."""
    recipe = Recipe.model_validate(
        {"epochs": STEPS, "batch_size": 4, "lr": 0.02, "dropout": 0.0, "crop_size": 32, "milestones": (4, 8)}
        | {"crop_scales": (1.0,)}
        | choices
    )
    model = compute().place(exact_model(module, "tiny", pooled, dropout=recipe.dropout))
    step = TrainingStep.create(
        _spec(module, recipe),
        model,
        build_optimiser(model, recipe),
        compute(),
        Normalisation.of("tsn", "tiny"),
        world=1,
    )
    model.train()
    values: Values = []
    for epoch in range(1, STEPS + 1):
        step.optimiser.lr = learning_rate(recipe, epoch)
        seed_everything(0, epoch, 0)
        batches = train_batches(videos(4), recipe, FRAMES, Pictures(), seed=0, epoch=epoch, rank=0, world=1)
        for batch in batches:
            loss, right = step.run(batch)
            values += [float(loss), int(right)]
    with torch.no_grad():
        values += [float(sum(tensor.sum() for tensor in model.parameters()))]
        values += [float(sum(tensor.square().sum() for tensor in model.state_dict().values()))]
    name = f"train {module}-tiny{'-tp' if pooled else ''}{f' {label}' if label else ''}"
    components = ("train step", *_models_of(module, "tiny", pooled), "sampling", "augment", "views")
    # The step sums losses in float32.
    return Case(name, components, values, tolerance=1e-6, portable=portable)


def _spec(module: str, recipe: Recipe) -> CellSpec:
    return CellSpec(
        cell="golden",
        key="0" * 32,
        module=module,
        backbone="tiny",
        temporal_pooling=False,
        frames=FRAMES,
        dataset="golden",
        seed=3,
        num_classes=CLASSES,
        recipe=recipe,
        evaluation=Evaluation(),
        manifest="",
        run_dir="",
    )


def _logits(module: str, backbone: str, pooled: bool, size: int) -> Case:
    """The logits of one clip."""
    model = compute().place(exact_model(module, backbone, pooled)).eval()
    grey = np.random.default_rng(7).integers(0, 256, size=(1, 3, model.frames, size, size))
    with torch.inference_mode():
        logits = model(torch.from_numpy(grey).double() / 128.0 - 1.0)
    name = f"logits {module}-{backbone}{'-tp' if pooled else ''}"
    components = _models_of(module, backbone, pooled)
    return Case(name, components, logits.flatten().tolist(), shows=len(components))


def _schedules() -> Iterator[float]:
    for schedule in ("cosine", "multistep", "constant"):
        recipe = Recipe.model_validate({"epochs": 6, "lr": 0.5, "schedule": schedule, "milestones": (2, 4)})
        yield from (learning_rate(recipe, epoch) for epoch in range(1, 7))


def _random_start(module: str) -> Case:
    """The weights that a seed gives a model: their sum and their squares', tensor by tensor."""
    recipe = Recipe(init="random")
    model = initial_model(_spec(module, recipe), None, compute(), 0).model
    values = [float(part) for tensor in model.parameters() for part in _sums(tensor)]
    return Case(f"random {module}-tiny", ("initialisation", f"module {module}"), values, portable=False)


def _imagenet_start() -> Case:
    """A picture model's weights in a volumetric one, and inflation by both rules."""
    from torchvision.models import resnet18

    from trainables.models.weights import initialise_from

    source = {
        name: torch.arange(tensor.numel(), dtype=torch.float32).remainder(97).view(tensor.shape)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in resnet18(weights=None).state_dict().items()
    }
    values: Values = []
    with TemporaryDirectory() as folder:
        torch.save(source, Path(folder) / "resnet18-f37072fd.pth")
        model = exact_model("i3d", "resnet18", False).float()
        fresh = initialise_from("imagenet", model, ("i3d", "resnet18"), folder, "repeat")
        values += [len(fresh), *(part for one in model.state_dict().values() for part in _sums(one))]
    kernel = torch.arange(8.0).view(1, 2, 2, 2)
    for method in ("repeat", "divide"):
        values += inflate(kernel, 3, method).flatten().tolist()  # type: ignore[arg-type]
    return Case("imagenet resnet18", ("initialisation",), values, tolerance=1e-6)


def _sums(tensor: torch.Tensor) -> tuple[float, float]:
    wide = tensor.detach().double()
    return float(wide.sum()), float(wide.square().sum())
