from __future__ import annotations

import csv
from importlib import resources
from pathlib import Path

import pytest

from catalog import Catalog
from tests.support.grid_events import DEMO, Grid, grid_events, write_quickly

METRICS = ("phi", "psi_ta", "psi_ta_tp")
Figures = dict[tuple[str, str, str], float]


def figures(catalog: Catalog) -> Figures:
    rows = catalog.query("FROM contributions WHERE source = 'published'").to_pylist()
    return {(row["dataset"], metric, row["module"]): row[metric] for row in rows for metric in METRICS}


def printed(catalog: Catalog) -> Figures:
    rows = catalog.query("FROM published_contributions").to_pylist()
    return {(row["dataset"], row["metric"], row["module"]): row["value"] for row in rows}


def agreeing(ours: Figures, theirs: Figures) -> int:
    return sum(f"{ours[name] + 0.0:.2f}" == f"{theirs[name]:.2f}" for name in theirs)


def test_the_published_accuracies_give_table_7_up_to_two_exchanged_columns(tmp_path: Path) -> None:
    catalog = Catalog.open(tmp_path)
    ours, theirs = figures(catalog), printed(catalog)
    assert len(ours) == len(theirs) == 27
    assert agreeing(ours, theirs) == 19
    other = {"i3d": "s3d", "s3d": "i3d", "tam": "tam"}
    exchanged = {
        (dataset, metric, module if metric == "psi_ta_tp" else other[module]): value
        for (dataset, metric, module), value in theirs.items()
    }
    assert agreeing(ours, exchanged) == 27


def test_the_published_grid_is_complete(tmp_path: Path) -> None:
    counts = Catalog.open(tmp_path).query(
        "SELECT DISTINCT n, n_ta_tp, missing, missing_ta_tp FROM contributions"
    )
    assert counts.to_pylist() == [{"n": 12, "n_ta_tp": 12, "missing": 0, "missing_ta_tp": 0}]


def test_equation_1_by_hand(tmp_path: Path) -> None:
    """The same figures from the CSV with plain Python, so that the SQL is not its own judge."""
    text = (resources.files("catalog") / "published" / "mini_results.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    top1 = {
        (r["dataset"], r["module"], r["backbone"], r["temporal_pooling"] == "True", int(r["frames"])): float(
            r["top1"]
        )
        for r in rows
    }
    ours = figures(Catalog.open(tmp_path))
    for dataset, metric, module in ours:
        pooled = metric == "psi_ta_tp"
        values = []
        for (d, m, backbone, tp, frames), accuracy in top1.items():
            if (d, m, tp) == (dataset, module, pooled):
                tsn = top1[dataset, "tsn", backbone, False, frames]
                values.append(tsn / max(accuracy, tsn) if metric == "phi" else (accuracy - tsn) / (100 - tsn))
        assert ours[dataset, metric, module] == pytest.approx(sum(values) / 12, abs=1e-12)


def test_missing_pairs_are_counted_on_ones_own_half_grid(tmp_path: Path) -> None:
    grid = Grid(
        datasets=("mini-ssv2",),
        failing=frozenset({"TSN-ResNet18-f32@mini-ssv2"}),
        unfinished=frozenset({"TAM-ResNet50-f64@mini-ssv2"}),
    )
    write_quickly(tmp_path, grid_events(grid))
    rows = Catalog.open(tmp_path).query("FROM contributions WHERE source = 'own'").to_pylist()
    counts = {row["module"]: (row["n"], row["missing"], row["n_ta_tp"], row["missing_ta_tp"]) for row in rows}
    assert counts == {"tam": (9, 3, 10, 2), "s3d": (10, 2, 10, 2), "i3d": (10, 2, 10, 2)}


def test_seeds_are_averaged(tmp_path: Path) -> None:
    grid = Grid(
        modules=("tsn", "tam"), backbones=("tiny",), frames=(8,), datasets=("mini-mit",), seeds=(0, 1, 2)
    )
    write_quickly(tmp_path, grid_events(grid))
    catalog = Catalog.open(tmp_path)
    rows = catalog.query("FROM accuracies WHERE source = 'own' AND module = 'tam' AND NOT temporal_pooling")
    (row,) = rows.to_pylist()
    singles = catalog.query("SELECT top1 FROM results WHERE module = 'tam' AND NOT temporal_pooling").column(
        0
    )
    assert len(singles) == 3 == row["seeds"]
    assert row["top1"] == pytest.approx(sum(singles.to_pylist()) / 3)
    assert row["top1_std"] > 0


def test_any_relation_can_be_asked(tmp_path: Path) -> None:
    catalog = Catalog.open(tmp_path)
    sql = """
        WITH mine AS (
            SELECT 'x' AS source, 's' AS study, 'd' AS dataset, unnest(['tsn', 'tam', 'tam']) AS module,
                'tiny' AS backbone, unnest([false, false, true]) AS temporal_pooling, 8 AS frames,
                unnest([50.0, 75.0, 40.0]) AS top1
        )
        FROM contributions_of('mine')
    """
    (row,) = catalog.query(sql).to_pylist()
    assert (row["phi"], row["psi_ta"], row["psi_ta_tp"]) == pytest.approx((2 / 3, 0.5, -0.2))


def test_undefined_pairs_are_missing_not_infinite(tmp_path: Path) -> None:
    sql = """
        WITH mine AS (
            SELECT 'x' AS source, 's' AS study, 'd' AS dataset, unnest(['tsn', 'tam']) AS module,
                'tiny' AS backbone, false AS temporal_pooling, 8 AS frames, unnest([100.0, 100.0]) AS top1
        )
        FROM contributions_of('mine')
    """
    (row,) = Catalog.open(tmp_path).query(sql).to_pylist()
    assert (row["phi"], row["psi_ta"], row["n"], row["missing"]) == (1.0, None, 0, 1)


def test_results_stand_beside_their_published_counterparts(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(Grid(datasets=("mini-ssv2",))))
    write_quickly(tmp_path, grid_events(DEMO), "driver-2")
    catalog = Catalog.open(tmp_path)
    (row,) = catalog.query(
        "SELECT published_top1, difference, differs FROM results WHERE cell = 'TSN-InceptionV1-f8@mini-ssv2'"
    ).to_pylist()
    assert row["published_top1"] == 33.1384 and row["difference"] is None, "of three epochs, not of 75"
    assert "3 epochs" in row["differs"]
    none = catalog.query("SELECT count(published_top1) AS n FROM results WHERE dataset LIKE 'synthetic-%'")
    assert none.to_pylist() == [{"n": 0}]


def test_the_gain_of_temporal_pooling(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    rows = Catalog.open(tmp_path).query("FROM temporal_pooling_gain WHERE source = 'own'").to_pylist()
    assert len(rows) == 16
    assert all(row["gain"] == pytest.approx(row["top1_with"] - row["top1_without"]) for row in rows)
    motion = [row["gain"] for row in rows if row["module"] == "tsn" and row["dataset"] == "synthetic-motion"]
    assert min(motion) > 20
