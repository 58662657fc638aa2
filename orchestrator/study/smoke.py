"""A study's smoke form: the same cells at toy size, for a CPU in minutes.

It follows from the study itself, so that no axis, module or field of a recipe can be forgotten: every module
stays, with its tiny network where it has one; datasets become generated ones; epochs, batches and pictures
shrink.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from catalog.names import RESOLUTION
from orchestrator.study.cells import expand
from orchestrator.study.load import load_study, shipped_studies
from orchestrator.study.model import AxisValue, Study
from orchestrator.study.other_axes import field_of_axis
from trainables.models.registry import backbones_of, module_info

PREFIX = "smoke-"
_NOT_OF_THE_PAPER = ("demo",)
_TINY = "tiny"
_LENGTHS = 2  # the shortest ones: a starter and what is finetuned from it
_TEMPORAL = ("ssv2", "mini-ssv2", "jester")  # datasets whose classes are in the movement
_PIXELS = {"crop_size": 32, "short_side": 36}
_RECIPE: Mapping[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "accumulate": 1,
    "sync_bn": False,
    "init": "random",
    "crop_size": _PIXELS["crop_size"],
    "crop_scales": [1.0, 0.875],
    "short_side_range": [36, 40],
    "milestones": [1],
}
_VIDEOS = {"train_per_class": 4, "val_per_class": 4}
_RESOURCES = {"default": {"workers": 1, "cpus_per_worker": 1, "gpus_per_worker": 0}}


def smoke_name(study: str) -> str:
    """The name of a study's smoke form."""
    return f"{PREFIX}{study}"


def smoke_dataset(dataset: str) -> str:
    """The name of the generated dataset in a dataset's place."""
    return f"{PREFIX}{dataset}"


def smoke_form(study: Study) -> dict[str, Any]:
    """The fields of the study file of its smoke form; studies that it names are their smoke forms."""
    fields: dict[str, Any] = study.model_dump(mode="json", exclude_unset=True)
    for gone in ("claims", "frames_on_local_disk", "exclude", *(() if study.trains else ("datasets",))):
        fields.pop(gone, None)
    fields["name"] = smoke_name(study.name)
    fields["evaluates"] = [_small_evaluation(one) for one in fields.get("evaluates", ())]
    if not study.trains:
        return fields
    cells = _small_cells(study)
    fields["axes"] = {name: _distinct(cell[name] for cell in cells) for name in cells[0]}
    fields["include"] = cells
    fields["datasets"] = {smoke_dataset(name): _dataset(name) for name in study.axes.dataset}
    fields["recipe"] = _small_recipes(_with_stated(fields.get("recipe", {}), study))
    fields["evaluation"] = fields.get("evaluation", {}) | _PIXELS | {"batch_size": 16}
    fields["resources"] = _RESOURCES
    if fields.get("parents"):
        fields["parents"] = _small_parents(fields["parents"])
    return fields


def named_studies(study: Study) -> tuple[str, ...]:
    """The other studies whose cells a study needs."""
    names = [one.study for one in study.evaluates if one.study]
    parents = getattr(study, "parents", None)
    return tuple(dict.fromkeys([*names, *([parents.study] if parents else [])]))


def _small_cells(study: Study) -> list[dict[str, Any]]:
    """The axes of every cell at toy size, each once; of the shortest lengths alone."""
    lengths = sorted(study.axes.frames)[:_LENGTHS]
    return _distinct(_small_axes(cell.axes) for cell in expand(study) if cell.frames in lengths)


def _small_axes(axes: Mapping[str, AxisValue]) -> dict[str, Any]:
    small = {name: _small_value(name, value) for name, value in axes.items()}
    own = backbones_of(module_info(str(axes["module"])))
    return small | {"backbone": _TINY if _TINY in own else axes["backbone"]}


def _small_value(axis: str, value: Any) -> Any:  # noqa: ANN401 - whatever an axis has
    if axis == "dataset":
        return smoke_dataset(str(value))
    if axis == RESOLUTION:
        return max(_PIXELS["crop_size"], int(value) * _PIXELS["crop_size"] // 224)
    return _small_field(field_of_axis(axis) or axis, value)


def _small_field(field: str, value: Any) -> Any:  # noqa: ANN401 - whatever a field holds
    if field == "warmup_epochs":
        return min(1, int(value))
    return _RECIPE.get(field, list(value) if isinstance(value, tuple) else value)


def _small_match(where: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Match the toy cells of what matched; a backbone may have become the tiny one."""
    if where is None:
        return None
    small = {}
    for axis, values in where.items():
        listed = values if isinstance(values, list) else [values]
        small[axis] = _distinct(_small_value(axis, value) for value in listed)
        if axis == "backbone":
            small[axis] = _distinct([_TINY, *listed])
    return small


def _with_stated(recipes: Mapping[str, Any], study: Study) -> dict[str, Any]:
    """The recipes with what the study takes from the published table, as the first cell of a stage has it.

    No toy cell stands in that table.
    """
    stated: dict[str, Any] = {}
    for cell in expand(study) if "published" in recipes else ():
        if cell.stage not in stated:
            values = cell.recipe.model_dump(mode="json", include=set(recipes["published"]))
            stated[cell.stage] = values | recipes.get(cell.stage, {})
    return {**recipes, **stated}


def _small_recipes(recipes: Mapping[str, Any]) -> dict[str, Any]:
    small: dict[str, Any] = {
        stage: _small_recipe(recipes[stage]) for stage in ("starter", "finetune") if stage in recipes
    }
    small["base"] = {**_RECIPE, **_small_recipe(recipes.get("base", {}))}
    if "named" in recipes:
        small["named"] = {name: _small_recipe(recipe) for name, recipe in recipes["named"].items()}
    small["overrides"] = [
        {"where": _small_match(one["where"]), "set": shrunk}
        for one in recipes.get("overrides", ())
        if not (shrunk := _small_recipe(one["set"])).items() <= small["base"].items()
    ]
    return small


def _small_recipe(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _small_field(name, value) for name, value in recipe.items() if name != "speed"}


def _small_evaluation(entry: Mapping[str, Any]) -> dict[str, Any]:
    small = dict(entry)
    if entry.get("study"):
        small["study"] = smoke_name(entry["study"])
    if entry.get("where"):
        small["where"] = _small_match(entry["where"])
    small["protocols"] = [_small_protocol(one) for one in entry.get("protocols", ())]
    return small


def _small_protocol(protocol: Mapping[str, Any]) -> dict[str, Any]:
    """With the fewest clips, the most, and one number between them."""
    small = {name: _PIXELS.get(name, value) for name, value in protocol.items() if name != "batch_size"}
    if clips := small.get("clips"):
        small["clips"] = _distinct((clips[0], clips[len(clips) // 2], clips[-1]))
    return small


def _small_parents(parents: Mapping[str, Any]) -> dict[str, Any]:
    """The parents' study by the file that stands beside."""
    matches = [_small_match(where) for where in parents.get("where", ())]
    return {"study": f"{smoke_name(parents['study'])}.yaml", **({"where": matches} if matches else {})}


def _dataset(name: str) -> dict[str, Any]:
    """A generated dataset of its own; its seed follows from the name, so that no two have the same videos."""
    kind = "synthetic-motion" if name in _TEMPORAL else "synthetic-appearance"
    return {"kind": kind, **_VIDEOS, "seed": sum(name.encode())}


def _distinct(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found


def in_order(studies: Sequence[Study]) -> list[Study]:
    """The studies, each behind those whose cells it needs."""
    left, ordered = list(studies), list[Study]()
    while left:
        waiting = {one.name for one in left}
        ready = [one for one in left if not waiting & set(named_studies(one)) - {one.name}]
        ordered += ready or left
        left = [one for one in left if one not in ordered]
    return ordered


def written_forms(names: list[str] | None, folder: Path) -> list[Path]:
    """Write the smoke forms of studies; their files, each behind those whose cells it needs.

    Raises:
        StudyError: A study cannot be read.
    """
    wanted = names or [name for name in shipped_studies() if name not in _NOT_OF_THE_PAPER]
    studies = in_order([load_study(name) for name in wanted])
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for study in studies:
        path = folder / f"{smoke_name(study.name)}.yaml"
        plain = json.loads(json.dumps(smoke_form(study)))  # no lists that stand in two places
        text = yaml.safe_dump(plain, sort_keys=False, width=110, allow_unicode=True)
        path.write_text(
            f"# Made by `actiongrid smoke` from the study {study.name}.\n{text}", encoding="utf-8"
        )
        paths.append(path)
    return paths
