from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.planning.changes import ABSENT, Difference, KnownCell, flatten, key_difference, nearest_cell

PARTS: dict[str, Any] = {
    "model": {"module": "tam", "frames": 16},
    "recipe": {"lr": 0.01, "crop_scales": [1.0, 0.5]},
    "initial": {"parent": "a" * 32},
}


def changed(path: str, value: object) -> dict[str, Any]:
    group, name = path.split(".")
    return {**PARTS, group: {**PARTS[group], name: value}}


def known(key: str, parts: dict[str, Any], finished: float = 1.0) -> KnownCell:
    return KnownCell("TAM-Tiny-f16@toy", key, ("s",), json.dumps(parts), finished)


def test_parts_flatten_to_dotted_fields_with_lists_whole() -> None:
    assert flatten(PARTS) == {
        "model.module": "tam",
        "model.frames": 16,
        "recipe.lr": 0.01,
        "recipe.crop_scales": [1.0, 0.5],
        "initial.parent": "a" * 32,
    }


def test_differences_are_named_both_ways() -> None:
    after = changed("recipe.lr", 0.02)
    assert key_difference(PARTS, after) == (Difference("recipe.lr", 0.01, 0.02),)
    assert key_difference(after, PARTS) == (Difference("recipe.lr", 0.02, 0.01),)
    assert key_difference(PARTS, PARTS) == ()


def test_a_field_that_one_side_lacks_is_a_difference() -> None:
    (one,) = key_difference(PARTS, changed("recipe.gamma", 0.1))
    assert (one.before, one.after) == (ABSENT, 0.1)
    assert str(one) == "recipe.gamma (nothing → 0.1)"


def test_a_tuple_and_the_list_that_json_made_of_it_are_one() -> None:
    assert key_difference(PARTS, changed("recipe.crop_scales", (1.0, 0.5))) == ()


def test_false_and_nought_are_not_nothing() -> None:
    (one,) = key_difference(PARTS, changed("recipe.flip", 0.0))
    assert (one.before, one.after) == (ABSENT, 0.0)


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("recipe.lr", "recipe"),
        ("data.train", "training data"),
        ("data.sampling_version", "code"),
        ("model.module_version", "code"),
        ("model.num_classes", "model"),
        ("train_step", "code"),
        ("initial.weights_file", "starting point"),
        ("initial.chosen_by.clips", "starting point"),
        ("initial.chosen_by.version", "code"),
        ("batch_statistics_shards", "resources"),
    ],
)
def test_a_field_belongs_to_something_people_know(field: str, kind: str) -> None:
    assert Difference(field, 1, 2).kind == kind


def test_hashes_are_shortened() -> None:
    assert str(Difference("data.train", "0123456789abcdef" * 2, "f" * 64)) == (
        "data.train (0123456789ab… → ffffffffffff…)"
    )


def test_the_nearest_has_the_fewest_own_differences_whatever_its_parent() -> None:
    parts = {**changed("recipe.lr", 0.02), "initial": {"parent": "b" * 32}}
    other_parent = known("same recipe", changed("recipe.lr", 0.02))
    other_recipe = known("same parent", {**PARTS, "initial": {"parent": "b" * 32}})
    found = nearest_cell(parts, [other_recipe, other_parent])
    assert found is not None
    assert found[0].key == "same recipe"
    assert [one.field for one in found[1]] == ["initial.parent"]


def test_of_equals_the_newest_is_nearest_and_of_none_there_is_none() -> None:
    found = nearest_cell(PARTS, [known("new", PARTS, 2.0), known("old", PARTS, 1.0)])
    assert found is not None
    assert found[0].key == "new"
    assert nearest_cell(PARTS, []) is None
