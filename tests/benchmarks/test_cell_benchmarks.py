"""The benchmarks of a whole cell run from end to end without a GPU; their figures are not judged here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import cell, evaluation, packing
from benchmarks.packing import NotMeasuredError, mps_server
from orchestrator.planning.explanation import Position
from orchestrator.planning.measurement_files import MPS_PIPE, read_packing, read_rates

TINY = ("--device", "cpu", "--shape", "tiny", "--crop", "32", "--model", "TSN-Tiny")

pytestmark = pytest.mark.slow


Measure = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def rows_of(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Measure:
    """Run a benchmark's `main` in this process; gives its JSON rows."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def measured(benchmark: ModuleType, *options: str) -> list[dict[str, Any]]:
        monkeypatch.setattr("sys.argv", [benchmark.__name__, *TINY, *options, "--json"])
        capsys.readouterr()
        benchmark.main()
        found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
        return found

    return measured


def test_a_cell_is_measured_against_its_step_alone(rows_of: Measure, tmp_path: Path) -> None:
    rows = rows_of(cell, "--threads", "1", "2", "--batch", "8", "--seconds", "0.5")
    assert [row["threads"] for row in rows] == [1, 2]
    for row in rows:
        assert 0 <= row["idle"] < 1
        assert row["of_step"] == pytest.approx(row["clips_per_s"] / row["step_clips_per_s"], rel=1e-2)
        assert row["loader_clips_per_cpu_s"] > 0
        assert row["cores_needed"] > row["step_clips_per_s"] / row["loader_clips_per_cpu_s"]
    file = tmp_path / "cell.json"
    file.write_text(json.dumps(rows))
    (sample,) = read_rates(file)
    assert sample.flops == max(row["tflops"] for row in rows) * 1e12, "a study can be projected with them"
    required = rows_of(
        cell,
        "--required",
        "100",
        "--frames",
        "8",
        "16",
        "--rates",
        str(file),
        "--batch",
        "8",
        "--seconds",
        "0.3",
    )
    assert [(row["model"], row["frames"]) for row in required] == [
        ("100 clips/s", 8),
        ("100 clips/s", 16),
        ("TSN-Tiny", 8),
    ]
    for row in required:
        cores = row["required_clips_per_s"] / row["loader_clips_per_cpu_s"]
        assert row["loader_cores"] == pytest.approx(cores, abs=0.01)


def test_an_evaluation_is_measured_by_batch_and_gives_the_same(rows_of: Measure) -> None:
    rows = rows_of(evaluation, "--batch", "4", "30", "--videos", "6", "--threads", "1")
    assert [(row["protocol"], row["batch"]) for row in rows] == [
        ("10x3", 4),
        ("10x3", 30),
        ("1x1", 4),
        ("1x1", 30),
    ]
    for row in rows:
        assert row["clips_per_s"] > 0
        assert row["forward_clips_per_s"] > 0
        assert row["same_top1"] == 1.0
        assert row["score_difference"] <= 1e-5


@pytest.mark.long
def test_cells_side_by_side_give_rows_that_the_plan_can_use(rows_of: Measure, tmp_path: Path) -> None:
    rows = rows_of(packing, "--together", "1", "2", "--threads", "1", "--batch", "8", "--seconds", "0.5")
    assert [(row["side_by_side"], row["mps"]) for row in rows] == [(1, False), (2, False)]
    assert rows[0]["gain"] == 1.0
    assert rows[1]["gain"] == pytest.approx(rows[1]["clips_per_s"] / rows[0]["clips_per_s"], rel=1e-2)
    file = tmp_path / "packing.json"
    file.write_text(json.dumps(rows))
    assert read_packing(file, mps=False).limit(Position("tsn", "tiny", False, 8), 4) is not None


def test_cells_that_cannot_run_are_no_rows_but_a_word_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["packing", *TINY, "--together", "1", "--frames", "7", "--json"])
    packing.main()
    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert err.startswith("not measured: TSN-Tiny f7, 1 together: ")
    assert "frames" in err


CONTROL = """#!/bin/sh
echo "$CUDA_MPS_PIPE_DIRECTORY $1 $(cat)" >> {log}
exit {code}
"""


@pytest.mark.parametrize("code", [0, 1])
def test_only_the_mps_server_that_was_started_is_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: int
) -> None:
    """NVIDIA's program is not here: one that writes down what it is told stands for it."""
    log, program = tmp_path / "log", tmp_path / "nvidia-cuda-mps-control"
    program.write_text(CONTROL.format(log=log, code=code))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv(MPS_PIPE, "/run/of/others")
    if code:
        with pytest.raises(NotMeasuredError, match="nvidia-cuda-mps-control -d"), mps_server():
            pass
    else:
        with mps_server() as environment:
            own = environment[MPS_PIPE]
            assert Path(own).is_dir()
        assert not Path(own).exists()
    told = [line.split() for line in log.read_text().splitlines()]
    assert [line[1:] for line in told] == [["-d"], ["quit"]][: 2 - code]
    assert all(line[0] != "/run/of/others" for line in told)


def test_without_mps_there_is_nothing_to_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotMeasuredError, match="no nvidia-cuda-mps-control on the path"), mps_server():
        pass
