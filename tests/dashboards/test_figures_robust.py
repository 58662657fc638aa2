"""Every figure on catalogs that have little, or nothing, or nonsense in them."""

from __future__ import annotations

import csv
import io
import json
import re
from functools import cache
from pathlib import Path
from typing import get_args

import plotly.graph_objects as go
import pyarrow as pa
import pytest

from catalog import Catalog
from catalog.export import to_csv
from catalog.queries.accuracies import accuracies_by_frames
from catalog.queries.filters import Filters, Source
from catalog.queries.overview import grid_positions
from catalog.queries.published import printed_table
from catalog.queries.training import failures_by_kind
from dashboards.figures.accuracy_by_frames import draw_accuracy_by_frames
from dashboards.figures.curves import curves_data, draw_curves
from dashboards.figures.figure import Figure, Scope
from dashboards.figures.registry import _by_name, exports, figures, findings, sections
from dashboards.render.theme import DARK, LIGHT, THEMES
from tests.dashboards.test_plain_figure import json_of
from tests.support.figure_list import CATALOGS, FIGURES, Data, build, data_of

# Plans alone are much like nothing, and one cell like half a grid.
MORE = ("planned", "one cell")


@pytest.fixture(
    scope="module",
    params=[pytest.param(one, marks=[pytest.mark.long] if one in MORE else []) for one in CATALOGS],
)
def catalog(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return build(tmp_path_factory.mktemp("storage"), CATALOGS[request.param]())


@cache
def answer(catalog: Catalog, data: Data) -> pa.Table:
    """What a figure is drawn from: asked once, drawn in all its ways."""
    return data(catalog)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_or_says_why_not(catalog: Catalog, name: str) -> None:
    data, draw = FIGURES[name]
    table = answer(catalog, data)
    figure = draw(table)
    assert isinstance(figure, go.Figure)
    shown = any(_has_points(trace) for trace in figure.data)
    words = [note.text for note in figure.layout.annotations]
    assert shown or any(
        re.search(r"\byet\b|so far|no |known|choose|same|not comparable", text, re.I) for text in words
    )
    text = figure.to_json()
    assert "NaN" not in text and "Infinity" not in text
    assert json.loads(text)


@pytest.mark.parametrize("name", FIGURES)
def test_plotly_accepts_every_property_of_every_figure(catalog: Catalog, name: str) -> None:
    """Nobody checks values while figures are drawn, so that it is done here."""
    data, draw = FIGURES[name]
    figure = draw(answer(catalog, data))
    assert json_of(go.Figure(figure.to_plotly_json())) == json_of(figure)


@pytest.mark.parametrize("name", FIGURES)
def test_the_theme_colours_every_figure(catalog: Catalog, name: str) -> None:
    data, draw = FIGURES[name]
    table = answer(catalog, data)
    for theme in (LIGHT, DARK):
        layout = draw(table, theme).layout
        assert layout.font.color == theme.text and layout.paper_bgcolor == theme.paper


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_one_row_and_says_why_there_is_none(catalog: Catalog, name: str) -> None:
    data, draw = FIGURES[name]
    rows = answer(catalog, data)
    for place in {0, rows.num_rows // 2, max(0, rows.num_rows - 1)}:
        assert isinstance(draw(rows.slice(place, 1)), go.Figure)
    nothing = draw(rows.slice(0, 0))
    assert not nothing.data and nothing.layout.annotations[0].text


@pytest.mark.parametrize("figure", figures().values(), ids=figures())
def test_the_table_behind_a_figure_has_its_columns_and_can_be_had_as_csv(
    catalog: Catalog, figure: Figure
) -> None:
    rows = answer(catalog, data_of(figure.name, "both"))
    shown = [part.columns for part in (figure.section, figure.finding) if part is not None]
    assert {column.name for columns in shown for column in columns} <= set(rows.column_names)
    head, *lines = csv.reader(io.StringIO(to_csv(rows).decode()))
    assert head == rows.column_names and len(lines) == rows.num_rows
    if figure.finding and figure.finding.behind:
        behind = figure.finding.behind
        table = behind.data(catalog, Scope())
        assert {column.name for column in behind.columns} <= set(table.column_names)


@pytest.mark.parametrize("figure", figures().values(), ids=figures())
def test_a_figure_says_what_it_shows_wherever_it_stands(figure: Figure) -> None:
    captions = [part.caption for part in (figure.section, figure.finding) if part is not None]
    assert figure.title and all(caption.strip().endswith(".") for caption in captions)
    choice = figure.choice and figure.finding and "{choice}" in figure.finding.caption
    assert bool(choice) == any("{" in caption for caption in captions)


def test_every_place_has_one_order_and_names_are_unique() -> None:
    for places in (findings(), exports(), dict(enumerate(sections()))):
        orders = [place.order for _, place in places.values()]
        assert orders == sorted(set(orders)) and len(orders) > 5
    assert "grid" in exports() and "frames" in findings()


def test_two_figures_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two figures have one name; a; give each its own"):
        _by_name([("a", 1), ("b", 2), ("a", 3)])


def _has_points(trace: object) -> bool:
    for name in ("x", "z", "y"):
        values = getattr(trace, name, None)
        if values is not None and len(values) and values[0] is not None:
            return True
    return getattr(trace, "type", "") == "table"


def test_nothing_at_all_is_said_in_words(tmp_path: Path) -> None:
    catalog = Catalog.open(tmp_path)
    said = {name: draw(data(catalog)) for name, (data, draw) in FIGURES.items()}
    own = {name: figure.layout.annotations[0].text for name, figure in said.items() if not figure.data}
    assert own["grid-drawing own"] == "No cell has been planned yet."
    assert own["curves own"] == "No epoch has finished yet."
    assert own["failures own"] == "Nothing has failed so far."
    assert own["seeds both"] == "No model has been trained with several seeds yet."
    # What the paper printed is there from the start.
    assert {
        "accuracy-by-macs both", "accuracy-by-frames both", "temporal-pooling-gain both", "i3d-steps both",
        "accuracy-by-clips both", "contributions both",
    } <= {name for name, figure in said.items() if figure.data}  # fmt: skip
    assert printed_table(catalog, "Table 2").num_rows > 0


def test_diverged_runs_are_named_and_left_out_of_means(tmp_path: Path) -> None:
    catalog = build(tmp_path, CATALOGS["not a number"]())
    key = catalog.query("SELECT min(key) AS key FROM recorded.cells").column("key")[0].as_py()
    figure = draw_curves(curves_data(catalog, [key]))
    losses = [list(trace.y) for trace in figure.data[:2]]
    assert losses == [[2.0, None, None], [2.2, None, None]]
    titles = [note.text for note in figure.layout.annotations]
    assert titles[0] == (
        "training and validation loss (training loss is not a number from epoch 2, "
        "validation loss is not a number from epoch 2)"
    )
    assert "learning rate" in titles
    table = accuracies_by_frames(catalog)
    assert table.num_rows == 32 and table.column("top1").null_count == 32
    assert "yet" in draw_accuracy_by_frames(table).layout.annotations[0].text


def test_filters_that_let_nothing_through_leave_words(tmp_path: Path) -> None:
    from dashboards.figures import cost_front

    catalog = build(tmp_path, CATALOGS["half a grid"]())
    nothing = Filters(module=("x3d",))
    for source in get_args(Source):
        table = accuracies_by_frames(catalog, nothing, source)
        assert table.num_rows == 0 and not draw_accuracy_by_frames(table).data
    assert grid_positions(catalog, nothing).num_rows == 0
    assert cost_front.cost_front_data(catalog, Scope(nothing)).num_rows == 0
    assert failures_by_kind(catalog, Filters(module=("tsn",))).num_rows == 1


def test_themes_have_readable_text() -> None:
    def light(colour: str) -> float:
        parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for theme in (LIGHT, DARK):
        high, low = sorted((light(theme.text), light(theme.paper)), reverse=True)
        assert (high + 0.05) / (low + 0.05) > 7
    assert set(THEMES) == {"auto", "light", "dark"}
