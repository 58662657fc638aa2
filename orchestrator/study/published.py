"""Recipes of single models as the public table of mini results states them (docs/axes.md)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

from trainables.recipe.cell_spec import Recipe

PublishedField = Literal["epochs", "schedule", "batch_size", "sync_bn"]
"""The fields of a recipe that the table states."""

_SCHEDULES = {"multisteps": "multistep"}
_Position = tuple[str, str, str, bool, int]


def published_recipe(
    fields: tuple[PublishedField, ...], dataset: str, axes: Mapping[str, Any]
) -> Recipe | None:
    """These fields of the published recipe of a cell with these values; None where none is published.

    `dataset` is the name of the official dataset that the cell's is; empty where it is none.
    """
    found = _table().get(
        (dataset, axes["module"], axes["backbone"], axes["temporal_pooling"], axes["frames"])
    )
    return None if found is None else Recipe.model_validate({field: found[field] for field in fields})


@cache
def _table() -> Mapping[_Position, Mapping[str, Any]]:
    text = (resources.files("catalog") / "published" / "mini_results.csv").read_text(encoding="utf-8")
    return {_position(row): _stated(row) for row in csv.DictReader(text.splitlines())}


def _position(row: Mapping[str, str]) -> _Position:
    pooled = row["temporal_pooling"] == "True"
    return row["dataset"], row["module"], row["backbone"], pooled, int(row["frames"])


def _stated(row: Mapping[str, str]) -> Mapping[str, Any]:
    return {
        "epochs": int(row["epochs"]),
        "schedule": _SCHEDULES.get(row["lr_schedule"], row["lr_schedule"]),
        "batch_size": int(row["batch_size"]),
        "sync_bn": row["sync_bn"] == "True",
    }
