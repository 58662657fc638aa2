"""What the product shows of the published study is what a script makes of the CSV files alone."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from catalog import Catalog
from catalog.claims.load import shipped_claims
from dashboards.figures.figure import Answer, Scope
from dashboards.figures.registry import figures
from dashboards.pages import findings
from dashboards.pages.blocks import Table, Text
from dashboards.pages.request import Address, PageRequest
from dashboards.render.theme import LIGHT
from orchestrator.cli import app
from tests.support import published_by_hand as by_hand

NAMES = {
    "tsn": "TSN", "tam": "TAM", "s3d": "S3D", "i3d": "I3D",
    "inception_v1": "InceptionV1", "resnet18": "ResNet18", "resnet50": "ResNet50",
}  # fmt: skip


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("storage")


@pytest.fixture(scope="module")
def catalog(storage: Path) -> Catalog:
    return Catalog.open(storage)


def shown(catalog: Catalog, name: str) -> dict[str, dict[str, float]]:
    """What a figure draws of the published results: by the bold name of its hover and by x."""
    figure = figures()[name]
    drawn = figure.drawn(Answer(figure.data(catalog, Scope(source="published"))))
    found: dict[str, dict[str, float]] = {}
    for trace in drawn.data:
        if trace.customdata is None:
            continue
        places = [*zip(*trace.x, strict=True)] if isinstance(trace.x[0], (tuple, list)) else trace.x
        for hover, x, y in zip(trace.customdata, places, trace.y, strict=True):
            if hover is not None:
                found.setdefault(hover.split("</b>")[0].removeprefix("<b>"), {})[str(x)] = y
    return found


def cell_name(dataset: str, module: str, backbone: str, pooled: bool, frames: int) -> str:
    tp = "-tp" if pooled else ""
    return f"{NAMES[module]}-{NAMES[backbone]}{tp}-f{frames}@{dataset}"


def test_figure_4_shows_all_288_cells(catalog: Catalog) -> None:
    # Points of one length stand side by side, well within half the way to the next length.
    drawn = {
        (name, 2.0 ** round(math.log2(float(x)))): top1
        for name, one in shown(catalog, "accuracy-by-frames").items()
        for x, top1 in one.items()
    }
    expected = {(cell_name(*model), model[-1]): top1 for model, top1 in by_hand.CELLS.items()}
    assert len(expected) == 288 and drawn == expected


def test_figure_6_shows_every_gain(catalog: Catalog) -> None:
    drawn = {name: next(iter(one.values())) for name, one in shown(catalog, "temporal-pooling-gain").items()}
    expected = {cell_name(d, m, b, False, f): gain for (d, m, b, f), gain in by_hand.gains().items()}
    assert len(expected) == 144 and drawn == pytest.approx(expected, abs=1e-9)


def test_table_7_is_equation_1_over_the_cells(catalog: Catalog) -> None:
    symbols = {"Φ̄": "phi", "Ψ̄ᵗᵃ": "psi_ta", "Ψ̄ᵗᵃ⁺ᵗᵖ": "psi_ta_tp"}
    drawn = {
        (name.split("@")[1], symbols[x], name.split("@")[0].lower()): y
        for name, bars in shown(catalog, "contributions").items()
        for x, y in bars.items()
    }
    assert len(drawn) == 27 and drawn == pytest.approx(by_hand.table_7(), abs=1e-9)


def blocks(catalog: Catalog, **choices: str) -> dict[str, Table]:
    address = Address("findings", choices=tuple(sorted(choices.items())))
    found = findings.blocks(PageRequest(catalog, address, LIGHT, "storage"))
    return {one.name: one for one in found if isinstance(one, Table)}


@pytest.mark.parametrize(("question", "said"), [("pooling", True), ("i3d", True), ("tables", False)])
def test_a_finding_with_intervals_says_what_they_count(catalog: Catalog, question: str, said: bool) -> None:
    address = Address("findings", choices=(("show", question),))
    found = findings.blocks(PageRequest(catalog, address, LIGHT, "storage"))
    texts = [str(one.content) for one in found if isinstance(one, Text)]
    assert any("Of one seed alone the training's own variance is not known" in one for one in texts) is said


def test_the_page_says_how_much_of_table_7_agrees(catalog: Catalog) -> None:
    rows = blocks(catalog, show="tables", table="Table 7")["table-7"].rows.to_pylist()
    assert {(r["dataset"], r["metric"], r["module"]): r["computed"] for r in rows} == pytest.approx(
        by_hand.table_7(), abs=1e-9
    )
    assert {(r["dataset"], r["metric"], r["module"]): r["printed"] for r in rows} == by_hand.PRINTED_TABLE_7
    agreeing = (sum(r["agrees"] for r in rows), sum(r["agrees_exchanged"] for r in rows))
    assert agreeing == by_hand.table_7_agreeing() == (19, 27)


@pytest.fixture(scope="module")
def judged(storage: Path) -> dict[str, dict]:
    done = CliRunner().invoke(app, ["claims", "--published", "--json", "--storage", str(storage)])
    assert done.exit_code == 0, done.output
    return {one["claim"]: one for one in json.loads(done.stdout)}


def test_every_claim_of_the_paper_is_recomputed() -> None:
    assert {one.name for one in shipped_claims()} == set(by_hand.VERDICTS)


@pytest.mark.parametrize("name", by_hand.VERDICTS)
def test_a_claim_has_the_verdict_of_the_csv(judged: dict[str, dict], name: str) -> None:
    one, (verdict, wrong) = judged[name], by_hand.VERDICTS[name]
    values = by_hand.claim_values().get(name, [])
    assert sorted(case["value"] for case in one["cases"] if case["value"] is not None) == pytest.approx(
        sorted(values), abs=1e-9
    )
    assert (one["verdict"], one["as_measured"], one["not_met"]) == (verdict, verdict, wrong)
    assert one["met"] == len(values) - wrong
    assert (verdict == "cannot be told") == bool(one["missing"])


def exceptions(one: dict) -> dict[str, float]:
    return {case["case"]: round(case["value"], 2) for case in one["cases"] if case["as_measured"] == "fails"}


def test_tsn_gains_more_than_20_points_but_for_two_cells(judged: dict[str, dict]) -> None:
    one = judged["tsn-pooling-mini-ssv2"]
    assert exceptions(one) == {"Mini-SSV2 TSN ResNet50 f8": 19.56, "Mini-SSV2 TSN InceptionV1 f16": 19.9}
    assert len(one["cases"]) == 12 and "10 of 12 above 20 points" in one["says"]
    # Both are within the videos' uncertainty: what the truth is cannot be told.
    assert one["beyond_uncertainty"] == "cannot be told" and one["judged_by"] == "numbers as measured"


def test_tsn_gains_0_4_to_3_9_points_on_mini_mit(judged: dict[str, dict]) -> None:
    values = [case["value"] for case in judged["tsn-pooling-mini-mit"]["cases"]]
    assert (round(min(values), 1), round(max(values), 1)) == (0.4, 3.9)
    assert judged["tsn-pooling-mini-mit"]["beyond_uncertainty"] == "fails"


def test_pooling_helps_8_cells_without_tsn(judged: dict[str, dict]) -> None:
    helped = {f"{name}": gain for name, gain in by_hand.gains().items() if name[1] != "tsn" and gain > 0}
    assert len(helped) == len(exceptions(judged["pooling-hurts-all-but-tsn"])) == 8


def test_resnet18_is_at_least_as_good_as_inceptionv1_in_11_cells(judged: dict[str, dict]) -> None:
    assert len(exceptions(judged["inceptionv1-over-resnet18"])) == 11


@pytest.mark.parametrize("claim", ["tsn-pooling-mini-ssv2", "inceptionv1-over-resnet18"])
def test_the_page_shows_the_same_verdicts(catalog: Catalog, judged: dict[str, dict], claim: str) -> None:
    found = blocks(catalog, show="claims", source="published", claim=claim)
    verdicts = {row["claim"]: row["verdict"] for row in found["claims"].rows.to_pylist()}
    assert verdicts == {name: one["verdict"] for name, one in judged.items()}
    cases = {row["case"]: row["value"] for row in found["claim-cases"].rows.to_pylist()}
    assert cases == {case["case"]: case["value"] for case in judged[claim]["cases"]}
