from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pyarrow as pa
import pytest

from catalog import Catalog
from catalog.queries.accuracies import accuracies_by_frames
from catalog.queries.filters import ALL, Filters, Source
from catalog.queries.overview import cells_with_results
from dashboards.figures.accuracy_by_frames import draw_accuracy_by_frames
from dashboards.figures.contributions import contributions_data, draw_contributions
from dashboards.figures.figure import Scope
from dashboards.figures.temporal_pooling_gain import draw_temporal_pooling_gain, temporal_pooling_gain_data
from dashboards.render.theme import BACKBONE_SYMBOLS, MODULE_COLOURS, PUBLISHED_SYMBOL, module_colour
from tests.support.drawn_lines import drawn_lines, is_bar
from tests.support.grid_events import DEMO, Grid, grid_events, write_quickly


def contributions_of(catalog: Catalog, filters: Filters = ALL, source: Source = "both") -> pa.Table:
    return contributions_data(catalog, Scope(filters, source))


PAIRS: list[tuple[Callable[..., Any], Callable[[Any], go.Figure]]] = [
    (accuracies_by_frames, draw_accuracy_by_frames),
    (temporal_pooling_gain_data, draw_temporal_pooling_gain),
    (contributions_of, draw_contributions),
]
SSV2 = Grid(datasets=("mini-ssv2",))


def catalog_of(storage: Path, *grids: Grid) -> Catalog:
    for number, grid in enumerate(grids):
        write_quickly(storage, grid_events(grid), f"driver-{number}")
    return Catalog.open(storage)


@pytest.mark.parametrize(("data", "draw"), PAIRS)
def test_nothing_yet_is_said_not_drawn(
    tmp_path: Path, data: Callable[..., Any], draw: Callable[[Any], go.Figure]
) -> None:
    table = data(Catalog.open(tmp_path), ALL, "own")
    assert table.num_rows == 0
    figure = draw(table)
    assert not figure.data
    assert re.search(r"yet|both with and without", figure.layout.annotations[0].text)


@pytest.mark.parametrize(("data", "draw"), PAIRS)
def test_drawing_is_pure(tmp_path: Path, data: Callable[..., Any], draw: Callable[[Any], go.Figure]) -> None:
    table = data(catalog_of(tmp_path, DEMO))
    assert draw(table).to_json() == draw(table).to_json()


def test_figure_4_shows_every_finished_cell_under_its_name(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, DEMO)
    figure = draw_accuracy_by_frames(accuracies_by_frames(catalog))
    drawn = {point.name: point.y for line in drawn_lines(figure) for point in line.points}
    rows = catalog.query("SELECT cell, top1 FROM results").to_pylist()
    assert drawn == {row["cell"]: row["top1"] for row in rows} and len(drawn) == 32


def test_figure_4_encodes_module_backbone_and_pooling(tmp_path: Path) -> None:
    figure = draw_accuracy_by_frames(accuracies_by_frames(catalog_of(tmp_path, SSV2), source="own"))
    lines = drawn_lines(figure)
    for line in lines:
        name = line.points[0].name
        assert {point.name.rpartition("-f")[0] for point in line.points} == {name.rpartition("-f")[0]}
        module = name.split("-")[0].lower()
        backbone = {"Ince": "inception_v1", "ResN": name.split("-")[1].lower()}[name.split("-")[1][:4]]
        assert {point.symbol for point in line.points} == {BACKBONE_SYMBOLS[backbone]}
        assert line.trace.line.color == MODULE_COLOURS[module]
        assert line.trace.line.dash == ("dash" if "-tp-" in name else "solid")
        assert bool(line.trace.visible) == ("-tp-" not in name)
    assert len(lines) == 24
    assert figure.layout.xaxis.type == "log" and list(figure.layout.xaxis.tickvals) == [8, 16, 32, 64]


def test_published_results_are_open_stars_with_their_own_values(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, SSV2)
    figure = draw_accuracy_by_frames(accuracies_by_frames(catalog))
    stars = [point for line in drawn_lines(figure, "markers") for point in line.points]
    values = sorted(star.y for star in stars)
    published = catalog.query("SELECT top1 FROM published WHERE dataset = 'mini-ssv2' ORDER BY top1")
    assert values == published.column("top1").to_pylist()
    assert {star.symbol for star in stars} == {PUBLISHED_SYMBOL}
    low, high = (100 * end for end in wilson(0.331384, 11_799))
    said = [star.hover for star in stars if star.y == 33.1384]
    (span,) = re.findall(r"published top-1 33.14 % \(([\d.]+) to ([\d.]+); 11,799 videos\)", " ".join(said))
    assert [float(end) for end in span] == [pytest.approx(end, abs=0.06) for end in (low, high)]


def wilson(share: float, number: int) -> tuple[float, float]:
    """Wilson's interval, another one than the figures', which it equals to a tenth on so many videos."""
    middle, square = share + 1.96**2 / (2 * number), 1.96**2 / number
    half = 1.96 * ((share * (1 - share) + square / 4) / number) ** 0.5
    return (middle - half) / (1 + square), (middle + half) / (1 + square)


def test_a_toy_study_has_no_published_counterpart(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, DEMO)
    assert accuracies_by_frames(catalog).column("published_top1").null_count == 32
    assert set(contributions_data(catalog).column("source").to_pylist()) == {"own"}
    assert contributions_data(catalog, Scope(source="published")).num_rows == 9


def test_the_chance_level_follows_the_number_of_classes(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, DEMO)
    texts = [note.text for note in draw_accuracy_by_frames(accuracies_by_frames(catalog)).layout.annotations]
    assert texts and all("chance 25.0 %" in text for text in texts)
    unknown = catalog_of(tmp_path / "other", dataclasses.replace(DEMO, classes=None))
    texts = [note.text for note in draw_accuracy_by_frames(accuracies_by_frames(unknown)).layout.annotations]
    assert not [text for text in texts if "chance" in text]


def test_seeds_become_a_mean_with_a_spread(tmp_path: Path) -> None:
    grid = dataclasses.replace(
        DEMO, seeds=(0, 1, 2), unfinished=frozenset({"TSN-Tiny-f8@synthetic-motion#2"})
    )
    table = accuracies_by_frames(catalog_of(tmp_path, grid), Filters(study=("demo",)))
    points = [point for line in drawn_lines(draw_accuracy_by_frames(table)) for point in line.points]
    (hover,) = [point.hover for point in points if point.name == "TSN-Tiny-f8@synthetic-motion (2 seeds)"]
    assert "mean of 2 of 3 seeds" in hover and "±" in hover


def test_figure_6_draws_the_gains(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, SSV2)
    table = temporal_pooling_gain_data(catalog)
    figure = draw_temporal_pooling_gain(table)
    bars = {trace.name: list(trace.y) for trace in figure.data if is_bar(trace)}
    assert sum(map(len, bars.values())) == 48 and table.num_rows == 96
    assert min(bars["TSN"]) > 20
    assert sum(bars["I3D"]) < 0
    assert figure.layout.yaxis.zeroline


def test_table_7_stands_beside_the_published_one(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, SSV2)
    table = contributions_data(catalog)
    rows = {(row["module"], row["source"]): row for row in table.to_pylist()}
    assert len(rows) == 6 and round(rows["tam", "published"]["phi"], 2) == 0.52
    figure = draw_contributions(table)
    bars = {trace.name: list(trace.y) for trace in figure.data if is_bar(trace)}
    assert bars["TAM"] == [rows["tam", "own"][name] for name in ("phi", "psi_ta", "psi_ta_tp")]


def test_studies_are_kept_apart(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, DEMO, SSV2)
    demo, deep = Filters(study=("demo",)), Filters(study=("deep-analysis",))
    assert accuracies_by_frames(catalog, demo).num_rows == 32
    assert accuracies_by_frames(catalog, deep, "own").num_rows == 96
    assert cells_with_results(catalog, demo).num_rows == 32
    assert cells_with_results(catalog).num_rows == 128


def test_half_a_grid_with_failures_draws(tmp_path: Path) -> None:
    grid = dataclasses.replace(
        SSV2,
        failing=frozenset({"TSN-ResNet18-f8@mini-ssv2", "TSN-InceptionV1-f8@mini-ssv2"}),
        unfinished=frozenset({"I3D-ResNet50-f8@mini-ssv2"}),
    )
    catalog = catalog_of(tmp_path, grid)
    for data, draw in PAIRS:
        assert draw(data(catalog)).data


def test_unknown_modules_get_a_colour_that_stays() -> None:
    assert module_colour("x3d") == module_colour("x3d") and module_colour("x3d").startswith("#")


def test_data_are_plain_tables(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path, DEMO)
    assert all(isinstance(data(catalog), pa.Table) for data, _ in PAIRS)
