"""Small questions that pages and commands ask: of a cell by its name, of datasets' videos, of checkpoints."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from catalog.events import DatasetBuilt, StudySubmitted, VideosQuarantined
from catalog.queries.accessors import Accessors
from catalog.queries.cells import checkpoint_of_cell, key_of_name, videos_of_dataset
from catalog.queries.claims import claimed_grid
from catalog.queries.drivers import MeasuredTop1, checkpoint_needs, next_time
from catalog.queries.filters import Filters
from catalog.queries.overview import grid_positions, quarantined_videos
from tests.support.grid_events import Grid, grid_events, write_quickly
from tests.support.measured_cells import Cell, catalog_of

BUILT: dict[str, Any] = {"manifest": "m", "val_hash": "v", "classes": ["a", "b"], "frames": 90}
BUILT |= {"frame_format": "direct", "quarantined": 1}


def test_a_cell_is_found_by_its_name(tmp_path: Path) -> None:
    cells = [Cell("a"), Cell("a", module="tsn"), Cell("b", frames=16)]
    with catalog_of(tmp_path, cells) as catalog:
        assert key_of_name(catalog, "TSN-ResNet18-f8@mini-ssv2") == cells[1].id
        assert key_of_name(catalog, "TAM-ResNet18-f16@mini-ssv2") == cells[2].id
        assert key_of_name(catalog, "TAM-ResNet50-f8@mini-ssv2") is None


def test_each_method_has_the_table_of_its_name(tmp_path: Path) -> None:
    names = [name for name in vars(Accessors) if not name.startswith("_") and name != "query"]
    assert "results" in names and len(names) > 10
    with catalog_of(tmp_path, [Cell()]) as catalog:
        for name in names:
            assert getattr(catalog, name)().schema == catalog.query(f"FROM {name}").schema, name


def test_how_many_videos_a_dataset_has_is_known_by_its_training_videos(tmp_path: Path) -> None:
    counts = {"t": {"train": 80, "val": 10}, "u": {"train": 70, "val": 9}}
    events = [
        DatasetBuilt("d", train_hash=known, videos=videos, time=float(number), **BUILT)
        for number, (known, videos) in enumerate(counts.items(), 1)
    ]
    again = DatasetBuilt("d", train_hash="t", videos={"train": 80, "val": 12}, time=9.0, **BUILT)
    write_quickly(tmp_path, iter([again, *events]))
    with Catalog.open(tmp_path) as catalog:
        (row,) = videos_of_dataset(catalog, "t").to_pylist()
        assert json.loads(row["videos"]) == {"train": 80, "val": 12}, "as it was built last"
        (row,) = videos_of_dataset(catalog, "u").to_pylist()
        assert json.loads(row["videos"]) == counts["u"]
        assert videos_of_dataset(catalog, None).num_rows == 0


def test_quarantined_videos_stand_in_the_order_of_their_places(tmp_path: Path) -> None:
    videos = [{"path": path, "reason": f"{path} is damaged"} for path in ("b.mp4", "a.mp4")]
    events = [VideosQuarantined(name, 2, videos, time=1.0) for name in ("walk", "jump")]
    write_quickly(tmp_path, iter(events))
    with Catalog.open(tmp_path) as catalog:
        rows = quarantined_videos(catalog).to_pylist()
    places = [("jump", "a.mp4"), ("jump", "b.mp4"), ("walk", "a.mp4"), ("walk", "b.mp4")]
    assert [(row["dataset"], row["path"]) for row in rows] == places
    assert {row["reason"] for row in rows} == {"a.mp4 is damaged", "b.mp4 is damaged"}


def test_the_grid_counts_each_cell_in_its_state(tmp_path: Path) -> None:
    """Of three seeds a position: one is done, one failed and blocks its child, one has no end."""
    grid = Grid(modules=("tsn",), backbones=("tiny",), poolings=(False,), frames=(8, 16), seeds=(0, 1, 2))
    grid = dataclasses.replace(
        grid,
        datasets=("d",),
        failing=frozenset({"TSN-Tiny-f8@d#1"}),
        unfinished=frozenset({"TSN-Tiny-f16@d#2"}),
    )
    write_quickly(tmp_path, grid_events(grid))
    states = ("done", "running", "failed", "blocked", "planned")
    with Catalog.open(tmp_path) as catalog:
        cells = Counter((row["frames"], row["state"]) for row in catalog.query("FROM grid_cells").to_pylist())
        assert cells.total() == 6 and len({state for _, state in cells}) >= 4
        for row in grid_positions(catalog).to_pylist():
            assert row["cells"] == 3
            assert {state: row[state] for state in states} == {
                state: cells[row["frames"], state] for state in states
            }


def test_a_position_of_the_grid_has_the_mean_over_its_seeds(tmp_path: Path) -> None:
    cells = [Cell(seed=seed, top1=top1) for seed, top1 in enumerate((40.0, 44.0, 48.0))]
    with catalog_of(tmp_path, cells) as catalog:
        (row,) = grid_positions(catalog).to_pylist()
    assert (row["top1"], row["top1_std"], row["results"], row["differs"]) == (44.0, 4.0, 3, "")
    assert row["difference"] == pytest.approx(44.0 - row["published_top1"])


def test_views_are_clips_times_crops(tmp_path: Path) -> None:
    cell = Cell(evaluation={"crop_size": 256})
    with catalog_of(tmp_path, [cell], cell.evaluated(60.0, clips=10, crops=3)) as catalog:
        rows = catalog.query("FROM measured_accuracies WHERE source = 'own' ORDER BY views").to_pylist()
    assert [(row["clips"], row["crops"], row["views"]) for row in rows] == [(1, 1, 1), (10, 3, 30)]
    assert rows[1]["total_macs"] == 30 * rows[0]["total_macs"]


def test_each_cell_has_the_checkpoint_that_its_study_reports(tmp_path: Path) -> None:
    cells = {"last": Cell("a"), "best": Cell("b", module="tsn")}
    with catalog_of(tmp_path, list(cells.values()), b={"report": "best"}) as catalog:
        for which, cell in cells.items():
            (row,) = checkpoint_of_cell(catalog, cell.id).to_pylist()
            assert row["checkpoint"] == which


def test_a_claim_looks_at_each_study_by_itself(tmp_path: Path) -> None:
    """Two seeds of one recipe in each of two studies, whose recipes differ: neither has several of them."""
    cells = [
        Cell(study, seed=seed, recipe={"lr": lr}) for study, lr in (("a", 0.1), ("b", 0.2)) for seed in (0, 1)
    ]
    with catalog_of(tmp_path, cells) as catalog:
        rows = claimed_grid(catalog, Filters(study=("a", "b"))).to_pylist()
    own = [(row["study"], row["seeds"], row["variant"]) for row in rows if row["source"] == "own"]
    assert own == [("a", [0, 1], ""), ("b", [0, 1], "")]


def test_what_follows_is_a_millisecond_after_the_last_word_where_a_clock_was_set_back(tmp_path: Path) -> None:
    with catalog_of(tmp_path, [Cell()]) as catalog:
        submitted = 1_790_000_000.0
        assert next_time(catalog, "own", submitted - 9.0) - submitted == pytest.approx(1e-3, abs=1e-6)
        assert next_time(catalog, "own", submitted + 9.0) == submitted + 9.0


def test_of_a_studys_submissions_the_last_says_what_is_kept(tmp_path: Path) -> None:
    cell = Cell()
    again = StudySubmitted("own", "s2", 1, "own.yaml", {"name": "own", "keep": "best"}, time=1_790_000_900.0)
    with catalog_of(tmp_path, [cell], again, own={"keep": "all"}) as catalog:
        (row,) = checkpoint_needs(catalog, [cell.id]).to_pylist()
    assert (row["keep"], row["by_default"], row["awaited"]) == (["best"], False, None)


@pytest.mark.parametrize(("checkpoint", "expected"), [("last", 20.0), ("best", 30.0)])
def test_a_checkpoint_has_its_own_accuracy(checkpoint: str, expected: float) -> None:
    assert MeasuredTop1(20.0, 12, 30.0).of(checkpoint) == expected
