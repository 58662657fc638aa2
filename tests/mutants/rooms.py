"""Which code is mutated, and which tests ought to notice.

Golden values are left out on purpose: another processor or version of torch switches them off.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.mutants.faults import Fault, python_faults
from tests.mutants.sql_faults import query_faults, view_faults


@dataclass(frozen=True)
class Room:
    """Modules (globs from the root), the tests that concern them, and the faults that a run takes of it."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    faults: int

    def files(self, root: Path) -> list[Path]:
        """The modules' files, in order."""
        return sorted({path for pattern in self.modules for path in root.glob(pattern)})


ROOMS: dict[str, Room] = {
    "models": Room(
        ("trainables/models/*.py", "trainables/models/*/*.py"),
        (
            "tests/trainables/models",
            "tests/trainables/training/test_recipe_takes_effect.py",
            "tests/trainables/training/execution/test_execution.py",
        ),
        60,
    ),
    "clips": Room(
        (
            "trainables/data/clips/sampling.py",
            "trainables/data/clips/augment.py",
            "trainables/data/clips/loader.py",
        ),
        ("tests/trainables/data/clips", "tests/trainables/recipe/test_plug_ins.py"),
        50,
    ),
    "frames": Room(
        (
            "trainables/data/frames/manifest.py",
            "trainables/data/ingest/plan.py",
            "trainables/data/ingest/decode.py",
        ),
        ("tests/trainables/data/frames", "tests/trainables/data/ingest", "tests/trainables/data/datasets"),
        30,
    ),
    "training": Room(
        ("trainables/training/*.py",),
        (
            "tests/trainables/training/test_*.py",
            "tests/trainables/training/execution/test_execution.py",
            "tests/trainables/recipe/test_plug_ins.py",
        ),
        80,
    ),
    "scheduling": Room(
        ("orchestrator/scheduling/*.py",),
        ("tests/orchestrator/scheduling", "tests/orchestrator/planning/test_forecast.py"),
        50,
    ),
    "statistics": Room(
        ("dashboards/statistics.py", "dashboards/statistics/*.py"),
        (
            "tests/dashboards/test_statistics*.py",
            "tests/dashboards/test_grid_model.py",
            "tests/dashboards/test_power.py",
            "tests/dashboards/test_comparison.py",
        ),
        50,
    ),
    "views": Room(
        ("catalog/views/*.sql",),
        (
            "tests/catalog/test_*.py",
            "tests/dashboards/test_figures_numbers.py",
            "tests/dashboards/test_figures_pages.py",
            "tests/dashboards/test_published_recomputed.py",
        ),
        60,
    ),
    "queries": Room(
        ("catalog/queries/*.py",),
        (
            "tests/catalog/test_*.py",
            "tests/dashboards/test_figures_numbers.py",
            "tests/dashboards/test_figures_filters.py",
            "tests/dashboards/test_published_recomputed.py",
        ),
        40,
    ),
}


def faults_of(path: str, source: bytes) -> list[Fault]:
    """All faults that are known for one file."""
    if path.endswith(".sql"):
        return view_faults(path, source)
    queries = query_faults(path, source) if path.startswith("catalog/") else []
    return [*python_faults(path, source), *queries]
