"""`actiongrid plan` for people: one screen for any study, at 80 columns, with what the disk says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.planning.cost import Size
from orchestrator.planning.forecast import make_forecast
from orchestrator.planning.machine import Machine, MachineTooSmallError, Shortage, require_room, shortages
from orchestrator.planning.plan import make_plan
from orchestrator.planning.plan_model import Plan
from orchestrator.planning.rates import DEFAULT_GPU, Rates
from orchestrator.study.load import load_study, parse_study
from orchestrator.study.model import Resources
from orchestrator.terminal.plan_page import MOST_LINES, PlanPage, page_lines
from tests.orchestrator.commands.test_cli import run

OWN = """
name: kitchen
axes: {module: [tsn, tam], backbone: [tiny], frames: [8, 16], dataset: [mine]}
datasets: {mine: {kind: folder, path: PATH}}
recipe: {base: {init: random, crop_size: 32}}
evaluation: {crop_size: 32, short_side: 36}
"""


def assumed() -> Rates:
    return Rates(DEFAULT_GPU, (), "assumed", 10.0)


def page(plan: Plan, **changes: Any) -> list[str]:
    forecast = make_forecast(plan, assumed(), changes.pop("price", None))
    return page_lines(PlanPage(plan, forecast, **changes), 80)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four classes with 29 files; `plan` opens none."""
    for number in range(29):
        path = tmp_path / "videos" / f"class{number % 4}" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "videos"


def planned(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    text: str,
    *options: str,
    code: int = 0,
) -> str:
    file = tmp_path / "kitchen.yaml"
    file.write_text(text)
    monkeypatch.setenv("COLUMNS", "80")
    assert run(monkeypatch, "plan", file, "--storage", tmp_path / "none", *options) == code
    return capsys.readouterr().out


def test_the_papers_grid_is_one_screen_at_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("orchestrator.planning.machine.gpus_here", lambda: 0)
    assert run(monkeypatch, "plan", "deep-analysis", "--storage", tmp_path / "none") == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert len(lines) < 60
    assert max(map(len, lines)) <= 80
    words = " ".join(text.split())
    assert "288 cells in 72 chains: 0 done, 0 to run, 288 blocked" in words
    assert words.count("publisher (Qualcomm)") == 1, "a dataset that is missing is told of once"
    assert "needs 1 GPU, this machine has none (288 cells)" in words
    assert "resnet50-0676ba61.pth are not here and will be downloaded" in words
    assert "96 cells blocked: dataset mini-kinetics is not built" in words
    assert "longest chain: 6.3 d for I3D-ResNet50@mini-kinetics" in words
    assert "critical path" not in words and "largest cells" not in words
    assert "more than 18 GPUs do not help" in words
    for value in ("tsn", "resnet50", "no tp", "f64", "mini-mit"):
        assert any(value in line.split("  ") or value in line.split() for line in lines), value
    assert "…" not in text and "more needs" not in text


def test_rows_of_cells_are_asked_for_and_cut_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    text = OWN.replace("PATH", str(folder))
    assert "TAM-Tiny-f16@mine" not in planned(monkeypatch, capsys, tmp_path, text)
    lines = planned(monkeypatch, capsys, tmp_path, text, "--cells").splitlines()
    rows = [line for line in lines if line.startswith("TAM-Tiny-f16@mine ")]
    assert len(rows) == 1
    assert rows[0].endswith("new; dataset mine will be built first")


def test_the_plan_looks_into_the_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    right = planned(monkeypatch, capsys, tmp_path, OWN.replace("PATH", str(folder)))
    assert "dataset mine (4 cells): 29 videos, 4 classes, not built yet" in right
    assert "4 cells to run: new; dataset mine will be built first" in right
    found = json.loads(planned(monkeypatch, capsys, tmp_path, OWN.replace("PATH", str(folder)), "--json"))
    assert found["totals"]["missing_datasets"][0]["seen"] == "29 videos, 4 classes, not built yet"
    assert found["totals"]["cells_of_unknown_cost"] == 0
    wrong = planned(monkeypatch, capsys, tmp_path, OWN.replace("PATH", str(folder / "no")), code=2)
    assert "folder not found" in " ".join(wrong.split())
    last = " ".join(wrong.split()).rpartition("4 cells blocked: ")[2]
    assert last.startswith(f"dataset mine is not built: dataset folder not found; {folder / 'no'}")


def test_what_is_not_known_is_a_question_mark() -> None:
    lines = page(make_plan(parse_study(OWN, "kitchen.yaml")))
    text = "\n".join(lines)
    assert "work: ?" in text
    assert "left to do: ? core-hours" in text
    assert "checkpoints: ? when all cells are done" in text
    assert "CPUs: ?" in text
    assert "longest chain" not in text
    row = next(line for line in lines if line.startswith("module"))
    assert row.split()[-3:] == ["?", "?", "?"]


def test_where_some_is_known_the_rest_is_counted() -> None:
    plan = make_plan(load_study("demo"))
    cells = (replace(plan.cells[0], flops=None, params=None), *plan.cells[1:])
    totals = replace(plan.totals, cells_of_unknown_cost=1)
    text = " ".join("\n".join(page(replace(plan, cells=cells, totals=totals))).split())
    assert "core-hours and ? for 1 cell" in text
    assert "without 1 cell of unknown work" in text


def test_any_study_is_one_screen() -> None:
    """Many values of every axis, many datasets, reasons, notes: still under 60 lines of 80 columns."""
    names = [f"a-rather-long-name-of-a-dataset-{number}" for number in range(15)]
    study = parse_study(
        json.dumps(
            {
                "name": "wide",
                "axes": {
                    "module": ["tsn", "tam", "s3d", "i3d"],
                    "backbone": ["tiny"],
                    "temporal_pooling": [False, True],
                    "frames": [8, 16, 24, 32, 40, 48, 56, 64, 72, 80],
                    "dataset": names,
                },
                "datasets": {name: {"kind": "synthetic-motion"} for name in names},
                "recipe": {"base": {"init": "random", "crop_size": 32}},
            }
        ),
        "wide.yaml",
    )
    plan = make_plan(study, size_of=lambda *_: Size(1000, 1000))
    cells = tuple(
        replace(one, reason=f"failed before, attempt {number}: {'very long reason ' * 30}")
        for number, one in enumerate(plan.cells)
    )
    notes = tuple(f"note {number} {'word ' * 40}" for number in range(20))
    short = [Shortage("GPU", number + 1, 0, 3) for number in range(20)]
    lines = page(replace(plan, cells=cells), notes=notes, shortages=tuple(short), price=2.0)
    assert len(lines) <= MOST_LINES
    text = "\n".join(lines)
    assert "more needs" in text and "more notes" in text and "more reasons; --cells" in text
    shown = {word for line in lines for word in line.split() if word.startswith("a-rather-long-name")}
    assert shown and shown <= set(names), "no name is cut"


def test_a_study_of_which_nothing_fits_is_refused_at_once() -> None:
    one_gpu, one_cpu = Resources(gpus_per_worker=1), Resources(cpus_per_worker=1)
    assert str(shortages([one_gpu], Machine(2, 0))[0]) == "needs 1 GPU, this machine has none"
    assert (
        str(shortages([Resources(cpus_per_worker=4)], Machine(2, 1))[0]) == "needs 4 CPUs, this machine has 2"
    )
    with pytest.raises(MachineTooSmallError, match="the study needs 1 GPU, this machine has none"):
        require_room([one_gpu, one_gpu], Machine(2, 0))
    require_room([one_gpu, one_cpu], Machine(2, 0))
    require_room([one_gpu], Machine(2, 1))
    require_room([], Machine(1, 0))


def test_run_says_so_before_a_dataset_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    file = tmp_path / "kitchen.yaml"
    file.write_text(OWN.replace("PATH", str(folder)) + "resources: {default: {gpus_per_worker: 1}}\n")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert run(monkeypatch, "run", file, "--storage", tmp_path / "storage", "--gpus", "0") == 2
    assert "needs 1 GPU, this machine has none" in capsys.readouterr().err
    assert not list((tmp_path / "storage").rglob("manifest*"))
