from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from catalog.storage.sizes import bytes_text
from orchestrator.cli import main
from orchestrator.planning.cost import START_UP_SECONDS, Size, checkpoint_bytes
from orchestrator.planning.forecast import Forecast, cell_forecast, make_forecast
from orchestrator.planning.measured import Measured, choose_rates
from orchestrator.planning.plan import make_plan
from orchestrator.planning.plan_model import DoneCell, Plan
from orchestrator.planning.rates import Rates
from orchestrator.study.cells import Cell
from orchestrator.study.datasets import DatasetState
from orchestrator.study.load import load_study, parse_study
from orchestrator.terminal.plan_text import forecast_lines
from orchestrator.terminal.text import time_text
from tests.support.finished_study import build, finish
from trainables.recipe.cell_spec import Recipe
from trainables.recipe.keep import KeepPolicy

STUDY = """\
name: s
axes: {module: [tsn, i3d], backbone: [resnet18], frames: [8, 16], dataset: [toy]}
datasets: {toy: {kind: synthetic-motion}}
recipe: {base: {init: random, epochs: 2, batch_size: 8}}
resources:
  default: {gpus_per_worker: 1}
  overrides: [{where: {frames: 16}, set: {workers: 2}}]
"""
ASSUMED = choose_rates(Measured((), {}), on_gpus=True)


def rates(tflops: float = 1.0, start_up: float = 0.0) -> Rates:
    gpu = replace(ASSUMED.gpu, peak=tflops / 64 * 312)
    return replace(ASSUMED, gpu=gpu, start_up_seconds=start_up)


def model(cell: Cell, num_classes: int, crop: int) -> Size:
    """Work in whole seconds at 1 TFLOP/s: 6 · MACs · 100 videos · 2 epochs, nothing evaluated."""
    return Size(params=1000, macs=10**12 * cell.frames // 8 // 1200 * (3 if cell.module == "i3d" else 1))


def plan(done: tuple[str, ...] = (), text: str = STUDY) -> Plan:
    state = DatasetState("toy", True, "m", "t", "v", 4, 100, 0, True, "built")
    study = parse_study(text, "s.yaml")
    whole = make_plan(study, {"toy": state}, size_of=model)
    keys = {one.key: DoneCell(one.key) for one in whole.cells if one.cell.name in done}
    return make_plan(study, {"toy": state}, keys, size_of=model)


def forecast(price: float | None = None, done: tuple[str, ...] = ()) -> Forecast:
    return make_forecast(plan(done), rates(), price)


def test_hours_count_the_gpus_that_a_cell_holds() -> None:
    cells = forecast().cells
    short, wide = cells["TSN-ResNet18-f8@toy"], cells["TSN-ResNet18-f16@toy"]
    assert short.seconds == pytest.approx(1.0, rel=1e-6)
    assert wide.seconds == pytest.approx(1.0, rel=1e-6)  # twice the work on two GPUs
    assert wide.unit_hours == pytest.approx(2 / 3600, rel=1e-6)


def test_start_up_is_paid_by_every_cell() -> None:
    slow = make_forecast(plan(), rates(start_up=10.0))
    assert slow.whole.unit_hours * 3600 == pytest.approx(12 + 10 * (1 + 2 + 1 + 2), rel=1e-6)


def test_shares_of_each_axis_add_up_to_what_is_left() -> None:
    found = forecast(price=3600.0, done=("TSN-ResNet18-f8@toy",))
    assert found.left.cells == 3
    assert found.left.unit_hours * 3600 == pytest.approx(2 + 3 + 6, rel=1e-6)
    assert found.left.money == pytest.approx(11, rel=1e-6)
    assert found.whole.money == pytest.approx(12, rel=1e-6)
    for axis in ("module", "backbone", "temporal_pooling", "frames", "dataset"):
        own = [share.left for share in found.shares if share.axis == axis]
        for name in ("cells", "macs", "flops", "unit_hours", "money", "checkpoint_bytes"):
            assert sum(getattr(one, name) for one in own) == pytest.approx(getattr(found.left, name)), axis
    hours = {(one.axis, one.value): one.left.unit_hours * 3600 for one in found.shares}
    assert hours["frames", "f16"] == pytest.approx(8, rel=1e-6)
    assert hours["module", "tsn"] == pytest.approx(2, rel=1e-6)


def test_time_on_so_many_gpus() -> None:
    found = forecast()
    assert [(row.count, row.seconds and round(row.seconds, 3)) for row in found.counts] == [
        (1, None),  # two workers do not fit on one GPU
        (2, 7.0),  # 3 s beside 1 s, then one wide cell after the other
        (3, 6.0),
        (4, 6.0),
    ]
    assert found.enough == 3
    assert found.critical is not None
    assert (found.critical.chain, round(found.critical.seconds, 3)) == ("I3D-ResNet18@toy", 6.0)


def test_a_finished_study_costs_nothing_more() -> None:
    found = forecast(1.0, tuple(one.cell.name for one in plan().cells))
    assert (found.left.cells, found.left.unit_hours, found.counts, found.enough) == (0, 0, (), None)
    assert forecast_lines(found) == [
        f"nothing is left to do; checkpoints: {bytes_text(4 * 1000 * 4 * 2 * 2)}"
    ]


def test_the_papers_grid_needs_18_gpus_and_no_more() -> None:
    found = make_forecast(make_plan(load_study("deep-analysis")), ASSUMED, 2.5)
    assert found.enough == 18
    assert found.left.unit_hours == pytest.approx(2648, rel=0.005)
    assert found.left.money == pytest.approx(2.5 * found.left.unit_hours)
    frames = {one.value: one.left for one in found.shares if one.axis == "frames"}
    assert frames["f64"].unit_hours / found.left.unit_hours == pytest.approx(0.49, abs=0.01)
    assert [row.count for row in found.counts] == [1, 2, 4, 8, 16, 18, 32]


def test_more_gpus_help_where_long_clips_are_trained_on_several() -> None:
    study = load_study("deep-analysis")
    text = study.model_copy(
        update={
            "resources": study.resources.model_validate(
                {
                    "default": {"gpus_per_worker": 1},
                    "overrides": [
                        {"where": {"frames": [32, 64]}, "set": {"workers": 4, "gpus_per_worker": 1}}
                    ],
                }
            )
        }
    )
    found = make_forecast(make_plan(text), ASSUMED)
    assert found.enough is not None
    assert found.enough > 18
    assert found.counts[0].seconds is None


def test_text_shows_the_same_figures() -> None:
    text = "\n".join(forecast_lines(forecast(price=3600.0)))
    assert "left to do: 0.0033 GPU-hours, 12.00 at 3600 a GPU-hour" in text
    assert "more than 3 GPUs do not help: the longest chain sets the time" in text
    assert "    1          -  some cell needs more" in text
    assert f"    2        7 s  {'#' * 48}" in text
    assert f"    3        6 s  {'#' * 41}" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "0.5 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (259200, "3.0 d")]
)
def test_times_are_readable(seconds: float, text: str) -> None:
    assert time_text(seconds) == text


def test_checkpoints_are_as_large_as_reckoned(toy_data: Path, tmp_path: Path) -> None:
    """A really trained cell: weights and momentum of the epochs that are kept."""
    from tests.support.toy import toy_spec
    from trainables.training.session import CellSession

    torch.set_num_threads(1)
    spec = toy_spec(toy_data, tmp_path / "run", epochs=4)
    session = CellSession.open(spec, 0, 1, 0)
    for epoch in range(1, 5):
        session.train_epoch(epoch)
    files = list((tmp_path / "run").glob("epoch-*.pt"))
    params = sum(parameter.numel() for parameter in session.model.parameters())
    kept = len(files)
    assert kept in (2, 3)  # the best one can be among the last two
    reckoned = checkpoint_bytes(params, 4, spec.recipe.moments, spec.keep) / 3 * kept
    stored = sum(file.stat().st_size for file in files)
    # A tiny model's names and running statistics weigh more than a real one's.
    assert reckoned <= stored <= 1.15 * reckoned
    assert checkpoint_bytes(10, 1, 1, KeepPolicy()) == 80
    assert checkpoint_bytes(10, 50, 0, KeepPolicy()) == 120
    assert checkpoint_bytes(10, 50, 0, KeepPolicy.parse("last")) == 40
    assert checkpoint_bytes(10, 50, 1, KeepPolicy.parse("last, best, every 10")) == 80 * 6


def test_a_cell_of_unknown_work_has_no_time() -> None:
    one = replace(plan().cells[0], flops=None, params=None)
    cost = cell_forecast(one, rates(), gpus=True)
    assert (cost.seconds, cost.unit_hours, cost.checkpoint_bytes) == (None, None, None)
    assert Recipe().momentum > 0


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["actiongrid", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command_recalibrates_as_cells_finish(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from tests.support.finished_study import STUDY as LENGTHS

    file = tmp_path / "lengths.yaml"
    file.write_text(LENGTHS)
    storage = tmp_path / "storage"

    def planned(*options: str) -> dict[str, Any]:
        assert run(monkeypatch, "plan", file, "--storage", storage, "--json", *options) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    build(storage)
    before = planned()["forecast"]
    assert before["rates"].startswith("assumed")
    assert before["start_up_seconds"] == START_UP_SECONDS
    finish(storage)
    file.write_text(LENGTHS.replace("set: {lr: 0.01}", "set: {lr: 0.02}"))
    after = planned()
    assert after["forecast"]["rates"] == "measured on CPU x86_64: 4 finished cells here"
    again = {one["cell"]: one for one in after["cells"]}["TAM-Tiny-f16@toy"]
    assert again["rate_is_measured"]
    assert again["seconds"] == pytest.approx(30.0)
    assert again["differences"] == [{"field": "recipe.lr", "before": 0.01, "after": 0.02}]
    assert after["forecast"]["left"]["cells"] == 3
    assert run(monkeypatch, "plan", file, "--storage", storage) == 0
    text = capsys.readouterr().out
    assert "3 cells have results under an older key" in text
    assert "recipe changed at stage f16, field recipe.lr (0.01 → 0.02)" in " ".join(text.split())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--price", "cheap"), "price not understood; --price 'cheap'; write 2.5 or 2.5/gpu-hour"),
        (("--gpu", "h1000"), "unknown GPU 'h1000'; did you mean h100?"),
        (("--rates", "/none.json"), "rates cannot be read"),
    ],
)
def test_bad_options_end_with_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    options: tuple[str, str],
    says: str,
) -> None:
    assert run(monkeypatch, "plan", "deep-analysis", "--storage", tmp_path, *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert says in error
    assert len(error.splitlines()) == 1
