"""Claims about axes beside the six: which cells they select and compare, and what they never mix."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from catalog.claims.load import ClaimsError, parse_claims
from catalog.claims.model import Claim
from dashboards.claims.cases import Result, cases_of
from dashboards.claims.judge import Judgement, Verdict
from dashboards.claims.sets import judgements
from dashboards.claims.words import as_text
from orchestrator.study.errors import StudyError
from orchestrator.study.load import parse_study
from tests.support.measured_cells import Cell, catalog_of

HOLDS, FAILS, UNKNOWN = Verdict.HOLDS, Verdict.FAILS, Verdict.UNKNOWN
FAST, SLOW = {"recipe.lr": "0.1", "recipe_name": "fast"}, {"recipe.lr": "0.01", "recipe_name": "slow"}


def claim(**fields: Any) -> Claim:
    given = {"name": "one", "statement": "It is so.", "expect": {"above": 0}, **fields}
    (found,) = parse_claims(json.dumps({"claims": [given]}), "test.yaml")
    return found


def cell(module: str, axes: Mapping[str, str], top1: float, **more: Any) -> Cell:
    recipe = {**more.pop("recipe", {}), **{name.removeprefix("recipe."): text for name, text in axes.items()}}
    return Cell(study="rates", module=module, top1=top1, axes=axes, recipe=recipe, **more)


def grid() -> list[Cell]:
    """TSN and TAM, 20 points apart, under two rates (10 points) and two recipes (1 point)."""
    return [
        cell(module, {"recipe.lr": lr, "recipe_name": name}, top1 + more + gain)
        for module, top1 in (("tsn", 20.0), ("tam", 40.0))
        for lr, more in (("0.1", 0.0), ("0.01", 10.0))
        for name, gain in (("paper", 0.0), ("transformer", 1.0))
    ]


def own(catalog: Catalog, *claims: Claim) -> list[Judgement]:
    return [one for one in judgements(catalog, claims) if one.source == "own"]


def values(judged: Judgement) -> dict[str, float | None]:
    return {one.case.name: one.case.value for one in judged.cases}


def model(axes: str = "", recipe: str = "") -> str:
    return f"""
name: rates
axes: {{module: [tam], backbone: [tiny], frames: [8], dataset: [toy]{axes}}}
datasets: {{toy: {{kind: synthetic-motion}}}}
recipe: {{base: {{init: random, crop_size: 32}}{recipe}}}
evaluation: {{crop_size: 32, short_side: 36}}
"""


# Cases


def result(module: str, top1: float, **axes: str) -> Result:
    named = tuple((f"recipe.{axis}", text) for axis, text in axes.items())
    return Result(("d", module, "tiny", False, 8), (top1,), videos=10_000, other_axes=named)


def test_two_values_of_an_axis_are_compared_with_all_others_equal() -> None:
    results = [
        result("tam", 50.0, lr="0.1", epochs="10"),
        result("tam", 57.0, lr="0.01", epochs="10"),
        result("tam", 99.0, lr="0.01", epochs="20"),
    ]
    asked = claim(compare={"recipe.lr": [0.01, 0.1]})
    (first, second) = cases_of(asked, results)
    assert (first.name, first.value) == ("d TAM Tiny f8 epochs 10", 7.0)
    assert second.missing == ("TAM-Tiny-f8@d+lr=0.1+epochs=20",)


@pytest.mark.parametrize("fields", [{"compare": {"module": ["tam", "tsn"]}}, {"average_over": "module"}])
def test_what_differs_in_an_axis_that_no_one_names_is_neither_paired_nor_averaged(fields: Any) -> None:
    apart = [result("tam", 50.0, lr="0.1"), result("tsn", 20.0, lr="0.01")]
    together = [*apart, result("tsn", 30.0, lr="0.1"), result("tam", 80.0, lr="0.01")]
    found = [one.value for one in cases_of(claim(**fields), together)]
    assert found == ([20.0, 60.0] if "compare" in fields else [40.0, 50.0])
    if "compare" in fields:
        assert [one.value for one in cases_of(claim(**fields), apart)] == [None, None]


# Verdicts on a catalog


def test_a_claim_compares_two_values_of_an_axis(tmp_path: Path) -> None:
    asked = claim(
        where={"module": "tam"},
        compare={"recipe_name": ["transformer", "paper"]},
        expect={"at_least": 2},
    )
    catalog = catalog_of(tmp_path, grid())
    found = own(catalog, asked)
    # Of the rate, which the claim does not name, each value has a verdict of its own.
    assert [(one.study, one.as_measured, len(one.cases)) for one in found] == [
        ("rates (lr 0.01)", FAILS, 1),
        ("rates (lr 0.1)", FAILS, 1),
    ]
    assert values(found[0]) == {"Mini-SSV2 TAM ResNet18 f8 lr 0.01": 1.0}
    interval = found[0].cases[0].interval
    assert interval is not None and interval.low < 1 < interval.high < 3
    (over,) = own(catalog, claim(compare={"recipe.lr": [0.01, 0.1]}, where={"recipe_name": "paper"}))
    assert (over.study, over.verdict) == ("rates", HOLDS)
    assert values(over) == {
        "Mini-SSV2 TAM ResNet18 f8 recipe paper": 10.0,
        "Mini-SSV2 TSN ResNet18 f8 recipe paper": 10.0,
    }
    assert "Asked: lr 0.01 − lr 0.1 above 0 points in every case." in as_text(over)


def test_a_claim_selects_by_an_axis_and_may_average_over_it_where_it_says_so(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, grid())
    both = {"recipe.lr": [0.01, 0.1]}
    (mean,) = own(catalog, claim(where={"recipe_name": "paper"}, average_over=["recipe.lr"]))
    assert values(mean) == {
        "Mini-SSV2 TAM ResNet18 f8 recipe paper": 45.0,
        "Mini-SSV2 TSN ResNet18 f8 recipe paper": 25.0,
    }
    modules = {"module": ["tam", "tsn"]}
    (several,) = own(catalog, claim(where={**both, "recipe_name": "paper"}, compare=modules))
    assert [*values(several).values()] == [20.0, 20.0]
    (without,) = own(catalog, claim(without={"recipe.lr": 0.1, "recipe_name": "paper"}, compare=modules))
    assert values(without) == {"Mini-SSV2 ResNet18 f8 lr 0.01 recipe transformer": 20.0}


def test_a_claim_over_models_is_judged_on_each_combination_of_other_axes(tmp_path: Path) -> None:
    """Each model was trained under one rate alone: they were never trained alike, and nothing is compared."""
    apart = [cell("tsn", FAST, 20.0), cell("tam", SLOW, 40.0)]
    asked = claim(compare={"module": ["tam", "tsn"]}, expect={"at_least": 15})
    found = own(catalog_of(tmp_path / "apart", apart), asked)
    assert [one.verdict for one in found] == [UNKNOWN, UNKNOWN]
    assert {case.case.value for one in found for case in one.cases} == {None}
    more = [*apart, cell("tam", FAST, 30.0), cell("tsn", SLOW, 20.0)]
    found = own(catalog_of(tmp_path / "more", more), asked)
    assert [(one.study, one.verdict, [*values(one).values()]) for one in found] == [
        ("rates (lr 0.01, recipe slow)", HOLDS, [20.0]),
        ("rates (lr 0.1, recipe fast)", FAILS, [10.0]),
    ]


def test_phi_is_measured_against_tsn_under_the_same_recipe(tmp_path: Path) -> None:
    (one,) = own(catalog_of(tmp_path, grid()), claim(measure="phi", where=_texts("0.01", "paper")))
    assert [*values(one).values()] == [pytest.approx(30 / 50)]


def _texts(lr: str, name: str) -> dict[str, str]:
    return {"recipe.lr": lr, "recipe_name": name}


def test_what_a_claim_names_and_no_cell_has_is_missing_under_the_cells_name(tmp_path: Path) -> None:
    cells = [cell("tam", FAST, 40.0), cell("tsn", SLOW, 20.0)]
    asked = claim(where={"module": "tam"}, compare={"recipe_name": ["fast", "slow"]})
    (fast, slow) = own(catalog_of(tmp_path, cells), asked)
    assert slow.study == "rates (lr 0.1)" and slow.verdict is UNKNOWN
    assert slow.cases[0].case.missing == ("TAM-ResNet18-f8@mini-ssv2+lr=0.1+slow",)
    assert fast.cases[0].case.value is None


def test_evaluations_are_compared_within_one_value_of_every_axis(tmp_path: Path) -> None:
    cells = [cell("tam", FAST, 40.0), cell("tam", SLOW, 40.0)]
    more = [
        one.evaluated(top1 + place, sampling=sampling, clips=1, crops=1)
        for place, one in enumerate(cells)
        for sampling, top1 in (("uniform", 50.0), ("dense", 40.0 - 2 * place))
    ]
    asked = claim(results="evaluations", compare={"sampling": ["uniform", "dense"]})
    found = own(catalog_of(tmp_path, cells, *more), asked)
    assert [(one.study, [*values(one).values()]) for one in found] == [
        ("rates (lr 0.01, recipe slow)", [12.0]),
        ("rates (lr 0.1, recipe fast)", [10.0]),
    ]
    over = claim(results="evaluations", compare={"recipe_name": ["slow", "fast"]}, average_over="recipe.lr")
    (judged,) = own(catalog_of(tmp_path, cells, *more), over)
    assert [case.case.missing for case in judged.cases] != [()]


def test_seeds_of_several_trainings_are_no_evaluation_of_one(tmp_path: Path) -> None:
    cells = [cell("tam", FAST, 40.0), cell("tam", FAST, 40.0, seed=1, recipe={"epochs": 3})]
    more = [one.evaluated(60.0 - 20 * one.seed, clips=1, crops=1) for one in cells]
    (one,) = own(catalog_of(tmp_path, cells, *more), claim(results="evaluations"))
    assert one.cases == ()


def test_experiments_that_no_axis_tells_apart_are_judged_one_by_one(tmp_path: Path) -> None:
    cells = [Cell(top1=60.0), Cell(top1=20.0, seed=1, recipe={"lr": 0.1}), Cell(module="tsn", top1=30.0)]
    found = own(catalog_of(tmp_path, cells), claim(compare={"module": ["tam", "tsn"]}))
    assert [one.study for one in found] == ["own", "own (lr 0.01)", "own (lr 0.1)"]
    assert {case.case.value for one in found for case in one.cases} <= {None}


def test_the_literature_and_studies_without_the_axis_are_not_asked(tmp_path: Path) -> None:
    plain = Cell(study="plain", top1=30.0)
    catalog = catalog_of(tmp_path, [*grid(), plain])
    asked = claim(compare={"recipe.lr": [0.01, 0.1]})
    assert {(one.source, one.study) for one in judgements(catalog, [asked])} == {
        ("own", "rates (recipe paper)"),
        ("own", "rates (recipe transformer)"),
    }
    nobody = claim(compare={"recipe.dropout": [0.1, 0.5]})
    (one,) = judgements(catalog, [nobody])
    assert (one.verdict, one.cases) == (UNKNOWN, ())


def test_a_studys_own_claims_are_judged_by_its_axes(tmp_path: Path) -> None:
    asked = claim(compare={"recipe.lr": [0.01, 0.1]}, where={"recipe_name": "paper"})
    catalog = catalog_of(tmp_path, grid(), rates={"claims": [asked.model_dump(mode="json")]})
    (one,) = judgements(catalog, [])
    assert (one.study, one.verdict, one.claim) == ("rates", HOLDS, asked)


# What a file may say


@pytest.mark.parametrize(
    ("given", "texts"),
    [
        ({"recipe.lr": 0.010}, ("0.01",)),
        ({"recipe.lr": [1e-05, 1]}, ("1e-05", "1")),
        ({"recipe.nesterov": [True, False]}, ("yes", "no")),
        ({"recipe.milestones": [[15, 30]]}, ("15-30",)),
        ({"recipe.clip_gradient": None}, ("none",)),
        ({"resolution": 112}, ("112",)),
    ],
)
def test_values_are_compared_as_cells_have_them(given: Mapping[str, Any], texts: Sequence[str]) -> None:
    asked = claim(where=given)
    assert [*asked.where.values()] == [texts]
    assert Claim.model_validate_json(asked.model_dump_json(), strict=True) == asked


def test_pairs_of_values_are_compared_as_given() -> None:
    asked = claim(compare={"recipe.lr": [[0.1, 0.01], [1, 0.01]]})
    assert asked.pairs("recipe.lr") == (("0.1", "0.01"), ("1", "0.01"))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"where": {"recipe_nam": "a"}}, "where.recipe_nam: no axis of these results; allowed: dataset"),
        ({"where": {"recipe_nam": "a"}}, "did you mean recipe_name?"),
        ({"where": {"recipe.lr": []}}, "where.recipe.lr: needs a value"),
        ({"where": {"recipe.lr": {"a": 1}}}, "where.recipe.lr: should be a value or a list of values"),
        ({"compare": {"recipe.lr": [0.1]}}, "compare.recipe.lr: needs two values"),
        ({"compare": {"recipe.lr": [0.1, 0.10]}}, "'0.1' is compared with itself"),
        ({"results": "printed", "where": {"recipe.lr": 0.1}}, "no axis of these results; allowed: table"),
        ({"results": "printed", "average_over": "recipe_name"}, "'recipe_name' is no axis of these results"),
    ],
)
def test_a_mistake_is_told(fields: Mapping[str, Any], told: str) -> None:
    with pytest.raises(ClaimsError) as caught:
        claim(**fields)
    assert told in str(caught.value)


AXES = ", recipe.lr: [0.01, 0.1], recipe_name: [paper, transformer]"
NAMED = ", named: {paper: {epochs: 4}, transformer: {epochs: 5}}"


def study_with(fields: str, axes: str = AXES, recipe: str = NAMED) -> str:
    one = f"  - {{name: a, statement: It is so., expect: {{above: 0}}, {fields}}}\n"
    return model(axes, recipe) + f"claims:\n{one}"


def test_a_study_may_claim_what_it_varies() -> None:
    fields = "where: {recipe_name: paper}, compare: {recipe.lr: [1e-1, 0.010]}"
    (one,) = parse_study(study_with(fields), "s.yaml").claims
    assert one.other_axes == ("recipe_name", "recipe.lr") and one.pairs("recipe.lr") == (("0.1", "0.01"),)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("where: {recipe.lrr: 0.1}", "s.yaml:8: claims[0].where.recipe.lrr: 'recipe.lrr' is no axis of this"),
        ("where: {recipe.lrr: 0.1}", "recipe.lr, recipe_name; did you mean recipe.lr?"),
        ("average_over: recipe.epochs", "claims[0].average_over: 'recipe.epochs' is no axis of this study"),
        ("without: {resolution: 112}", "claims[0].without.resolution: 'resolution' is no axis of this study"),
        (
            "where: {recipe_name: transformr}",
            "claims[0].where.recipe_name: 'transformr' is no value of this axis here; allowed: paper, "
            "transformer; did you mean transformer?",
        ),
        ("compare: {recipe.lr: [0.1, 0.001]}", "'0.001' is no value of this axis here; allowed: 0.01, 0.1"),
    ],
)
def test_a_plan_refuses_axes_and_values_that_the_study_does_not_have(fields: str, told: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_study(study_with(fields), "s.yaml")
    assert told in str(caught.value)
