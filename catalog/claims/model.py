"""A claim: what somebody says about results, as data that can be judged on any set of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from catalog.names import is_other_axis, other_axis_value

Results = Literal["grid", "evaluations", "printed"]
Measure = Literal["top1", "top5", "phi", "psi", "macs"]
Cases = Literal["every", "most", "some"]
AxisValue = bool | int | str

MODEL_AXES = ("dataset", "module", "backbone", "temporal_pooling", "frames")
AXES: Mapping[Results, tuple[str, ...]] = {
    "grid": MODEL_AXES,
    "evaluations": (*MODEL_AXES, "sampling", "clips", "crops", "crop_size"),
    "printed": ("table", "row", "column"),
}
"""What tells results apart, beside the other axes of their study (docs/axes.md), of which `printed` has none.

`printed` are the numbers of the paper's Tables 2 to 6, by their place."""
MEASURES: Mapping[Results, tuple[Measure, ...]] = {
    "grid": get_args(Measure),
    "evaluations": ("top1", "macs"),
    "printed": ("top1", "macs"),
}
MEASURE = "measure"


def _several(value: object) -> tuple[AxisValue, ...]:
    found = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(one, bool | int | str) for one in found):
        raise ValueError("should be a value or a list of values: true, false, whole numbers or text")
    return tuple(found)


def _compared(value: object) -> tuple[AxisValue | tuple[AxisValue, ...], ...]:
    found = value if isinstance(value, list | tuple) else [value]
    pairs = [one for one in found if isinstance(one, list | tuple)]
    if pairs and (len(pairs) < len(found) or any(len(one) != 2 for one in pairs)):
        raise ValueError("should be a list of values, or a list of pairs of values")
    return tuple(_several(one) for one in found) if pairs else _several(found)


def _texts(value: object, pairs: bool) -> object:
    """The values of an axis beside the six, as results have them; with `pairs` a list in a list is a pair."""
    if isinstance(value, list | tuple):
        return [
            [other_axis_value(end) for end in one]
            if pairs and isinstance(one, list | tuple)
            else other_axis_value(one)
            for one in value
        ]
    # What is no value is told as such by the field's type.
    return value if isinstance(value, dict) else other_axis_value(value)


Values = Annotated[tuple[AxisValue, ...], BeforeValidator(_several)]
Compared = Annotated[tuple[AxisValue | tuple[AxisValue, AxisValue], ...], BeforeValidator(_compared)]


def _plain(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,79}", name):
        raise ValueError(f"{name!r} should be small letters, digits and -, at most 80 of them")
    return name


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Expected(_Model):
    """The numbers that a claim allows: one or two bounds, in the unit of what is measured."""

    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    at_most: float | None = None

    @model_validator(mode="after")
    def _has_bounds(self) -> Expected:
        low = [one for one in (self.above, self.at_least) if one is not None]
        high = [one for one in (self.below, self.at_most) if one is not None]
        if not (low or high):
            raise ValueError("needs a bound: above, at_least, below or at_most")
        if len(low) == 2 or len(high) == 2:
            raise ValueError("has two bounds of one side; keep one")
        if low and high and low[0] > high[0]:
            raise ValueError("its lower bound is above its upper one")
        return self

    def allows(self, value: float) -> bool:
        """Whether a number is within the bounds."""
        return not (self._below(value) or self._above(value))

    def holds_all(self, low: float, high: float) -> bool:
        """Whether all numbers from `low` to `high` are within the bounds."""
        return self.allows(low) and self.allows(high)

    def holds_none(self, low: float, high: float) -> bool:
        """Whether no number from `low` to `high` is within the bounds."""
        return self._below(high) or self._above(low)

    def _below(self, value: float) -> bool:
        under = self.above is not None and value <= self.above
        return under or (self.at_least is not None and value < self.at_least)

    def _above(self, value: float) -> bool:
        over = self.below is not None and value >= self.below
        return over or (self.at_most is not None and value > self.at_most)

    def __str__(self) -> str:
        words = {"above": self.above, "at least": self.at_least, "below": self.below, "at most": self.at_most}
        return " and ".join(f"{word} {bound:g}" for word, bound in words.items() if bound is not None)


class Claim(_Model):
    """One statement about results (docs/claims.md says what the fields mean)."""

    name: Annotated[str, AfterValidator(_plain)]
    statement: Annotated[str, Field(min_length=1)]
    source: str = ""
    note: str = ""
    results: Results = "grid"
    measure: Measure = "top1"
    where: dict[str, Values] = {}
    without: dict[str, Values] = {}
    compare: dict[str, Compared] = {}
    relative: bool = False
    average_over: Annotated[tuple[str, ...], BeforeValidator(_several)] = ()
    expect: Expected
    cases: Cases = "every"

    @field_validator("where", "without", "compare", mode="before")
    @classmethod
    def _as_results_have_them(cls, fields: object, info: ValidationInfo) -> object:
        if not isinstance(fields, dict):
            return fields
        pairs = info.field_name == "compare"
        return {
            axis: _texts(value, pairs) if is_other_axis(str(axis)) else value
            for axis, value in fields.items()
        }

    @property
    def axes(self) -> tuple[str, ...]:
        """What tells the results apart that it is about, whatever their study; `other_axes` may, too."""
        return AXES[self.results]

    @property
    def other_axes(self) -> tuple[str, ...]:
        """The axes beside the six that it names, each once (docs/axes.md)."""
        named = (*self.where, *self.without, *self.compare, *self.average_over)
        return tuple(dict.fromkeys(axis for axis in named if is_other_axis(axis)))

    def pairs(self, axis: str) -> tuple[tuple[AxisValue, AxisValue], ...]:
        """Return what is compared along an axis: the pairs that are given, or each value with the next."""
        values = self.compare[axis]
        given = tuple(one for one in values if isinstance(one, tuple))
        return given or tuple(pairwise(one for one in values if not isinstance(one, tuple)))

    def compared(self, axis: str) -> tuple[AxisValue, ...]:
        """Return the values that are compared along an axis, each once."""
        return tuple(dict.fromkeys(value for pair in self.pairs(axis) for value in pair))

    @property
    def measures(self) -> frozenset[str]:
        """What it needs to know of each result."""
        compared = self.compared(MEASURE) if MEASURE in self.compare else (self.measure,)
        return frozenset(map(str, compared))

    @property
    def unit(self) -> str:
        """The unit of the numbers that its bounds are about; empty for shares."""
        if self.relative:
            return "%"
        if self.measures <= {"top1", "top5"}:
            return "points" if self.compare else "%"
        return "GMACs" if self.measures == {"macs"} else ""


class ClaimFile(_Model):
    """A file of claims."""

    claims: tuple[Claim, ...]
