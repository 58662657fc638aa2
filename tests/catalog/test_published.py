"""The printed numbers: where they stand, and that they agree with each other where they should."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import random
from importlib import resources
from pathlib import Path

import pytest
from scipy.optimize import brentq
from scipy.special import betainc

from catalog import Catalog
from catalog.events import CellFinished
from dashboards.figures.against_published import against_published_data
from dashboards.statistics import accuracy_interval, mean_over_seeds_from, unpaired_difference
from tests.support.grid_events import Grid, grid_events, write_quickly
from tests.support.paths import SHARED

PRINTED = Path(__file__).with_name("printed_numbers.txt")
PAPER = SHARED / "reference" / "paper.txt"
MODEL_ZOO = SHARED / "reference" / "published_mini_results.csv"
FILES = ("table2", "table3", "table4", "table5", "table6", "figures")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return Catalog.open(tmp_path_factory.mktemp("storage"))


def rows_of(file: str) -> list[dict[str, str]]:
    text = (resources.files("catalog") / "published" / f"{file}.csv").read_text()
    return list(csv.DictReader(text.splitlines()))


def test_every_number_has_its_place(catalog: Catalog) -> None:
    rows = [row for file in FILES for row in rows_of(file)]
    assert all(row[name] for row in rows for name in ("paper", "source_table", "source_row", "source_column"))
    assert all(row["value"] and row["unit"] and row["metric"] for row in rows)
    counted = catalog.query("SELECT count(*) AS n FROM published_numbers").to_pylist()
    assert counted == [{"n": len(rows)}] and len(rows) == 115


@pytest.mark.parametrize("file", FILES)
def test_every_number_is_printed_in_the_paper(file: str) -> None:
    text = PRINTED.read_text().split(f"## {file}\n")[1].split("\n## ")[0]
    for row in rows_of(file):
        value = row["value"].removeprefix("-")
        assert value in text, (row["source_row"], row["source_column"])
        if row["flops_g"]:
            assert f"{row['flops_g']}G" in text


@pytest.mark.skipif(not PAPER.exists(), reason="the paper's whole text is not beside this checkout")
def test_the_kept_lines_are_the_papers() -> None:
    paper = " ".join(PAPER.read_text().split())
    kept = [line for line in PRINTED.read_text().splitlines() if line and not line.startswith("#")]
    assert len(kept) > 40
    assert [line for line in kept if " ".join(line.split()) not in paper] == []


def test_the_mini_results_are_as_they_were_compared_with_the_published_ones() -> None:
    """By their digest, also where the published table is not beside the checkout (the next test)."""
    rows = rows_of("mini_results")
    names = [*list(rows[0])[:13], "source_row"]  # the published table has these columns
    assert names[0] == "dataset" and names[12] == "lr_schedule"
    digest = hashlib.sha256("\n".join(",".join(row[name] for name in names) for row in rows).encode())
    assert digest.hexdigest() == "c5a91eae6972b11348df195bfa1f633ceeb4db1dbb1d87876914570384f04020"


@pytest.mark.skipif(not MODEL_ZOO.exists(), reason="the published table is not beside this checkout")
def test_the_mini_results_are_the_published_ones() -> None:
    with MODEL_ZOO.open() as file:
        published = list(csv.DictReader(file))
    ours = [dict(row) for row in rows_of("mini_results")]
    assert len(published) == len(ours) == 288
    for row, own in zip(published, ours, strict=True):
        assert own["source_row"] == row.pop("source_name")
        assert {name: own[name] for name in row} == row


def test_table_5_agrees_with_the_mini_results(catalog: Catalog) -> None:
    rows = catalog.query("""
        SELECT numbers.source_row, numbers.source_column, numbers.value, published.top1
        FROM published_numbers AS numbers
        JOIN published USING (dataset, module, backbone, temporal_pooling, frames)
        WHERE numbers.source_table = 'Table 5'
    """).to_pylist()
    assert len(rows) == 23
    wrong = [
        (row["source_row"], row["source_column"]) for row in rows if abs(row["value"] - row["top1"]) > 0.0501
    ]
    # Printed as 75.5, but 75.57 in the result table: shown as it is.
    assert wrong == [("Mini-Kinetics f=16", "ResNet50 I3D")]


def test_all_tams_of_table_6_are_the_8_frame_model(catalog: Catalog) -> None:
    rows = catalog.query("""
        SELECT value, top1 FROM published_numbers AS numbers
        JOIN published USING (dataset, module, backbone, temporal_pooling)
        WHERE numbers.source_row = '8 All' AND published.frames = 8
    """).to_pylist()
    assert len(rows) == 2 and all(row["value"] == pytest.approx(row["top1"], abs=0.05) for row in rows)


def test_printed_accuracies_carry_their_protocol_and_cost(catalog: Catalog) -> None:
    rows = catalog.query("FROM printed_accuracies").to_pylist()
    assert len(rows) == 18 and all(row["total_macs"] == row["macs"] * row["views"] for row in rows)
    dense = [row for row in rows if row["dataset"] == "kinetics" and row["sampling"] == "dense"]
    assert {row["views"] for row in dense} == {30}
    (i3d,) = [row for row in rows if row["cell"] == "I3D-ResNet50@ssv2 (ImageNet)"]
    assert (i3d["top1"], i3d["views"], i3d["macs"]) == (62.84, 6, 335_300_000_000)


@pytest.mark.parametrize("videos", [101, 11_799])
def test_own_results_against_published_ones(tmp_path: Path, videos: int) -> None:
    events = (
        dataclasses.replace(event, eval_videos=videos) if isinstance(event, CellFinished) else event
        for event in grid_events(Grid(datasets=("mini-ssv2",)))
    )
    write_quickly(tmp_path, events)
    rows = Catalog.open(tmp_path).query("FROM against_published").to_pylist()
    assert len(rows) == 96
    for row in rows:
        low, high = newcombe(*((row[name], row[of]) for name, of in NUMBERS))
        assert (row["low"], row["high"]) == pytest.approx((low, high), abs=1e-6)
        assert row["outside"] == (low > 0 or high < 0)
        assert row["difference"] == pytest.approx(row["top1"] - row["published_top1"])
        assert row["published_videos"] == 11_799
    assert 0 < sum(row["outside"] for row in rows) < 96
    below = sum(row["outside"] and row["difference"] < 0 for row in rows)
    assert (below > 0) == (videos > 101)


def test_the_spread_of_seeds_widens_the_interval(tmp_path: Path) -> None:
    grid = Grid(modules=("tam",), backbones=("resnet50",), datasets=("mini-ssv2",), seeds=(0, 1, 2))
    write_quickly(tmp_path, grid_events(grid))
    rows = Catalog.open(tmp_path).query("FROM against_published").to_pylist()
    assert len(rows) == 8
    for row in rows:
        published = accuracy_interval(row["published_top1"], row["published_videos"])
        equal = unpaired_difference(mean_over_seeds_from(row["top1"], row["eval_videos"], 3), published)
        assert row["seeds"] == 3 and row["low"] < equal.low and row["high"] > equal.high
        # The published result is one training too, t of two degrees of freedom away from others.
        assert row["difference"] - row["low"] > 4.3027 * row["top1_std"]


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_sql_has_the_intervals_of_the_figure(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    """One definition: in every row, also of cells on few videos, and after the journals have grown."""
    grid = Grid(modules=("tsn", "tam"), datasets=("mini-ssv2", "mini-kinetics"), seeds=seeds)
    halves = [dataclasses.replace(grid, study=study) for study in ("first", "second")]
    with Catalog(tmp_path) as catalog:
        for place, half in enumerate(halves, start=1):
            write_quickly(tmp_path, grid_events(half), half.study)
            catalog.refresh()
            names = "study, cell, low, high, outside"
            found = catalog.query(f"SELECT {names} FROM against_published ORDER BY study, cell").to_pylist()
            figure = against_published_data(catalog).to_pylist()
            shown = sorted(
                ({name: row[name] for name in names.split(", ")} for row in figure),
                key=lambda row: (row["study"], row["cell"]),
            )
            assert found == shown and len(found) == 96 * place


def test_means_do_not_depend_on_the_order_in_which_events_came(tmp_path: Path) -> None:
    """To the last digit: a catalog that grew is compared with one that was read at once."""
    events = [*grid_events(Grid(modules=("tsn", "tam"), datasets=("mini-ssv2",), seeds=(0, 1, 2)))]
    answers = set()
    for seed in range(3):
        random.Random(seed).shuffle(events)
        write_quickly(tmp_path / str(seed), iter(events))
        rows = Catalog.open(tmp_path / str(seed)).query("FROM against_published").to_pylist()
        answers.add(repr(sorted(map(repr, rows))))
    assert len(answers) == 1


NUMBERS = (("top1", "eval_videos"), ("published_top1", "published_videos"))


def newcombe(*sides: tuple[float, int]) -> tuple[float, float]:
    """Own - published in points by Newcombe's method from both mid-p intervals, by their definition."""

    def mid_p(percent: float, videos: int) -> tuple[float, float]:
        hits = percent / 100 * videos

        def tail(share: float) -> float:
            return (
                float(betainc(hits, videos - hits + 1, share) + betainc(hits + 1, videos - hits, share)) / 2
            )

        low, high = (
            100 * float(brentq(lambda share, part=part: tail(share) - part, 1e-9, 1 - 1e-9, xtol=1e-14))
            for part in (0.025, 0.975)
        )
        return low, high

    (own, _), (published, _) = sides
    (l1, u1), (l2, u2) = (mid_p(*side) for side in sides)
    difference = own - published
    low = difference - ((own - l1) ** 2 + (u2 - published) ** 2) ** 0.5
    return low, difference + ((u1 - own) ** 2 + (published - l2) ** 2) ** 0.5


def test_what_is_printed_with_its_views_is_of_the_two_tables_that_state_them(tmp_path: Path) -> None:
    rows = Catalog.open(tmp_path).query("FROM printed_accuracies").to_pylist()
    assert {row["source_table"] for row in rows} == {"Table 2", "Table 3"}
    assert all(row["views"] == row["clips"] * row["crops"] for row in rows)
