"""`make smoke`: every study of the paper at toy size, then every figure and table from its own cells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from catalog import Catalog
from dashboards.figures.figure import Scope
from dashboards.figures.registry import exports, sections
from dashboards.report.paper import paper_figure
from orchestrator.study.load import load_study
from tests.support.study_map import map_rows

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(5400)]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage after a whole run; `ACTIONGRID_SMOKE_STORAGE` names one that stands already."""
    if given := os.environ.get("ACTIONGRID_SMOKE_STORAGE"):
        return Path(given)
    folder = tmp_path_factory.mktemp("smoke")
    where = ("--storage", folder / "storage", "--output", folder / "studies", "--cpus", "2")
    assert actiongrid("smoke", *where).returncode == 0
    return folder / "storage"


def actiongrid(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "orchestrator.cli", *map(str, words)]
    return subprocess.run(command, text=True, check=False, timeout=5000, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("row", [row for row in map_rows() if row.studies], ids=lambda row: row.paper)
def test_a_row_of_the_study_map_is_drawn_from_own_cells(storage: Path, row: object) -> None:
    with Catalog.open(storage) as catalog:
        figure = paper_figure(catalog, row.figure, "own")  # type: ignore[attr-defined]
    assert figure["data"]


def test_the_survey_is_drawn_from_print(storage: Path) -> None:
    with Catalog.open(storage) as catalog:
        assert paper_figure(catalog, "fig2", "published")["data"]


def test_studies_that_train_nothing_trained_nothing(storage: Path) -> None:
    with Catalog.open(storage) as catalog:
        studies = set(catalog.query("SELECT DISTINCT study FROM recorded.cells").column("study").to_pylist())
    assert "smoke-sota" in studies
    assert {f"smoke-{name}" for name in ("clips", "spatial-temporal")} & studies == set()
    assert not load_study("clips").trains


def test_a_second_run_has_nothing_left_to_do(storage: Path) -> None:
    with Catalog.open(storage) as catalog:
        states = catalog.query("SELECT DISTINCT state FROM cells WHERE current").column("state").to_pylist()
    assert states == ["done"]


def test_one_report_shows_them_all(storage: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert actiongrid("report", "--storage", storage, "--output", page).returncode == 0
    text = page.read_text(encoding="utf-8")
    titles = {figure.name: section.title for figure, section in sections()}
    wanted = {figure.name for figure, _ in exports().values() if figure.name in titles}
    with Catalog.open(storage) as catalog:
        filled = {
            figure.name for figure, _ in sections() if figure.data(catalog, Scope(source="own")).num_rows
        }
    named = {exports()[row.figure][0].name for row in map_rows() if row.studies}
    assert named & wanted <= filled
    assert all(f"<h3>{titles[name]}</h3>" in text for name in named)
