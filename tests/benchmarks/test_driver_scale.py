"""What a driver does for every cell must not look at all the others."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import astuple
from pathlib import Path

import pytest

from catalog import Catalog
from catalog.queries import drivers, planner
from orchestrator.planning.cost import model_size
from orchestrator.planning.eta import SPREADS
from orchestrator.planning.plan import make_plan
from orchestrator.planning.rates import CPU_CORE, Rates, Sample
from orchestrator.scheduling.schedule import Free
from orchestrator.study.cells import expand
from orchestrator.study.load import parse_study
from orchestrator.terminal.grid_view import GridViewer, Seed
from tests.support.driver_bench import STUDY, Bench
from tests.support.paths import ROOT


def test_a_drivers_questions_keep_no_table_of_all_cells_ready(tmp_path: Path) -> None:
    """Else every epoch that anybody journals would have it filled anew, at every look at the journals."""
    with Catalog(tmp_path) as catalog:
        drivers.study_commands(catalog, "toy")
        drivers.latest_failures(catalog)
        drivers.attempts_of_key(catalog, "k")
        planner.last_reductions(catalog)
        planner.finished_memory(catalog)
        assert catalog._fresh == frozenset()
        catalog.query("SELECT count(*) FROM cell_costs")
        assert catalog._fresh, "else this test cannot fail"


def test_the_time_to_go_of_a_large_grid_is_not_reckoned_for_every_view(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, plan = Bench(tmp_path), make_plan(parse_study(STUDY, "toy.yaml"))
    viewer, reckoned = GridViewer(plan, bench.driver), []

    def slow(*_: object) -> float:
        reckoned.append(time.sleep(0.05))
        return 100.0

    monkeypatch.setattr("orchestrator.terminal.grid_view.eta_seconds", slow)
    seen = [viewer.view().eta_seconds for _ in range(3)]
    assert len(reckoned) == 1
    assert seen[0] == 100.0
    assert 90.0 < (seen[2] or 0.0) < 100.0
    monkeypatch.setattr("orchestrator.terminal.grid_view.eta_seconds", lambda *_: 7.0)
    monkeypatch.setattr(viewer, "_reckon_at", 0.0)
    assert viewer.view().eta_seconds == 7.0, "when it is due it is reckoned anew"


def test_the_first_view_has_a_range_by_the_plans_own_rates(tmp_path: Path) -> None:
    bench, plan = Bench(tmp_path), make_plan(parse_study(STUDY, "toy.yaml"))
    bench.next()
    assumed = Rates(CPU_CORE, (), "assumed", 12.0)
    first = GridViewer(plan, bench.driver, seed=Seed(assumed, Free(cpus=2))).view()
    assert first.spread == SPREADS["assumed"]
    assert first.eta_seconds is not None
    assert 12.0 < first.eta_seconds < 3600.0
    measured = Rates(CPU_CORE, (Sample("here", "tam", "tiny", False, 8, 1e9, 1.0),), "measured", 12.0)
    assert GridViewer(plan, bench.driver, seed=Seed(measured)).view().spread == SPREADS["measured"]
    assert GridViewer(plan, bench.driver).view().eta_seconds is None, "without rates nothing is promised"


APART = """
import json, sys
from dataclasses import astuple
from orchestrator.study.cells import expand
from orchestrator.planning.model_size_worker import counted_apart
from orchestrator.study.load import parse_study
cells = expand(parse_study(sys.stdin.read(), "toy.yaml"))
size_of = counted_apart(cells, [4])
print(json.dumps([astuple(size_of(cell, 4, 32)) for cell in cells]))
assert "torch" not in sys.modules
"""


def test_sizes_that_are_counted_apart_are_those_that_are_counted_here() -> None:
    done = subprocess.run(
        [sys.executable, "-c", APART], input=STUDY, cwd=ROOT, capture_output=True, text=True, check=True
    )
    cells = expand(parse_study(STUDY, "toy.yaml"))
    assert json.loads(done.stdout) == [list(astuple(model_size(cell, 4, 32))) for cell in cells]


@pytest.mark.slow
def test_the_benchmark_plays_a_grid_to_its_end() -> None:
    command = [sys.executable, "-m", "benchmarks.driver_scale", "--cells", "40", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert [row["cells"] for row in found["rows"]] == list(range(4, 41, 4))
    assert all(row["cpu_ms_a_cell"] > 0 and row["cpu_ms_a_view"] > 0 for row in found["rows"])
    assert found["peak_memory_mb"] < 400, "torch is not loaded into it"
