"""docs/reference/ says what models and views say now: every field, every table; every example is read."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from docs.reference import sql
from docs.reference.study import MODELS, PAGE, meaning, page, sections
from orchestrator.study.load import parse_study
from orchestrator.study.model import Study

BASE = """
name: s
axes: {module: [tam], backbone: [resnet18], frames: [8, 16, 32], dataset: [mini-ssv2]}
recipe: {base: {lr: 0.01}}
"""
ELSEWHERE = {
    "Claim",  # docs/claims.md
    "Expected",
    "CellMatch",  # as StageMatch
    "RecipeOverride",  # `where` and `set`
    "ResourceRules",  # `default` and `overrides`
    "ResourcesOverride",
    "KeepPolicy",  # a file says it as text
    "SplitFolders",  # `train` and `val`
    "SyntheticAppearance",  # as SyntheticMotion
}
EXAMPLES = [
    (name, field, example)
    for name, section in sections().items()
    for field, entry in section["fields"].items()
    if (example := meaning(entry)[1])
]


def models_of(kind: Any, found: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """All models that a type is made of."""
    if inspect.isclass(kind) and issubclass(kind, BaseModel) and kind not in found:
        found.add(kind)
        for field in kind.model_fields.values():
            models_of(field.annotation, found)
    for part in typing.get_args(kind):
        models_of(part, found)
    return found


def test_every_field_has_its_line_and_no_line_is_of_another_time() -> None:
    written = {name: set(section["fields"]) for name, section in sections().items()}
    assert written.keys() == MODELS.keys()
    assert {name: set(one.model_fields) for name, one in MODELS.items()} == written
    reachable = {one.__name__ for one in models_of(Study, set())}
    assert reachable - ELSEWHERE <= {one.__name__ for one in MODELS.values()}
    assert reachable >= ELSEWHERE


def test_the_pages_are_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "python -m docs.reference.study"
    assert sql.PAGE.read_text(encoding="utf-8") == sql.page(), "python -m docs.reference.sql"


def test_every_table_is_described() -> None:
    described = sql.comments() | sql._PRINTED
    assert {name for name in sql.columns() if not described.get(name)} == set()


@pytest.mark.parametrize(("section", "field", "example"), EXAMPLES)
def test_every_example_is_read(section: str, field: str, example: str) -> None:
    document = yaml.safe_load(BASE)
    said = yaml.safe_load(example)
    if section == "axes":
        document["axes"] |= said
    else:
        document |= said
    assert parse_study(yaml.safe_dump(document), "s.yaml").name
    assert field in example or field == "other"
