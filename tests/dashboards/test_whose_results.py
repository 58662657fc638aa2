"""Whose results a figure shows, what it says of those that it leaves out, and words that fit into print."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from catalog.queries.filters import Source
from dashboards.figures.figure import Scope
from dashboards.figures.registry import exports, figures
from dashboards.render.image import panels
from dashboards.report.paper import FigureError, Plain, Width, names_beside, paper_figure, usual_source
from tests.support.grid_events import Grid, grid_events, write_quickly
from tests.support.measured_cells import Cell, as_published, catalog_of

MINE = [Cell(study="mine", dataset="my-videos", module=one, frames=8) for one in ("tsn", "tam")]


@pytest.fixture
def mine(tmp_path: Path) -> Iterator[Catalog]:
    with catalog_of(tmp_path, MINE) as catalog:
        yield catalog


def texts(figure: Plain) -> str:
    return " ".join(note["text"].replace("<br>", " ") for note in figure["layout"]["annotations"])


def test_a_study_without_enough_cells_is_named_beside_the_effects_of_others(mine: Catalog) -> None:
    for width in ("page", "column"):
        figure = paper_figure(mine, "effects", "both", width)
        assert "cells are too few to tell effects from chance: mine." in texts(figure)
        assert "Chen et al. 2021, published" in texts(figure)
    assert "too few" not in texts(paper_figure(mine, "effects", "published"))
    with pytest.raises(FigureError, match="no study has enough cells"):
        paper_figure(mine, "effects", "own")


def test_why_none_of_ones_own_results_is_drawn(tmp_path: Path) -> None:
    # Without pooling alone there is no gain of one's own; the paper has gains of this model.
    with catalog_of(tmp_path, [Cell()]) as catalog:
        said = texts(paper_figure(catalog, "fig6", "both"))
        assert "Of your own results none is drawn: No model has an accuracy both with and without" in said
        assert "your own" not in texts(paper_figure(catalog, "fig4", "both")), "there it is drawn"
        assert "your own" not in texts(paper_figure(catalog, "fig6", "published")), "nobody asked for it"


def test_nothing_is_left_out_where_there_is_nothing(tmp_path: Path) -> None:
    with Catalog.open(tmp_path) as catalog:
        for name, figure in figures().items():
            if figure.finding:
                scope = Scope(source="both")
                assert figure.not_drawn(catalog, scope, figure.data(catalog, scope)) == "", name


@pytest.mark.parametrize(
    ("cells", "name", "source"),
    [
        (MINE, "grid", "own"),
        (MINE, "fig4", "both"),
        ([Cell(dataset="mini-ssv2")], "grid", "both"),
        ([*MINE, Cell(dataset="mini-ssv2")], "grid", "both"),
        ([], "grid", "both"),
    ],
)
def test_a_grid_of_other_datasets_than_the_papers_is_shown_alone(
    tmp_path: Path, cells: list[Cell], name: str, source: Source
) -> None:
    with catalog_of(tmp_path, cells) as catalog:
        assert usual_source(catalog, name) == source


def test_the_grid_of_ones_own_shows_accuracies_once_there_are_some(mine: Catalog, tmp_path: Path) -> None:
    (numbers,) = paper_figure(mine, "grid", "own")["data"]
    assert "50.0" in str(numbers["text"])
    planned = (event for event in grid_events(Grid()) if type(event).__name__ == "CellPlanned")
    write_quickly(tmp_path / "planned", planned)
    with Catalog.open(tmp_path / "planned") as catalog:
        (states,) = paper_figure(catalog, "grid", "own")["data"]
    assert "planned" in str(states["text"])


@pytest.fixture(scope="module")
def grids(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """Two studies of a whole grid each, on three datasets."""
    folder = tmp_path_factory.mktemp("grids")
    datasets = ("mini-ssv2", "mini-kinetics", "mini-mit")
    for study in ("first", "second"):
        write_quickly(folder, as_published(grid_events(Grid(study=study, datasets=datasets))))
    with Catalog.open(folder) as catalog:
        yield catalog


@pytest.mark.parametrize("width", ["column", "page"])
@pytest.mark.parametrize("name", sorted(exports()))
def test_titles_of_axes_do_not_reach_into_the_next_panel(grids: Catalog, name: str, width: Width) -> None:
    for source in ("published", "own", "both"):
        try:
            figure = paper_figure(grids, name, source, width)
        except FigureError:
            continue
        for panel, pixels in _wide(figure):
            title = (figure["layout"][panel.x_axis].get("title") or {}).get("text", "")
            assert 0.52 * 13 * len(title) <= pixels + 20, f"{name}: {title!r} in {pixels:.0f} pixels"


def _wide(figure: Plain) -> Iterator[tuple[Any, float]]:
    """The panels of a figure and their widths in pixels, as far as they are known before it is drawn."""
    layout = figure["layout"]
    left = max(layout["margin"]["l"], names_beside(layout))
    whole = layout["width"] - left - layout["margin"]["r"]
    for panel in panels(layout):
        yield panel, whole * (panel.x[1] - panel.x[0])


def test_panels_below_each_other_have_their_names_each(grids: Catalog) -> None:
    layout = paper_figure(grids, "effects", "published", "column")["layout"]
    names = {tuple(layout[one.y_axis]["ticktext"]) for one in panels(layout)}
    assert len(panels(layout)) == 3 and len(names) == 1 and "TAM − TSN" in names.pop()
    beside = paper_figure(grids, "effects", "published", "page")["layout"]
    assert [any(beside[one.y_axis]["ticktext"]) for one in panels(beside)] == [True, False, False]
