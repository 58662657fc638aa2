from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import main
from orchestrator.planning.forecast import Goal, bases, largest_cells, make_forecast, make_goal
from orchestrator.planning.plan import make_plan
from orchestrator.planning.plan_model import Plan
from orchestrator.planning.rates import ASSUMED, BASES, Rates, Sample
from orchestrator.study.load import load_study
from orchestrator.terminal.plan_text import goal_lines, largest_lines
from tests.orchestrator.planning.test_forecast import plan, rates
from trainables.models.macs import model_cost

H100 = "NVIDIA H100 80GB HBM3"


def sample(module: str, frames: int, tflops: float) -> Sample:
    return Sample(H100, module, "resnet18", False, frames, tflops * 1e12, 1.0)


def test_cells_are_ordered_by_what_they_take() -> None:
    made = plan(done=("TSN-ResNet18-f8@toy",))
    found = largest_cells(made, make_forecast(made, rates()))
    # one second of TSN's f8 is the unit: I3D takes three of it, f16 twice as much on two GPUs
    assert [one.cell for one in found] == [
        "I3D-ResNet18-f16@toy",
        "I3D-ResNet18-f8@toy",
        "TSN-ResNet18-f16@toy",
    ]
    assert [one.unit_hours * 3600 for one in found] == pytest.approx([6, 3, 2], rel=1e-6)
    assert sum(one.share for one in found) == pytest.approx(1.0)


def test_each_rate_says_what_it_was_measured_on() -> None:
    made = plan()
    known: Rates = replace(rates(), samples=(sample("tsn", 8, 2.0), sample("i3d", 8, 4.0)))
    found = {one.cell: one.basis for one in largest_cells(made, make_forecast(made, known))}
    assert found == {
        "TSN-ResNet18-f8@toy": "this cell",
        "TSN-ResNet18-f16@toy": "its model",
        "I3D-ResNet18-f8@toy": "this cell",
        "I3D-ResNet18-f16@toy": "its model",
    }
    assert bases(made, make_forecast(made, known)) == {"this cell": 2, "its model": 2}
    one = replace(known, samples=(sample("tam", 8, 2.0),))
    assert bases(made, make_forecast(made, one)) == {"its backbone": 4}
    assert bases(made, make_forecast(made, rates())) == {ASSUMED: 4}


def goal_of(made: Plan, known: Rates, seconds: float) -> Goal:
    return make_goal(made, make_forecast(made, known), seconds / 3600)


def test_what_stands_in_the_way_is_named_with_the_hours_that_it_loses() -> None:
    made = plan()
    known = replace(rates(), samples=(sample("tsn", 8, 4.0), sample("i3d", 8, 1.0)))
    # TSN: (1 + 2) / 4 s; I3D: (3 + 6) / 1 s; in all 9.75 s for 12 units of work
    found = goal_of(made, known, seconds=6.0)
    assert found.needed_tflops == pytest.approx(2.0, rel=1e-6)
    assert [one.cell for one in found.cells] == ["I3D-ResNet18-f16@toy", "I3D-ResNet18-f8@toy"]
    assert [one.over * 3600 for one in found.cells] == pytest.approx([3.0, 1.5], rel=1e-6)
    text = "\n".join(goal_lines(make_forecast(made, known), found))
    assert "at 2.0 TFLOP/s throughout it would be kept to; 2 cells below that stand in the way" in text
    assert "I3D-ResNet18-f16@toy  its model" in text


def test_overs_and_unders_add_up_to_what_is_missing() -> None:
    made = plan()
    known = replace(
        rates(start_up=0.5), samples=(sample("tsn", 8, 4.0), sample("i3d", 8, 1.0), sample("i3d", 16, 3.0))
    )
    forecast = make_forecast(made, known)
    seconds = 4.0
    found = goal_of(made, known, seconds)
    assert found.needed_tflops is not None
    starts = {one.cell.name: 0.5 * one.cell.resources.gpus for one in made.cells}
    overs = [
        one.unit_hours * 3600 - starts[one.cell] - flops / (found.needed_tflops * 1e12)
        for one in largest_cells(made, forecast)
        for flops in [next(p.flops for p in made.cells if p.cell.name == one.cell) or 0]
    ]
    assert sum(overs) == pytest.approx(forecast.left.unit_hours * 3600 - seconds)
    assert sorted(one for one in overs if one > 0) == pytest.approx(
        sorted(one.over * 3600 for one in found.cells)
    )


def test_a_goal_can_be_kept_or_be_out_of_reach() -> None:
    made = plan()
    easy = goal_of(made, rates(), seconds=13.0)
    assert goal_lines(make_forecast(made, rates()), easy)[0].endswith("kept to, 0.0033 are needed")
    slow = rates(start_up=100.0)
    hopeless = goal_of(made, slow, seconds=60.0)
    assert (hopeless.needed_tflops, hopeless.cells) == (None, ())
    (line,) = goal_lines(make_forecast(made, slow), hopeless)
    assert line.endswith("to start the cells takes as long already")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["actiongrid", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def row(model: str, frames: int, tflops: float, **changes: Any) -> dict[str, Any]:
    made = {
        "gpu": H100,
        "model": model,
        "frames": frames,
        "batch": 72,
        "variant": "default",
        "clips_per_s": 1.0,
        "tflops": tflops,
        "of_peak": 0.1,
        "of_conv_roof": 0.6,
        "peak_gib": 20.0,
    }
    return made | changes


def test_the_papers_grid_is_projected_from_a_file_of_measured_rates(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Hand-made rates, from file to hours by cell; no figure here was measured."""
    file = tmp_path / "h100.json"
    models = ("TSN", "TAM", "S3D", "I3D")
    content = [
        *(row(f"{model}-ResNet50", frames, 200.0 + frames) for model in models for frames in (8, 32)),
        *(row(f"{model}-ResNet18", 8, 100.0) for model in models),
        row("I3D-ResNet50", 8, 900.0, variant="max-autotune"),  # faster, but not what training uses
        row("S3D-InceptionV1", 8, 50.0, of_peak=None, of_conv_roof=None),
    ]
    file.write_text(json.dumps(content))
    options = ("plan", "deep-analysis", "--storage", tmp_path / "storage", "--rates", file)
    assert run(monkeypatch, *options, "--goal", "1000", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    cells = {one["cell"]: one for one in found["cells"]}
    assert len(cells) == 288

    def rate(name: str) -> tuple[float, str]:
        return round(cells[name]["tflops"], 3), cells[name]["rate_basis"]

    assert rate("I3D-ResNet50-f8@mini-ssv2") == (208.0, "this cell")
    assert rate("I3D-ResNet50-tp-f32@mini-ssv2") == (232.0, "its length")
    assert rate("I3D-ResNet50-f64@mini-kinetics") == (220.0, "its model")
    assert rate("TAM-InceptionV1-f16@mini-mit") == (50.0, "its backbone")
    one = cells["I3D-ResNet50-f64@mini-kinetics"]
    cost = model_cost("i3d", "resnet50", False, 64, 200)
    assert one["macs"] == cost.macs
    start_up = found["forecast"]["start_up_seconds"]
    assert one["seconds"] == pytest.approx(start_up + one["flops"] / 220e12)
    whole = sum(one["unit_hours"] for one in found["cells"])
    assert found["forecast"]["left"]["unit_hours"] == pytest.approx(whole)
    goal = found["goal"]
    assert whole > 1000, "these rates are too low on purpose"
    assert {one["basis"] for one in goal["cells"]} <= {*BASES, ASSUMED}
    overs = [one["over"] for one in goal["cells"]]
    assert overs == sorted(overs, reverse=True)
    assert all(cells[one["cell"]]["tflops"] < goal["needed_tflops"] for one in goal["cells"])
    assert sum(overs) >= whole - 1000

    assert run(monkeypatch, *options, "--goal", "1000") == 0
    text = capsys.readouterr().out
    assert "largest cells" in text
    assert "rates of the 288 cells left come from: 39 this cell, 39 its length" in text
    assert f"{len(goal['cells'])} cells below that stand in the way" in text


def test_lines_of_many_cells_end_with_how_many_more() -> None:
    made = make_plan(load_study("deep-analysis"))
    lines = largest_lines(made, make_forecast(made, rates(64.0)))
    assert len(lines) == 1 + 12 + 1 + 1
    assert lines[-2] == "and 276 more; --json has them all"
    assert lines[1].split()[0].startswith("I3D-ResNet50-f64@")
