from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from catalog import Catalog
from orchestrator.commands.plan import plan_json
from orchestrator.planning import plan as plan_module
from orchestrator.planning import storage_plan
from orchestrator.planning.cost import Size, cell_flops
from orchestrator.planning.plan import make_plan, plan_tasks
from orchestrator.planning.plan_model import DoneCell, FailureInfo, Plan, PlannedCell, State
from orchestrator.study.cells import Cell, expand
from orchestrator.study.datasets import DatasetState, declared_state
from orchestrator.study.errors import StudyError
from orchestrator.study.load import load_study, parse_study
from orchestrator.study.model import Study
from orchestrator.terminal.plan_text import choice_lines
from tests.support.paths import ROOT

PUBLISHED = ROOT / "catalog" / "published" / "mini_results.csv"
torch.set_num_threads(1)

STUDY = """\
name: s
axes: {module: [tsn, i3d], backbone: [resnet18], frames: [8, 16, 32], dataset: [toy]}
datasets: {toy: {kind: synthetic-motion}}
recipe: {base: {init: INIT, inherit: INHERIT, epochs: 2, batch_size: 8}}
"""
STARTER, MIDDLE, LAST = (f"I3D-ResNet18-f{frames}@toy" for frames in (8, 16, 32))


def study(init: str = "random", inherit: str = "last", extra: str = "") -> Study:
    return parse_study(STUDY.replace("INIT", init).replace("INHERIT", inherit) + extra, "s.yaml")


def size(cell: Cell, num_classes: int, crop: int) -> Size:
    """Easy figures to check the sums with."""
    return Size(params=num_classes, macs=cell.frames * crop)


def built(name: str = "toy") -> DatasetState:
    return DatasetState(name, True, f"/data/{name}.parquet", "train", "val", 4, 100, 10, True, "built")


def plan_of(what: Study, **known: object) -> Plan:
    return make_plan(what, **({"datasets": {"toy": built()}, "size_of": size} | known))  # type: ignore[arg-type]


def by_name(plan: Plan) -> dict[str, PlannedCell]:
    return {planned.cell.name: planned for planned in plan.cells}


def test_what_cells_have_in_common_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan of 50,000 cells took minutes: models were counted and the study expanded again and again."""
    counted: list[tuple[str, int, int]] = []
    expanded: list[Study] = []

    def counting(cell: Cell, num_classes: int, crop: int) -> Size:
        counted.append((cell.module, cell.frames, crop))
        return size(cell, num_classes, crop)

    def expanding(what: Study) -> tuple[Cell, ...]:
        expanded.append(what)
        return expand(what)

    for module in (storage_plan, plan_module):
        monkeypatch.setattr(module, "expand", expanding)
    text = STUDY.replace("INIT", "random").replace("INHERIT", "last").replace("[toy]}", "[toy], seed: SEEDS}")
    seeds = parse_study(text.replace("SEEDS", str([*range(30)])), "s.yaml")
    with Catalog.open(tmp_path) as catalog:
        plan = storage_plan.plan_on_catalog(seeds, tmp_path, {"toy": built()}, catalog, {}, None, counting)
    assert len(plan.cells) == 2 * 3 * 30 and len(expanded) == 1
    assert len(counted) == len(set(counted)) == 2 * 3
    assert len({planned.key for planned in plan.cells}) == len(plan.cells)


def test_a_new_study_runs_everything_in_order() -> None:
    plan = plan_of(study())
    cells = by_name(plan)
    assert {planned.state for planned in plan.cells} == {State.TO_RUN}
    assert cells[STARTER].reason == "new"
    assert cells[MIDDLE].reason == f"new; its parent {STARTER} will run first"
    assert cells[MIDDLE].parent_key == cells[STARTER].key
    assert cells[LAST].key_parts["initial"]["parent"] == cells[MIDDLE].key
    assert not any(planned.key_is_provisional for planned in plan.cells)


def test_what_is_done_is_found_by_key_and_never_runs_again() -> None:
    keys = {name: planned.key for name, planned in by_name(plan_of(study())).items()}
    done = {keys[name]: DoneCell(keys[name]) for name in (STARTER, MIDDLE)}
    plan = plan_of(study(), done=done)
    cells = by_name(plan)
    assert [cells[name].state for name in (STARTER, MIDDLE, LAST)] == [State.DONE, State.DONE, State.TO_RUN]
    assert cells[LAST].reason == "new"
    tasks = {task.name: task for task in plan_tasks(plan)}
    assert set(tasks) == {planned.key for planned in plan.cells} - set(done)
    assert tasks[keys[LAST]].parent is None
    assert tasks[keys["TSN-ResNet18-f16@toy"]].parent == keys["TSN-ResNet18-f8@toy"]


def test_another_study_with_the_same_cells_has_the_same_keys() -> None:
    other = parse_study(
        STUDY.replace("INIT", "random").replace("INHERIT", "last").replace("name: s", "name: t"), "t"
    )
    smaller = parse_study(
        STUDY.replace("INIT", "random").replace("INHERIT", "last").replace("[tsn, i3d]", "i3d"), "t"
    )
    keys = {planned.key for planned in plan_of(study()).cells}
    assert {planned.key for planned in plan_of(other).cells} == keys
    assert {planned.key for planned in plan_of(smaller).cells} < keys


def test_an_edited_recipe_of_the_starter_makes_the_whole_chain_new() -> None:
    before, after = plan_of(study()), plan_of(study().model_copy(update={"recipe": _longer(study())}))
    assert not {planned.key for planned in before.cells} & {planned.key for planned in after.cells}


def _longer(what: Study) -> object:
    return what.recipe.model_copy(update={"starter": what.recipe.starter.model_validate({"epochs": 3})})


def test_a_failed_cell_is_tried_again_and_says_what_happened() -> None:
    key = by_name(plan_of(study()))[MIDDLE].key
    plan = plan_of(study(), failures={key: FailureInfo("Traceback\n…\nReadError: walk/1.mp4\n", 3)})
    planned = by_name(plan)[MIDDLE]
    assert planned.state is State.TO_RUN
    assert planned.reason == "failed before, attempt 3: ReadError: walk/1.mp4; will be tried again"


def test_missing_weights_block_the_chains_that_need_them_and_say_the_way_out() -> None:
    problem = "resnet18-f37072fd.pth not found; /weights; give --weights-dir"
    plan = plan_of(study(init="imagenet"), weights_problems={"resnet18": problem})
    cells = by_name(plan)
    assert {planned.state for planned in plan.cells} == {State.BLOCKED}
    assert (cells[STARTER].reason, cells[STARTER].blocked_by) == (problem, "resnet18")
    assert (cells[LAST].reason, cells[LAST].blocked_by) == (
        f"its starting point {STARTER} is blocked: {problem}",
        STARTER,
    )
    assert plan_tasks(plan) == ()
    random = plan_of(study(), weights_problems={"resnet18": problem})
    assert {planned.state for planned in random.cells} == {State.TO_RUN}


def test_done_starters_need_no_weights() -> None:
    key = by_name(plan_of(study(init="imagenet")))[STARTER].key
    plan = plan_of(study(init="imagenet"), done={key: DoneCell(key)}, weights_problems={"resnet18": "gone"})
    cells = by_name(plan)
    assert [cells[name].state for name in (STARTER, MIDDLE, LAST)] == [State.DONE, State.TO_RUN, State.TO_RUN]
    assert cells["TSN-ResNet18-f8@toy"].state is State.BLOCKED


def test_a_dataset_that_can_be_built_blocks_nothing_but_its_keys_are_provisional() -> None:
    plan = plan_of(study(), datasets={})
    assert {planned.state for planned in plan.cells} == {State.TO_RUN}
    assert all(planned.key_is_provisional for planned in plan.cells)
    assert plan.cells[0].reason == "new; dataset toy will be built first"
    assert plan.cells[0].key_parts["data"]["train"].startswith("declared:")
    assert [(one.name, one.cells, one.buildable) for one in plan.totals.missing_datasets] == [
        ("toy", 6, True)
    ]
    with pytest.raises(ValueError, match="dataset toy is not built"):
        plan_tasks(plan)


def test_a_dataset_of_unknown_size_has_macs_but_no_parameters_or_cost() -> None:
    text = STUDY.replace("{kind: synthetic-motion}", "{kind: folder, path: clips}")
    what = parse_study(text.replace("INIT", "random").replace("INHERIT", "last"), "s.yaml")
    plan = make_plan(what, size_of=size)
    assert {(planned.params, planned.flops) for planned in plan.cells} == {(None, None)}
    assert plan.cells[0].macs == 8 * 224
    assert (plan.totals.cells_of_unknown_cost, plan.totals.flops) == (6, 0)


@pytest.mark.parametrize(("inherit", "state"), [("last", State.TO_RUN), ("best", State.BLOCKED)])
def test_a_checkpoint_chosen_by_another_protocol_is_not_inherited(inherit: str, state: State) -> None:
    starter = by_name(plan_of(study(inherit=inherit)))[STARTER]
    for evaluation in (None, starter.evaluation_key):
        plan = plan_of(study(inherit=inherit), done={starter.key: DoneCell(starter.key, evaluation)})
        assert by_name(plan)[MIDDLE].state is State.TO_RUN
    plan = plan_of(study(inherit=inherit), done={starter.key: DoneCell(starter.key, "another")})
    cells = by_name(plan)
    assert (cells[STARTER].state, cells[STARTER].reason) == (
        State.DONE,
        "trained before, measured by another protocol",
    )
    assert cells[MIDDLE].state is state


def test_totals_add_up() -> None:
    plan = plan_of(study(extra="evaluation: {clips: 2, crops: 3}\n"))
    per_frame = 6 * 224 * 100 * 2 + 2 * 224 * 10 * 6 * 2
    assert plan.cells[0].flops == 8 * per_frame
    assert plan.totals.flops == plan.totals.flops_left == 2 * 56 * per_frame
    assert plan.totals.macs == 2 * 56 * 224
    assert (plan.totals.cells, plan.totals.chains) == (6, 2)
    assert plan.totals.critical_path is not None
    assert plan.totals.critical_path.flops == 56 * per_frame
    key = by_name(plan)["TSN-ResNet18-f8@toy"].key
    less = plan_of(study(extra="evaluation: {clips: 2, crops: 3}\n"), done={key: DoneCell(key)}).totals
    assert less.by_state == {State.DONE: 1, State.TO_RUN: 5, State.BLOCKED: 0}
    assert less.flops - less.flops_left == 8 * per_frame
    assert less.critical_path is not None
    assert less.critical_path.chain == "I3D-ResNet18@toy"


def test_a_finished_study_has_nothing_left() -> None:
    done = {planned.key: DoneCell(planned.key) for planned in plan_of(study()).cells}
    totals = plan_of(study(), done=done).totals
    assert (totals.flops_left, totals.critical_path, totals.by_state[State.DONE]) == (0, None, 6)


def test_json_has_what_programs_were_promised() -> None:
    text = json.dumps(plan_json(plan_of(study())))
    plan = json.loads(text)
    promised = "cell key parent module backbone temporal_pooling frames dataset seed state reason params macs"
    assert all(set(promised.split()) <= set(cell) for cell in plan["cells"])
    assert plan["cells"][0]["state"] == "to run"
    assert plan["cells"][0]["parent"] is None
    assert plan["cells"][1]["parent"] == plan["cells"][0]["cell"]
    assert plan["totals"]["by_state"] == {"done": 0, "to run": 6, "blocked": 0}


def test_evaluation_is_paid_at_its_own_crop() -> None:
    cell = plan_of(study()).cells[0].cell
    paid = cell_flops(cell, train_macs=10, eval_macs=7, train_videos=3, val_videos=5)
    assert paid == 2 * (6 * 10 * 3) + 2 * (2 * 7 * 5)


def test_a_model_that_cannot_be_built_is_a_wrong_study() -> None:
    """The smallest crop that a recipe may have is too small for some backbones."""
    text = STUDY.replace("INIT", "random").replace("INHERIT", "last, crop_size: 16")
    text = text.replace("resnet18", "inception_v1").replace("[tsn, i3d]", "[s3d]")
    with pytest.raises(StudyError, match=r"s: cell S3D-InceptionV1-f8@toy cannot be built with a crop of 16"):
        make_plan(parse_study(text, "s.yaml"))


@pytest.fixture(scope="module")
def deep() -> Plan:
    return make_plan(load_study("deep-analysis"))


def test_deep_analysis_plans_without_datasets(deep: Plan) -> None:
    assert (deep.totals.cells, deep.totals.chains) == (288, 72)
    assert {planned.state for planned in deep.cells} == {State.BLOCKED}
    missing = {one.name: one for one in deep.totals.missing_datasets}
    assert set(missing) == {"mini-ssv2", "mini-kinetics", "mini-mit"}
    assert all(one.how and one.cells == 96 and not one.buildable for one in missing.values())
    assert len({planned.key for planned in deep.cells}) == 288


def test_deep_analysis_costs_what_the_house_says(deep: Plan) -> None:
    """docs/decisions.md: about 610 EFLOP; the longest chain is I3D-ResNet50 on Mini-Kinetics."""
    assert deep.totals.flops == pytest.approx(608e18, rel=0.01)
    assert deep.totals.critical_path is not None
    assert deep.totals.critical_path.chain == "I3D-ResNet50@mini-kinetics"


def test_deep_analysis_has_the_published_parameters_and_macs(deep: Plan) -> None:
    planned = {tuple(map(str, list(one.cell.axes.values())[:5])): one for one in deep.cells}
    with PUBLISHED.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 288
    mixed = 0
    for row in rows:
        one = planned[row["module"], row["backbone"], row["temporal_pooling"], row["frames"], row["dataset"]]
        assert one.params == int(row["params"])
        if one.macs != int(row["macs"]):
            # Published rows of I3D-Inception without pooling mix two versions (docs/protocol.md §5).
            assert (row["module"], row["backbone"], row["temporal_pooling"]) == (
                "i3d",
                "inception_v1",
                "False",
            )
            assert one.macs == 33_806_581_760 * int(row["frames"]) // 8
            mixed += 1
    assert mixed == 7


def test_demo_runs_as_declared() -> None:
    demo = load_study("demo")
    plan = make_plan(demo)
    assert plan.totals.by_state == {State.DONE: 0, State.TO_RUN: 24, State.BLOCKED: 0}
    state = declared_state(demo, "synthetic-motion")
    known = replace(state, built=True, train_hash="t", val_hash="v", manifest="m.parquet")
    again = make_plan(demo, {"synthetic-motion": known})
    assert {one.cell.dataset for one in again.cells if one.key_is_provisional} == {"synthetic-appearance"}


def test_the_plan_says_on_what_parents_are_chosen_and_what_holding_out_costs() -> None:
    plain = plan_of(study(inherit="best"))
    held_out = plan_of(study(inherit="best", extra="choose_on: 10%\n"))
    assert choice_lines(plain) == [
        "best epochs are chosen on the validation videos that are reported; 4 cells start from an epoch "
        "chosen so; such accuracies are a little too good: with `choose_on: 10%` in the study, a tenth of "
        "its training videos chooses instead, and is not trained on"
    ]
    assert choice_lines(held_out) == [
        "best epochs are chosen on 10 % of the training videos, held out of training; 4 cells start from an "
        "epoch chosen so"
    ]
    assert "start from" not in choice_lines(plan_of(study(inherit="last")))[0]
    before, after = by_name(plain)[STARTER], by_name(held_out)[STARTER]
    assert (before.flops, after.flops) == (
        cell_flops(before.cell, train_macs=8 * 224, eval_macs=8 * 224, train_videos=100, val_videos=10),
        cell_flops(after.cell, train_macs=8 * 224, eval_macs=8 * 224, train_videos=90, val_videos=20),
    )
    assert {row["choose_on"] for row in plan_json(held_out)["cells"]} == {0.1}
