"""Results of studies with other axes: told apart, named, filtered and pivoted by the axes' values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from catalog.names import axes_words, study_with_axes
from catalog.pivot import PivotError, pivot
from catalog.queries.accuracies import accuracies_by_frames, contributions, temporal_pooling_gains
from catalog.queries.filters import ALL, FilterError, Filters, from_query_string, to_query_string
from catalog.queries.overview import (
    cells_with_results,
    filter_values,
    grid_positions,
    pivot_rows,
    wide_results,
)
from catalog.queries.training import costs_by_axis
from dashboards.app.filter_bar import filter_options
from dashboards.figures.accuracy_by_frames import draw_accuracy_by_frames
from dashboards.figures.cost_by_axis import draw_cost_by_axis
from dashboards.figures.figure import Scope
from dashboards.figures.grid import draw_grid, grid_data
from dashboards.figures.grid_effects import grid_effects_data
from dashboards.figures.i3d_steps import i3d_steps_data
from dashboards.figures.registry import figures
from dashboards.pages import compare
from dashboards.pages.blocks import Figure
from dashboards.pages.request import Address, PageRequest
from dashboards.render.theme import LIGHT
from tests.support.measured_cells import Cell, catalog_of

TOP1 = {"0.1": {"tsn": 20.0, "tam": 40.0}, "0.01": {"tsn": 60.0, "tam": 80.0}}


def rates(folder: Path, *more: Cell) -> Catalog:
    """TSN and TAM under two rates and two seeds: 20 and 40 % with the one, 60 and 80 % with the other."""
    cells = [
        Cell(
            study="rates",
            module=module,
            seed=seed,
            top1=top1 + seed,
            recipe={"lr": float(lr), "gamma": 0.2 if module == "tam" else 0.1},
            axes={"recipe.lr": lr, "recipe_name": "fast" if lr == "0.1" else "slow"},
        )
        for lr, by_module in TOP1.items()
        for module, top1 in by_module.items()
        for seed in (0, 1)
    ]
    return catalog_of(folder, [*cells, *more])


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return rates(tmp_path_factory.mktemp("rates"))


def own(table: Any) -> list[dict[str, Any]]:
    return [row for row in table.to_pylist() if row.get("source", "own") == "own"]


def test_seeds_are_averaged_within_one_value_of_every_axis(catalog: Catalog) -> None:
    rows = own(accuracies_by_frames(catalog, ALL, "own"))
    assert sorted((row["module"], row["variant"], row["top1"], row["seeds"]) for row in rows) == [
        ("tam", "lr 0.01, recipe slow", 80.5, 2),
        ("tam", "lr 0.1, recipe fast", 40.5, 2),
        ("tsn", "lr 0.01, recipe slow", 60.5, 2),
        ("tsn", "lr 0.1, recipe fast", 20.5, 2),
    ]
    places = [row for row in own(grid_positions(catalog)) if row["module"] == "tam"]
    assert [(row["other_axes"], row["top1"], row["results"], row["cells"]) for row in places] == [
        ("lr 0.01, recipe slow", 80.5, 2, 2),
        ("lr 0.1, recipe fast", 40.5, 2, 2),
    ]


def test_the_grid_has_a_row_for_each_value_of_other_axes(catalog: Catalog) -> None:
    drawing = draw_grid(grid_data(catalog), value="accuracy").data[0]
    assert [(name.strip(), *words) for name, words in zip(drawing.y, drawing.text, strict=True)] == [
        ("TSN-ResNet18 lr 0.01, recipe slow", "60.5"),
        ("TSN-ResNet18 lr 0.1, recipe fast", "20.5"),
        ("TAM-ResNet18 lr 0.01, recipe slow", "80.5"),
        ("TAM-ResNet18 lr 0.1, recipe fast", "40.5"),
    ]
    linked = {
        key: word
        for keys, (word,) in zip(drawing.customdata, drawing.text, strict=True)
        for _, key, _ in keys
    }
    assert len(linked) == 4, "each field leads to a cell of its own"


def test_an_experiment_is_shown_at_each_position_that_has_its_cells(tmp_path: Path) -> None:
    """One study varies the rate, the other has one of these rates in its recipe: seeds of one experiment."""
    varied = Cell(study="rates", seed=0, top1=40.0, recipe={"lr": 0.1}, axes={"recipe.lr": "0.1"})
    plain = Cell(study="plain", seed=1, top1=42.0, recipe={"lr": 0.1})
    places = own(grid_positions(catalog_of(tmp_path, [varied, plain])))
    found = [(row["other_axes"], row["cells"], row["top1"], row["results"]) for row in places]
    assert found == [("", 1, 41.0, 2), ("lr 0.1", 1, 41.0, 2)]


def test_where_another_study_has_the_place_too_the_rest_is_named(tmp_path: Path) -> None:
    other = Cell(study="plain", module="tam", top1=10.0, recipe={"lr": 0.5})
    rows = own(accuracies_by_frames(rates(tmp_path, other), ALL, "own"))
    words = {row["top1"]: row["variant"] for row in rows if row["module"] == "tam"}
    assert words[80.5] == "lr 0.01, recipe slow"
    assert "lr 0.5" in words[10.0]


def test_a_column_of_sql_filters_and_groups(catalog: Catalog) -> None:
    table = catalog.query(
        "SELECT other_axes['recipe.lr'] AS lr, avg(top1) AS top1 FROM results GROUP BY ALL ORDER BY ALL"
    )
    assert table.to_pylist() == [{"lr": "0.01", "top1": 70.5}, {"lr": "0.1", "top1": 30.5}]
    for view in ("cells", "study_cells", "grid_cells", "cell_accuracies", "accuracies", "results_all"):
        assert len(catalog.query(f"SELECT * FROM {view} WHERE other_axes['recipe_name'] = 'fast'")) in (2, 4)
    (first, *_) = wide_results(catalog, None, 1).to_pylist()
    assert first["other_axes"].startswith("recipe.lr=0.")


@pytest.mark.parametrize(
    ("address", "cells"),
    [
        ("recipe.lr=0.1", 4),
        ("recipe.lr=0.1,0.01&module=tam", 4),
        ("recipe.lr=0.1&recipe_name=slow", 0),
        ("other_axes=recipe_name%3Dslow", 4),
        ("resolution=64", 0),
    ],
)
def test_an_address_filters_by_other_axes(catalog: Catalog, address: str, cells: int) -> None:
    filters = from_query_string(address)
    assert len(cells_with_results(catalog, filters)) == cells
    assert sum(row["cells"] for row in grid_positions(catalog, filters).to_pylist()) == cells
    assert from_query_string(to_query_string(filters)) == filters
    rows = own(accuracies_by_frames(catalog, filters, "own"))
    assert sum(row["seeds"] for row in rows) == cells


def test_what_is_no_value_of_an_axis_is_refused() -> None:
    with pytest.raises(FilterError, match="is no value of an axis"):
        from_query_string("other_axes=lr")


def test_the_filter_bar_has_the_values(catalog: Catalog) -> None:
    (row,) = filter_values(catalog).to_pylist()
    known = {"recipe.lr=0.1", "recipe.lr=0.01", "recipe_name=fast", "recipe_name=slow"}
    assert set(row["other_axes"]) == known


def test_a_pivot_has_other_axes_as_rows_and_columns(catalog: Catalog) -> None:
    rows = pivot_rows(catalog, "top1").to_pylist()
    table = pivot(rows, "recipe.lr×module")
    assert table.row_axes == ("recipe_name", "recipe.lr")
    assert table.rows == (("fast", "0.1"), ("slow", "0.01"))
    assert [[one.mean for one in line if one] for line in table.fields] == [[40.5, 20.5], [80.5, 60.5]]
    # What is not asked for is never averaged.
    unasked = pivot(rows, "module×dataset")
    assert unasked.row_axes == ("recipe.lr", "recipe_name", "module")
    assert [line[0].count for line in unasked.fields if line[0]] == [2, 2, 2, 2]
    with pytest.raises(PivotError, match=r"seed, recipe\.lr, recipe_name"):
        pivot(rows, "recipe.epochs×module")


def test_means_over_models_do_not_run_over_recipes(catalog: Catalog) -> None:
    rows = {row["study"]: row["psi_ta"] for row in own(contributions(catalog, ALL, "own"))}
    assert set(rows) == {"rates (lr 0.1, recipe fast)", "rates (lr 0.01, recipe slow)"}
    assert rows["rates (lr 0.01, recipe slow)"] == pytest.approx(20 / 39.5)
    assert len(catalog.query("FROM contributions WHERE source = 'own'")) == 2
    studies = {
        row["study"] for row in grid_effects_data(catalog, Filters(study=("rates",)), "own").to_pylist()
    }
    assert studies <= set(rows)


def test_costs_are_told_by_other_axes(catalog: Catalog) -> None:
    table = costs_by_axis(catalog)
    assert {(row["axis"], row["value"]) for row in table.to_pylist()} > {
        ("recipe.lr", "0.1"),
        ("recipe_name", "slow"),
    }
    assert "lr" in [one["text"] for one in draw_cost_by_axis(table).to_dict()["layout"]["annotations"]]


@pytest.mark.parametrize(
    ("axis", "text", "words"),
    [
        ("recipe.lr", "0.01", "lr 0.01"),
        ("recipe_name", "slow_one", "recipe slow_one"),
        ("recipe.augmentation", "multi_scale_crop", "augmentation multi_scale_crop"),
        ("recipe.weight_decay", "0.0005", "weight decay 0.0005"),
        ("resolution", "112", "resolution 112"),
    ],
)
def test_values_read_alike_wherever_they_are_written(
    tmp_path: Path, axis: str, text: str, words: str
) -> None:
    first = Cell(study="rates", axes={axis: text}, recipe={"lr": 0.3}, top1=20.0)
    other = Cell(study="rates", axes={axis: "9"}, recipe={"lr": 0.5}, top1=30.0)
    catalog = catalog_of(tmp_path, [first, other])
    assert axes_words([(axis, text)]) == words
    assert words in {row["variant"] for row in own(accuracies_by_frames(catalog, ALL, "own"))}
    assert words in {row["other_axes"] for row in own(grid_positions(catalog))}
    assert study_with_axes("rates", [(axis, text)]) == f"rates ({words})"
    assert f"rates ({words})" in {row["study"] for row in catalog.query("FROM accuracies_apart").to_pylist()}
    bar = {one["label"] for one in filter_options("other_axes", [f"{axis}={text}"])}
    assert bar == {words}


def test_gains_of_pooling_are_of_one_value_of_every_axis(tmp_path: Path) -> None:
    """Each is alone at its position; the one was trained under another rate than the other."""
    cells = [
        Cell(study="rates", temporal_pooling=pooled, recipe={"lr": float(lr)}, axes={"recipe.lr": lr})
        for pooled, lr in ((False, "0.1"), (True, "0.01"))
    ]
    assert own(temporal_pooling_gains(catalog_of(tmp_path / "apart", cells), ALL, "own")) == []
    more = Cell(
        study="rates", temporal_pooling=True, top1=47.0, recipe={"lr": 0.1}, axes={"recipe.lr": "0.1"}
    )
    (row,) = own(temporal_pooling_gains(catalog_of(tmp_path / "more", [*cells, more]), ALL, "own"))
    assert (row["gain"], row["variant"]) == (-3.0, "")


def test_steps_of_i3d_are_of_one_value_of_every_axis(tmp_path: Path) -> None:
    cells = [
        Cell(
            study="rates",
            module="i3d",
            backbone="resnet50",
            frames=32,
            temporal_pooling=pooled,
            recipe={"lr": float(lr)},
            axes={"recipe.lr": lr},
        )
        for pooled, lr in ((True, "0.1"), (False, "0.01"))
    ]
    rows = own(i3d_steps_data(catalog_of(tmp_path, cells), source="own"))
    assert [(row["line"], row["change"]) for row in rows] == [("lr 0.01", None), ("lr 0.1", None)]


def drawn(figure: Any, kind: str) -> list[dict[str, Any]]:
    return [one for one in figure.to_dict()["data"] if one["type"] == kind]


def test_lines_join_lengths_of_one_value_and_say_which(tmp_path: Path) -> None:
    cells = [
        Cell(
            study="rates", frames=frames, recipe={"lr": float(lr)}, axes={"recipe.lr": lr}, top1=50.0 + frames
        )
        for frames, lr in ((8, "0.1"), (16, "0.1"), (16, "0.01"), (32, "0.01"))
    ]
    catalog = catalog_of(tmp_path, cells)
    table = accuracies_by_frames(catalog, ALL, "own")
    (trace, leaders, words, *_) = drawn(draw_accuracy_by_frames(table), "scatter")
    lines = " ".join("|" if text is None else named(text) for text in trace["customdata"])
    # What stands at a length alone has no variant: it is joined with nothing of another value.
    assert sorted(lines.split(" | ")) == ["f16 lr 0.01", "f16 lr 0.1", "f32", "f8"]
    assert [x is None for x in trace["x"]] == [text is None for text in trace["customdata"]]
    assert words["text"] == ["lr 0.01", "lr 0.1"]
    led = {(x, y) for x, y in zip(leaders["x"], leaders["y"], strict=True) if x is not None}
    assert led > {*zip(words["x"], words["y"], strict=True)}, "the words stand beyond the last length, 32"
    assert {y for x, y in led if x < 20} == {66.0} and min(words["x"]) > 32, "the lines end at 16"
    alone = accuracies_by_frames(catalog_of(tmp_path / "alone", cells[:2]), ALL, "own")
    assert all("text" not in one for one in drawn(draw_accuracy_by_frames(alone), "scatter"))


def named(hover: str) -> str:
    """The length and what a hover's bold name tells apart from others of that length."""
    name = hover.split("</b>", maxsplit=1)[0]
    length, variant = re.search(r"-(f\d+)@.*?(?:\((.*)\))?$", name).groups("")  # type: ignore[union-attr]
    return f"{length} {variant}".strip()


@pytest.mark.parametrize("name", ["temporal-pooling-gain", "contributions", "i3d-steps"])
def test_bars_of_several_values_stand_side_by_side_with_a_key(tmp_path: Path, name: str) -> None:
    cells = [
        Cell(
            study="rates",
            module=module,
            backbone="resnet50",
            frames=32,
            temporal_pooling=pooled,
            recipe={"lr": float(lr)},
            axes={"recipe.lr": lr},
            top1=30.0 + 20 * (module == "i3d") - 5 * pooled + 10 * (lr == "0.1"),
        )
        for module in ("tsn", "i3d")
        for pooled in (False, True)
        for lr in ("0.1", "0.01")
    ]
    figure = figures()[name]
    rows = figure.data(catalog_of(tmp_path, cells), Scope(source="own"))
    bars = [one for one in drawn(figure.draw(rows), "bar") if one.get("hoverinfo") != "skip"]
    keys = [one for one in bars if one["x"] == [None]]
    places = [
        (str(x), one["offsetgroup"])
        for one in bars
        if one not in keys
        for x in (zip(*one["x"], strict=True) if isinstance(one["x"][0], list) else one["x"])
    ]
    assert len(places) == len(set(places)) > 2, "bars at one place hide each other"
    words = ["rates (lr 0.01)", "rates (lr 0.1)"] if name == "contributions" else ["lr 0.01", "lr 0.1"]
    assert [one["name"] for one in keys] == words
    fillings = {one["name"]: one["marker"]["pattern"]["shape"] for one in keys}
    assert len({*fillings.values()}) == 2
    for one in bars:
        if one not in keys:
            (mine,) = [word for word in words if one["offsetgroup"].endswith(word)]
            assert one["marker"]["pattern"]["shape"] == fillings[mine]


def test_cells_beside_each_other_bring_the_seeds_of_their_own_experiments(catalog: Catalog) -> None:
    found = catalog.query("SELECT key FROM results WHERE other_axes['recipe.lr'] = '0.1' AND module = 'tam'")
    address = Address("compare", choices=(("cells", ",".join(found.column("key").to_pylist())),))
    blocks = {one.name: one for one in compare.blocks(PageRequest(catalog, address, LIGHT, "storage"))}
    seeds = blocks["seeds"]
    assert isinstance(seeds, Figure)
    (row,) = seeds.rows.to_pylist()
    assert row["variant"] == "lr 0.1, recipe fast"
