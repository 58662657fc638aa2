"""Every accuracy that is shown has its interval beside it: in all figures and all forms of `results`."""

from __future__ import annotations

import re
from pathlib import Path

import plotly.graph_objects as go
import pyarrow as pa
import pytest

from catalog import Catalog
from catalog.queries.overview import cells_with_results, wide_results
from dashboards.figures.figure import Figure, Scope
from dashboards.figures.registry import figures
from dashboards.render.tables import results_for_people, results_in_latex, results_with_uncertainty
from dashboards.render.uncertainty import Accuracy, interval, with_difference_to_published, with_intervals
from dashboards.statistics import accuracy_interval, unpaired_difference
from tests.support.figure_list import HALF, build, keys_of
from tests.support.grid_events import grid_events

ACCURACY = re.compile(r"^(\w+_)?top[15](_(last|best|with|without))?$")
# Shown nowhere, or measured on a part of the videos that nobody counts.
WITHOUT = {"published_top5", "rechecked_top1", "inherited_top1"}
NAMES = ("top1", "eval_videos")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return build(tmp_path_factory.mktemp("storage"), grid_events(HALF))


def bare(names: list[str]) -> list[str]:
    """The accuracies among columns that have no interval beside them."""
    return [
        name
        for name in names
        if ACCURACY.match(name) and name not in WITHOUT and not {f"{name}_low", f"{name}_high"} <= set(names)
    ]


def test_a_bare_accuracy_is_found() -> None:
    assert bare(["cell", "top1", "best_top1", "best_top1_low", "best_top1_high"]) == ["top1"]
    assert bare(["clip_top1", "top1_with", "published_top5"]) == ["clip_top1", "top1_with"]


@pytest.mark.parametrize("figure", figures().values(), ids=figures())
def test_every_figure_has_the_intervals_of_its_accuracies(catalog: Catalog, figure: Figure) -> None:
    table = figure.data(catalog, Scope(keys=tuple(keys_of(catalog))))
    # An epoch's top-5 is in no drawing.
    names = [name for name in table.column_names if (figure.name, name) != ("curves", "top5")]
    assert bare(names) == []
    for columns in (part.columns for part in (figure.section, figure.finding) if part is not None):
        assert bare([column.name for column in columns]) == []
    within_bounds(table)
    says_what_bars_are(figure.draw(table))


def says_what_bars_are(drawn: go.Figure) -> None:
    """Where there are bars of error, a legend, an axis or a note says that they are 95 % intervals."""
    bars = [bar for one in drawn.data for bar in ("error_x", "error_y") if bar in one and one[bar].array]
    names = [one.name for one in drawn.data if one.showlegend]
    axes = [axis.title.text or "" for axis in (*drawn.select_xaxes(), *drawn.select_yaxes())]
    axes += [note.text for note in drawn.layout.annotations]
    assert not bars or any("95 % interval" in text for text in [*names, *axes] if text)


def within_bounds(table: pa.Table) -> None:
    for name in table.column_names:
        if name.endswith("_low") and ACCURACY.match(name.removesuffix("_low")):
            title = name.removesuffix("_low")
            for row in table.to_pylist():
                if row[name] is not None:
                    assert 0 <= row[name] <= row[title] <= row[f"{title}_high"] <= 100
                    assert row[f"{title}_high"] > row[name]


def test_results_have_them_in_every_form(catalog: Catalog) -> None:
    sure = results_with_uncertainty(wide_results(catalog, None, 1000))
    assert bare(sure.column_names) == [] and sure.num_rows > 50
    within_bounds(sure)
    known = sum(value is not None for value in sure.column("top1_low").to_pylist())
    assert known == sure.num_rows
    names = results_for_people(sure).column_names
    assert names[names.index("top1") + 1] == "top1 95 %"
    lines = results_in_latex(sure).decode().splitlines()
    rows = lines[5 : 5 + sure.num_rows]
    assert all(line.count(r"$\pm$") + line.count(r"\scriptsize [") >= 2 for line in rows)
    assert bare(results_with_uncertainty(cells_with_results(catalog)).column_names) == []


def test_the_intervals_of_a_table_are_not_looked_for_one_by_one(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A root for each of 100,000 rows took 40 s."""
    table = wide_results(catalog, None, 1000)
    ours = [interval(*pair) for pair in zip(*(table.column(n).to_pylist() for n in NAMES), strict=True)]
    monkeypatch.setattr("scipy.optimize.brentq", lambda *_, **__: pytest.fail("one at a time"))
    accuracy_interval.cache_clear()
    sure = results_with_uncertainty(table)
    for place, name in enumerate(("top1_low", "top1_high")):
        expected = [span and span[place] for span in ours]
        assert sure.column(name).to_pylist() == pytest.approx(expected, rel=0, abs=1e-11)


def test_differences_to_published_results_take_both_intervals() -> None:
    columns = {"top1": [70.0, 60.0, 50.0], "eval_videos": [100, 101, 102], "difference": [5.0, None, 1.0]}
    # On how many videos the published ones were measured is not known: on as many.
    unknown = pa.nulls(3, pa.int64())
    table = pa.table({**columns, "published_top1": [65.0, 64.0, 49.0], "published_videos": unknown})
    rows = with_difference_to_published(with_intervals(table, Accuracy()), Accuracy()).to_pylist()
    assert rows[1]["difference_low"] is None
    for row in (rows[0], rows[2]):
        pair = [accuracy_interval(row[name], row["eval_videos"]) for name in ("top1", "published_top1")]
        span = unpaired_difference(*pair)
        found = (row["difference_low"], row["difference_high"])
        assert found == pytest.approx((span.low, span.high), abs=1e-11)


def test_deviations_over_seeds_are_those_of_a_sample(catalog: Catalog, tmp_path: Path) -> None:
    """Of a population the deviation of two seeds would be smaller by √2."""
    from statistics import stdev

    from catalog.queries.overview import grid_positions

    seeds: dict[tuple[object, ...], list[float]] = {}
    axes = ("dataset", "module", "backbone", "temporal_pooling", "frames")
    for row in catalog.query("FROM results").to_pylist():
        seeds.setdefault(tuple(row[axis] for axis in axes), []).append(row["top1"])
    compared = 0
    tables = [grid_positions(catalog).to_pylist(), figures()["cost-front"].data(catalog, Scope()).to_pylist()]
    tables.append(figures()["accuracy-by-frames"].data(catalog, Scope(source="own")).to_pylist())
    for rows in tables:
        for row in rows:
            values = seeds.get(tuple(row[axis] for axis in axes), [])
            if len(values) > 1:
                assert row["top1_std"] == pytest.approx(stdev(values))
                compared += 1
    assert compared > 100
