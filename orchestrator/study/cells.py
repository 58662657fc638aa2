"""Cells of a study: expansion of the grid, the paper's names, checkpoint chains, resolved recipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any, TypeVar

from catalog.field_errors import Location
from catalog.names import RECIPE_NAME, name_part
from orchestrator.study.model import AXES, AxisValue, Resources, Stage, Study
from orchestrator.study.other_axes import axes_texts, evaluation_at, recipe_of_axes
from orchestrator.study.parents import ParentCells, is_same_dataset
from orchestrator.study.published import published_recipe
from trainables.data.datasets import OfficialDataset
from trainables.models.pretrained import WeightsFile, starting_weights
from trainables.models.registry import backbone_info, module_info
from trainables.recipe.cell_spec import Evaluation, Recipe, plug_ins_used
from trainables.recipe.fields import Frozen
from trainables.recipe.keep import KeepPolicy
from trainables.recipe.switches import Execution


@dataclass(frozen=True)
class Cell:
    """One training of the grid, with everything the study file says about it.

    `parent` is the name of the cell before it in its chain; None for the starter. `other` are the values of
    the study's other axes, such as `recipe.lr`. `origin` is the cell of another study that a chain begins
    with, `parent` its name; on other classes it has a head of its own (`new_head`).
    """

    module: str
    backbone: str
    temporal_pooling: bool
    frames: int
    dataset: str
    seed: int
    parent: str | None
    recipe: Recipe
    evaluation: Evaluation
    resources: Resources
    keep: KeepPolicy = field(default_factory=KeepPolicy)
    choose_on: float | None = None
    other: tuple[tuple[str, AxisValue], ...] = ()
    origin: Cell | None = None
    new_head: bool = False

    @cached_property
    def name(self) -> str:
        """The paper's name, such as `TAM-ResNet50-tp-f16@mini-ssv2`.

        Values of other axes are added (`+lr=0.01`), then `#1` for seed 1.
        """
        return cell_name(self.axes)

    @property
    def stage(self) -> Stage:
        """`starter` for a cell without a parent, `finetune` for others."""
        return "starter" if self.parent is None else "finetune"

    @property
    def weights(self) -> WeightsFile | None:
        """The file of pretrained weights that its chain begins with, if any."""
        return starting_weights(self.recipe.init, self.module, self.backbone)

    @property
    def plug_ins(self) -> dict[str, str]:
        """The plug-ins that its training uses, such as `module shift`, with their versions."""
        return plug_ins_used(self.module, self.backbone, self.recipe)

    @cached_property
    def chain_id(self) -> str:
        """The name that all cells of a chain share: the cell's without its frames."""
        return chain_name(self.axes)

    @property
    def axes(self) -> dict[str, AxisValue]:
        """The cell's values by axis."""
        return {
            "module": self.module,
            "backbone": self.backbone,
            "temporal_pooling": self.temporal_pooling,
            "frames": self.frames,
            "dataset": self.dataset,
            "seed": self.seed,
            **dict(self.other),
        }

    def value(self, axis: str) -> AxisValue:
        """The cell's value of one axis."""
        value: AxisValue = getattr(self, axis) if axis in AXES else dict(self.other)[axis]
        return value

    @property
    def axes_and_stage(self) -> dict[str, AxisValue]:
        """The cell's values by axis, and its `stage`: what overrides match against."""
        return {**self.axes, "stage": self.stage}


def chosen_on(choose_on: float | None) -> str:
    """In words, on which videos the best epoch is chosen; `choose_on` as in a study."""
    if choose_on is None:
        return "the validation videos that are reported"
    return f"{100 * choose_on:g} % of the training videos, held out of training"


def cell_name(axes: Mapping[str, AxisValue]) -> str:
    """The paper's name of a cell with these values."""
    return _name(axes, f"-f{axes['frames']}")


def chain_name(axes: Mapping[str, AxisValue]) -> str:
    """The name of the chain that a cell with these values belongs to."""
    return _name(axes, "")


def _name(axes: Mapping[str, AxisValue], length: str) -> str:
    module = module_info(str(axes["module"])).paper_name
    backbone = backbone_info(str(axes["backbone"])).paper_name
    pooling = "-tp" if axes["temporal_pooling"] else ""
    seed = f"#{axes['seed']}" if axes["seed"] else ""
    others = name_part(axes_texts(_other(axes)).items())
    return f"{module}-{backbone}{pooling}{length}@{axes['dataset']}{others}{seed}"


def _other(axes: Mapping[str, AxisValue]) -> dict[str, AxisValue]:
    """The values of axes that are none of the six."""
    return {name: value for name, value in axes.items() if name not in AXES and name != "stage"}


def expand(study: Study) -> tuple[Cell, ...]:
    """All cells of the study, chain after chain, each in order of frames.

    A cell's parent is the cell of its chain with the next lower frames *that the study contains*.
    """
    said, parents = _Said(study), parent_cells(study)
    return tuple(cell for chain in _chain_axes(study) for cell in _chain_cells(study, chain, said, parents))


def parent_cells(study: Study) -> ParentCells[Cell] | None:
    """The cells of another study that this one's chains begin with; None where they begin by themselves."""
    if study.parents is None or study.parent_study is None:
        return None
    cells = expand(study.parent_study)
    return ParentCells(study.parent_study.name, cells, study.parents.where)


def _origin(study: Study, first: Mapping[str, AxisValue], parents: ParentCells[Cell]) -> dict[str, Any]:
    """What a chain's first cell has of the other study's; nothing where `check_study` finds fault."""
    found = parents.of(first)
    if isinstance(found, str) or study.parent_study is None:
        return {}
    own, theirs = study.datasets.get(found.dataset), study.parent_study.datasets.get(found.dataset)
    same = first["dataset"] == found.dataset and is_same_dataset(found.dataset, own, theirs)
    return {"parent": found.name, "origin": found, "new_head": not same}


def chains(cells: Sequence[Cell]) -> tuple[tuple[Cell, ...], ...]:
    """The cells grouped into their chains, each in order of frames."""
    grouped: dict[str, list[Cell]] = {}
    for cell in cells:
        grouped.setdefault(cell.chain_id, []).append(cell)
    return tuple(tuple(sorted(chain, key=lambda cell: cell.frames)) for chain in grouped.values())


def _chain_axes(study: Study) -> Iterator[list[dict[str, AxisValue]]]:
    """The axis values of every chain's cells, in order of frames; empty chains are left out."""
    axes = study.axes
    heads = product(
        axes.dataset,
        axes.module,
        axes.backbone,
        axes.temporal_pooling,
        product(*axes.other.values()),
        axes.seed,
    )
    for dataset, module, backbone, pooling, other, seed in heads:
        chain: list[dict[str, AxisValue]] = [
            {
                "module": module,
                "backbone": backbone,
                "temporal_pooling": pooling,
                "frames": frames,
                "dataset": dataset,
                "seed": seed,
                **dict(zip(axes.other, other, strict=True)),
            }
            for frames in sorted(axes.frames)
        ]
        kept = [cell for cell in chain if _wanted(study, cell)]
        if kept:
            yield kept


def axes_and_stages(study: Study) -> Iterator[dict[str, AxisValue]]:
    """Yield what overrides match against of every cell, in the order of `expand`, without its recipe."""
    for chain in _chain_axes(study):
        for place, axes in enumerate(chain):
            yield {**axes, "stage": "finetune" if place or study.parents else "starter"}


def _wanted(study: Study, axes: Mapping[str, AxisValue]) -> bool:
    included = not study.include or any(match.matches(axes) for match in study.include)
    return included and not any(match.matches(axes) for match in study.exclude)


Layers = tuple[tuple[Location, Frozen], ...]
_SET_BY_AXES: Location = ("axes",)
_PUBLISHED: Location = ("recipe", "published")
_MODEL = ("dataset", "module", "backbone", "temporal_pooling", "frames")
_Settings = TypeVar("_Settings", Recipe, Resources)


class _Said:
    """What a study's file says of cells: those that no override tells apart share recipe and resources."""

    def __init__(self, study: Study) -> None:
        self._study = study
        wheres = [one.where for one in study.recipe.overrides]
        wheres += [one.where for one in study.resources.overrides]
        named = [name for where in wheres for name in where.named]
        named += [*study.axes.other, *(_MODEL if study.recipe.published else ())]
        self._telling = ("stage", *dict.fromkeys(named))
        # The layers of the axes and of published recipes have one place and many values.
        self._places_tell = not (study.axes.other or study.recipe.published)
        self._known: dict[tuple[AxisValue, ...], tuple[Recipe, Resources]] = {}
        self._made: dict[tuple[object, ...], Recipe | Resources] = {}

    def of(self, axes_and_stage: Mapping[str, AxisValue]) -> tuple[Recipe, Resources]:
        """The recipe and the resources of a cell with these values."""
        values = tuple(axes_and_stage[name] for name in self._telling)
        if values not in self._known:
            self._known[values] = (
                self._merged(
                    Recipe,
                    recipe_layers(self._study, axes_and_stage),
                    () if self._places_tell else values,
                ),
                self._merged(Resources, resource_layers(self._study, axes_and_stage)),
            )
        return self._known[values]

    def _merged(self, kind: type[_Settings], layers: Layers, values: tuple[AxisValue, ...] = ()) -> _Settings:
        places = (*(place for place, _ in layers), *values)
        made = self._made.get(places)
        if not isinstance(made, kind):
            made = self._made[places] = kind.model_validate(merge_layers(layers))
        return made


def _chain_cells(
    study: Study,
    chain: Sequence[Mapping[str, AxisValue]],
    said: _Said,
    parents: ParentCells[Cell] | None,
) -> Iterator[Cell]:
    start = {} if parents is None else _origin(study, chain[0], parents)
    for axes in chain:
        other = _other(axes)
        values: dict[str, Any] = {name: value for name, value in axes.items() if name not in other}
        recipe, resources = said.of({**axes, "stage": "finetune" if start else "starter"})
        cell = Cell(
            **values,
            **{"parent": None, **start},
            recipe=recipe,
            evaluation=evaluation_at(study.evaluation, other),
            resources=resources,
            keep=study.keep,
            choose_on=study.choose_on,
            other=tuple(other.items()),
        )
        yield cell
        start = {"parent": cell.name}


def recipe_layers(study: Study, axes_and_stage: Mapping[str, AxisValue]) -> Layers:
    """The partial recipes that apply to a cell (its axes and `stage`), each with its place; last wins."""
    stage = str(axes_and_stage["stage"])
    recipes = study.recipe
    layers: list[tuple[Location, Frozen]] = [(("recipe", "base"), recipes.base)]
    layers.append((("recipe", stage), getattr(recipes, stage)))
    if (named := axes_and_stage.get(RECIPE_NAME)) is not None:
        layers.append((("recipe", "named", str(named)), recipes.named[str(named)]))
    for index, override in enumerate(recipes.overrides):
        if override.where.matches(axes_and_stage):
            layers.append((("recipe", "overrides", index, "set"), override.set))
    if found := as_published(study, axes_and_stage):
        layers.append((_PUBLISHED, found))
    if other := _other(axes_and_stage):
        layers.append((_SET_BY_AXES, recipe_of_axes(other)))
    return tuple(layers)


def as_published(study: Study, axes: Mapping[str, AxisValue]) -> Recipe | None:
    """What a cell takes from the published result of its model; None where nothing is asked or published."""
    if not study.recipe.published:
        return None
    name = str(axes["dataset"])
    declared = study.datasets.get(name)
    if declared is not None:
        name = declared.name if isinstance(declared, OfficialDataset) else ""
    return published_recipe(study.recipe.published, name, axes)


def resource_layers(study: Study, axes_and_stage: Mapping[str, AxisValue]) -> Layers:
    """As `recipe_layers`, for the cell's resources."""
    layers: list[tuple[Location, Frozen]] = [(("resources", "default"), study.resources.default)]
    for index, override in enumerate(study.resources.overrides):
        if override.where.matches(axes_and_stage):
            layers.append((("resources", "overrides", index, "set"), override.set))
    return tuple(layers)


def merge_layers(layers: Layers) -> dict[str, Any]:
    """The fields that the file names, later layers over earlier ones; of `speed` switch by switch."""
    merged: dict[str, Any] = {}
    for _, layer in layers:
        merged |= {
            name: _merge_field(merged.get(name), getattr(layer, name)) for name in layer.model_fields_set
        }
    return merged


def _merge_field(before: Any, value: Any) -> Any:  # noqa: ANN401 - whatever a field holds
    if not isinstance(value, Execution):
        return value
    return {**(before or {}), **value.model_dump(exclude_unset=True)}


def origin(layers: Layers, field: str) -> Location:
    """Where the file decided `field`; where it did not (a default), the first layer's place for it."""
    named = [location for location, layer in layers if field in layer.model_fields_set]
    place = (named or [layers[0][0]])[-1]
    if place == _PUBLISHED:
        return place
    return ("axes", f"recipe.{field}") if place == _SET_BY_AXES else (*place, field)
