"""What the schedule is promised to reach on the paper's grid, measured by the benchmark itself."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.paths import ROOT


@pytest.fixture(scope="module")
def rows() -> dict[tuple[int, str], dict[str, float]]:
    command = [sys.executable, "-m", "benchmarks.schedule", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {(row["gpus"], row["policy"]): row for row in json.loads(done.stdout)}


@pytest.mark.parametrize("gpus", [1, 2, 4, 8, 16, 18, 32, 64])
def test_longest_chain_first_is_within_a_percent_of_the_bound(
    rows: dict[tuple[int, str], dict[str, float]], gpus: int
) -> None:
    row = rows[gpus, "longest_chain_first"]
    assert 1 - 1e-9 <= row["ratio"] <= 1.01
    assert row["ratio"] == pytest.approx(row["makespan"] / row["lower_bound"])


def test_the_others_are_worse_where_gpus_are_scarce_and_chains_long(
    rows: dict[tuple[int, str], dict[str, float]],
) -> None:
    assert rows[18, "breadth_first"]["ratio"] > 1.2
    assert rows[18, "chain_per_trial"]["ratio"] > 1.2
    assert rows[64, "breadth_first"]["ratio"] == pytest.approx(1.0)
