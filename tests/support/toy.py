"""A dataset of a few generated videos and a cell on it, for tests that really train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainables.data.datasets import SyntheticMotion
from trainables.data.frames.manifest import Manifest
from trainables.data.ingest.build import build_dataset
from trainables.recipe.cell_spec import CellSpec, Evaluation, Recipe

RECIPE = {
    "init": "random",
    "epochs": 3,
    "batch_size": 8,
    "lr": 0.05,
    "crop_size": 32,
    "crop_scales": (1.0, 0.875),
    "dropout": 0.5,
}
EVALUATION = Evaluation(crop_size=32, short_side=36, batch_size=4)


def build_toy(directory: Path, train: int = 4, val: int = 3) -> Manifest:
    """`train` and `val` videos of each of the four motions, under `directory`."""
    return build_dataset(
        SyntheticMotion(kind="synthetic-motion", train_per_class=train, val_per_class=val), "toy", directory
    )


def toy_spec(data: Path, run_dir: Path, **changes: Any) -> CellSpec:
    """A tiny cell on the toy dataset in `data`; `changes` override spec and recipe fields alike."""
    recipe = RECIPE | {name: changes.pop(name) for name in list(changes) if name in Recipe.model_fields}
    fields: dict[str, Any] = {
        "cell": "TAM-Tiny-f8@toy",
        "key": "k" * 32,
        "module": "tam",
        "backbone": "tiny",
        "temporal_pooling": False,
        "frames": 8,
        "dataset": "toy",
        "seed": 0,
        "num_classes": 4,
        "recipe": Recipe(**recipe),
        "evaluation": EVALUATION,
        "manifest": str(data / "manifest.parquet"),
        "run_dir": str(run_dir),
    }
    return CellSpec(**fields | changes)
