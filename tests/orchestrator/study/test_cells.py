from __future__ import annotations

import csv
import itertools
from collections import Counter

from orchestrator.study.cells import Cell, chains, expand, merge_layers, recipe_layers, resource_layers
from orchestrator.study.load import load_study, parse_study
from orchestrator.study.model import Resources
from tests.support.paths import ROOT
from trainables.recipe.cell_spec import Recipe

PUBLISHED = ROOT / "catalog" / "published" / "mini_results.csv"

STUDY = """\
name: s
axes: {module: [tsn, i3d], backbone: [resnet50], frames: [32, 8, 16], dataset: [mini-ssv2], seed: [0, 1]}
EXTRA
recipe:
  base: {lr: 0.5, epochs: 9}
  starter: {epochs: 3}
  overrides:
    - {where: {stage: starter}, set: {epochs: 4}}
    - {where: {stage: starter, module: i3d}, set: {epochs: 5, momentum: 0.5}}
    - {where: {frames: [32, 64]}, set: {lr: 0.25}}
resources:
  default: {workers: 2, cpus_per_worker: 3}
  overrides:
    - {where: {frames: 32, stage: finetune}, set: {gpus_per_worker: 0.5}}
"""


def cells(extra: str = "") -> dict[str, Cell]:
    return {cell.name: cell for cell in expand(parse_study(STUDY.replace("EXTRA", extra), "s.yaml"))}


def test_names_are_the_papers() -> None:
    assert list(cells())[:4] == [
        "TSN-ResNet50-f8@mini-ssv2",
        "TSN-ResNet50-f16@mini-ssv2",
        "TSN-ResNet50-f32@mini-ssv2",
        "TSN-ResNet50-f8@mini-ssv2#1",
    ]
    deep = {cell.name for cell in expand(load_study("deep-analysis"))}
    assert "TAM-ResNet50-tp-f16@mini-ssv2" in deep


def test_a_parent_is_the_next_shorter_cell_of_the_same_chain() -> None:
    grid = cells()
    assert grid["I3D-ResNet50-f8@mini-ssv2#1"].parent is None
    assert grid["I3D-ResNet50-f16@mini-ssv2#1"].parent == "I3D-ResNet50-f8@mini-ssv2#1"
    assert grid["I3D-ResNet50-f32@mini-ssv2#1"].parent == "I3D-ResNet50-f16@mini-ssv2#1"
    assert {len(chain) for chain in chains(tuple(grid.values()))} == {3}


def test_a_chain_skips_what_is_excluded() -> None:
    grid = cells("exclude: [{module: tsn, frames: 16}, {module: i3d, frames: [8, 16], seed: 0}]")
    assert grid["TSN-ResNet50-f32@mini-ssv2"].parent == "TSN-ResNet50-f8@mini-ssv2"
    alone = grid["I3D-ResNet50-f32@mini-ssv2"]
    assert (alone.parent, alone.stage, alone.recipe.epochs) == (None, "starter", 5)
    assert len(grid) == 12 - 2 - 2


def test_include_comes_before_exclude() -> None:
    grid = cells("include: [{module: tsn}, {seed: 1, frames: 8}]\nexclude: [{module: tsn, seed: 1}]")
    assert sorted(grid) == sorted(
        [*(f"TSN-ResNet50-f{frames}@mini-ssv2" for frames in (8, 16, 32)), "I3D-ResNet50-f8@mini-ssv2#1"]
    )


def test_later_recipe_layers_win() -> None:
    grid = cells()
    tsn, i3d, child, longest = (
        grid[name].recipe
        for name in (
            "TSN-ResNet50-f8@mini-ssv2",
            "I3D-ResNet50-f8@mini-ssv2",
            "I3D-ResNet50-f16@mini-ssv2",
            "I3D-ResNet50-f32@mini-ssv2",
        )
    )
    assert (tsn.epochs, tsn.lr, tsn.momentum) == (4, 0.5, 0.9)
    assert (i3d.epochs, i3d.lr, i3d.momentum) == (5, 0.5, 0.5)
    assert (child.epochs, child.lr) == (9, 0.5)
    assert (longest.epochs, longest.lr) == (9, 0.25)


def test_cells_that_no_override_tells_apart_share_what_the_file_says() -> None:
    """The recipes of 50,000 cells are a few dozen; each cell has what its own layers say."""
    text = STUDY.replace("EXTRA", "").replace("[0, 1]", str([*range(40)]))
    text = text.replace(
        "  overrides:\n", "  overrides:\n    - {where: {seed: 7}, set: {weight_decay: 0.1}}\n", 1
    )
    study = parse_study(text, "s.yaml")
    grid = expand(study)
    assert len(grid) == 2 * 3 * 40
    for cell in grid:
        layers = recipe_layers(study, cell.axes_and_stage)
        assert cell.recipe == Recipe.model_validate(merge_layers(layers))
        assert (cell.recipe.weight_decay == 0.1) == (cell.seed == 7)
        resources = resource_layers(study, cell.axes_and_stage)
        assert cell.resources == Resources.model_validate(merge_layers(resources))
    by_recipe = {id(cell.recipe): cell.seed == 7 for cell in grid}
    assert Counter(by_recipe.values()) == {False: 4, True: 4}  # starters by module; 16 and 32 frames of both


def test_resources_follow_their_overrides() -> None:
    grid = cells()
    small = grid["TSN-ResNet50-f16@mini-ssv2"].resources
    large = grid["TSN-ResNet50-f32@mini-ssv2"].resources
    assert (small.cpus, small.gpus) == (6, 0)
    assert (large.cpus, large.gpus) == (6, 1.0)


def test_demo_has_two_lengths_of_motion_and_one_of_appearance() -> None:
    grid = expand(load_study("demo"))
    assert Counter((cell.dataset, cell.frames) for cell in grid) == {
        ("synthetic-motion", 8): 8,
        ("synthetic-motion", 16): 8,
        ("synthetic-appearance", 8): 8,
    }


def test_deep_analysis_is_the_published_grid() -> None:
    grid = expand(load_study("deep-analysis"))
    assert len(grid) == len({cell.name for cell in grid}) == 288
    assert [len(chain) for chain in chains(grid)] == [4] * 72
    assert {cell.recipe.sync_bn for cell in grid if cell.frames == 64} == {True}


def test_deep_analysis_trains_as_published() -> None:
    """Epochs and schedules agree with every published row, but for two starred ones (§8)."""
    grid = {
        tuple(map(str, list(cell.axes.values())[:5])): cell.recipe
        for cell in expand(load_study("deep-analysis"))
    }
    other = []
    with PUBLISHED.open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        recipe = grid[row["module"], row["backbone"], row["temporal_pooling"], row["frames"], row["dataset"]]
        assert recipe.schedule == row["lr_schedule"].rstrip("s")
        if str(recipe.epochs) != row["epochs"]:
            other.append((row["dataset"], row["frames"], row["epochs"]))
    assert sorted(other) == [("mini-kinetics", "64", "41"), ("mini-kinetics", "64", "43")]


TABLE_5 = {("tsn", "i3d", "conv", "tam"): ("inception_v1", "resnet50"), ("tsm", "nonlocal"): ("resnet50",)}


def test_temporal_aggregation_is_table_5_and_shares_what_deep_analysis_has() -> None:
    grid = expand(load_study("temporal-aggregation"))
    wanted = {
        (module, backbone, frames, dataset)
        for modules, backbones in TABLE_5.items()
        for module, backbone in itertools.product(modules, backbones)
        for frames, dataset in itertools.product((8, 16), ("mini-ssv2", "mini-kinetics"))
    }
    assert {(one.module, one.backbone, one.frames, one.dataset) for one in grid} == wanted
    deep = {one.name: one.recipe for one in expand(load_study("deep-analysis"))}
    shared = [one for one in grid if one.name in deep]
    assert len(shared) == 24
    assert all(one.recipe == deep[one.name] for one in shared)


def test_tam_locations_is_table_6() -> None:
    grid = expand(load_study("tam-locations"))
    assert {one.module for one in grid} == {"tam", "tam_top_half", "tam_bottom_half", "tam_uniform_half"}
    assert len(grid) == 8
    deep = {one.name: one.recipe for one in expand(load_study("deep-analysis"))}
    assert [one.recipe == deep[one.name] for one in grid if one.module == "tam"] == [True, True]
