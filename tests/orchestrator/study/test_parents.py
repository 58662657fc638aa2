"""Chains that begin with another study's cell: which one, what the key says, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orchestrator.planning.explanation import chosen_on_lines
from orchestrator.planning.plan import make_plan
from orchestrator.planning.plan_model import DoneCell, State
from orchestrator.study.cells import Cell, expand
from orchestrator.study.errors import StudyError
from orchestrator.study.load import load_study, parse_study
from orchestrator.terminal.plan_page import origin_lines

SOURCE = """
name: source
axes: {module: [tsn, tam], backbone: [tiny], temporal_pooling: [false, true], frames: [8, 16], dataset: [big]}
datasets: {big: {kind: synthetic-motion, train_per_class: 8}}
recipe: {base: {init: random, batch_size: 8}}
evaluation: {crop_size: 32, short_side: 36}
"""
TARGET = """
name: target
parents: {study: source.yaml}
axes: {module: [tam], backbone: [tiny], temporal_pooling: [false, true], frames: [16, 32], dataset: [small]}
datasets: {small: {kind: synthetic-appearance}}
recipe: {base: {batch_size: 8}, starter: {epochs: 7}, finetune: {epochs: 3}}
evaluation: {crop_size: 64, short_side: 72}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "source.yaml").write_text(SOURCE)
    return tmp_path


def target(folder: Path, text: str = TARGET) -> list[Cell]:
    (folder / "target.yaml").write_text(text)
    return list(expand(load_study(folder / "target.yaml")))


def problem(folder: Path, text: str) -> str:
    with pytest.raises(StudyError) as error:
        target(folder, text)
    return str(error.value)


def test_a_chain_begins_with_the_cell_that_is_equal_in_all_axes_but_the_dataset(folder: Path) -> None:
    cells = target(folder)
    assert [(one.name, one.parent, one.recipe.epochs) for one in cells] == [
        ("TAM-Tiny-f16@small", "TAM-Tiny-f16@big", 3),
        ("TAM-Tiny-f32@small", "TAM-Tiny-f16@small", 3),
        ("TAM-Tiny-tp-f16@small", "TAM-Tiny-tp-f16@big", 3),
        ("TAM-Tiny-tp-f32@small", "TAM-Tiny-tp-f16@small", 3),
    ]
    assert [one.new_head for one in cells] == [True, False, True, False]
    assert cells[0].origin is not None
    assert cells[0].origin.parent == "TAM-Tiny-f8@big"


def test_where_says_in_what_parents_differ(folder: Path) -> None:
    cells = target(folder, TARGET.replace("source.yaml}", "source.yaml, where: {frames: 8}}"))
    assert cells[0].parent == "TAM-Tiny-f8@big"


def test_on_the_same_dataset_the_head_is_inherited(folder: Path) -> None:
    alike = TARGET.replace("dataset: [small]", "dataset: [big]").replace(
        "{small: {kind: synthetic-appearance}}", "{big: {kind: synthetic-motion, train_per_class: 8}}"
    )
    assert not any(one.new_head for one in target(folder, alike))


def test_of_several_matches_one_holds_and_what_they_leave_open_is_equal(folder: Path) -> None:
    (folder / "source.yaml").write_text(SOURCE.replace("[big]}", "[big], recipe.lr: [0.1, 0.2]}"))
    where = "[{recipe.lr: 0.1, temporal_pooling: false}, {recipe.lr: 0.2, temporal_pooling: true, frames: 8}]"
    cells = target(folder, TARGET.replace("source.yaml}", f"source.yaml, where: {where}}}"))
    assert [one.parent for one in cells if one.origin] == [
        "TAM-Tiny-f16@big+lr=0.1",
        "TAM-Tiny-tp-f8@big+lr=0.2",
    ]
    assert re.search(
        r"2 cells of study source fit \(TAM-Tiny-f16@big\+lr=0.1, .*name recipe.lr under `where`",
        problem(folder, TARGET),
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("source.yaml", "sourse.yaml", "target.yaml:3: parents.study: .*no such file"),
        ("source.yaml", "target.yaml", "parents.study: target.yaml starts from this study"),
        ("{study: source.yaml}", "{studie: source.yaml}", "parents.studie: unknown field"),
        ("[16, 32]", "[32]", "parents: no cell of study source is {.*frames: 32.*name under `where`"),
        ("source.yaml}", "source.yaml, where: {dataset: bigg}}", "is {module: tam, .*also as `where` says"),
        ("source.yaml}", "source.yaml, where: {module: tsn}}", "no cell of study source is {module: tam"),
        ("source.yaml}", "source.yaml, where: {recipe.lr: 1}}", "no cell of study source is {module: tam"),
        (
            "{batch_size: 8}",
            "{batch_size: 8, pooling_method: avg}",
            "pooling_method: avg, but its parent .* by max",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_plan(folder: Path, old: str, new: str, said: str) -> None:
    found = problem(folder, TARGET.replace(old, new, 1))
    assert re.search(said, found), found


def test_a_fault_of_the_other_study_is_told_as_its_own(folder: Path) -> None:
    (folder / "source.yaml").write_text(SOURCE.replace("[tsn, tam]", "[tsn, tamm]"))
    assert "source.yaml:3: axes.module: unknown module 'tamm'" in problem(folder, TARGET)


def test_cells_wait_until_the_other_study_is_trained(folder: Path) -> None:
    target(folder)
    study, source = load_study(folder / "target.yaml"), load_study(folder / "source.yaml")
    before = make_plan(study)
    assert {one.state for one in before.cells} == {State.BLOCKED}
    assert "its parent TAM-Tiny-f16@big of study source is not trained" in before.cells[0].reason
    theirs = {one.cell.name: one.key for one in make_plan(source).cells}
    key = theirs["TAM-Tiny-f16@big"]
    after = make_plan(study, done={key: DoneCell(key)})
    assert [one.state for one in after.cells] == [State.TO_RUN] * 2 + [State.BLOCKED] * 2
    assert (after.cells[0].parent_key, after.cells[0].key) == (key, before.cells[0].key)
    assert origin_lines(after)[0] == "source: TAM-Tiny-f16@big (done) → TAM-Tiny-f16@small, new head"


def test_the_key_holds_the_parents_and_how_it_was_chosen(folder: Path) -> None:
    target(folder)
    study = load_study(folder / "target.yaml")
    first = make_plan(study).cells[0].key_parts["initial"]
    assert first["head"] == "new"
    assert first["chosen_by"]["crop_size"] == 32
    assert first["chosen_on"] == make_plan(load_study(folder / "source.yaml")).cells[0].val_hash
    (folder / "source.yaml").write_text(SOURCE.replace("batch_size: 8", "batch_size: 16"))
    moved = make_plan(load_study(folder / "target.yaml")).cells[0].key_parts["initial"]
    assert moved["parent"] != first["parent"]
    assert {**moved, "parent": ""} == {**first, "parent": ""}


def test_a_new_head_is_told(folder: Path) -> None:
    target(folder)
    first = make_plan(load_study(folder / "target.yaml")).cells[0]
    (_, line) = chosen_on_lines(first.key_parts, {"recipe": {"inherit": "last"}})
    assert line == "starts from its parent's last epoch, with a new head"


def test_a_shipped_study_may_be_named() -> None:
    text = TARGET.replace("source.yaml}", "demo, where: {dataset: synthetic-motion}}").replace(", 32]", "]")
    cells = expand(parse_study(text, "target.yaml"))
    assert cells[0].parent == "TAM-Tiny-f16@synthetic-motion"


def test_transfer_starts_from_kinetics_as_table_4_says() -> None:
    cells = {one.name: one for one in expand(load_study("transfer"))}
    assert len(cells) == 12
    assert all(one.new_head and one.frames == 32 for one in cells.values())
    assert {one.dataset for one in cells.values()} == {"ucf101", "hmdb51", "jester", "mini-ssv2"}
    assert cells["SlowFast-ResNet50-f32@jester"].parent == "SlowFast-ResNet50-f32@kinetics400"
    (recipe,) = {one.recipe for one in cells.values()}
    said = (recipe.epochs, recipe.schedule, recipe.lr, recipe.batch_size, recipe.sync_bn)
    assert said == (45, "cosine", 0.01, 48, True)


def test_recipe_or_architecture_crosses_four_models_with_two_recipes() -> None:
    cells = expand(load_study("recipe-or-architecture"))
    assert {(one.module, one.backbone) for one in cells} == {
        ("i3d", "resnet50"),
        ("tam", "resnet50"),
        ("swin3d", "swin_t"),
        ("mvit_v2", "mvit_s"),
    }
    assert len(cells) == 4 * 2 * 2
    recipes = {(one.axes["recipe_name"], one.recipe.optimiser, one.recipe.init) for one in cells}
    assert recipes == {("paper", "sgd", "random"), ("transformer", "adamw", "random")}
