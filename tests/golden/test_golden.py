"""Code that decides numbers keeps giving the same ones, or says so by a new version.

The committed values were computed in float64 on one thread with PyTorch's plainest kernels
(`compare.PINNED`): on the same kind of machine and torch they must be equal to the bit. Elsewhere kernels sum
in another order, so floats may differ by a stated tolerance there (1e-9; 1e-6 where the step itself rounds to
float32).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.golden import compare, data
from tests.golden.components import HOMES, versions
from trainables.data.clips import sampling

GOLDEN = compare.load()


def check(found: dict[str, Any]) -> None:
    wrong = compare.unraised(GOLDEN, found)
    assert not wrong, compare.blame(found, wrong)
    # The other group's cases are not in this recording.
    old = [name for name in compare.outdated(GOLDEN, found) if name in found["cases"]]
    assert not old, f"golden values of {', '.join(old)} are of other versions: run `{compare.UPDATE}`"


def test_data_and_evaluation_behave_as_their_versions_say() -> None:
    check(compare.record_here("data"))


@pytest.mark.slow
def test_models_and_training_behave_as_their_versions_say() -> None:
    check(compare.record_here("models"))


def test_every_component_with_a_version_is_guarded() -> None:
    guarded = {component for case in GOLDEN["cases"].values() for component in case["components"]}
    assert guarded == set(versions()) == set(HOMES)


def changed(name: str, values: list[Any], **raised: str) -> dict[str, Any]:
    """A recording in which one case has other values and its components, perhaps, other versions."""
    case = GOLDEN["cases"][name]
    return {
        **GOLDEN,
        "cases": {
            **GOLDEN["cases"],
            name: {**case, "values": values, "components": case["components"] | raised},
        },
    }


def one_frame_later(rule: Callable[..., Any]) -> Callable[..., Any]:
    return lambda number, *rest: np.minimum(rule(number, *rest) + 1, number - 1)


def test_a_changed_sampling_rule_without_a_version_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(data._frames()) == GOLDEN["cases"]["sampling"]["values"]
    monkeypatch.setattr(data, "eval_indices", one_frame_later(sampling.eval_indices))
    found = changed("sampling", list(data._frames()))
    with pytest.raises(
        AssertionError, match="behaviour of sampling changed but its version did not"
    ) as caught:
        check(found)
    assert (
        "raise VERSION in trainables/data/clips/sampling.py and run `python tests/golden/update.py`"
        in str(caught.value)
    )


def test_with_a_new_version_only_the_golden_values_are_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "eval_indices", one_frame_later(sampling.eval_indices))
    found = changed("sampling", list(data._frames()), sampling="2")
    with pytest.raises(AssertionError, match="golden values of sampling are of other versions: run"):
        check(found)


def test_one_bit_is_enough_on_the_same_platform_and_not_on_another() -> None:
    name = "train tsn-tiny"
    values = list(GOLDEN["cases"][name]["values"])
    values[0] = np.nextafter(float.fromhex(values[0]), np.inf).hex()
    found = changed(name, values)
    assert compare.moved(GOLDEN, found) == (name,)
    elsewhere = {**found, "platform": {"machine": "another"}}
    assert compare.moved(GOLDEN, elsewhere) == ()
    values[0] = (float.fromhex(values[0]) * 1.00001).hex()
    assert compare.moved(GOLDEN, {**changed(name, values), "platform": {}}) == (name,)


@pytest.mark.parametrize(
    ("moved", "guilty"),
    [
        ("sampling, views, evaluation by logits, train tsn-tiny, train tam-tiny", ("sampling",)),
        ("logits tam-tiny, logits tam-resnet18-tp, train tam-tiny, evaluation by softmax", ("module tam",)),
        ("train tsn-tiny, train tam-tiny, train i3d-tiny-tp", ("train step",)),
        ("logits tsn-tiny-tp, logits i3d-resnet18-tp, train s3d-tiny-tp", ("temporal pooling",)),
        ("logits tsn-resnet18, logits i3d-resnet18", ("backbone resnet18",)),
        ("random tsn-tiny, imagenet resnet18", ("initialisation",)),
        ("evaluation by softmax", ("evaluation",)),
        ("views", ("views",)),
    ],
)
def test_blame_falls_on_what_all_moved_cases_share(moved: str, guilty: tuple[str, ...]) -> None:
    assert compare.suspects(GOLDEN, moved.split(", ")) == guilty


def test_new_cases_of_another_platform_leave_the_others_alone() -> None:
    first, second, *_ = GOLDEN["cases"]
    elsewhere = {"platform": {"processor": "another"}, "cases": {}}
    for name in (first, second):
        elsewhere["cases"][name] = {**GOLDEN["cases"][name], "values": ["0x1.0p+0"]}
    elsewhere["cases"][second] = {**elsewhere["cases"][second], "components": {"sampling": "99"}}
    merged = compare.merged(GOLDEN, elsewhere)
    assert merged["platform"] == GOLDEN["platform"]
    assert merged["cases"][first] == GOLDEN["cases"][first]
    assert merged["cases"][second]["values"] == ["0x1.0p+0"]
    assert compare.moved(merged, elsewhere) == (first,)
    exact = {**elsewhere, "cases": {second: {**elsewhere["cases"][second], "values": ["0x1.1p+0"]}}}
    assert compare.moved(merged, exact) == (second,)
