"""What the packages promise to Python: studies, plans, tables, figures, as commands and pages have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import dashboards
import orchestrator
from catalog import Catalog, QueryError
from catalog.queries.accessors import Accessors
from orchestrator.planning.storage_plan import plan_and_measure
from orchestrator.study.errors import StudyError
from orchestrator.study.load import load_study
from tests.support.finished_study import NAMES, STUDY, build, finish

TABLES = [name for name in vars(Accessors) if not name.startswith("_") and name != "query"]


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("storage")
    build(storage)
    finish(storage)
    return storage


@pytest.fixture(scope="module")
def catalog(storage: Path) -> Iterator[Catalog]:
    with Catalog.open(storage) as catalog:
        yield catalog


def test_a_study_is_the_one_that_commands_read(tmp_path: Path) -> None:
    (tmp_path / "lengths.yaml").write_text(STUDY)
    assert orchestrator.Study.load(tmp_path / "lengths.yaml") == load_study(tmp_path / "lengths.yaml")
    assert orchestrator.Study.load("demo").name == "demo"
    with pytest.raises(StudyError, match="no shipped study of this name"):
        orchestrator.Study.load("dmeo")


def test_a_plan_is_the_commands(storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lengths.yaml").write_text(STUDY)
    wanted = plan_and_measure(load_study(tmp_path / "lengths.yaml"), storage, None).plan
    assert orchestrator.plan(tmp_path / "lengths.yaml", storage) == wanted
    assert {(one.cell.name, str(one.state)) for one in wanted.cells} == {(name, "done") for name in NAMES}
    monkeypatch.setenv("ACTIONGRID_STORAGE", str(tmp_path / "none"))
    anew = orchestrator.plan(orchestrator.Study.load(tmp_path / "lengths.yaml"))
    assert {str(one.state) for one in anew.cells} == {"to run"} and not (tmp_path / "none").exists()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_is_the_whole_view(catalog: Catalog, name: str) -> None:
    found = getattr(catalog, name)()
    assert found.schema == catalog.query(f"FROM {name} LIMIT 0").schema
    assert found.num_rows == catalog.query(f"SELECT count(*) AS n FROM {name}")["n"][0].as_py()


def test_rows_are_chosen_by_values_lists_and_emptiness(catalog: Catalog) -> None:
    def cells(**where: object) -> list[str]:
        return sorted(catalog.results(**where)["cell"].to_pylist())

    assert cells(frames=8) == [NAMES[0]] and cells(frames=(8, 16)) == sorted(NAMES[:2])
    assert cells(parent_key=None) == [NAMES[0]]
    assert cells(module="tam", temporal_pooling=False) == sorted(NAMES) and cells(module="tsn") == []
    assert cells(frames=[]) == []


@pytest.mark.parametrize("column", ["nothing", 'cell" IS NULL OR "cell', "1; DROP TABLE results"])
def test_what_is_no_column_is_refused(catalog: Catalog, column: str) -> None:
    with pytest.raises(QueryError):
        catalog.results(**{column: "x"})


def test_figures_are_those_of_the_report(catalog: Catalog) -> None:
    titles = dashboards.figure_titles()
    assert titles["fig4"] == "accuracy by frames"
    drawn = dashboards.draw_figure(catalog, "fig4", source="own", filters="frames=8,16")
    points = [list(trace.x) for trace in drawn.data if trace.x is not None]
    assert {frames for one in points for frames in one} >= {8, 16}
    assert not {frames for one in points for frames in one} & {32, 64}


@pytest.mark.parametrize("package", [orchestrator, dashboards])
def test_names_that_are_promised_are_there_and_no_others(package: object) -> None:
    assert all(getattr(package, name) for name in package.__all__)  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        package.nothing  # type: ignore[attr-defined]  # noqa: B018
