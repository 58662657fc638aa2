"""Events of a few finished cells whose recipe, protocol and further evaluations tests choose one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from catalog import Catalog
from catalog.events import CellEvaluated, CellFinished, CellPlanned, Event, StudySubmitted
from catalog.names import name_part
from tests.support.grid_events import Grid, grid_events, key_of, write_quickly

EPOCHS = {("mini-kinetics", True): 100, ("mini-kinetics", False): 45}
VIDEOS = {
    "mini-ssv2": (81_663, 11_799),
    "mini-kinetics": (121_215, 9_837),
    "mini-mit": (100_000, 10_002),
}


def published_recipe(dataset: str, frames: int) -> dict[str, Any]:
    """A recipe as the public result table states it of a model of this length."""
    starter = frames == 8
    return {
        "epochs": EPOCHS.get((dataset, starter), 75 if starter else 35),
        "batch_size": 72,
        "lr": 0.01,
        "schedule": "cosine" if starter else "multistep",
        "init": "imagenet",
        "crop_size": 224,
        "sampling": "uniform",
        "inherit": "best",
    }


def as_published(events: Iterator[Event], name: str | None = None) -> Iterator[Event]:
    """The grid, trained and measured as the paper says; `name` replaces the datasets' names."""
    datasets: dict[str, str] = {}
    for event in events:
        if isinstance(event, CellPlanned):
            datasets[event.key] = event.dataset
            config = {"recipe": published_recipe(event.dataset, event.frames), "evaluation": {}}
            yield dataclasses.replace(event, config=config, dataset=name or event.dataset)
        elif isinstance(event, CellFinished):
            train, val = VIDEOS[datasets[event.key]]
            yield dataclasses.replace(event, train_videos=train, eval_videos=val)
        else:
            yield event


@dataclasses.dataclass(frozen=True)
class Cell:
    """One finished 8-frame cell on mini-ssv2: what is not given is as published."""

    study: str = "own"
    module: str = "tam"
    backbone: str = "resnet18"
    temporal_pooling: bool = False
    frames: int = 8
    dataset: str = "mini-ssv2"
    seed: int = 0
    top1: float = 50.0
    best_top1: float | None = None
    recipe: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    evaluation: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    finished: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    key: str = ""
    axes: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its key: one for each that differs in anything that decides weights."""
        recipe = sorted(self.recipe.items())
        model = (self.module, self.backbone, self.temporal_pooling, self.frames, self.dataset, self.seed)
        return self.key or key_of(*model, recipe)

    def events(self) -> Iterator[Event]:
        """Plan and result, in the order of a journal."""
        grid = Grid(
            study=self.study,
            modules=(self.module,),
            backbones=(self.backbone,),
            poolings=(self.temporal_pooling,),
            frames=(self.frames,),
            datasets=(self.dataset,),
            seeds=(self.seed,),
        )
        recipe = {**published_recipe(self.dataset, self.frames), **self.recipe}
        train, val = VIDEOS.get(self.dataset, (200, 100))
        best = self.top1 if self.best_top1 is None else self.best_top1
        for event in grid_events(grid):
            if isinstance(event, CellPlanned):
                config = {"recipe": recipe, "evaluation": dict(self.evaluation)}
                config |= {"axes": dict(self.axes)} if self.axes else {}
                parts = {"recipe": recipe, "seed": self.seed, "model": {"module": self.module}}
                name, seed = event.cell.partition("#")[::2]
                cell = f"{name}{name_part(self.axes.items())}" + (f"#{seed}" if seed else "")
                yield dataclasses.replace(event, key=self.id, cell=cell, config=config, key_parts=parts)
            elif isinstance(event, CellFinished):
                result = {
                    **{"top1": self.top1, "best_top1": best, "best_epoch": 3 if best == self.top1 else 2},
                    **{"eval_videos": val, "train_videos": train},
                }
                yield dataclasses.replace(event, key=self.id, **{**result, **self.finished})

    def evaluated(self, top1: float, **fields: Any) -> CellEvaluated:
        """A further evaluation of the last checkpoint, 3 × 10 uniform views of 256² unless said otherwise."""
        known: dict[str, Any] = {
            **{"checkpoint": "last", "sampling": "uniform", "sampling_rate": 2, "clips": 10, "crops": 3},
            **{"crop_size": 256, "short_side": 256, "average": "logits", "split": "val", "videos_hash": "v"},
            "videos": VIDEOS.get(self.dataset, (200, 100))[1],
        }
        known |= fields
        known.setdefault("epoch", 3 if known["checkpoint"] == "last" or self.best_top1 is None else 2)
        return CellEvaluated(
            key=self.id,
            evaluation=key_of(self.id, *sorted(known.items())),
            checkpoint_sha256="0" * 64,
            top1=top1,
            top5=90.0,
            loss=1.0,
            views=known["clips"] * known["crops"],
            seconds=1.0,
            predictions="none.parquet",
            versions={},
            hardware={},
            time=1_790_000_500.0,
            **known,
        )


def catalog_of(folder: Path, cells: Sequence[Cell], *more: Event, **studies: Mapping[str, Any]) -> Catalog:
    """A catalog of these cells and further events; `studies` are the fields of studies' files by name."""
    events = [event for cell in cells for event in cell.events() if not isinstance(event, StudySubmitted)]
    names = dict.fromkeys(cell.study for cell in cells)
    submitted = [
        StudySubmitted(
            name,
            "s1",
            sum(cell.study == name for cell in cells),
            f"{name}.yaml",
            {"name": name, **studies.get(name, {})},
            time=1_790_000_000.0,
        )
        for name in names
    ]
    write_quickly(folder, iter([*submitted, *events, *more]))
    return Catalog.open(folder)
