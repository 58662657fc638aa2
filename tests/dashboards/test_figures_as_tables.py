"""A mean over seeds has one interval, wherever it stands: the one that a pivot prints, by the predictions."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from catalog import Catalog
from catalog.pivot import pivot
from catalog.queries.overview import explored_experiments, pivot_rows
from catalog.queries.predictions import outcomes_by_video
from dashboards.figures.contributions import pairs_with_intervals
from dashboards.figures.figure import Scope
from dashboards.figures.measurements import means_with_intervals
from dashboards.figures.panels import interval_source
from dashboards.figures.registry import exports, figures
from dashboards.render.comparison import outcomes_of
from dashboards.render.tables import pivot_with_uncertainty
from dashboards.render.uncertainty import ASSUMED, MEAN, about_intervals, interval
from dashboards.report.paper import FigureError, paper_figure
from tests.support.grid_events import Grid
from tests.support.grid_storage import VIDEOS, make_storage

GRID = Grid(
    study="seeds",
    modules=("tsn", "tam"),
    backbones=("resnet18",),
    frames=(8, 16),
    datasets=("mini-ssv2",),
    seeds=(0, 1),
)
OWN = Scope(source="own", answers=None)
PAGE = Scope(source="own", answers=4 * VIDEOS)
"""A page for which the predictions are too many."""

Ends = tuple[float, float]
Place = tuple[str, bool, int]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    storage = make_storage(tmp_path_factory.mktemp("seeds"), GRID)
    with Catalog.open(storage) as found:
        yield found


@pytest.fixture(scope="module")
def printed(catalog: Catalog) -> dict[Place, Ends]:
    """The intervals of `results --pivot`, by module, pooling and length."""
    rows = pivot_rows(catalog, "top1").to_pylist()
    outcomes = outcomes_of(outcomes_by_video(catalog, [row["key"] for row in rows]).to_pylist())
    assert len(outcomes) == len(rows) == 16
    table = pivot_with_uncertainty(pivot(rows, "module,temporal_pooling×frames"), "top1", outcomes)
    raw = pivot_with_uncertainty(pivot(rows, "module,temporal_pooling×frames"), "top1")
    assert table.fields != raw.fields, "else nothing here could fail"
    return {
        (module, pooling == "tp", int(frames.removeprefix("f"))): (float(field.low), float(field.high))
        for (module, pooling), line in zip(table.rows, table.fields, strict=True)
        for (frames,), field in zip(table.columns, line, strict=True)
        if field is not None and field.low is not None and field.high is not None
    }


def place(row: Mapping[str, Any]) -> Place:
    return row["module"], row["temporal_pooling"], row["frames"]


def test_figures_have_the_intervals_of_the_pivot(catalog: Catalog, printed: dict[Place, Ends]) -> None:
    for name, low, high in (
        ("accuracy-by-frames", "top1_low", "top1_high"),
        ("accuracy-by-macs", "top1_low", "top1_high"),
        ("seeds", "low", "high"),
        ("cost-front", "top1_low", "top1_high"),
    ):
        rows = figures()[name].data(catalog, OWN).to_pylist()
        assert {place(row): pytest.approx((row[low], row[high])) for row in rows} == printed, name
    gains = figures()["temporal-pooling-gain"].data(catalog, OWN).to_pylist()
    for row in gains:
        for beside, pooled in (("without", False), ("with", True)):
            ends = row[f"top1_{beside}_low"], row[f"top1_{beside}_high"]
            assert ends == pytest.approx(printed[row["module"], pooled, row["frames"]])
    for row in pairs_with_intervals(catalog, OWN).to_pylist():
        assert (row["top1_low"], row["top1_high"]) == pytest.approx(printed[place(row)])
        tsn = printed["tsn", False, row["frames"]]
        assert (row["tsn_top1_low"], row["tsn_top1_high"]) == pytest.approx(tsn)
    explored = means_with_intervals(catalog, OWN, explored_experiments(catalog)).to_pylist()
    assert {place(row): pytest.approx((row["top1_low"], row["top1_high"])) for row in explored} == printed


def test_a_drawing_has_them_too(catalog: Catalog, printed: dict[Place, Ends]) -> None:
    drawn = {
        (round(y - down, 2), round(y + up, 2))
        for trace in paper_figure(catalog, "fig4", "own")["data"]
        if (trace.get("error_y") or {}).get("array")
        for y, up, down in zip(
            trace["y"], trace["error_y"]["array"], trace["error_y"]["arrayminus"], strict=True
        )
        if y is not None
    }
    assert drawn == {(round(low, 2), round(high, 2)) for low, high in printed.values()}


def test_a_page_of_too_many_predictions_says_so_below_and_claims_no_direction(catalog: Catalog) -> None:
    table = figures()["accuracy-by-frames"].data(catalog, PAGE)
    for row in table.to_pylist():
        alone = interval(row["top1"], row["eval_videos"], row["seeds"], row["top1_std"])
        assert (row["top1_low"], row["top1_high"]) == pytest.approx(alone)
    assert ASSUMED in about_intervals(table, MEAN)
    whole = dataclasses.replace(PAGE, answers=16 * VIDEOS)
    assert ASSUMED not in about_intervals(figures()["accuracy-by-frames"].data(catalog, whole), MEAN)
    assert "can then be wider or narrower" in ASSUMED


def test_no_option_of_a_command_stands_in_a_drawing(catalog: Catalog) -> None:
    drawn = 0
    for name in exports():
        try:
            figure = paper_figure(catalog, name, "own")
        except FigureError:
            continue
        drawn += 1
        texts = [str(trace.get("name", "")) for trace in figure["data"]]
        texts += [note["text"] for note in figure["layout"].get("annotations", ())]
        assert not [text for text in texts if " --" in text or "pivot" in text], name
    assert drawn > 6


def test_a_legend_says_what_intervals_count_and_of_how_many() -> None:
    def row(videos: int, seeds: int) -> dict[str, Any]:
        return {"top1": 50.0, "eval_videos": videos, "seeds": seeds}

    assert interval_source([row(20, 1)] * 2) == "n = 20 videos"
    assert interval_source([row(2000, 2)] * 2) == "n = 2,000 videos, 2 seeds"
    assert interval_source([row(20, 1), row(40, 1)]) == "videos"
    assert interval_source([row(20, 1), row(20, 2)]) == "videos, seeds"
