"""Field types that configurations share: frozen models without unknown fields, and bounded numbers."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

PositiveInt = Annotated[int, Field(ge=1)]
NotNegativeInt = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Split = Literal["train", "val"]
"""The two parts of a dataset: what is trained on, and what is measured on."""


def _share(value: object) -> object:
    """`10%` as the number 0.1; anything else as it is."""
    if not isinstance(value, str) or not value.rstrip().endswith("%"):
        return value
    try:
        return float(Decimal(value.rstrip().removesuffix("%").strip()) / 100)
    except InvalidOperation:
        return value


_SHARE_SCHEMA = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "maximum": 0.5},
        {"type": "string", "pattern": r"^\d+(\.\d+)?\s*%$"},
        {"type": "null"},
    ]
}
ChooseOn = Annotated[
    Annotated[float, Field(gt=0, le=0.5)] | None, BeforeValidator(_share), WithJsonSchema(_SHARE_SCHEMA)
]
"""The share of the training videos, such as `10%`, that epochs are chosen on; None: the validation videos."""


class Frozen(BaseModel):
    """Immutable and strict about unknown fields, so that a misspelt field never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")
