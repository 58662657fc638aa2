"""What a recipe's switches mean on a device, in a study file and in a key; nothing here computes."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.study.cells import expand
from orchestrator.study.errors import StudyError
from orchestrator.study.load import parse_study
from trainables.recipe.cell_spec import Recipe
from trainables.recipe.switches import ON_A_GPU, PLAIN, Execution, Machine, Switches, resolve

CPU, GPU = Machine(cuda=False), Machine(cuda=True)
STUDY = """\
name: s
axes: {module: [tam], backbone: [resnet18], frames: [8, 16], dataset: [mini-ssv2]}
"""


def study(recipe: str, resources: str = "{}") -> Any:
    return parse_study(f"{STUDY}recipe: {recipe}\nresources: {resources}\n", "s.yaml")


def test_a_recipe_that_says_nothing_is_plain_on_a_cpu() -> None:
    assert resolve(Recipe().speed, "auto", CPU) == PLAIN == Switches()


def test_and_on_a_gpu_what_was_chosen_for_gpus() -> None:
    assert resolve(Execution(), "auto", GPU) == ON_A_GPU
    assert resolve(Execution(), "auto", Machine(cuda=True, can_compile=False)).compile == "off"
    assert resolve(Execution(), "bf16", GPU).optimiser == "foreach"


def test_what_is_asked_for_by_name_is_done_and_does_not_fall_back() -> None:
    asked = resolve(Execution(compile="max-autotune", optimiser="fused"), "auto", GPU)
    assert (asked.compile, asked.optimiser, asked.may_fall_back) == ("max-autotune", "fused", False)
    assert resolve(Execution(compile="default"), "auto", CPU).compile == "default"
    assert not resolve(Execution(channels_last="off"), "auto", CPU).channels_last
    assert resolve(Execution(compile="off"), "auto", GPU).compile == "off"


def test_what_only_a_gpu_has_is_off_without_one() -> None:
    asked = resolve(Execution(cuda_graphs="on", cudnn_benchmark="on"), "tf32", CPU)
    assert asked == PLAIN


@pytest.mark.parametrize(
    ("precision", "fp32"), [("auto", "as is"), ("bf16", "as is"), ("fp32", "ieee"), ("tf32", "tf32")]
)
def test_how_a_gpu_multiplies_32_bit_numbers(precision: Any, fp32: str) -> None:
    assert resolve(Execution(), precision, GPU).fp32 == fp32


def test_yamls_bare_on_and_off_are_words() -> None:
    cell, _ = expand(study("{base: {speed: {compile: off, cuda_graphs: on, channels_last: no}}}", GPUS))
    assert cell.recipe.speed == Execution(compile="off", cuda_graphs="on", channels_last="off")


def test_switches_of_a_stage_add_to_those_of_the_base() -> None:
    starter, child = expand(
        study("{base: {speed: {compile: default, optimiser: fused}}, finetune: {speed: {compile: off}}}")
    )
    assert starter.recipe.speed == Execution(compile="default", optimiser="fused")
    assert child.recipe.speed == Execution(compile="off", optimiser="fused")


GPUS = "{default: {gpus_per_worker: 1}}"


@pytest.mark.parametrize(
    ("recipe", "resources", "says"),
    [
        ("{base: {precision: tf32}}", "{}", "recipe.base.precision: tf32, but only GPUs have it"),
        ("{base: {speed: {cuda_graphs: on}}}", "{}", "recipe.base.speed.cuda_graphs: on, but the cells hold"),
        (
            "{base: {speed: {cuda_graphs: on}}}",
            "{default: {gpus_per_worker: 1, workers: 2}}",
            "recipe.base.speed.cuda_graphs: on, but a step that 2 workers share cannot be recorded",
        ),
        ("{base: {speed: {compile: on}}}", GPUS, "'on' is not one of them; allowed: auto, off, default"),
        ("{base: {speed: {compiled: off}}}", GPUS, "checkpoint_activations; did you mean compile?"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_planned(recipe: str, resources: str, says: str) -> None:
    with pytest.raises(StudyError) as error:
        study(recipe, resources)
    assert says in str(error.value), str(error.value)


def test_switches_survive_the_way_to_the_worker() -> None:
    recipe = Recipe(speed=Execution(compile="default", checkpoint_activations="on"))
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
