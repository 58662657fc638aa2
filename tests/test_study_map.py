"""docs/study-map.md: every figure and table of the paper; its studies, commands and figures are there."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from typer.main import get_command

from dashboards.app.live import PAGES
from dashboards.figures.registry import exports, findings
from orchestrator.cli import app
from orchestrator.study.load import load_study, shipped_studies
from tests.support.study_map import MapRow, map_rows

ROWS = map_rows()
WITHOUT_NUMBERS = {"Figure 3", "Table 1"}


def test_each_figure_and_table_of_the_paper_is_on_the_map_once() -> None:
    paper = [row.paper for row in ROWS if row.paper != "further"]
    assert paper == [*(f"Figure {n}" for n in range(1, 9)), *(f"Table {n}" for n in range(1, 8))]
    assert {row.paper for row in ROWS if not row.figure} == WITHOUT_NUMBERS


def test_every_study_of_the_paper_is_on_the_map() -> None:
    named = {name for row in ROWS for name in row.studies}
    assert {name for name in shipped_studies() if not name.startswith("demo")} - named <= AS_PUBLISHED
    assert all(load_study(name).name == name for name in named)


AS_PUBLISHED = {"deep-analysis-as-published"}
"""The same cells as another study's, with the published batches."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.paper)
def test_commands_parse_and_run_the_studies_of_the_row(row: MapRow) -> None:
    for program, verb, *arguments in row.commands:
        assert program == "actiongrid"
        command = get_command(app).commands[verb]  # type: ignore[attr-defined]
        given = command.make_context(verb, list(arguments)).params
        if verb == "run":
            assert given["study"] in row.studies
    run = {arguments[2] for arguments in row.commands if arguments[1] == "run"}
    assert run == set(row.studies)


@pytest.mark.parametrize("row", [row for row in ROWS if row.figure], ids=lambda row: row.paper)
def test_figures_and_pages_are_there(row: MapRow) -> None:
    figure, _ = exports()[row.figure]
    address = urlsplit(row.page)
    assert address.path.strip("/") in PAGES
    (question,) = parse_qs(address.query)["show"]
    assert findings()[question][0] is figure, "the page shows the figure that the row names"
