"""What is averaged: seeds of one experiment alone. What stands side by side: numbers of one checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from catalog.events import CellPlanned
from catalog.pivot import pivot
from catalog.queries.accuracies import (
    accuracies_by_clips,
    accuracies_by_frames,
    accuracies_by_macs,
    accuracies_by_sampling,
    accuracies_by_seed,
    i3d_accuracies,
    temporal_pooling_gains,
    trainings_behind,
)
from catalog.queries.claims import claimed_grid
from catalog.queries.filters import ALL, Filters
from catalog.queries.overview import grid_positions, pivot_rows
from catalog.queries.planner import done_cells
from catalog.queries.published import printed_table
from catalog.queries.training import accuracies_by_hours
from dashboards.figures.grid import draw_grid, grid_data
from tests.support.measured_cells import Cell, catalog_of

DENSE = {"sampling": "dense"}


def points(catalog: Catalog) -> list[dict[str, Any]]:
    return accuracies_by_macs(catalog, ALL, "own").to_pylist()


def test_seeds_of_one_experiment_are_averaged(tmp_path: Path) -> None:
    cells = [Cell(seed=seed, top1=top1) for seed, top1 in enumerate((40.0, 44.0, 48.0))]
    (row,) = catalog_of(tmp_path, cells).query("FROM accuracies WHERE source = 'own'").to_pylist()
    assert (row["top1"], row["top1_std"], row["seeds"], row["planned_seeds"]) == (44.0, 4.0, 3, 3)
    assert (row["variant"], row["alone"], row["checkpoint"]) == ("", True, "last")


def test_of_seeds_the_fewest_videos_count(tmp_path: Path) -> None:
    """The list's hash is equal, so that it is one experiment; some could not be read for one of its seeds."""
    cells = [
        Cell(seed=seed, finished={"videos_hash": "v", "eval_videos": videos})
        for seed, videos in enumerate((100, 96, 99))
    ]
    catalog = catalog_of(tmp_path, cells)
    asked = (accuracies_by_frames, accuracies_by_macs)
    tables = [*(ask(catalog, ALL, "own") for ask in asked), accuracies_by_seed(catalog)]
    tables += [trainings_behind(catalog), claimed_grid(catalog, Filters(study=("own",)))]
    for table in tables:
        (row,) = [one for one in table.to_pylist() if one.get("source", "own") == "own"]
        assert row.get("eval_videos", row.get("videos")) == 96


def test_studies_with_other_recipes_are_no_seeds_of_each_other(tmp_path: Path) -> None:
    cells = [Cell("a", top1=60.0), Cell("b", top1=20.0, recipe={"lr": 0.1})]
    catalog = catalog_of(tmp_path, cells)
    rows = accuracies_by_frames(catalog, ALL, "own").to_pylist()
    assert [(row["study"], row["top1"], row["variant"]) for row in rows] == [
        ("a", 60.0, "lr 0.01"),
        ("b", 20.0, "lr 0.1"),
    ]
    table = printed_table(catalog, "Table 6", source="own")
    assert table.num_rows == 0, "the paper does not say of how many frames Table 6 is"


def test_beside_table_5_experiments_stand_apart(tmp_path: Path) -> None:
    about = {"backbone": "resnet50"}
    cells = [
        Cell("a", top1=60.0, **about),  # type: ignore[arg-type]
        Cell("a", top1=62.0, seed=1, **about),  # type: ignore[arg-type]
        Cell("b", top1=20.0, recipe={"lr": 0.1}, **about),  # type: ignore[arg-type]
    ]
    rows = printed_table(catalog_of(tmp_path, cells), "Table 5", source="own").to_pylist()
    assert [(row["own"], row["seeds"], row["variant"]) for row in rows] == [
        (61.0, 2, "lr 0.01"),
        (20.0, 1, "lr 0.1"),
    ]
    assert [row["differs"] for row in rows] == ["", "learning rate 0.1"]
    assert [row["difference"] for row in rows] == [pytest.approx(61.0 - 65.4), None]


def test_a_recipe_of_one_seed_alone_is_another_experiment(tmp_path: Path) -> None:
    cells = [Cell(top1=60.0), Cell(top1=20.0, seed=1, recipe={"epochs": 3})]
    rows = catalog_of(tmp_path, cells).query("FROM accuracies WHERE source = 'own' ORDER BY top1").to_pylist()
    assert [(row["top1"], row["seeds"], row["variant"]) for row in rows] == [
        (20.0, 1, "epochs 3"),
        (60.0, 1, "epochs 75"),
    ]
    assert not rows[0]["alone"]


def test_what_a_parent_was_trained_with_tells_experiments_apart(tmp_path: Path) -> None:
    def chain(study: str, lr: float, top1: float) -> list[Any]:
        parent = Cell(study, recipe={"lr": lr}, seed=3 if study == "a" else 4)
        child = Cell(study, frames=16, top1=top1, key=f"child-{study}", seed=parent.seed)
        import dataclasses

        from catalog.events import CellPlanned

        return [
            *parent.events(),
            *(
                dataclasses.replace(event, parent_key=parent.id) if isinstance(event, CellPlanned) else event
                for event in child.events()
            ),
        ]

    from tests.support.grid_events import write_quickly

    write_quickly(tmp_path, iter([*chain("a", 0.01, 60.0), *chain("b", 0.1, 20.0)]))
    rows = accuracies_by_frames(Catalog.open(tmp_path), Filters(frames=(16,)), "own").to_pylist()
    assert [(row["top1"], row["variant"]) for row in rows] == [
        (60.0, "parent's lr 0.01"),
        (20.0, "parent's lr 0.1"),
    ]


def test_one_key_in_two_studies_is_one_experiment(tmp_path: Path) -> None:
    cells = [Cell("a", top1=60.0, backbone="resnet50"), Cell("b", top1=60.0, backbone="resnet50")]
    catalog = catalog_of(tmp_path, cells)
    rows = catalog.query("FROM accuracies WHERE source = 'own'").to_pylist()
    assert len({row["experiment"] for row in rows}) == 1 and {row["variant"] for row in rows} == {""}
    (beside,) = printed_table(catalog, "Table 5", source="own").to_pylist()
    assert (beside["own"], beside["seeds"]) == (60.0, 1)


def test_seeds_of_one_experiment_in_two_studies_come_together_beside_table_5(tmp_path: Path) -> None:
    cells = [Cell("b", top1=60.0, backbone="resnet50"), Cell("a", top1=64.0, seed=1, backbone="resnet50")]
    (row,) = printed_table(catalog_of(tmp_path, cells), "Table 5", source="own").to_pylist()
    assert (row["own"], row["seeds"], row["comparable"]) == (62.0, 2, True)


@pytest.mark.parametrize(
    "other",
    [
        {"crop_size": 224},
        {"short_side": 320},
        {"average": "softmax"},
        {"videos_hash": "w"},
        {"clips": 5},
        {"crops": 1},
        {"sampling": "dense"},
    ],
)
def test_evaluations_that_differ_in_anything_are_not_averaged(tmp_path: Path, other: dict[str, Any]) -> None:
    cells = [Cell(seed=seed) for seed in (0, 1)]
    known = {"finished": {"videos_hash": "v"}}
    cells = [Cell(seed=seed, **known) for seed in (0, 1)]  # type: ignore[arg-type]
    more = [cells[0].evaluated(60.0), cells[1].evaluated(20.0, **other)]
    rows = [row for row in points(catalog_of(tmp_path, cells, *more)) if row["measured_by"] != "training"]
    assert sorted((row["top1"], row["seeds"]) for row in rows) == [(20.0, 1), (60.0, 1)]


def test_sampling_rates_tell_dense_evaluations_apart_and_uniform_ones_not(tmp_path: Path) -> None:
    cells = [Cell(seed=seed) for seed in (0, 1)]
    rates = {"dense": (2, 4), "uniform": (2, 4)}
    more = [
        cell.evaluated(50.0 + cell.seed, sampling=sampling, sampling_rate=rates[sampling][cell.seed])
        for cell in cells
        for sampling in rates
    ]
    rows = [row for row in points(catalog_of(tmp_path, cells, *more)) if row["measured_by"] != "training"]
    assert sorted((row["sampling"], row["sampling_rate"], row["seeds"]) for row in rows) == [
        ("dense", 2, 1),
        ("dense", 4, 1),
        ("uniform", None, 2),
    ]


def test_evaluations_on_training_videos_are_no_accuracy(tmp_path: Path) -> None:
    cell = Cell(top1=40.0)
    catalog = catalog_of(tmp_path, [cell], cell.evaluated(99.0, split="train"))
    assert [row["top1"] for row in points(catalog)] == [40.0]
    rows = catalog.query("FROM measured_accuracies WHERE source = 'own'").to_pylist()
    assert [row["top1"] for row in rows] == [40.0]
    assert accuracies_by_clips(catalog, ALL, "own").num_rows == 0


BEST = Cell("x", top1=40.0, best_top1=45.0)


def both_checkpoints(folder: Path, report: str, cell: Cell = BEST) -> Catalog:
    """A cell whose best epoch is not the last, and 3 × 5 and 3 × 10 views of both checkpoints."""
    evaluations = [
        cell.evaluated(
            {"last": 50.0, "best": 60.0}[which] + clips, checkpoint=which, clips=clips, crop_size=224
        )
        for which in ("last", "best")
        for clips in (5, 10)
    ]
    return catalog_of(folder, [cell], *evaluations, x={"report": report})


@pytest.mark.parametrize(("report", "expected"), [("last", 40.0), ("best", 45.0)])
def test_figures_show_the_checkpoint_that_a_study_reports(
    tmp_path: Path, report: str, expected: float
) -> None:
    catalog = both_checkpoints(tmp_path, report)
    base = {"last": 50.0, "best": 60.0}[report]
    (frames,) = accuracies_by_frames(catalog, ALL, "own").to_pylist()
    assert (frames["top1"], frames["checkpoint"]) == (expected, report)
    assert [row["top1"] for row in points(catalog)] == [expected, base + 5, base + 10]
    by_clips = [row["top1"] for row in accuracies_by_clips(catalog, ALL, "own").to_pylist()]
    assert by_clips == [expected, base + 5, base + 10]
    (sampling,) = accuracies_by_sampling(catalog, ALL, "own").to_pylist()
    found = (sampling["clip_top1"], sampling["video_top1"], sampling["checkpoint"])
    assert found == (expected, base + 10, report)
    rows = catalog.query("FROM measured_accuracies WHERE source = 'own'").to_pylist()
    assert {row["checkpoint"] for row in rows if row["reported"]} == {report}
    assert {row["checkpoint"] for row in rows if not row["reported"]} == {"last", "best"} - {report}


def test_the_best_epoch_is_the_last_one_where_no_other_was_better(tmp_path: Path) -> None:
    """What `evaluate` measured of the best checkpoint counts where the weights are the same."""
    cell = Cell(top1=40.0)
    more = [cell.evaluated(50.0 + clips, checkpoint="best", clips=clips, epoch=3) for clips in (2, 10)]
    rows = accuracies_by_clips(catalog_of(tmp_path, [cell], *more), ALL, "own").to_pylist()
    assert [(row["clips"], row["top1"], row["checkpoint"]) for row in rows] == [
        (2, 52.0, "last"),
        (10, 60.0, "last"),
    ]


def test_one_checkpoint_measured_twice_counts_once(tmp_path: Path) -> None:
    cell = Cell(top1=40.0)
    more = [cell.evaluated(50.0, checkpoint="best", epoch=3), cell.evaluated(50.0)]
    rows = [row for row in points(catalog_of(tmp_path, [cell], *more)) if row["clips"] == 10]
    assert [(row["top1"], row["seeds"]) for row in rows] == [(50.0, 1)]


def test_an_old_training_measured_again_alike_counts_once(tmp_path: Path) -> None:
    """It tells only how many videos it was measured on; as many in an evaluation are taken for the same."""
    protocol = {"clips": 1, "crops": 1, "crop_size": 224, "short_side": 256}
    cell = Cell(top1=40.0)
    again, others = cell.evaluated(40.5, **protocol), cell.evaluated(41.0, **protocol, videos=50)
    assert [row["top1"] for row in points(catalog_of(tmp_path / "a", [cell], again))] == [40.0]
    rows = points(catalog_of(tmp_path / "b", [cell], others))
    assert sorted(row["top1"] for row in rows) == [40.0, 41.0]


def test_a_seed_without_a_result_is_to_be_measured_as_the_others_were(tmp_path: Path) -> None:
    """On the list of videos with the highest name, where the others' are two, so that it counts once."""
    cells = [Cell(seed=seed, finished={"videos_hash": name}) for seed, name in enumerate(("v", "w"))]
    missing = [event for event in Cell(seed=2).events() if isinstance(event, CellPlanned)]
    rows = catalog_of(tmp_path, cells, *missing).query("FROM accuracies WHERE source = 'own'").to_pylist()
    counted = {row["video_set"]: (row["seeds"], row["planned_seeds"]) for row in rows}
    assert counted == {"v": (1, 1), "w": (1, 2)}


def test_a_training_counts_with_the_protocol_that_it_was_measured_with(tmp_path: Path) -> None:
    """The study's own: 5 × 3 views of 256²; in the second study a later edit asks for another one."""
    own = {"clips": 5, "crops": 3, "crop_size": 256, "short_side": 256}
    measured = {"protocol": own | {"sampling": "uniform", "sampling_rate": 2, "batch_size": 8}}
    cells = [
        Cell("a", top1=40.0, evaluation=own),
        Cell("b", top1=44.0, module="tsn", evaluation={"clips": 1}, finished=measured),
    ]
    more = [cell.evaluated(50.0, clips=10) for cell in cells]
    catalog = catalog_of(tmp_path, cells, *more)
    found = {(row["module"], row["top1"]): row for row in points(catalog)}
    for key in (("tam", 40.0), ("tsn", 44.0)):
        row = found[key]
        assert (row["views"], row["crop_size"], row["measured_by"]) == (15, 256, "training")
        assert row["total_macs"] == 15 * row["macs"]
    sql = "SELECT DISTINCT clips, crops, crop_size FROM evaluations WHERE measured_by = 'training'"
    assert catalog.query(sql).to_pylist() == [{name: own[name] for name in ("clips", "crops", "crop_size")}]
    by_clips = accuracies_by_clips(catalog, ALL, "own").to_pylist()
    assert [(row["module"], row["clips"]) for row in by_clips] == [
        ("tam", 5),
        ("tam", 10),
        ("tsn", 5),
        ("tsn", 10),
    ]
    sampling = accuracies_by_sampling(catalog, ALL, "own").to_pylist()
    assert [(row["clip_top1"], row["clip_views"], row["video_views"]) for row in sampling] == [
        (40.0, 15, 30),
        (44.0, 15, 30),
    ]


def test_macs_are_those_of_the_crops_that_were_measured(tmp_path: Path) -> None:
    cell = Cell()
    more = [cell.evaluated(50.0, crop_size=size, short_side=size) for size in (224, 256)]
    rows = points(catalog_of(tmp_path, [cell], *more))
    macs = {row["crop_size"]: row["macs"] for row in rows if row["clips"] == 10}
    # 224 and 256 are 7 and 8 times 32 pixels.
    assert macs[256] * 49 == pytest.approx(macs[224] * 64)


def test_figure_5_groups_by_the_sampling_of_the_training(tmp_path: Path) -> None:
    dense = Cell("d", top1=41.0, recipe=DENSE, evaluation={"sampling": "dense"})
    uniform = Cell("u", top1=40.0)
    more = [
        dense.evaluated(48.0, sampling="dense", crop_size=224),
        uniform.evaluated(45.0, crop_size=224),
        uniform.evaluated(30.0, sampling="dense", crop_size=224),
    ]
    rows = accuracies_by_sampling(catalog_of(tmp_path, [dense, uniform], *more), ALL, "own").to_pylist()
    assert [(r["study"], r["sampling"], r["evaluated_sampling"], r["clip_top1"]) for r in rows] == [
        ("u", "uniform", "uniform", 40.0),
        ("u", "uniform", "dense", 30.0),
        ("d", "dense", "dense", 41.0),
    ]
    assert [row["video_top1"] for row in rows] == [45.0, None, 48.0]


def test_figure_7_compares_steps_under_one_protocol_with_the_most_views(tmp_path: Path) -> None:
    steps = [("inception_v1", True), ("resnet50", True), ("resnet50", False)]
    cells = [
        Cell(
            module="i3d",
            backbone=backbone,
            temporal_pooling=pooled,
            frames=32,
            top1=40.0 + place,
            best_top1=80.0,
        )
        for place, (backbone, pooled) in enumerate(steps)
    ]
    everywhere = [cell.evaluated(60.0 + place, clips=2, crops=1) for place, cell in enumerate(cells)]
    # The best epoch of one step, and more views of another, would look like a gain.
    alone = [cells[2].evaluated(99.0, checkpoint="best", clips=2, crops=1), cells[1].evaluated(90.0)]
    catalog = catalog_of(tmp_path, cells, *everywhere, *alone)
    rows = i3d_accuracies(catalog, ALL, "own", 32).to_pylist()
    assert sorted((row["top1"], row["views"], row["checkpoint"]) for row in rows) == [
        (60.0, 2, "last"),
        (61.0, 2, "last"),
        (62.0, 2, "last"),
    ]


def test_the_published_overlay_minds_temporal_pooling(tmp_path: Path) -> None:
    cells = [Cell(temporal_pooling=pooled) for pooled in (False, True)]
    catalog = catalog_of(tmp_path, cells)
    rows = accuracies_by_frames(catalog, ALL, "own").to_pylist()
    literature = catalog.query("""
        SELECT temporal_pooling, top1 FROM published
        WHERE dataset = 'mini-ssv2' AND module = 'tam' AND backbone = 'resnet18' AND frames = 8
    """).to_pylist()
    expected = {row["temporal_pooling"]: row["top1"] for row in literature}
    assert {row["temporal_pooling"]: row["published_top1"] for row in rows} == expected
    assert len(set(expected.values())) == 2


def test_gains_are_of_models_measured_alike_and_of_one_recipe(tmp_path: Path) -> None:
    cells = [
        Cell(temporal_pooling=pooled, seed=seed, top1=top1, recipe=recipe)
        for seed, recipe in enumerate(({}, {"lr": 0.1}))
        for pooled, top1 in ((False, 40.0 + 10 * seed), (True, 42.0 + 20 * seed))
    ]
    rows = temporal_pooling_gains(catalog_of(tmp_path, cells), ALL, "own").to_pylist()
    assert sorted(row["gain"] for row in rows) == [2.0, 12.0]


def test_the_spread_of_seeds_is_of_one_experiment(tmp_path: Path) -> None:
    cells = [
        Cell(seed=seed, top1=top1, recipe={"lr": 0.1} if seed > 1 else {})
        for seed, top1 in enumerate((40.0, 42.0, 10.0, 12.0))
    ]
    rows = accuracies_by_seed(catalog_of(tmp_path, cells)).to_pylist()
    assert [(row["values"], row["variant"]) for row in rows] == [
        ([40.0, 42.0], "lr 0.01"),
        ([10.0, 12.0], "lr 0.1"),
    ]


def test_a_printed_table_keeps_experiments_apart(tmp_path: Path) -> None:
    cells = [
        Cell("a", top1=60.0),
        Cell("a", top1=62.0, seed=1),
        Cell("b", top1=20.0, recipe={"lr": 0.1}),
        Cell("a", top1=50.0, module="tsn"),
    ]
    table = pivot(pivot_rows(catalog_of(tmp_path, cells), "top1").to_pylist(), "module×frames")
    assert table.row_axes == ("experiment", "module")
    means = {names: line[0].mean for names, line in zip(table.rows, table.fields, strict=True) if line[0]}
    assert means == {("", "tsn"): 50.0, ("lr 0.01", "tam"): 61.0, ("lr 0.1", "tam"): 20.0}


def test_a_position_of_the_grid_shows_its_experiments_one_by_one(tmp_path: Path) -> None:
    cells = [Cell("a", top1=60.0), Cell("b", top1=20.0, recipe={"lr": 0.1}), Cell(module="tsn", top1=30.0)]
    catalog = catalog_of(tmp_path, cells)
    several, one = sorted(grid_positions(catalog).to_pylist(), key=lambda row: row["module"])
    assert (several["top1"], several["difference"], several["results"]) == (None, None, 0)
    assert [(it["variant"], it["top1"], it["seeds"]) for it in several["experiments"]] == [
        ("lr 0.01", 60.0, 1),
        ("lr 0.1", 20.0, 1),
    ]
    assert (one["top1"], one["results"]) == (30.0, 1)
    assert one["difference"] == pytest.approx(30.0 - one["published_top1"])
    text = str(draw_grid(grid_data(catalog), value="accuracy").data[0].text)
    assert "60.0 | 20.0" in text and "40.0" not in text


def test_the_grid_subtracts_only_what_is_comparable(tmp_path: Path) -> None:
    (row,) = grid_positions(catalog_of(tmp_path, [Cell(recipe={"epochs": 1})])).to_pylist()
    assert (row["difference"], row["differs"]) == (None, "1 epoch") and row["published_top1"] is not None


def test_the_cost_of_an_accuracy_is_averaged_over_seeds_alone(tmp_path: Path) -> None:
    cells = [Cell("a", top1=60.0), Cell("a", top1=62.0, seed=1), Cell("b", top1=20.0, recipe={"lr": 0.1})]
    rows = accuracies_by_hours(catalog_of(tmp_path, cells)).to_pylist()
    assert [(row["top1"], row["seeds"], row["variant"]) for row in rows] == [
        (61.0, 2, "lr 0.01"),
        (20.0, 1, "lr 0.1"),
    ]


def test_claims_are_judged_on_experiments_one_by_one(tmp_path: Path) -> None:
    cells = [Cell(top1=60.0), Cell(top1=20.0, seed=1, recipe={"lr": 0.1}), Cell(module="tsn", top1=30.0)]
    rows = claimed_grid(catalog_of(tmp_path, cells)).to_pylist()
    own = [(row["variant"], row["module"], row["top1"]) for row in rows if row["source"] == "own"]
    assert own == [("lr 0.01", "tam", [60.0]), ("lr 0.1", "tam", [20.0]), ("", "tsn", [30.0])]


def test_results_without_a_protocol_of_their_own_are_read_back(tmp_path: Path) -> None:
    """Journals of before say neither protocol nor checkpoints of a result; plans read them all the same."""
    cells = [Cell(), Cell(module="tsn", finished={"protocol": {"clips": 5}})]
    done = done_cells(catalog_of(tmp_path, cells))
    assert sorted(str(one.protocol) for one in done.values()) == ["None", "{'clips': 5}"]
