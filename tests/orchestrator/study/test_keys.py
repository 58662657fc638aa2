from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.study.cells import Cell, expand
from orchestrator.study.errors import StudyError
from orchestrator.study.keys import SharedParts, cell_key, declared_hash, evaluation_key, key_parts
from orchestrator.study.load import parse_study, shipped_studies
from orchestrator.study.model import Study
from trainables.data.datasets import DatasetFolders, FolderDataset, OfficialDataset, SyntheticMotion
from trainables.recipe.cell_spec import Recipe

STUDY = """\
name: s
axes: {module: [tam], backbone: [resnet50], frames: [8, 16], dataset: [mini-ssv2]}
recipe: {base: {inherit: best}}
"""
STARTER, CHILD = expand(parse_study(STUDY, "s.yaml"))


def key(cell: Cell, **changes: object) -> str:
    facts: dict[str, Any] = {"num_classes": 87, "train_hash": "t", "val_hash": "v"}
    facts["parent_key"] = None if cell.parent is None else "p"
    return cell_key(key_parts(cell, **(facts | changes)))


def recipe(cell: Cell, **changes: object) -> Cell:
    return replace(cell, recipe=Recipe.model_validate(cell.recipe.model_dump() | changes))


def workers(cell: Cell, count: int) -> Cell:
    return replace(cell, resources=cell.resources.model_copy(update={"workers": count}))


def evaluated(cell: Cell, **changes: object) -> Cell:
    return replace(cell, evaluation=cell.evaluation.model_copy(update=changes))


def test_a_key_is_32_hex_digits_and_stable() -> None:
    assert key(STARTER) == key(STARTER)
    assert len(key(STARTER)) == 32
    assert int(key(STARTER), 16) >= 0


@pytest.mark.parametrize(
    "edited",
    [
        "# a comment\nrecipe: {base: {inherit: best}}\n"
        "axes: {dataset: mini-ssv2, frames: [16, 8], backbone: resnet50, module: tam}\nname: other\n",
        STUDY.replace("inherit: best", "inherit: best, lr: 1.0e-2, momentum: 0.9, epochs: 75"),
        STUDY.replace(
            "{base: {inherit: best}}", "{base: {epochs: 75}, starter: {lr: 0.01}, finetune: {lr: 0.01}}"
        ),
        STUDY.replace(
            "inherit: best",
            "inherit: best, weight_decay: 5e-4, flip: 0.50, crop_scales: [1, .875, 0.75, 0.66]",
        ),
        STUDY
        + "retries: 7\npriority: 9\nparent_check: false\n"
        + "resources: {default: {cpus_per_worker: 9, gpus_per_worker: 1}}\n",
        STUDY + "evaluation: {batch_size: 5}\n",
        STUDY + "report: best\n",
    ],
)
def test_cosmetic_edits_change_no_key(edited: str) -> None:
    starter, child = expand(parse_study(edited, "s.yaml"))
    assert (key(starter), key(child)) == (key(STARTER), key(CHILD))


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 76},
        {"batch_size": 71},
        {"accumulate": 2},
        {"lr": 0.010000001},
        {"momentum": 0.8},
        {"weight_decay": 0.0},
        {"nesterov": True},
        {"clip_norm": 1.0},
        {"schedule": "constant"},
        {"dropout": 0.4},
        {"optimiser": "adamw"},
        {"optimiser": "adamw", "betas": (0.9, 0.99)},
        {"optimiser": "adamw", "layer_decay": 0.75},
        {"warmup_epochs": 3},
        {"schedule_by": "iteration"},
        {"label_smoothing": 0.1},
        {"mixup": 0.8},
        {"rand_augment": 2},
        {"repeated_augmentation": 2},
        {"drop_path": 0.1},
        {"init": "random"},
        {"inflation": "divide"},
        {"pooling_method": "avg"},
        {"sampling": "uniform_shared_offset"},
        {"crop_size": 112},
        {"augmentation": "random_short_side"},
        {"crop_scales": (1.0,)},
        {"flip": 0.0},
        {"precision": "fp32"},
        {"precision": "tf32"},
        {"speed": {"compile": "default"}},
        {"speed": {"compile": "max-autotune"}},
        {"speed": {"channels_last": "off"}},
        {"speed": {"optimiser": "fused"}},
        {"speed": {"cudnn_benchmark": "on"}},
    ],
)
def test_every_choice_that_decides_weights_changes_the_key(change: dict[str, Any]) -> None:
    assert key(recipe(STARTER, **change)) != key(STARTER)


def test_every_recipe_field_is_in_the_key_unless_it_is_idle() -> None:
    """A field added to the recipe must change keys until someone says here that it is idle."""
    known_idle = {"sync_bn", "inherit", "milestones", "gamma", "sampling_rate", "short_side_range", "speed"}
    known_idle |= {
        "optimiser",
        "betas",
        "layer_decay",
        "warmup_epochs",
        "schedule_by",
        "label_smoothing",
        "mixup",
        "rand_augment",
        "rand_augment_magnitude",
        "repeated_augmentation",
        "drop_path",
    }
    parts = key_parts(STARTER, num_classes=2, train_hash="t", val_hash="v", parent_key=None)
    assert set(Recipe.model_fields) - set(parts["recipe"]) == known_idle


@pytest.mark.parametrize(
    ("cell", "change"),
    [
        (STARTER, {"inherit": "last"}),
        (STARTER, {"milestones": (3,)}),
        (STARTER, {"gamma": 0.5}),
        (STARTER, {"sampling_rate": 4}),
        (STARTER, {"rand_augment_magnitude": 3.0}),
        (STARTER, {"short_side_range": (300, 310)}),
        (STARTER, {"sync_bn": True}),
        (CHILD, {"init": "random"}),
        (CHILD, {"inflation": "divide"}),
        (recipe(STARTER, init="random"), {"inflation": "divide"}),
        (recipe(STARTER, augmentation="random_short_side"), {"crop_scales": (1.0,)}),
        (recipe(STARTER, schedule="multistep", epochs=40), {"milestones": (15, 30, 40, 99)}),
        (STARTER, {"speed": {"compile": "off", "channels_last": "on", "cudnn_benchmark": "off"}}),
        (STARTER, {"speed": {"optimiser": "single", "cuda_graphs": "on", "checkpoint_activations": "on"}}),
        (STARTER, {"speed": {"optimiser": "foreach"}}),
    ],
)
def test_idle_fields_do_not(cell: Cell, change: dict[str, Any]) -> None:
    assert key(recipe(cell, **change)) == key(cell)


@pytest.mark.parametrize(
    ("cell", "change"),
    [
        (CHILD, {"inherit": "last"}),
        (recipe(STARTER, schedule="multistep"), {"milestones": (3,)}),
        (recipe(STARTER, schedule="multistep"), {"gamma": 0.5}),
        (recipe(STARTER, sampling="dense"), {"sampling_rate": 4}),
        (recipe(STARTER, speed={"compile": "default"}), {"speed": {"compile": "max-autotune"}}),
        (
            recipe(STARTER, speed={"compile": "default"}),
            {"speed": {"compile": "default", "checkpoint_activations": "on"}},
        ),
        (recipe(STARTER, augmentation="random_short_side"), {"short_side_range": (300, 310)}),
    ],
)
def test_and_do_where_they_matter(cell: Cell, change: dict[str, Any]) -> None:
    assert key(recipe(cell, **change)) != key(cell)


def test_axes_data_and_seed_change_the_key() -> None:
    others = [
        replace(STARTER, module="tsn"),
        replace(STARTER, backbone="resnet18"),
        replace(STARTER, temporal_pooling=True),
        replace(STARTER, frames=16),
        replace(STARTER, seed=1),
    ]
    keys = {key(cell) for cell in (STARTER, *others)} | {
        key(STARTER, num_classes=5),
        key(STARTER, train_hash="u"),
    }
    assert len(keys) == 8


def test_the_name_of_a_dataset_is_not_its_content() -> None:
    assert key(replace(STARTER, dataset="renamed")) == key(STARTER)


def test_a_new_parent_makes_a_new_child() -> None:
    assert key(CHILD, parent_key="q") != key(CHILD)
    with pytest.raises(ValueError, match="parent's key missing"):
        key(CHILD, parent_key=None)
    with pytest.raises(ValueError, match="parent's key given"):
        key(STARTER, parent_key="p")


def test_validation_counts_exactly_where_it_chose_the_parents_checkpoint() -> None:
    last = recipe(CHILD, inherit="last")
    for cell, counts in ((STARTER, False), (last, False), (CHILD, True)):
        assert (key(cell, val_hash="w") != key(cell)) is counts
        assert (key(evaluated(cell, clips=3)) != key(cell)) is counts
        assert key(evaluated(cell, batch_size=1)) == key(cell)
        assert key(evaluated(cell, sampling_rate=9)) == key(cell)  # uniform sampling has no rate


def test_workers_count_only_where_each_has_its_own_batch_statistics() -> None:
    assert key(workers(STARTER, 2)) != key(STARTER)
    synced = recipe(STARTER, sync_bn=True)
    assert key(workers(synced, 2)) == key(synced) == key(STARTER)


def test_weights_of_another_backbone_file_change_only_imagenet_starters() -> None:
    starter = key_parts(STARTER, num_classes=2, train_hash="t", val_hash="v", parent_key=None)
    random = key_parts(
        recipe(STARTER, init="random"), num_classes=2, train_hash="t", val_hash="v", parent_key=None
    )
    assert starter["initial"]["weights_file"].startswith("resnet50")
    assert random["initial"]["weights_file"] is None


def test_an_evaluation_is_its_cell_protocol_and_videos() -> None:
    base = evaluation_key("k", STARTER.evaluation, "v")
    assert base == evaluation_key("k", evaluated(STARTER, batch_size=3).evaluation, "v")
    others = {
        evaluation_key("l", STARTER.evaluation, "v"),
        evaluation_key("k", STARTER.evaluation, "w"),
        evaluation_key("k", evaluated(STARTER, crops=3).evaluation, "v"),
    }
    assert len(others | {base}) == 4


def test_declared_hashes_are_marked_and_follow_the_declaration() -> None:
    one, two = declared_hash(SyntheticMotion()), declared_hash(SyntheticMotion(seed=1))
    assert one.startswith("declared:")
    assert one != two
    assert one == declared_hash(SyntheticMotion(seed=0))


def test_where_an_official_datasets_files_lie_is_no_part_of_it() -> None:
    here = OfficialDataset(name="ucf101", split=2, videos="/here", annotations="/here/splits")
    assert here.sources == DatasetFolders(Path("/here"), Path("/here/splits"))
    assert OfficialDataset(name="ucf101", split=2).sources is None
    assert declared_hash(here) == declared_hash(OfficialDataset(name="ucf101", split=2))
    assert declared_hash(here) != declared_hash(OfficialDataset(name="ucf101", split=1))


def test_allowing_more_videos_to_be_missing_is_not_another_dataset() -> None:
    strict, lax = (OfficialDataset(name="mini-ssv2", allow_missing=share) for share in (0.0, 0.05))
    assert declared_hash(strict) == declared_hash(lax)
    mine = FolderDataset(path="/mine", allow_missing=0.1)
    assert declared_hash(mine) == declared_hash(FolderDataset(path="/mine"))
    assert declared_hash(mine) != declared_hash(FolderDataset(path="/mine", min_frames=9))


@pytest.mark.parametrize(
    ("name", "cell", "counts"),
    [
        ("STEP", CHILD, True),
        ("INITIALISE", STARTER, True),
        ("INITIALISE", CHILD, False),
        ("TEMPORAL_POOLING", replace(STARTER, temporal_pooling=True), True),
        ("TEMPORAL_POOLING", STARTER, False),
        ("EVALUATE", CHILD, True),
        ("EVALUATE", recipe(CHILD, inherit="last"), False),
    ],
)
def test_a_raised_version_changes_the_keys_of_what_it_decides(
    monkeypatch: pytest.MonkeyPatch, name: str, cell: Cell, counts: bool
) -> None:
    before = key(cell)
    monkeypatch.setattr(f"orchestrator.study.keys.{name}", "2")
    assert (key(cell) != before) is counts


@pytest.mark.parametrize("version", ["sampling.VERSION", "augment.VERSION", "augment.VIEWS_VERSION"])
def test_a_raised_version_of_the_data_changes_every_key(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    before = key(STARTER), key(CHILD)
    monkeypatch.setattr(f"trainables.data.clips.{version}", "2")
    assert key(STARTER) != before[0]
    assert key(CHILD) != before[1]


def test_keys_of_before_stand() -> None:
    """Results that were computed under these keys must be found again: a moved key trains everything anew."""
    assert (key(STARTER), key(CHILD)) == (
        "f70927b3ac6685fc47447cd718412a2b",
        "c2ac8567dedcd42014363698153ad959",
    )


def choosing(cell: Cell, share: float | None) -> Cell:
    return replace(cell, choose_on=share)


def test_videos_held_out_to_choose_on_count_exactly_where_a_study_asks_for_them() -> None:
    for cell in (STARTER, CHILD, recipe(CHILD, inherit="last")):
        assert len({key(choosing(cell, share)) for share in (None, 0.1, 0.2)}) == 3
        assert key(choosing(cell, None)) == key(cell)


def test_where_held_out_videos_choose_the_validation_videos_decide_no_weights() -> None:
    held_out = choosing(CHILD, 0.1)
    assert key(held_out, val_hash="w") == key(held_out)
    assert key(evaluated(held_out, clips=3)) != key(held_out), "the protocol chooses there too"


def test_a_raised_version_of_the_held_out_split_counts_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = key(STARTER), key(choosing(STARTER, 0.1))
    monkeypatch.setattr("orchestrator.study.keys.HOLD_OUT", "2")
    assert key(STARTER) == before[0]
    assert key(choosing(STARTER, 0.1)) != before[1]


@pytest.mark.parametrize(("text", "share"), [("10%", 0.1), ("0.1", 0.1), ("12.5 %", 0.125), ("3.3%", 0.033)])
def test_a_share_may_be_written_in_percent(text: str, share: float) -> None:
    assert [cell.choose_on for cell in expand(parse_study(f"{STUDY}choose_on: {text}\n", "s.yaml"))] == [
        share
    ] * 2


@pytest.mark.parametrize("text", ["0", "0%", "51%", "10", "a tenth", "-5%", "nan%"])
def test_a_share_that_leaves_nothing_to_train_or_to_choose_on_is_refused(text: str) -> None:
    with pytest.raises(StudyError, match="choose_on"):
        parse_study(f"{STUDY}choose_on: {text}\n", "s.yaml")


def test_claims_change_no_key() -> None:
    claims = "claims: [{name: one, statement: It is so., expect: {above: 50}}]\n"
    claimed = expand(parse_study(STUDY + claims, "s.yaml"))
    assert [key(cell) for cell in claimed] == [key(STARTER), key(CHILD)]


@pytest.mark.parametrize("name", sorted(shipped_studies()))
def test_what_cells_share_changes_no_key(name: str) -> None:
    """Of every cell of every study; each is also what a canonical JSON of its parts says."""
    shared = SharedParts()
    for cell in expand(Study.load(name)):
        facts: dict[str, Any] = {"num_classes": 87, "train_hash": "t", "val_hash": "v"}
        facts["parent_key"] = None if cell.parent is None else "p"
        parts = key_parts(cell, **facts)
        assert key_parts(cell, **facts, shared=shared) == parts
        canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        expected = hashlib.sha256(canonical.encode()).hexdigest()[:32]
        assert cell_key(key_parts(cell, **facts, shared=shared), shared) == cell_key(parts) == expected
        measured = evaluation_key(expected, cell.evaluation, "v", shared)
        assert measured == evaluation_key(expected, cell.evaluation, "v")
