"""The benchmark of intervals' coverage runs, and counts what it says it counts."""

from __future__ import annotations

import sys

import pytest

from benchmarks import interval_coverage


def test_a_line_for_each_kind_of_interval(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["interval_coverage", "--repeats", "1", "--videos", "5"])
    interval_coverage.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip() for line in lines] == [
        "5 videos, with predictions",
        "5 videos, without",
    ]
    assert all("of 81 within 92…98" in line for line in lines)


def test_the_truth_is_that_of_the_simulated_trainings() -> None:
    assert interval_coverage.true_accuracy(0.0, 2.0) == pytest.approx(50)
    assert interval_coverage.true_accuracy(1.0, 0.0) == pytest.approx(73.1059, abs=1e-3)
    both = interval_coverage.coverage(50, 3, 60.0, 0.05, 60)
    assert 85 <= both[0] <= both[1] <= 100
