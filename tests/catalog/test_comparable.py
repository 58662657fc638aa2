"""When one's own number and a published one are comparable, and what is said where they are not."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from catalog.events import CellPlanned, StudySubmitted
from catalog.queries.accuracies import (
    accuracies_by_frames,
    accuracies_by_macs,
    accuracies_by_seed,
    temporal_pooling_gains,
)
from catalog.queries.filters import ALL, Filters
from catalog.queries.overview import grid_positions
from catalog.queries.published import printed_table
from dashboards.figures.against_published import draw_against_published
from dashboards.figures.against_published import summary as said
from tests.support.grid_events import Grid, grid_events, write_quickly
from tests.support.measured_cells import Cell, as_published, catalog_of
from trainables.recipe.cell_spec import Recipe


def beside(catalog: Catalog) -> list[dict[str, Any]]:
    return catalog.query("FROM against_published ORDER BY cell, variant").to_pylist()


def test_a_grid_trained_as_published_is_comparable_throughout(tmp_path: Path) -> None:
    write_quickly(tmp_path, as_published(grid_events(Grid())))
    rows = beside(Catalog.open(tmp_path))
    assert len(rows) == 288 and all(row["comparable"] and row["differs"] == "" for row in rows)
    assert {row["not_stated"] for row in rows} == {"checkpoint"}
    # Batches are 72 here; the published ones of longer models are 36 to 72, some with SyncBN.
    assert {row["tolerated"] for row in rows if "f8@" in row["cell"]} == {"", "batch 72 for 60"}
    assert any("without SyncBN" in row["tolerated"] for row in rows)


def test_what_stands_beside_a_model_is_published_of_this_very_model(tmp_path: Path) -> None:
    """With and without temporal pooling, of every length: in each table that has published results beside."""
    grid = Grid(modules=("tsn", "tam"), backbones=("resnet50",), datasets=("mini-ssv2",), seeds=(0, 1))
    write_quickly(tmp_path, as_published(grid_events(grid)))
    catalog = Catalog.open(tmp_path)
    axes = ("dataset", "module", "backbone", "temporal_pooling", "frames")

    def place(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[axis] for axis in axes)

    printed = {place(row): row["top1"] for row in catalog.query("FROM published").to_pylist()}
    tables = {
        "results": catalog.query("FROM results"),
        "against published": catalog.query("FROM against_published"),
        "figure 4": accuracies_by_frames(catalog, ALL, "own"),
        "seeds": accuracies_by_seed(catalog),
        "grid": grid_positions(catalog),
    }
    for name, table in tables.items():
        rows = table.to_pylist()
        assert len(rows) == (32 if name == "results" else 16), name
        for row in rows:
            assert row["published_top1"] == printed[place(row)], (name, place(row))
    for row in temporal_pooling_gains(catalog, ALL, "own").to_pylist():
        one = {**row, "temporal_pooling": True}, {**row, "temporal_pooling": False}
        assert row["published_gain"] == pytest.approx(printed[place(one[0])] - printed[place(one[1])])


@pytest.mark.parametrize(
    ("cell", "differs"),
    [
        (Cell(recipe={"init": "random"}), "random weights"),
        (Cell(recipe={"epochs": 1}), "1 epoch"),
        (Cell(recipe={"epochs": 67}), "67 epochs"),
        (Cell(recipe={"epochs": 68}), ""),
        (Cell(recipe={"batch_size": 36}), ""),
        (Cell(recipe={"batch_size": 35}), "batch 35"),
        (Cell(recipe={"batch_size": 145}), "batch 145"),
        (Cell(recipe={"lr": 0.02}), "learning rate 0.02"),
        (Cell(recipe={"schedule": "constant"}), "constant schedule"),
        (
            Cell(recipe={"crop_size": 32}, evaluation={"crop_size": 32, "short_side": 36}),
            "crop 32, shorter side 36",
        ),
        (Cell(recipe={"sampling": "dense"}), "trained with dense sampling"),
        (Cell(evaluation={"sampling": "dense"}), "dense sampling"),
        (Cell(evaluation={"clips": 10, "crops": 3}), "10 clips, 3 crops"),
        (Cell(finished={"eval_videos": 96}), "96 of 11799 videos"),
        (Cell(finished={"eval_videos": 11_300}), ""),
        (Cell(finished={"train_videos": 1000}), "1000 of 81663 training videos"),
        (Cell(frames=16), "no shorter parent"),
    ],
)
def test_what_differs_is_named(tmp_path: Path, cell: Cell, differs: str) -> None:
    (row,) = beside(catalog_of(tmp_path, [cell]))
    assert (row["comparable"], row["differs"].startswith(differs)) == (not differs, True), row["differs"]


def test_results_have_a_difference_only_where_they_are_comparable(tmp_path: Path) -> None:
    cells = [Cell("a", top1=60.0), Cell("b", top1=20.0, recipe={"lr": 0.1})]
    columns = "study, difference, top1 - published_top1 AS apart, differs"
    rows = catalog_of(tmp_path, cells).query(f"SELECT {columns} FROM results ORDER BY study").to_pylist()
    assert [row["difference"] for row in rows] == [pytest.approx(rows[0]["apart"]), None]
    assert [row["differs"] for row in rows] == ["", "learning rate 0.1"]
    assert rows[1]["apart"] is not None


def test_random_weights_small_crops_and_one_epoch_do_not_stand_beside_table_5(tmp_path: Path) -> None:
    cell = Cell(
        backbone="resnet50",
        top1=90.0,
        recipe={"init": "random", "epochs": 1, "crop_size": 32},
        evaluation={"crop_size": 32, "short_side": 32},
    )
    (row,) = printed_table(catalog_of(tmp_path, [cell]), "Table 5", source="own").to_pylist()
    assert (row["own"], row["published"], row["difference"], row["comparable"]) == (90.0, 65.4, None, False)
    assert row["differs"] == "crop 32, shorter side 32, trained on crops of 32, 1 epoch, random weights"


def test_what_is_not_comparable_is_not_drawn(tmp_path: Path) -> None:
    cells = [Cell(module=module, recipe={"epochs": epochs}) for module, epochs in (("tam", 75), ("i3d", 1))]
    table = catalog_of(tmp_path, cells).query("FROM against_published")
    figure = draw_against_published(table)
    drawn = [name for trace in figure.data if trace.customdata is not None for name in trace.customdata]
    assert len(drawn) == 1 and "TAM-ResNet18-f8" in drawn[0]
    assert "1 model is not comparable and not drawn; they differ in: 1 epoch." in said(table)


def test_no_comparable_model_is_an_empty_figure_that_says_why(tmp_path: Path) -> None:
    table = catalog_of(tmp_path, [Cell(recipe={"epochs": 1})]).query("FROM against_published")
    figure = draw_against_published(table)
    assert not figure.data and "not comparable" in figure.layout.annotations[0].text


def named(kind: str, name: str = "", **fields: Any) -> dict[str, Any]:
    return {"datasets": {"mine": {"kind": kind, **({"name": name} if name else {}), **fields}}}


def test_datasets_meet_by_what_they_are(tmp_path: Path) -> None:
    """A study that calls Mini-SSV2 `mine`, in every figure and table that has published results beside."""
    write_quickly(
        tmp_path, as_published(grid_events(Grid(modules=("tsn", "tam"), datasets=("mini-ssv2",))), "mine")
    )

    config = {"name": "deep-analysis", **named("official", "mini-ssv2")}
    write_quickly(
        tmp_path, iter([StudySubmitted("deep-analysis", "s1", 48, "f", config, time=1.8e9)]), "later"
    )
    catalog = Catalog.open(tmp_path)
    rows = beside(catalog)
    assert len(rows) == 48 and {row["dataset"] for row in rows} == {"mine"}
    both = accuracies_by_frames(catalog, ALL, "both").to_pylist()
    assert {(row["source"], row["dataset"]) for row in both} == {("own", "mine"), ("published", "mine")}
    assert all(row["published_top1"] is not None for row in both if row["source"] == "own")
    gains = temporal_pooling_gains(catalog, ALL, "own").to_pylist()
    assert len(gains) == 24 and all(row["published_gain"] is not None for row in gains)
    assert printed_table(catalog, "Table 5", Filters(dataset=("mine",)), "own").num_rows == 8


def test_own_kinetics400_meets_the_published_kinetics(tmp_path: Path) -> None:
    cell = Cell(
        module="i3d", backbone="resnet50", frames=32, dataset="kinetics400", finished={"eval_videos": 19_796}
    )
    wide = {"sampling": "dense", "videos": 19_796}
    catalog = catalog_of(tmp_path, [cell], cell.evaluated(76.0, **wide))
    rows = printed_table(catalog, "Table 2", source="own").to_pylist()
    assert {(row["dataset"], row["own"]) for row in rows} == {("kinetics", 76.0)}
    assert [row["differs"] for row in rows if row["pretrain"] == "ImageNet"] == [
        "trained with uniform sampling, 200 of 240436 training videos"
    ]
    assert ["imagenet weights" in row["differs"] for row in rows if row["pretrain"] == "None"] == [True]
    both = accuracies_by_macs(catalog, ALL, "both").to_pylist()
    assert {row["dataset"] for row in both} == {"kinetics400"} and {row["source"] for row in both} == {
        "own",
        "published",
    }


@pytest.mark.parametrize("kind", ["synthetic-motion", "folder", "csv"])
def test_a_dataset_of_ones_own_is_nobodys_whatever_its_name(tmp_path: Path, kind: str) -> None:
    datasets = {"datasets": {"mini-ssv2": {"kind": kind}}}
    catalog = catalog_of(tmp_path, [Cell()], own=datasets)
    assert beside(catalog) == []
    rows = accuracies_by_frames(catalog, ALL, "both").to_pylist()
    assert [(row["source"], row["published_top1"]) for row in rows] == [("own", None)]
    assert printed_table(catalog, "Table 5", source="own").num_rows == 0


def test_nothing_is_left_beside_a_dataset_that_turns_out_to_be_ones_own(tmp_path: Path) -> None:
    catalog, kept = catalog_of(tmp_path, [Cell()]), "FROM materialised.comparisons"
    assert len(beside(catalog)) == 1 and catalog.query(kept).num_rows == 1
    declared = {"name": "own", "datasets": {"mini-ssv2": {"kind": "folder"}}}
    later = StudySubmitted("own", "s1", 1, "own.yaml", declared, time=1_790_000_001.0)
    write_quickly(tmp_path, iter([later]), "later")
    catalog.refresh()
    assert (beside(catalog), catalog.query(kept).num_rows) == ([], 0)


def test_an_official_split_that_is_not_the_first_is_another_dataset(tmp_path: Path) -> None:
    official = {"kind": "official", "name": "ucf101", "split": 2}
    cell = Cell(module="i3d", backbone="resnet50", frames=32, dataset="ucf101")
    catalog = catalog_of(tmp_path, [cell], own={"datasets": {"ucf101": official}})
    assert catalog.query("SELECT identity FROM own_datasets").column(0).to_pylist() == [None]


@pytest.mark.parametrize(
    ("frames", "differs"), [(8, "random weights, parent f8: 2 epochs"), (16, "2 epochs")]
)
def test_what_a_cell_or_its_parent_was_trained_otherwise_in_is_named(
    tmp_path: Path, frames: int, differs: str
) -> None:
    grid = Grid(
        modules=("tam",), backbones=("resnet18",), poolings=(False,), datasets=("mini-ssv2",), frames=(8, 16)
    )
    events = [
        dataclasses.replace(
            event,
            config={**event.config, "recipe": {**event.config["recipe"], "epochs": 2, "init": "random"}},
        )
        if isinstance(event, CellPlanned) and event.frames == frames
        else event
        for event in as_published(grid_events(grid))
    ]
    write_quickly(tmp_path, iter(events))
    (row,) = [row for row in beside(Catalog.open(tmp_path)) if row["frames"] == 16]
    assert row["differs"] == differs


def test_what_a_recipe_leaves_out_is_what_a_study_has_by_default(tmp_path: Path) -> None:
    (known,) = Catalog.open(tmp_path).query("SELECT recipe_of('{}'::JSON) AS known")["known"].to_pylist()
    fields = {"trained_sampling": "sampling", "trained_crop_size": "crop_size"}
    assert known == {name: getattr(Recipe(), fields.get(name, name)) for name in known}


@pytest.mark.parametrize(
    ("dataset", "differs"), [("kinetics400", ""), ("mini-kinetics", "mini-kinetics weights")]
)
def test_what_another_studys_cell_was_trained_on_is_the_pretraining(
    tmp_path: Path, dataset: str, differs: str
) -> None:
    model: dict[str, Any] = {"module": "i3d", "backbone": "resnet50", "frames": 32}
    recipe = {"epochs": 45, "batch_size": 48, "sync_bn": True, "schedule": "cosine"}
    source = Cell(study="sota", dataset=dataset, **model)
    target = Cell(study="transfer", dataset="mini-ssv2", recipe=recipe, **model)
    events = [
        dataclasses.replace(event, parent_key=source.id)
        if isinstance(event, CellPlanned) and event.study == "transfer"
        else event
        for cell in (source, target)
        for event in cell.events()
    ]
    write_quickly(tmp_path, iter(events))
    rows = Catalog.open(tmp_path).query("FROM published_counterparts WHERE source_table = 'Table 4'")
    (row,) = [row for row in rows.to_pylist() if row["study"] == "transfer"]
    assert (row["differs"], row["comparable"]) == (differs, not differs)


def test_each_tolerance_is_named_with_its_reason(tmp_path: Path) -> None:
    rows = Catalog.open(tmp_path).query("FROM comparison_tolerances ORDER BY field").to_pylist()
    assert {row["field"]: row["tolerance"] for row in rows} == {
        **{"batch_size": 2.0, "dropout": 0.0, "epochs": 0.1, "eval_videos": 0.05, "lr": 0.0},
        **{"momentum": 0.0, "train_videos": 0.05, "weight_decay": 0.0},
    }
    assert all(row["reason"] for row in rows)
