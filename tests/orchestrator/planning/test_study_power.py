"""What a study as planned can tell apart: from its plan, its datasets and what was measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dashboards.statistics.power import ASSUMED, Design, Variances, detectable, seeds_needed
from orchestrator.cli import app
from orchestrator.planning.study_power import DatasetPower, _variances, power_lines, weakest

KNOWN = Variances(seeds=0.3, disagreement=0.2, within=0.06)


def asked(storage: Path, *options: str) -> dict[str, object]:
    done = CliRunner().invoke(app, ["power", "demo", "--storage", str(storage), "--json", *options])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert {row["dataset"] for row in printed["datasets"]} == {"synthetic-motion", "synthetic-appearance"}
    return dict(printed["datasets"][0])


def test_the_command_says_what_the_demo_can_tell_apart(tmp_path: Path) -> None:
    row = asked(tmp_path, "--detect", "30", "--seed-deviation", "1")
    variances = Variances(**row["variances"])  # type: ignore[arg-type]
    assert variances.seeds == 1 and row["origin"] == "as given" and row["asked"] == 30
    assert row["detectable"] == pytest.approx(detectable(Design(1, 96), variances))
    assert row["seeds_needed"] == seeds_needed(30, 96, variances) and row["unit_hours"] is not None
    more = asked(tmp_path, "--disagreement", "50")
    assert more["detectable"] > row["detectable"]  # type: ignore[operator]


def test_the_plan_says_it_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["plan", "demo", "--storage", str(tmp_path)])
    assert done.exit_code == 0
    assert sum("truly differ by" in line for line in done.stdout.splitlines()) == 1


def test_variances_are_those_of_the_results() -> None:
    """Two models, two seeds; seeds differ on 1 of 4 videos, the models' first ones on 2 of 4."""
    models = [
        {"keys": ["a", "b"], "top1": [75.0, 50.0], "videos": 10_000},
        {"keys": ["c", "d"], "top1": [25.0, 25.0], "videos": 10_000},
    ]
    right = {"a": [1, 1, 1, 0], "b": [1, 1, 0, 0], "c": [1, 0, 0, 0], "d": [1, 0, 0, 0]}
    found, origin = _variances(models, right)  # type: ignore[arg-type]
    assert (found.within, found.disagreement) == (1 / 16, 1 / 2)
    assert found.seeds == pytest.approx((25**2 / 4 - 100**2 / 16 / 10_000) ** 0.5)
    assert origin == "seeds measured, videos measured"
    one, origin = _variances([{"keys": ["a"], "top1": [75.0], "videos": 100}], {})
    assert one.seeds == 0.5 and origin == "seeds assumed, videos assumed"


def test_lines_name_what_is_missing() -> None:
    row = DatasetPower("d", 3, 100, KNOWN, "assumed", 5.0, 1.0, None, 4000)
    assert (
        "no number of seeds up to 64 on these validation videos; 4,000 validation videos with 3 seeds"
        in power_lines([row], "GPU")[1]
    )
    assert power_lines([], "GPU")[0].startswith("no dataset's number") and weakest([]) == []
    other = DatasetPower("e", 3, 50, KNOWN, "assumed", 7.0)
    assert weakest([row, other])[0].startswith("e: with 3 seeds and 50 validation videos two models")


def test_a_difference_beyond_all_accuracies_is_none() -> None:
    row = DatasetPower("d", 2, 31, KNOWN, "assumed", 103.2)
    said = weakest([row])[0]
    assert said.startswith("d: with 2 seeds and 31 validation videos no difference between two models can be")
    assert "103" not in said
    one = DatasetPower("d", 1, 1, KNOWN, "assumed", 99.0)
    assert (
        "with 1 seed and 1 validation video two models that truly differ by 99.0 points" in weakest([one])[0]
    )


@pytest.mark.parametrize(
    ("seeds", "says"), [(1, "one seed: "), (2, "two seeds: their spread"), (3, None), (5, None)]
)
def test_what_few_seeds_cannot_say_is_told(seeds: int, says: str | None) -> None:
    """A second seed makes intervals wider, and a third narrower: that has to be said where it is seen."""
    row = DatasetPower("d", seeds, 100, ASSUMED, "assumed", detectable(Design(seeds, 100), ASSUMED))
    for told in (weakest([row])[1:], power_lines([row], "GPU")[1:]):
        assert [line.startswith(says) for line in told] == ([] if says is None else [True])
