"""Claims: how they are read, what their cases are, and how they are judged on grids that are known."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from catalog import Catalog
from catalog.claims.load import ClaimsError, load_claims, parse_claims, shipped_claims
from catalog.claims.model import Claim, Expected
from catalog.events import CellEvaluated, CellFinished, CellPlanned, Event, StudySubmitted
from catalog.queries.filters import Filters
from catalog.storage.folder_storage import FolderStorage
from dashboards.claims.cases import Result, cases_of
from dashboards.claims.judge import Judgement, Set, Verdict, judge, quantified
from dashboards.claims.sets import judgements, result_sets, study_claims
from dashboards.claims.words import UNCERTAINTY, says
from dashboards.pages import findings
from dashboards.pages.blocks import Table, Text
from dashboards.pages.request import Address, PageRequest
from dashboards.render.theme import LIGHT
from dashboards.report.page import report_html
from dashboards.statistics.same_videos import Outcome
from orchestrator.cli import app
from orchestrator.commands.run import claim_lines
from orchestrator.study.load import load_study
from tests.dashboards.test_report import NOW, Page
from tests.support.figure_list import build, write_predictions
from tests.support.grid_events import DEMO, Grid, grid_events
from tests.support.paths import ROOT

HOLDS, FAILS, UNKNOWN = Verdict.HOLDS, Verdict.FAILS, Verdict.UNKNOWN
STUDY = """
name: one
axes: {module: [tam], backbone: [tiny], frames: [8], dataset: [synthetic-motion]}
datasets: {synthetic-motion: {kind: synthetic-motion}}
recipe: {base: {init: random, crop_size: 32}}
evaluation: {crop_size: 32, short_side: 36}
"""
GAIN = """
claims:
  - name: pooling-helps
    statement: Pooling helps.
    compare: {temporal_pooling: [true, false]}
    expect: {above: 0}
"""


def claim(**fields: Any) -> Claim:
    given = {"name": "one", "statement": "It is so.", "expect": {"above": 0}, **fields}
    (found,) = parse_claims(json.dumps({"claims": [given]}), "test.yaml")
    return found


def result(module: str, top1: Sequence[float] = (), *, pooled: bool = False, **more: Any) -> Result:
    place = (
        more.pop("dataset", "d"), module, more.pop("backbone", "tiny"), pooled, more.pop("frames", 8),
    )  # fmt: skip
    return Result(place, tuple(top1), **{"videos": 1000, **more})


def judged(asked: Claim, *results: Result, **more: Any) -> Judgement:
    return judge(asked, Set("own", "s", {"grid": results}, **more))


# Reading


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "c.yaml: the file is empty; it needs at least claims"),
        ("- a\n", "c.yaml:1: should hold claims"),
        ("claims: {\n", "c.yaml:2: not YAML"),
        ("claims: !!python/object:os.system x\n", "c.yaml:1: not YAML: could not determine a constructor"),
        ("claims:\n  - name: a\n    statement: b\n", "c.yaml:2: claims[0].expect: missing"),
        (GAIN.replace("compare", "compair"), "c.yaml:5: claims[0].compair: unknown field; allowed: name"),
        (GAIN.replace("above", "over"), "c.yaml:6: claims[0].expect.over: unknown field; allowed: above"),
        (
            GAIN.replace("above: 0", "above: much"),
            "c.yaml:6: claims[0].expect.above: should be a valid number",
        ),
        (GAIN.replace("{above: 0}", "{}"), "c.yaml:6: claims[0].expect: needs a bound"),
        (GAIN.replace("above: 0", "above: 3, below: 1"), "c.yaml:6: claims[0].expect: its lower bound is"),
        (GAIN.replace("above: 0", "above: 3, at_least: 1"), "c.yaml:6: claims[0].expect: has two bounds"),
        (
            GAIN.replace("temporal_pooling", "pooling"),
            "c.yaml:5: claims[0].compare.pooling: no axis of these",
        ),
        (GAIN.replace("[true, false]", "[true]"), "compare.temporal_pooling: needs two values"),
        (GAIN.replace("[true, false]", "[8, 16]"), "compare.temporal_pooling: 8 should be true or false"),
        (
            GAIN + "    where: {frames: '8'}\n",
            "c.yaml:7: claims[0].where.frames: '8' should be a whole number",
        ),
        (GAIN + "    where: {frame: 8}\n", "where.frame: no axis of these results; allowed: dataset"),
        (GAIN + "    where: {temporal_pooling: true}\n", "'temporal_pooling' is what it compares along"),
        (GAIN + "    average_over: [seed]\n", "claims[0].average_over: 'seed' is no axis of these results"),
        (
            GAIN + "    measure: top2\n",
            "c.yaml:7: claims[0].measure: 'top2' is not one of them; allowed: top1",
        ),
        (GAIN + "    cases: all\n", "claims[0].cases: 'all' is not one of them; allowed: every, most, some"),
        (GAIN + "    results: printed\n", "claims[0].compare.temporal_pooling: no axis of these results"),
        (GAIN + GAIN.removeprefix("\nclaims:\n"), "c.yaml:7: claims[1].name: 'pooling-helps' stands above"),
        (
            GAIN.replace("pooling-helps", "Pooling helps"),
            "claims[0].name: 'Pooling helps' should be",
        ),
        ("claims: []\n", "c.yaml:1: claims: has no claim"),
        ("claims:\n  - just text\n", "c.yaml:2: claims[0]: should be fields with values"),
        (GAIN + "    name: again\n", "c.yaml:7: claims[0].name: given twice, first in line 3"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_field(text: str, told: str) -> None:
    with pytest.raises(ClaimsError) as caught:
        parse_claims(text, "c.yaml")
    assert told in str(caught.value) and str(caught.value).startswith("c.yaml")
    assert caught.value.exit_code == 2


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ClaimsError, match="cannot be read: No such file"):
        load_claims(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ClaimsError, match="cannot be read"):
        load_claims(tmp_path / "bad.yaml")


def test_every_shipped_claim_says_where_the_paper_says_so() -> None:
    assert all(one.source and one.statement.endswith(".") for one in shipped_claims())


# Bounds and quantifiers


@pytest.mark.parametrize(
    ("bounds", "inside", "outside"),
    [
        ({"above": 1}, [1.001, 9], [1, 0]),
        ({"at_least": 1}, [1, 2], [0.999]),
        ({"below": 1}, [0.999], [1, 2]),
        ({"at_most": 1}, [1, -5], [1.001]),
        ({"at_least": 3, "at_most": 5}, [3, 4, 5], [2.999, 5.001]),
    ],
)
def test_bounds(bounds: dict[str, float], inside: list[float], outside: list[float]) -> None:
    expected = Expected(**bounds)
    assert all(expected.allows(one) for one in inside) and not any(expected.allows(one) for one in outside)


def test_an_interval_is_inside_outside_or_neither() -> None:
    expected = Expected(at_least=3, at_most=5)
    spans = [(3, 5), (1, 2), (6, 7), (2, 4), (4, 6), (1, 9)]
    assert [expected.holds_all(*one) for one in spans] == [True, False, False, False, False, False]
    assert [expected.holds_none(*one) for one in spans] == [False, True, True, False, False, False]


@pytest.mark.parametrize(
    ("cases", "verdicts", "verdict"),
    [
        ("every", [HOLDS, HOLDS], HOLDS),
        ("every", [HOLDS, FAILS], FAILS),
        ("every", [HOLDS, UNKNOWN], UNKNOWN),
        ("every", [FAILS, UNKNOWN], FAILS),
        ("every", [], UNKNOWN),
        ("most", [HOLDS, HOLDS, FAILS], HOLDS),
        ("most", [HOLDS, FAILS], FAILS),
        ("most", [HOLDS, HOLDS, UNKNOWN, UNKNOWN], UNKNOWN),
        ("most", [FAILS, FAILS, UNKNOWN, UNKNOWN], FAILS),
        ("some", [FAILS, HOLDS, UNKNOWN], HOLDS),
        ("some", [FAILS, UNKNOWN], UNKNOWN),
        ("some", [FAILS, FAILS], FAILS),
    ],
)
def test_quantifiers(cases: Any, verdicts: list[Verdict], verdict: Verdict) -> None:
    assert quantified(cases, verdicts) is verdict


# Cases


def test_all_other_axes_are_equal_on_both_sides() -> None:
    results = [
        result("tam", [50.0], frames=8),
        result("tam", [53.0], pooled=True, frames=8),
        result("tam", [60.0], frames=16),
        result("i3d", [70.0], pooled=True, frames=16),
    ]
    cases = cases_of(claim(compare={"temporal_pooling": [True, False]}), results)
    assert {one.name: one.value for one in cases} == {
        "d TAM Tiny f8": 3.0, "d TAM Tiny f16": None, "d I3D Tiny f16": None,
    }  # fmt: skip
    assert [one.missing for one in cases] == [(), ("TAM-Tiny-tp-f16@d",), ("I3D-Tiny-f16@d",)]


def test_more_than_two_values_are_compared_one_with_the_next_and_pairs_as_given() -> None:
    results = [result("tam", [float(frames)], frames=frames) for frames in (8, 16, 64)]
    steps = cases_of(claim(compare={"frames": [64, 16, 8]}), results)
    assert [one.value for one in steps] == [48.0, 8.0]
    pairs = cases_of(claim(compare={"frames": [[64, 8], [16, 8]]}), results)
    assert {one.name: one.value for one in pairs} == {
        "d TAM Tiny: f64 − f8": 56.0,
        "d TAM Tiny: f16 − f8": 8.0,
    }


def test_two_axes_give_a_difference_of_differences() -> None:
    values = {(True, 64): 40.0, (False, 64): 10.0, (True, 8): 25.0, (False, 8): 5.0}
    results = [result("tsn", [top1], pooled=tp, frames=f) for (tp, f), top1 in values.items()]
    (one,) = cases_of(claim(compare={"temporal_pooling": [True, False], "frames": [64, 8]}), results)
    assert one.value == (40 - 10) - (25 - 5)


def test_a_mean_needs_all_of_its_cases() -> None:
    results = [result("tam", [50.0], frames=8), result("tam", [56.0], frames=16), result("i3d", [50.0])]
    results += [result("i3d", frames=16)]
    cases = cases_of(claim(average_over="frames"), results)
    assert [(one.name, one.value, one.missing) for one in cases] == [
        ("d TAM Tiny", 53.0, ()),
        ("d I3D Tiny", None, ("I3D-Tiny-f16@d",)),
    ]


def test_what_a_claim_names_must_be_there() -> None:
    cases = cases_of(claim(where={"module": ["tam", "s3d"], "frames": [8, 16]}), [result("tam", [50.0])])
    assert [one.missing for one in cases] == [(), ("TAM f16",), ("S3D f8",), ("S3D f16",)]


def test_without_leaves_values_out() -> None:
    cases = cases_of(claim(without={"module": "tsn"}), [result("tam", [50.0]), result("tsn", [40.0])])
    assert [one.name for one in cases] == ["d TAM Tiny f8"]


def test_phi_and_psi_are_those_of_equation_1() -> None:
    results = [result("tsn", [40.0]), result("tam", [64.0]), result("tsn", [50.0], pooled=True)]
    results += [result("tam", [30.0], pooled=True)]
    phi = cases_of(claim(measure="phi", where={"temporal_pooling": False}), results)
    psi = cases_of(claim(measure="psi"), results)
    assert [one.value for one in phi] == [40 / 64]
    assert [one.value for one in psi] == [(64 - 40) / 60, (30 - 40) / 60]
    (both,) = cases_of(claim(compare={"measure": ["phi", "psi"]}, where={"temporal_pooling": False}), results)
    assert both.value == pytest.approx(40 / 64 - 24 / 60)


def test_relative_differences_are_in_percent_of_the_second() -> None:
    results = [result("tam", [50.0], macs=5e9), result("i3d", [50.0], macs=20e9)]
    asked = claim(measure="macs", compare={"module": ["tam", "i3d"]}, relative=True, expect={"at_most": -75})
    one = judged(asked, *results)
    assert one.cases[0].case.value == -75 and one.verdict is HOLDS and asked.unit == "%"


# Verdicts


def test_a_difference_that_videos_cannot_tell_is_not_told() -> None:
    asked = claim(compare={"module": ["tam", "i3d"]})
    few = judged(asked, result("tam", [51.0], videos=96), result("i3d", [50.0], videos=96))
    many = judged(asked, result("tam", [51.0], videos=10**6), result("i3d", [50.0], videos=10**6))
    assert (few.as_measured, few.verdict) == (HOLDS, UNKNOWN) and many.verdict is HOLDS
    lower = judged(asked, result("tam", [40.0]), result("i3d", [50.0]))
    assert lower.verdict is FAILS


def test_where_nobody_says_on_how_many_videos_nothing_is_beyond_uncertainty() -> None:
    one = judged(claim(), result("tam", [50.0], videos=None))
    assert (one.as_measured, one.verdict) == (HOLDS, UNKNOWN)
    assert "On how many videos it was measured is not known" in says(one)


def test_the_literature_is_judged_as_measured() -> None:
    asked = claim(compare={"module": ["tam", "i3d"]})
    results = (result("tam", [51.0], videos=96), result("i3d", [50.0], videos=96))
    one = judge(asked, Set("published", "a paper", {"grid": results}))
    assert (one.verdict, one.beyond_uncertainty) == (HOLDS, UNKNOWN)


def test_one_of_many_cases_fails_only_beyond_the_number_of_questions() -> None:
    """Of 40 true claims two have a 95 % interval that says otherwise: that alone must not refute them."""
    asked = claim(expect={"at_least": 50})
    low = 50 - 1.96 * 50 / math.sqrt(1000) - 0.3
    alone = judged(asked, result("tam", [low]))
    among = judged(asked, *[result("tam", [low if f == 1 else 90.0], frames=f) for f in range(1, 41)])
    assert (alone.verdict, among.verdict) == (FAILS, UNKNOWN)
    some = claim(expect={"below": 50}, cases="some")
    assert judged(some, result("tam", [low])).verdict is HOLDS
    assert judged(
        some, *[result("tam", [low if f == 1 else 90.0], frames=f) for f in range(1, 41)]
    ).verdict is (UNKNOWN)


def test_few_true_claims_are_refuted() -> None:
    """Of studies in which pooling changes nothing, at most about 5 in 100 say that it costs or helps."""
    rng = random.Random(1)
    asked = claim(compare={"temporal_pooling": [True, False]}, expect={"at_least": 0}, cases="every")
    refuted = 0
    for _ in range(300):
        tops = [[100 * sum(rng.random() < 0.5 for _ in range(200)) / 200] for _ in range(12)]
        results = [
            result("tam", top1, pooled=place % 2 == 0, frames=place // 2, videos=200)
            for place, top1 in enumerate(tops)
        ]
        refuted += judged(asked, *results).verdict is FAILS
    assert refuted / 300 <= 0.06


def paired(right: Sequence[Sequence[bool]], videos: str = "v") -> dict[str, Outcome]:
    return {f"k{n}": Outcome(videos, np.array(one, float)) for n, one in enumerate(right)}


def test_differences_are_paired_by_video_where_predictions_are_known() -> None:
    first, second = [True] * 60 + [False] * 40, [True] * 52 + [False] * 48
    tam = result("tam", [60.0], videos=100, keys=("k0",))
    i3d = result("i3d", [52.0], videos=100, keys=("k1",))
    asked = claim(compare={"module": ["tam", "i3d"]})
    with_pairs = judged(asked, tam, i3d, predictions=paired([first, second]))
    without = judged(asked, tam, i3d)
    assert with_pairs.verdict is HOLDS and with_pairs.cases[0].paired
    assert without.verdict is UNKNOWN and not without.cases[0].paired


def test_predictions_of_other_videos_are_not_paired() -> None:
    tam = result("tam", [60.0], videos=100, keys=("k0",))
    i3d = result("i3d", [52.0], videos=100, keys=("k1",))
    right = {
        **paired([[True] * 60 + [False] * 40]),
        "k1": Outcome("w", np.array([1.0] * 52 + [0.0] * 48)),
    }
    one = judged(claim(compare={"module": ["tam", "i3d"]}), tam, i3d, predictions=right)
    assert not one.cases[0].paired and one.verdict is UNKNOWN


def test_seeds_without_predictions_are_not_paired() -> None:
    tam = result("tam", [60.0, 60.0], videos=100, keys=("k0", "gone"))
    i3d = result("i3d", [52.0], videos=100, keys=("k1",))
    right = paired([[True] * 60 + [False] * 40, [True] * 52 + [False] * 48])
    assert not judged(claim(compare={"module": ["tam", "i3d"]}), tam, i3d, predictions=right).cases[0].paired


@pytest.mark.parametrize("measure", ["phi", "psi"])
def test_slopes_are_those_of_a_small_step(measure: str) -> None:
    """How far Φ and Ψ move with each accuracy, against a difference quotient."""

    def value(tam: float, tsn: float) -> float:
        (case,) = cases_of(claim(measure=measure), [result("tam", [tam]), result("tsn", [tsn])])
        assert case.value is not None
        return case.value

    (case,) = cases_of(claim(measure=measure), [result("tam", [64.0]), result("tsn", [40.0])])
    slopes = {part.place[1]: slope for (_, part), slope in case.quantities[0].slopes.items()}
    step = 1e-5
    assert slopes == pytest.approx(
        {
            "tam": (value(64 + step, 40) - value(64 - step, 40)) / (2 * step),
            "tsn": (value(64, 40 + step) - value(64, 40 - step)) / (2 * step),
        },
        rel=1e-6,
    )


def test_seeds_that_differ_widen_the_interval() -> None:
    asked = claim(compare={"module": ["tam", "i3d"]})
    same = judged(asked, result("tam", [60.0, 60.0], videos=5000), result("i3d", [52.0, 52.0], videos=5000))
    apart = judged(asked, result("tam", [50.0, 70.0], videos=5000), result("i3d", [42.0, 62.0], videos=5000))
    assert (same.verdict, apart.verdict) == (HOLDS, UNKNOWN)


# From a catalog


def own(tmp_path: Path, grid: Grid, more: Sequence[Event] = ()) -> list[Set]:
    with build(tmp_path, iter([*grid_events(grid), *more])) as catalog:
        return result_sets(catalog, source="own")


def test_a_study_that_has_not_finished_says_what_is_missing(tmp_path: Path) -> None:
    gone = "TAM-Tiny-tp-f16@synthetic-motion"
    (demo,) = own(tmp_path, dataclasses.replace(DEMO, unfinished=frozenset({gone})))
    by_name = {one.name: one for one in shipped_claims()}
    hurts = judge(by_name["pooling-hurts-all-but-tsn"], demo)
    assert (hurts.source, hurts.study, len(hurts.cases)) == ("own", "demo", 12)
    assert gone in [name for one in hurts.cases for name in one.case.missing]
    assert f"Missing: {gone}" in says(hurts)
    absent = judge(by_name["tsn-pooling-mini-ssv2"], demo)
    assert absent.verdict is UNKNOWN and "Missing: Mini-SSV2 TSN" in says(absent)


def test_without_results_of_ones_own_nothing_can_be_told(tmp_path: Path) -> None:
    with build(tmp_path, iter(())) as catalog:
        (nothing,) = result_sets(catalog, source="own")
    assert {judge(one, nothing).verdict for one in shipped_claims()} == {UNKNOWN}


def test_studies_are_judged_one_by_one(tmp_path: Path) -> None:
    two = [*grid_events(DEMO), *grid_events(dataclasses.replace(DEMO, study="other", start=1_800_000_000.0))]
    with build(tmp_path, iter(two)) as catalog:
        assert [one.study for one in result_sets(catalog, source="own")] == ["demo", "other"]
        assert [one.study for one in result_sets(catalog, Filters(study=("other",)), "own")] == ["other"]
        assert [one.source for one in result_sets(catalog)] == ["own", "own", "published"]


def with_predictions(tmp_path: Path, right: dict[str, int], **more: Any) -> Set:
    """A study of TAM and I3D with predictions of 100 videos; `right` by module, `more` fields of results."""
    grid = dataclasses.replace(DEMO, modules=("tam", "i3d"), poolings=(False,), frames=(8,))
    grid = dataclasses.replace(grid, datasets=("synthetic-motion",))
    names = {one.key: one.module for one in grid_events(grid) if isinstance(one, CellPlanned)}
    events: list[Event] = []
    for one in grid_events(grid):
        if isinstance(one, CellFinished):
            count = right[names[one.key]]
            write_predictions(tmp_path, one.key, [0] * 100, [0] * count + [1] * (100 - count))
            top1 = {"top1": float(count), "best_top1": float(count), "eval_videos": 100, **more}
            events.append(dataclasses.replace(one, **top1))
        else:
            events.append(one)
    with build(tmp_path, iter(events)) as catalog:
        (study,) = result_sets(catalog, source="own")
    return study


def test_predictions_of_the_catalog_are_paired(tmp_path: Path) -> None:
    study = with_predictions(tmp_path, {"tam": 60, "i3d": 52})
    one = judge(claim(compare={"module": ["tam", "i3d"]}), study)
    assert one.cases[0].paired and one.verdict is HOLDS and one.cases[0].case.value == pytest.approx(8)


def test_predictions_of_another_accuracy_are_not_paired(tmp_path: Path) -> None:
    study = with_predictions(tmp_path, {"tam": 60, "i3d": 52}, top1=61.0, best_top1=61.0)
    assert study.predictions == {}


def test_predictions_of_another_epoch_are_not_paired(tmp_path: Path) -> None:
    """The predictions are those of the best epoch, the accuracy that is reported is the last one's."""
    study = with_predictions(tmp_path, {"tam": 60, "i3d": 52}, best_epoch=2)
    one = judge(claim(compare={"module": ["tam", "i3d"]}), study)
    assert not one.cases[0].paired and one.verdict is UNKNOWN


def evaluated(event: CellFinished, sampling: str, top1: float, **more: Any) -> CellEvaluated:
    fields: dict[str, Any] = {
        "key": event.key, "evaluation": f"{sampling}-{sorted(more.items())}", "checkpoint": "last",
        "epoch": 3, "checkpoint_sha256": "0" * 64, "sampling": sampling, "sampling_rate": 2, "clips": 1,
        "crops": 1, "crop_size": 224, "short_side": 256, "average": "logits", "split": "val",
        "videos_hash": "v", "top1": top1, "top5": 90.0, "loss": 1.0, "videos": 5000, "views": 1,
        "seconds": 1.0, "predictions": "none.parquet", "versions": {}, "hardware": {},
        "time": event.time + 1,
    }  # fmt: skip
    return CellEvaluated(**{**fields, **more})


def test_protocols_are_compared_within_one_model_and_checkpoint(tmp_path: Path) -> None:
    finished = [one for one in grid_events(DEMO) if isinstance(one, CellFinished)]
    more = [evaluated(finished[0], "uniform", 60.0), evaluated(finished[0], "dense", 40.0)]
    more += [evaluated(finished[0], "uniform", 10.0, split="train", time=finished[0].time + 9)]
    more += [
        evaluated(finished[1], "uniform", 60.0),
        evaluated(finished[1], "dense", 90.0, checkpoint="best"),
    ]
    more += [evaluated(finished[2], "uniform", 60.0), evaluated(finished[2], "dense", 90.0, crop_size=256)]
    # Two kinds of average are no two seeds: which of them counts is not said, so neither does.
    more += [evaluated(finished[3], "uniform", 60.0), evaluated(finished[3], "dense", 40.0)]
    more += [evaluated(finished[3], "dense", 41.0, average="softmax")]
    (demo,) = own(tmp_path, DEMO, more)
    one = judge({one.name: one for one in shipped_claims()}["uniform-over-dense"], demo)
    assert [case.case.value for case in one.cases] == [pytest.approx(20.0)] and one.verdict is HOLDS


def test_superseded_results_do_not_count(tmp_path: Path) -> None:
    before = [*grid_events(DEMO)]
    with build(tmp_path, iter(before)) as catalog:
        (demo,) = result_sets(catalog, source="own")
    assert len(demo.results["grid"]) == 32
    assert all(one.top1 for one in demo.results["grid"])


# Claims of a study file


def submitted(tmp_path: Path, *studies: tuple[str, str]) -> Catalog:
    """A catalog of grids of these names, each submitted with the claims of a text in YAML."""
    events: list[Event] = []
    for number, (study, text) in enumerate(studies):
        claims = [one.model_dump(mode="json") for one in parse_claims(text, "c.yaml")] if text else []
        grid = dataclasses.replace(DEMO, study=study, start=1_790_000_000.0 + 1e6 * number)
        events += [
            dataclasses.replace(one, config={"name": study, "claims": claims})
            if isinstance(one, StudySubmitted)
            else one
            for one in grid_events(grid)
        ]
    return build(tmp_path, iter(events))


def test_a_studys_claims_are_judged_on_it_and_on_the_published_results(tmp_path: Path) -> None:
    other = GAIN.replace("above: 0", "above: 1")
    with submitted(tmp_path, ("one", GAIN), ("two", other), ("three", "")) as catalog:
        found = judgements(catalog, shipped_claims())
        mine = [one for one in found if one.claim.name == "pooling-helps"]
        bounds = [(one.source, one.study, one.claim.expect.above) for one in mine]
        only = judgements(catalog, (), Filters(study=("two",)), "own")
    assert bounds == [
        ("own", "one", 0), ("published", "Chen et al. 2021", 0),
        ("own", "two", 1), ("published", "Chen et al. 2021", 1),
    ]  # fmt: skip
    assert [(one.study, one.claim.expect.above, len(one.cases)) for one in only] == [("two", 1, 16)]


def test_one_claim_of_two_studies_is_judged_once_on_the_published_results(tmp_path: Path) -> None:
    with submitted(tmp_path, ("one", GAIN), ("two", GAIN)) as catalog:
        found = judgements(catalog, parse_claims(GAIN, "mine.yaml"))
        assert [one.study for one in found] == ["one", "two", "Chen et al. 2021"]
        assert [one.study for one in judgements(catalog, ())] == ["one", "Chen et al. 2021", "two"]


def test_the_claims_of_the_last_submission_count(tmp_path: Path) -> None:
    later = StudySubmitted("one", "s2", 32, "one.yaml", {"name": "one"}, time=1_790_900_000.0)
    with submitted(tmp_path, ("one", GAIN)) as catalog:
        assert [*study_claims(catalog)] == ["one"]
    with build(tmp_path, iter([later])) as catalog:
        assert study_claims(catalog) == {}


def test_a_studys_claims_need_no_option_anywhere(tmp_path: Path) -> None:
    with submitted(tmp_path / "s", ("one", GAIN)) as catalog:
        page = Page(report_html(catalog, NOW))
        address = Address("findings", choices=(("show", "claims"),))
        _, table, *_ = findings.blocks(PageRequest(catalog, address, LIGHT, "storage"))
    assert any(row[-1] == "pooling-helps" for row in page.rows)
    assert isinstance(table, Table) and "pooling-helps" in table.rows.column("claim").to_pylist()
    rows = json.loads(run("pooling-helps", "--own", "--json", storage=tmp_path / "s").stdout)
    assert [(row["study"], row["results"]) for row in rows] == [("one", "own")]


def test_claims_that_another_version_submitted_are_told(tmp_path: Path) -> None:
    event = StudySubmitted("one", "s1", 1, "one.yaml", {"claims": [{"name": "later", "form": 2}]}, time=1.0)
    with build(tmp_path, iter([event])) as catalog, pytest.raises(ClaimsError, match="study one, as it was"):
        judgements(catalog, ())


def test_the_end_of_a_run_says_what_its_results_say(tmp_path: Path) -> None:
    submitted(tmp_path / "s", ("one", GAIN)).close()
    (tmp_path / "one.yaml").write_text(STUDY + GAIN)
    storage = FolderStorage(tmp_path / "s")
    (line,) = claim_lines(load_study(tmp_path / "one.yaml"), storage)
    assert line.startswith("claim pooling-helps: cannot be told: ") and "of 16 above 0 points" in line
    (tmp_path / "one.yaml").write_text(STUDY)
    assert claim_lines(load_study(tmp_path / "one.yaml"), storage) == []


# What people see


def run(*arguments: str, storage: Path) -> Any:
    return CliRunner().invoke(app, ["claims", *arguments, "--storage", str(storage)])


def test_own_claims_are_judged_beside_the_papers(tmp_path: Path) -> None:
    build(tmp_path / "s", grid_events(DEMO)).close()
    mine = tmp_path / "mine.yaml"
    mine.write_text(GAIN)
    done = run("--claims", str(mine), "--own", "--json", "pooling-h*", storage=tmp_path / "s")
    rows = {row["claim"]: row for row in json.loads(done.stdout)}
    assert set(rows) >= {"pooling-helps", "pooling-hurts-all-but-tsn"}
    mine_judged = rows["pooling-helps"]
    assert (mine_judged["judged_by"], mine_judged["as_measured"]) == ("intervals", "fails")
    # Of 101 videos nobody can tell.
    assert mine_judged["verdict"] == "cannot be told"
    assert len(rows["pooling-helps"]["cases"]) == 16
    (tmp_path / "s" / "claims.yaml").write_text(GAIN)
    told = run("pooling-helps", "--cases", storage=tmp_path / "s")
    assert told.exit_code == 0 and "CANNOT BE TOLD" in told.output and UNCERTAINTY in told.output
    twice = run("--claims", str(mine), storage=tmp_path / "s")
    assert "'pooling-helps' is taken by another claim" in str(twice.exception)


def test_own_claims_come_first_and_those_without_a_result_are_counted(tmp_path: Path) -> None:
    build(tmp_path / "s", grid_events(DEMO)).close()
    mine = tmp_path / "mine.yaml"
    mine.write_text(GAIN)
    shown = run("--claims", str(mine), storage=tmp_path / "s").output
    heads = [line.split(": ")[0].split()[-1] for line in shown.splitlines() if "yours (" in line]
    assert heads[0] == "pooling-helps" and "pooling-hurts-all-but-tsn" in heads
    assert "resnet50-over-inceptionv1" not in shown
    last = shown.splitlines()[-1]
    assert (
        "claims of the paper are about results that this storage does not have: `actiongrid claims --pub"
        in last
    )
    for options in (("--cases",), ("resnet50-*",), ("--published",)):
        said = run(*options, storage=tmp_path / "s").output
        assert "resnet50-over-inceptionv1" in said and "does not have" not in said
    nothing = tmp_path / "none"
    (nothing / "journal").mkdir(parents=True)
    assert "INTERVALS" not in run(storage=nothing).output.upper().split("CLAIMS OF THE PAPER")[0]


def test_a_check_ends_with_1_where_a_claim_fails(tmp_path: Path) -> None:
    assert run("tsn-pooling-mini-mit", "--published", "--check", storage=tmp_path).exception.exit_code == 1  # type: ignore[union-attr]
    assert run("i3d-on-par", "--published", "--check", storage=tmp_path).exit_code == 0
    assert "no such claim" in str(run("i3d-on-pair", "--published", storage=tmp_path).exception)


def test_a_file_that_cannot_be_used_is_told_on_the_page(tmp_path: Path) -> None:
    def wrong() -> tuple[Claim, ...]:
        return parse_claims(GAIN.replace("above", "over"), "claims.yaml")

    with build(tmp_path, iter(())) as catalog:
        address = Address("findings", choices=(("show", "claims"),))
        _, block = findings.blocks(PageRequest(catalog, address, LIGHT, "storage", wrong))
    assert isinstance(block, Text) and "claims.yaml:6: claims[0].expect.over: unknown field" in str(
        block.content
    )


def test_one_seed_is_said_to_tell_nothing_of_others() -> None:
    asked = claim(compare={"module": ["tam", "i3d"]})
    one = judged(asked, result("tam", [60.0]), result("i3d", [40.0]))
    several = judged(asked, result("tam", [60.0, 61.0]), result("i3d", [40.0, 41.0]))
    assert "With one seed in 1 of 1" in says(one) and "one seed" not in says(several)


def test_the_report_has_the_verdicts(tmp_path: Path) -> None:
    with build(tmp_path, grid_events(DEMO)) as catalog:
        page = Page(report_html(catalog, NOW, [*shipped_claims(), *parse_claims(GAIN, "c.yaml")]))
    rows = {row[-1]: row for row in page.rows if row[0] in ("holds", "fails", "cannot be told")}
    assert "published (Chen et al. 2021)" in rows["tsn-pooling-mini-ssv2"]
    assert rows["pooling-helps"][0] in ("holds", "fails", "cannot be told")
    assert UNCERTAINTY in page.text


def test_the_page_of_the_manual_lists_every_claim_with_its_verdict(tmp_path: Path) -> None:
    rows = json.loads(run("--published", "--json", storage=tmp_path).stdout)
    text = (ROOT / "docs" / "claims.md").read_text()
    for row in rows:
        known = sum(case["value"] is not None for case in row["cases"])
        share = f", {row['met']} of {len(row['cases'])}" if known else ""
        line = f"| `{row['claim']}` | {row['statement']} | {row['source'].replace('Section ', '§')} |"
        assert f"{line} {row['verdict']}{share} |" in text
