"""Axes beside the six: recipe fields, named recipes and the resolution."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from catalog.names import other_axis_value
from catalog.storage.layout import Layout
from orchestrator.planning.plan import make_plan
from orchestrator.study.cells import Cell, expand
from orchestrator.study.errors import StudyError
from orchestrator.study.load import parse_study
from orchestrator.study.model import Study
from orchestrator.study.other_axes import OtherValue

STUDY = """
name: rates
axes:
  module: [tsn]
  backbone: [tiny]
  frames: [8, 16]
  dataset: [toy]
  seed: [0, 1]
  AXES
datasets: {toy: {kind: synthetic-motion}}
recipe:
  base: {init: random, batch_size: 8, lr: 0.5, inherit: last}
  RECIPE
evaluation: {crop_size: 32, short_side: 36}
"""


def cells(axes: str, recipe: str = "starter: {}") -> dict[str, Cell]:
    text = STUDY.replace("AXES", axes).replace("RECIPE", recipe)
    return {cell.name: cell for cell in expand(parse_study(text, "s.yaml"))}


def problem(axes: str, recipe: str = "starter: {}") -> str:
    with pytest.raises(StudyError) as error:
        cells(axes, recipe)
    return str(error.value)


def test_every_value_of_a_recipe_field_is_a_chain_of_its_own() -> None:
    grid = cells("recipe.lr: [0.01, 1e-4]", "finetune: {epochs: 3}")
    assert len(grid) == 8
    child = grid["TSN-Tiny-f16@toy+lr=0.0001#1"]
    assert (child.recipe.lr, child.recipe.epochs) == (1e-4, 3)
    assert child.parent == "TSN-Tiny-f8@toy+lr=0.0001#1"
    assert child.chain_id == "TSN-Tiny@toy+lr=0.0001#1"
    assert child.axes["recipe.lr"] == 1e-4


def test_named_recipes_are_layers_between_the_stage_and_the_overrides() -> None:
    recipe = """starter: {epochs: 3, dropout: 0.1}
  named:
    paper: {epochs: 4}
    transformer: {optimiser: adamw, epochs: 5, lr: 0.001}
  overrides: [{where: {recipe_name: transformer, stage: finetune}, set: {epochs: 6}}]"""
    grid = cells("recipe_name: [paper, transformer]", recipe)
    said = {
        name: (one.recipe.optimiser, one.recipe.epochs, one.recipe.lr, one.recipe.dropout)
        for name, one in grid.items()
        if one.seed == 0
    }
    assert said == {
        "TSN-Tiny-f8@toy+paper": ("sgd", 4, 0.5, 0.1),
        "TSN-Tiny-f16@toy+paper": ("sgd", 4, 0.5, 0.5),
        "TSN-Tiny-f8@toy+transformer": ("adamw", 5, 0.001, 0.1),
        "TSN-Tiny-f16@toy+transformer": ("adamw", 6, 0.001, 0.5),
    }


def test_resolution_is_of_training_and_evaluation() -> None:
    cell = cells("resolution: [32, 64]")["TSN-Tiny-f8@toy+resolution=64"]
    assert cell.recipe.crop_size == cell.evaluation.crop_size == 64
    assert cell.evaluation.short_side == 72


@pytest.mark.parametrize(
    ("field", "values", "name"),
    [
        ("optimiser", "[sgd, adamw]", "optimiser=adamw"),
        ("milestones", "[[5, 7], [6]]", "milestones=5-7"),
        ("clip_norm", "[null, 40]", "clip_norm=none"),
        ("nesterov", "[true, false]", "nesterov=yes"),
        ("epochs", "5", "epochs=5"),
        ("pooling_method", "[max, avg]", "pooling_method=avg"),
    ],
)
def test_any_recipe_field_is_an_axis(field: str, values: str, name: str) -> None:
    assert f"TSN-Tiny-f8@toy+{name}" in cells(f"recipe.{field}: {values}")


def test_cells_are_matched_by_every_axis() -> None:
    grid = cells("recipe.lr: [1, 0.1]\nexclude: [{recipe.lr: 1.0, frames: 16}]")
    assert [name for name in grid if "lr=1" in name] == ["TSN-Tiny-f8@toy+lr=1", "TSN-Tiny-f8@toy+lr=1#1"]


@pytest.mark.parametrize(
    ("axes", "recipe", "said"),
    [
        ("lr: [1]", "starter: {}", "axes.lr: unknown field; allowed: module, .*did you mean recipe.lr"),
        ("recipe.lrr: [1]", "starter: {}", "recipe.lrr: a recipe has no field lrr .*did you mean recipe.lr"),
        ("recipe.speed: [1]", "starter: {}", "axes.recipe.speed: a recipe has no field speed"),
        ("recipe.lr: [fast]", "starter: {}", "s.yaml:9: axes.recipe.lr: 'fast' should be a valid number"),
        ("recipe.milestones: [5]", "starter: {}", "should be a valid array; each value is a list of its own"),
        ("recipe.lr: [1, 1.0]", "starter: {}", "axes.recipe.lr: a value is given more than once"),
        ("recipe.lr: [1]", "finetune: {lr: 2}", "recipe.finetune.lr: set by the axis recipe.lr too"),
        ("recipe_name: [paper]", "named: {papr: {}}", "no recipe is named 'paper'; .*did you mean papr"),
        ("recipe_name: [paper]", "starter: {}", "no recipe is named 'paper'; define it under recipe.named"),
        ("temporal_pooling: [false]", "named: {paper: {}}", r"axes: \{recipe_name: \[paper\]\}"),
        ("resolution: [64]\n  recipe.crop_size: [32]", "starter: {}", "keep one of the two"),
        ("recipe.lr: [1]\nexclude: [{recipe.epochs: 1}]", "starter: {}", "recipe.epochs: no axis of this"),
    ],
)
def test_a_wrong_axis_says_what_is_allowed(axes: str, recipe: str, said: str) -> None:
    assert re.search(said, problem(axes, recipe)), problem(axes, recipe)


def test_a_dumped_study_is_a_study_file() -> None:
    text = STUDY.replace("AXES", "recipe.lr: [1, 0.1]").replace("RECIPE", "starter: {}")
    study = parse_study(text + "exclude: [{recipe.lr: 1}]\n", "s.yaml")
    dumped = study.model_dump(mode="json", exclude_unset=True)
    assert dumped["axes"]["recipe.lr"] == [1, 0.1]
    assert "other" not in dumped["axes"]
    assert expand(Study.model_validate(dumped)) == expand(study)


def test_where_an_axis_decides_nothing_its_values_are_one_cell() -> None:
    text = STUDY.replace("AXES", "recipe.inherit: [best, last]").replace(", inherit: last", "")
    plan = make_plan(parse_study(text.replace("RECIPE", "starter: {}"), "s.yaml"))
    said = {one.cell.name: one.cell.parent for one in plan.cells if one.cell.seed == 0}
    assert said == {
        "TSN-Tiny-f8@toy+inherit=best": None,
        "TSN-Tiny-f16@toy+inherit=best": "TSN-Tiny-f8@toy+inherit=best",
        "TSN-Tiny-f16@toy+inherit=last": "TSN-Tiny-f8@toy+inherit=best",
    }
    assert len({one.key for one in plan.cells}) == plan.totals.cells == 6


def test_a_cell_has_one_key_and_folder_whatever_axes_a_study_names() -> None:
    def planned(axes: str, lr: str) -> dict[str, str]:
        text = STUDY.replace("AXES", axes).replace("lr: 0.5", f"lr: {lr}").replace("RECIPE", "starter: {}")
        return {one.key: one.cell.name for one in make_plan(parse_study(text, "s.yaml")).cells}

    named, plain = planned("recipe.lr: [0.1, 0.2]", "0.5"), planned("temporal_pooling: [false]", "0.1")
    assert plain.keys() < named.keys()
    layout = Layout(Path())
    assert all(layout.run_dir(plain[key], key) == layout.run_dir(named[key], key) for key in plain)
    assert layout.run_dir("A+B-Tiny-f8@toy+lr=0.1#1", "k" * 32) == layout.run_dir(
        "A+B-Tiny-f8@toy#1", "k" * 32
    )
    assert layout.run_dir("A+B-Tiny-f8@toy", "k" * 32) != layout.run_dir("A-Tiny-f8@toy", "k" * 32)


@pytest.mark.parametrize(
    ("value", "text"), [(0.00001, "1e-05"), (0.1, "0.1"), (1.0, "1"), (True, "yes"), ((1, 0.5), "1-0.5")]
)
def test_values_as_texts(value: OtherValue, text: str) -> None:
    assert other_axis_value(value) == text
