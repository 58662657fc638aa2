"""Field types that configurations share: frozen models without unknown fields, and bounded numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Split = Literal["train", "val"]
"""The two parts of a dataset: what is trained on, and what is measured on."""


class Frozen(BaseModel):
    """Immutable and strict about unknown fields, so that a misspelt field never passes silently."""

    model_config = ConfigDict(frozen=True, extra="forbid")
