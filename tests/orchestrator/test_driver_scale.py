"""What a driver does for every cell must not look at all the others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.catalog import view_texts
from catalog.kept import needed, sources
from orchestrator import known_cells, lease_cells, measured_memory

ROOT = Path(__file__).parents[2]


def test_a_drivers_questions_keep_no_table_of_all_cells_ready() -> None:
    """Else every epoch that anybody journals would have it filled anew, at every look at the journals."""
    known = sources(view_texts())
    assert needed("SELECT count(*) FROM cell_costs", known), "else this test cannot fail"
    asked = (lease_cells._COMMANDS, lease_cells._FAILED, lease_cells._KNOWN, known_cells._EASED)
    assert [needed(sql, known) for sql in (*asked, measured_memory._MEASURED)] == [()] * 5


@pytest.mark.slow
def test_the_benchmark_plays_a_grid_to_its_end() -> None:
    command = [sys.executable, "-m", "benchmarks.driver_scale", "--cells", "40", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert [row["cells"] for row in found["rows"]] == list(range(4, 41, 4))
    assert all(row["cpu_ms_a_cell"] > 0 and row["cpu_ms_a_view"] > 0 for row in found["rows"])
    assert found["peak_memory_mb"] < 1000
