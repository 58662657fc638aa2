"""Axes that a study may have beside the six: recipe fields, named recipes, resolution (docs/axes.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from catalog.field_errors import choices
from catalog.names import RECIPE_NAME, RESOLUTION, other_axis_value
from trainables.recipe.cell_spec import Evaluation, Recipe

_RECIPE = "recipe."
# Switches of a fast step are a group of fields of their own, and change no experiment but by rounding.
FIELDS = tuple(name for name in Recipe.model_fields if name != "speed")

OtherValue = str | bool | int | float | None | tuple[int | float, ...]


def axis_problem(name: str, values: Sequence[object], recipes: Sequence[str]) -> str | None:
    """What is wrong with an axis or with one of its values; `recipes` are the names of named recipes."""
    if len(set(values)) < len(values):
        return "a value is given more than once; name each value once"
    if name == RECIPE_NAME:
        return _name_problem(values, recipes)
    field = "crop_size" if name == RESOLUTION else name.removeprefix(_RECIPE)
    if field not in FIELDS:
        known = [f"{_RECIPE}{one}" for one in FIELDS]
        return f"a recipe has no field {field} that can be an axis; {choices(name, known)}"
    return next((what for value in values if (what := _value_problem(field, value))), None)


def _name_problem(names: Sequence[object], recipes: Sequence[str]) -> str | None:
    for name in names:
        if name not in recipes:
            ways = choices(name, recipes) if recipes else "define it under recipe.named"
            return f"no recipe is named {name!r}; {ways}"
    return None


def _value_problem(field: str, value: object) -> str | None:
    try:
        _type_of(field).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        said = error.errors()[0]["msg"].replace("Input should", "should")
        lists = "; each value is a list of its own, such as [[1, 2], [3, 4]]" if "array" in said else ""
        return f"{value!r} {said}{lists}"
    return None


@lru_cache
def _type_of(field: str) -> TypeAdapter[Any]:
    """The type of a recipe's field with its bounds."""
    info = Recipe.model_fields[field]
    kind: Any = info.annotation
    for bound in info.metadata:
        kind = Annotated[kind, bound]
    return TypeAdapter(kind)


def axes_texts(other: Mapping[str, OtherValue]) -> dict[str, str]:
    """The values as texts, by axis."""
    return {name: other_axis_value(value) for name, value in other.items()}


def recipe_of_axes(other: Mapping[str, OtherValue]) -> Recipe:
    """The recipe's fields that the axes set, and no others."""
    fields = {name.removeprefix(_RECIPE): value for name, value in other.items() if name.startswith(_RECIPE)}
    if RESOLUTION in other:
        fields["crop_size"] = other[RESOLUTION]
    return Recipe.model_validate(fields)


def field_of_axis(name: str) -> str | None:
    """The recipe's field that an axis sets; None where it sets none by itself."""
    return None if name == RECIPE_NAME else "crop_size" if name == RESOLUTION else name.removeprefix(_RECIPE)


def axis_of_field(field: str, other: Mapping[str, OtherValue]) -> str | None:
    """The axis that sets a recipe's field, if any does."""
    return next((name for name in other if field_of_axis(name) == field), None)


def evaluation_at(evaluation: Evaluation, other: Mapping[str, OtherValue]) -> Evaluation:
    """The protocol at the cell's resolution: crops of that size, of pictures larger in proportion."""
    size = other.get(RESOLUTION)
    if not isinstance(size, int):
        return evaluation
    short_side = round(evaluation.short_side * size / evaluation.crop_size)
    return evaluation.model_copy(update={"crop_size": size, "short_side": short_side})
