"""The study file's fields as frozen typed models; `orchestrator.study.load` reads and checks a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_serializer,
    model_validator,
)

from catalog.claims.model import Claim
from catalog.names import OTHER_AXES_WRITTEN, is_other_axis
from catalog.yaml_source import PLAIN_NAME
from orchestrator.study.other_axes import OtherValue
from orchestrator.study.published import PublishedField
from trainables.data.datasets import DatasetConfig
from trainables.recipe.cell_spec import Average, Evaluation, Recipe, Which
from trainables.recipe.fields import ChooseOn, Frozen, PositiveInt
from trainables.recipe.keep import Keep, KeepPolicy

AXES = ("module", "backbone", "temporal_pooling", "frames", "dataset", "seed")
AxisValue = OtherValue
Stage = Literal["starter", "finetune"]

Frames = Annotated[int, Field(ge=8, multiple_of=8)]
Seed = Annotated[int, Field(ge=0)]
Package = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]
_Value = TypeVar("_Value")


def _as_tuple(value: object) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


OneOrMore = Annotated[tuple[_Value, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


def _as_values(value: object) -> tuple[Any, ...]:
    """The values of an axis that may have lists as values."""
    return tuple(tuple(one) if isinstance(one, list) else one for one in _as_tuple(value))


class _OtherAxes(Frozen):
    """Axes by name beside those that are fields: `recipe.lr`, `recipe_name`, … (`other_axes`).

    A file, and what is dumped, has them among the fields.
    """

    other: dict[str, Annotated[tuple[Any, ...], BeforeValidator(_as_values), Field(min_length=1)]] = Field(
        default_factory=dict
    )

    @model_validator(mode="before")
    @classmethod
    def _gathered(cls, fields: Any) -> Any:  # noqa: ANN401 - whatever a file says
        if not isinstance(fields, dict) or not any(is_other_axis(str(name)) for name in fields):
            return fields
        other = {name: value for name, value in fields.items() if is_other_axis(str(name))}
        return {name: value for name, value in fields.items() if name not in other} | {"other": other}

    @model_serializer(mode="wrap")
    def _flat(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        other: dict[str, Any] = fields.pop("other", {})
        return fields | other

    @classmethod
    def written_fields(cls) -> tuple[str, ...]:
        """The names that a file may use."""
        return (*(name for name in cls.model_fields if name != "other"), *OTHER_AXES_WRITTEN)

    def values(self, axis: str) -> tuple[AxisValue, ...] | None:
        """The values of an axis; None where it is not named."""
        found: tuple[AxisValue, ...] | None = self.other.get(axis, getattr(self, axis, None))
        return found


class Axes(_OtherAxes):
    """The grid: every combination of these values is a cell, before `include` and `exclude`."""

    module: OneOrMore[str]
    backbone: OneOrMore[str]
    temporal_pooling: OneOrMore[bool] = (False,)
    frames: OneOrMore[Frames]
    dataset: OneOrMore[str]
    seed: OneOrMore[Seed] = (0,)

    @field_validator(*AXES)
    @classmethod
    def _no_value_twice(cls, values: tuple[AxisValue, ...]) -> tuple[AxisValue, ...]:
        twice = sorted(str(value) for value, times in Counter(values).items() if times > 1)
        if twice:
            raise ValueError(f"{', '.join(twice)} given more than once; name each value once")
        return values

    @property
    def names(self) -> tuple[str, ...]:
        """All axes of the grid; the seed is the last of the six, and others follow."""
        return (*AXES, *self.other)


class CellMatch(_OtherAxes):
    """Some axes with the values that match; axes not named match anything."""

    module: OneOrMore[str] | None = None
    backbone: OneOrMore[str] | None = None
    temporal_pooling: OneOrMore[bool] | None = None
    frames: OneOrMore[Frames] | None = None
    dataset: OneOrMore[str] | None = None
    seed: OneOrMore[Seed] | None = None

    @model_validator(mode="after")
    def _names_something(self) -> CellMatch:
        empty = sorted(name for name in self.model_fields_set if getattr(self, name) is None)
        if empty:
            raise ValueError(f"{', '.join(empty)} has no value; give a value or a list")
        if not self.model_fields_set:
            raise ValueError(f"names no axis, so it would match every cell; {allowed_axes(type(self))}")
        return self

    def matches(self, cell: Mapping[str, AxisValue]) -> bool:
        """Whether a cell's values (by axis, `stage` included where known) are all among the named ones."""
        return all(cell[name] in (self.values(name) or ()) for name in self.named)

    @property
    def named(self) -> tuple[str, ...]:
        """The axes that this match restricts."""
        fields = (name for name in type(self).model_fields if name != "other")
        return (*(name for name in fields if getattr(self, name) is not None), *self.other)


def allowed_axes(match: type[CellMatch]) -> str:
    """The tail of an error line that lists what a match may name."""
    return f"allowed: {', '.join(match.written_fields())}"


class StageMatch(CellMatch):
    """A match that can also ask for the first cell of a chain (`starter`) or the later ones (`finetune`)."""

    stage: OneOrMore[Stage] | None = None


class RecipeOverride(Frozen):
    """Recipe fields for the cells that match; a later override wins over an earlier one."""

    where: StageMatch
    set: Recipe


class Recipes(Frozen):
    """Partial recipes; only the fields that the file names count.

    Order: base, stage, named, overrides, published, axes. `named` are the values that the axis `recipe_name`
    may have; `published`: fields that a cell takes from the published result of its model, if there is one.
    """

    base: Recipe = Recipe()
    starter: Recipe = Recipe()
    finetune: Recipe = Recipe()
    named: dict[Annotated[str, Field(pattern=PLAIN_NAME)], Recipe] = Field(default_factory=dict)
    overrides: tuple[RecipeOverride, ...] = ()
    published: tuple[PublishedField, ...] = ()


_GPUS_OR_AUTO = {"anyOf": [{"type": "number", "minimum": 0}, {"const": "auto"}]}


class Resources(Frozen):
    """What one cell occupies while it trains: Ray Train workers and the CPUs and GPUs of each.

    `gpus_per_worker: auto` in a file sets `auto_share`: a share of one GPU, by the cell's estimated memory
    and the card's (`gpu_memory_gb`, in 10⁹ bytes; else that of cards measured before).
    """

    workers: PositiveInt = 1
    cpus_per_worker: PositiveInt = 1
    gpus_per_worker: Annotated[float, Field(ge=0), WithJsonSchema(_GPUS_OR_AUTO)] = 0
    auto_share: bool = False
    gpu_memory_gb: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _auto(cls, fields: Any) -> Any:  # noqa: ANN401 - whatever a file says
        if not isinstance(fields, dict) or "gpus_per_worker" not in fields or "auto_share" in fields:
            return fields
        auto = fields["gpus_per_worker"] == "auto"
        return {**fields, "auto_share": auto} | ({"gpus_per_worker": 1.0} if auto else {})

    @field_validator("gpus_per_worker")
    @classmethod
    def _whole_above_one(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(f"{gpus} is neither a share of one GPU nor whole; allowed: 0 to 1, 2, 3, …")
        return gpus

    @property
    def cpus(self) -> int:
        """CPUs of all workers together."""
        return self.workers * self.cpus_per_worker

    @property
    def gpus(self) -> float:
        """GPUs of all workers together."""
        return self.workers * self.gpus_per_worker


class ResourcesOverride(Frozen):
    """Resources for the cells that match; a later override wins over an earlier one."""

    where: StageMatch
    set: Resources


class ResourceRules(Frozen):
    """The resources of every cell, and of those that need others."""

    default: Resources = Resources()
    overrides: tuple[ResourcesOverride, ...] = ()


class Protocols(Frozen):
    """One protocol of a further evaluation, or several that differ in their number of clips.

    What is not named is each cell's own; `checkpoint`, the one that the cell's study reports.
    """

    sampling: Literal["uniform", "dense"] | None = None
    sampling_rate: PositiveInt | None = None
    clips: OneOrMore[PositiveInt] | None = None
    crops: Literal[1, 3, 5, 10] | None = None
    crop_size: Annotated[int, Field(ge=16)] | None = None
    short_side: Annotated[int, Field(ge=16)] | None = None
    batch_size: PositiveInt | None = None
    average: Average = "logits"
    checkpoint: Which | None = None

    def fields(self) -> tuple[dict[str, Any], ...]:
        """The named fields of `Evaluation`, one mapping for each number of clips."""
        named = self.model_dump(exclude_none=True, exclude={"clips", "average", "checkpoint"})
        return tuple(named | {"clips": clips} for clips in self.clips) if self.clips else (named,)


class EvaluatedCells(Frozen):
    """Finished cells that a study evaluates with further protocols: its own, or those of another `study`.

    Without `protocols` it only needs them: what their trainings measured is all that it shows.
    """

    study: Annotated[str, Field(pattern=PLAIN_NAME)] | None = None
    where: CellMatch | None = None
    protocols: tuple[Protocols, ...] = ()


NO_AXES = Axes.model_construct(
    module=(), backbone=(), temporal_pooling=(), frames=(), dataset=(), seed=(), other={}
)
"""The grid of a study that trains nothing."""


class Parents(Frozen):
    """The cells of another study that chains begin with: its file or name, and what its cells are there.

    One of the matches of `where` holds for a parent; in what they leave open, parent and child are equal
    (`orchestrator.study.parents`).
    """

    study: Annotated[str, Field(min_length=1)]
    where: Annotated[tuple[CellMatch, ...], BeforeValidator(_as_tuple)] = ()


SinkName = Literal["tensorboard", "mlflow", "wandb"]
Alert = Literal["failed", "finished", "stuck", "over_budget"]
ALERTS: tuple[Alert, ...] = ("failed", "finished", "stuck", "over_budget")


class Channel(Frozen):
    """One way to reach people, and what they want to know.

    `address` is a mail address or a webhook's address; `address_from` names the environment variable that
    holds it, since who knows a webhook's address can write there: the study file and the catalog do not.
    """

    by: Literal["mail", "slack", "webhook"]
    address: Annotated[str, Field(min_length=1)] | None = None
    address_from: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    when: OneOrMore[Alert] = ALERTS
    smtp: Annotated[str, Field(pattern=r"^[^\s:]+(:\d{1,5})?$")] = "localhost:25"
    sender: Annotated[str, Field(min_length=3)] | None = None

    @model_validator(mode="after")
    def _one_address(self) -> Channel:
        if (self.address is None) == (self.address_from is None):
            raise ValueError("give one of `address` and `address_from` (the name of an environment variable)")
        return self


class Notify(Frozen):
    """Who is told what of a run.

    `stuck` is said after so many minutes without an epoch, `over_budget` beyond so many hours of GPUs (of CPU
    cores, where no cell has a GPU) that the study's cells have taken in this storage.
    """

    to: Annotated[tuple[Channel, ...], Field(min_length=1)]
    stuck_after_minutes: Annotated[float, Field(gt=0)] = 60.0
    budget_hours: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _has_budget(self) -> Notify:
        named = any("over_budget" in one.when and "when" in one.model_fields_set for one in self.to)
        if named and self.budget_hours is None:
            raise ValueError("`over_budget` needs `budget_hours`")
        return self


class Study(Frozen):
    """One validated study file: axes, recipes, evaluation protocol, resources.

    A cell is in the grid if it matches at least one `include` (or there is none) and no `exclude`.
    `evaluates` names finished cells to measure with further protocols once all cells are done; a study
    without axes does nothing else (docs/running.md).
    `frames_on_local_disk` is a folder of each machine's own disk that frame stores are copied to first, for
    storage that is remote or slow. `retries` is how often one cell may fail and be tried again within one
    submission. Of several drivers on one Ray cluster that of the higher `priority` gets free resources first.
    `keep` says which checkpoints of a cell are kept (`orchestrator.running.retention`), `report` whose
    accuracies are shown, the last one's or the best one's; it changes no weights and so no key.
    `choose_on` holds a share of every dataset's training videos out of training, to choose best epochs and
    parents' checkpoints on; without it the validation videos choose, which are reported too.
    `parents`: chains begin with cells of another study instead of pretrained weights.
    `claims` are judged on this study's results (docs/claims.md); a file may name a file of them instead.
    `sinks` are other dashboards that get every cell's epochs and result, too (docs/sinks.md).
    `notify` says who is told when a cell fails, all is done, nothing happens, or the budget is spent.
    `plug_ins` are packages to import for it, beside those that are installed as such (docs/plug-ins.md).
    """

    name: Annotated[str, Field(pattern=PLAIN_NAME)]
    axes: Axes
    include: tuple[CellMatch, ...] = ()
    exclude: tuple[CellMatch, ...] = ()
    datasets: dict[str, DatasetConfig] = Field(default_factory=dict)
    recipe: Recipes = Recipes()
    evaluation: Evaluation = Evaluation()
    resources: ResourceRules = ResourceRules()
    frames_on_local_disk: Annotated[str, Field(min_length=1)] | None = None
    parent_check: bool = True
    retries: Annotated[int, Field(ge=0)] = 2
    priority: int = 0
    keep: Keep = KeepPolicy()
    choose_on: ChooseOn = None
    report: Which = "last"
    claims: tuple[Claim, ...] = ()
    notify: Notify | None = None
    sinks: Annotated[tuple[SinkName, ...], Field(json_schema_extra={"uniqueItems": True})] = ()
    parents: Parents | None = None
    plug_ins: tuple[Package, ...] = ()
    evaluates: tuple[EvaluatedCells, ...] = ()
    _parent_study: Study | None = PrivateAttr(default=None)

    @classmethod
    def load(cls, source: str | Path) -> Study:
        """Read a study by its file's path or a shipped one's name; raises `StudyError`, a line a problem."""
        from importlib import import_module  # what reads studies needs this module itself

        study: Study = import_module("orchestrator.study.load").load_study(source)
        return study

    @property
    def parent_study(self) -> Study | None:
        """The study that `parents` names, once it is loaded."""
        return self._parent_study

    def with_parent_study(self, parent: Study) -> Study:
        """The same study with the loaded one that `parents` names."""
        copy = self.model_copy()
        copy._parent_study = parent
        return copy

    @property
    def trains(self) -> bool:
        """Whether the study has cells of its own."""
        return bool(self.axes.module)


class StudyWithoutCells(Study):
    """A study file without axes: it trains nothing and evaluates cells of other studies."""

    axes: Axes = NO_AXES
