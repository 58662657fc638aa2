"""What a study file names: modules, backbones, datasets, parts of recipes, axes; and what nobody knows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from catalog.claims.model import AxisValue
from catalog.field_errors import Location, Problem, choices
from catalog.names import RECIPE_NAME, RESOLUTION, other_axis_value
from catalog.yaml_source import as_list
from orchestrator.study.datasets import dataset_names
from orchestrator.study.model import CellMatch, Study
from orchestrator.study.other_axes import axis_problem, field_of_axis
from trainables.models.registry import TIMM, backbone_info, backbones, modules
from trainables.recipe.cell_spec import AUGMENTATIONS, OPTIMISERS, Recipe
from trainables.recipe.plug_ins import AugmentationInfo, OptimiserInfo, PlugInError, plug_ins_of


def unknown_names(study: Study) -> list[Problem]:
    """Everything that a study names and that is not there, plug-ins included."""
    return [*_unknown_axes_values(study), *_unknown_parts(study), *_other_axes(study)]


def other_values(location: Location, match: CellMatch) -> Iterator[Problem]:
    """What is wrong with values by which another study's cells are chosen; its datasets are its own."""
    for axis, known in (("module", modules()), ("backbone", backbones())):
        for value in match.values(axis) or ():
            if what := _unknown(axis, value, [*known]):
                yield Problem((*location, axis), what)
    for name, values in match.other.items():
        if name != RECIPE_NAME and (found := axis_problem(name, values, ())):
            yield Problem((*location, name), found)


def claimed(study: Study, axis: str) -> Iterator[tuple[Location, tuple[AxisValue, ...]]]:
    """Every place of a claim that names values of an axis."""
    for number, claim in enumerate(study.claims):
        if axis in (*claim.axes, *claim.other_axes):
            for field in ("where", "without"):
                yield ("claims", number, field, axis), getattr(claim, field).get(axis, ())
            if axis in claim.compare:
                yield ("claims", number, "compare", axis), claim.compared(axis)


def _other_axes(study: Study) -> Iterator[Problem]:
    """What is wrong with axes beside the six: unknown ones, values that they cannot have, set twice."""
    recipes = [*study.recipe.named]
    for name, values in study.axes.other.items():
        if what := axis_problem(name, values, recipes):
            yield Problem(("axes", name), what)
        for location, layer in _set_by_cells(study):
            if (field := field_of_axis(name)) in layer.model_fields_set:
                yield Problem((*location, str(field)), f"set by the axis {name} too; say it in one place")
        if field_of_axis(name) in study.recipe.published:
            yield Problem(("recipe", "published"), f"{name} is an axis, too; say it in one place")
    if recipes and RECIPE_NAME not in study.axes.other:
        what = (
            f"recipes are named, but no axis chooses one; say axes: {{{RECIPE_NAME}: [{', '.join(recipes)}]}}"
        )
        yield Problem(("recipe", "named"), what)
    if {RESOLUTION, "recipe.crop_size"} <= study.axes.other.keys():
        yield Problem(("axes", RESOLUTION), "sets crop_size, as recipe.crop_size does; keep one of the two")
    yield from _matched_otherwise(study, recipes)
    yield from _claimed_otherwise(study)


def _matched_otherwise(study: Study, recipes: Sequence[str]) -> Iterator[Problem]:
    """Places that choose cells by axes that the study does not have, or by values that these cannot have."""
    for location, match in matches(study):
        for name, values in match.other.items():
            found = axis_problem(name, values, recipes)
            if name not in study.axes.other:
                found = f"no axis of this study; {choices(name, study.axes.names)}"
            if found:
                yield Problem((*location, name), found)


def _claimed_otherwise(study: Study) -> Iterator[Problem]:
    """Claims that name axes which the study does not have, or values that it does not vary."""
    for number, claim in enumerate(study.claims):
        for axis in claim.other_axes:
            if axis not in study.axes.other:
                fields = ("where", "without", "compare")
                named = next((one for one in fields if axis in getattr(claim, one)), None)
                place: Location = ("average_over",) if named is None else (named, axis)
                what = f"{axis!r} is no axis of this study; {choices(axis, study.axes.names)}"
                yield Problem(("claims", number, *place), what)
    for axis, values in study.axes.other.items():
        known = [other_axis_value(value) for value in values]
        for location, named_values in claimed(study, axis):
            for value in named_values:
                if value not in known:
                    what = f"{value!r} is no value of this axis here; {choices(value, known)}"
                    yield Problem(location, what)


def _set_by_cells(study: Study) -> Iterator[tuple[Location, Recipe]]:
    """The partial recipes that are of some cells alone: an axis would silently win over them."""
    for name, recipe in study.recipe.named.items():
        yield ("recipe", "named", name), recipe
    for stage in ("starter", "finetune"):
        yield ("recipe", stage), getattr(study.recipe, stage)
    for index, override in enumerate(study.recipe.overrides):
        yield ("recipe", "overrides", index, "set"), override.set


def _unknown_axes_values(study: Study) -> Iterator[Problem]:
    known = {"module": modules(), "backbone": backbones(), "dataset": dataset_names(study)}
    allowed = {axis: list(names) for axis, names in known.items()}
    for location, values in _named_values(study):
        axis = str(location[-1])
        for value in values:
            if what := _unknown(axis, value, allowed[axis]):
                yield Problem(location, what)
    for name in study.datasets:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            what = "a dataset's name has letters, digits, '.', '_' and '-' only; rename it"
            yield Problem(("datasets", name), what)


def _unknown(axis: str, value: object, allowed: list[str]) -> str | None:
    """What is wrong with a value of an axis that names something; None if it is known."""
    if axis != "backbone" or not str(value).startswith(TIMM):
        way_out = as_list(value) or f"; {choices(value, allowed)}"
        return None if value in allowed else f"unknown {axis} {value!r}{way_out}"
    try:
        backbone_info(str(value))
    except (PlugInError, ValueError) as error:
        return str(error)
    return None


def _unknown_parts(study: Study) -> Iterator[Problem]:
    """Optimisers and augmentations that nobody knows, wherever the file names them."""
    known = {
        "optimiser": [*OPTIMISERS, *plug_ins_of(OptimiserInfo)],
        "augmentation": [*AUGMENTATIONS, *plug_ins_of(AugmentationInfo)],
    }
    for field, allowed in known.items():
        for location, value in _named_parts(study, field):
            if value not in allowed:
                yield Problem(location, f"{value!r} is not one of them; {choices(value, allowed)}")


def _named_parts(study: Study, field: str) -> Iterator[tuple[Location, object]]:
    """Every place of the file that gives a field of a recipe a value."""
    recipes = study.recipe
    places: list[tuple[Location, Recipe]] = [
        *((("recipe", stage), getattr(recipes, stage)) for stage in ("base", "starter", "finetune")),
        *((("recipe", "named", name), one) for name, one in recipes.named.items()),
        *((("recipe", "overrides", at, "set"), one.set) for at, one in enumerate(recipes.overrides)),
    ]
    for location, recipe in places:
        if field in recipe.model_fields_set:
            yield (*location, field), getattr(recipe, field)
    axis = f"recipe.{field}"
    if study.axes is not None:
        yield from ((("axes", axis), value) for value in study.axes.values(axis) or ())


def _named_values(study: Study) -> Iterator[tuple[Location, tuple[AxisValue, ...]]]:
    """Every place of the file that names modules, backbones or datasets.

    Claims may be about other studies' datasets too.
    """
    for axis in ("module", "backbone"):
        yield from claimed(study, axis)
    for axis in ("module", "backbone", "dataset"):
        yield ("axes", axis), getattr(study.axes, axis)
        for location, match in matches(study):
            yield (*location, axis), getattr(match, axis) or ()


def matches(study: Study) -> Iterator[tuple[Location, CellMatch]]:
    """Every place of the file that chooses cells by their axes."""
    yield from ((("include", index), match) for index, match in enumerate(study.include))
    yield from ((("exclude", index), match) for index, match in enumerate(study.exclude))
    for index, recipe in enumerate(study.recipe.overrides):
        yield ("recipe", "overrides", index, "where"), recipe.where
    for index, resources in enumerate(study.resources.overrides):
        yield ("resources", "overrides", index, "where"), resources.where
    for index, evaluated in enumerate(study.evaluates):
        if evaluated.where is not None and evaluated.study is None:
            yield ("evaluates", index, "where"), evaluated.where
