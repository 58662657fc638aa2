"""The page Explore: the cells that it draws and where, what its groups average, what its address says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from catalog.events import TagSet
from catalog.export import to_csv
from catalog.queries.filters import ALL, Filters
from catalog.queries.overview import explored_experiments
from catalog.storage.folder_storage import FolderStorage
from dashboards.app.live import LiveCatalog, page_blocks
from dashboards.figures.parallel_coordinates import draw_parallel, parallel_data, usual_axes
from dashboards.pages.blocks import Block
from dashboards.pages.explore import grouped
from dashboards.pages.request import read_address
from dashboards.render.theme import DARK, LIGHT
from dashboards.render.uncertainty import MEAN, with_intervals
from dashboards.statistics import accuracy_interval, mean_over_seeds
from tests.support.measured_cells import VIDEOS, Cell, catalog_of
from tests.support.prediction_storage import change_study, key, make_storage, new_key

SSV2 = VIDEOS["mini-ssv2"][1]


def groups(catalog: Catalog, *by: str, filters: Filters = ALL) -> list[dict[str, Any]]:
    rows = explored_experiments(catalog, filters, by_seed="seed" in by)
    return grouped(with_intervals(rows, MEAN).to_pylist(), by)


def numbers(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in (*names, "top1", "cells")) for row in rows]


def test_one_experiment_has_the_interval_of_its_seeds(tmp_path: Path) -> None:
    cells = [Cell(seed=seed, top1=top1) for seed, top1 in enumerate((40.0, 44.0))]
    (row,) = groups(catalog_of(tmp_path, cells), "module")
    span = mean_over_seeds([40.0, 44.0], SSV2)
    assert (row["module"], row["what"], row["seeds"], row["videos"]) == ("TAM", "one experiment", "2", SSV2)
    assert (row["top1"], row["top1_low"], row["top1_high"]) == pytest.approx((42.0, span.low, span.high))


def test_a_group_of_models_counts_each_experiment_once_and_says_that_it_is_no_model(tmp_path: Path) -> None:
    cells = [Cell(seed=seed, top1=30.0) for seed in range(3)] + [Cell(backbone="resnet50", top1=60.0)]
    cells += [Cell(module="tsn", top1=20.0)]
    tsn, tam = groups(catalog_of(tmp_path, cells), "module")
    assert (tam["top1"], tam["cells"], tam["planned"], tam["seeds"]) == (45.0, 4, 4, "1 to 3")
    assert tam["what"] == "descriptive mean of 2 models" and tsn["what"] == "one experiment"
    spans = mean_over_seeds([30.0] * 3, SSV2), accuracy_interval(60.0, SSV2)
    assert tam["top1_low"] == pytest.approx(sum(span.low for span in spans) / 2)
    assert tam["top1_high"] == pytest.approx(sum(span.high for span in spans) / 2)


def test_datasets_studies_recipes_and_protocols_are_never_averaged_together(tmp_path: Path) -> None:
    cells = [
        Cell(top1=10.0),
        Cell(top1=20.0, dataset="mini-kinetics"),
        Cell("other", top1=30.0, recipe={"lr": 0.1}, axes={"recipe.lr": "0.1"}),
        Cell("other", top1=40.0, recipe={"lr": 0.2}, axes={"recipe.lr": "0.2"}),
        Cell("third", top1=50.0, recipe={"lr": 0.3}, evaluation={"clips": 10}),
    ]
    rows = groups(catalog_of(tmp_path, cells), "module")
    assert sorted(row["top1"] for row in rows) == [10.0, 20.0, 30.0, 40.0, 50.0]
    apart = {(row["study"], row["dataset"], row["other axes"]) for row in rows}
    assert {
        ("own", "Mini-Kinetics", ""),
        ("other", "Mini-SSV2", "lr 0.1"),
        ("third", "Mini-SSV2", ""),
    } <= apart
    assert len({row["measured"] for row in rows}) > 1
    by_lr = groups(catalog_of(tmp_path / "again", cells), "recipe.lr", filters=Filters(study=("other",)))
    assert numbers(by_lr, "recipe.lr") == [("0.1", 30.0, 1), ("0.2", 40.0, 1)]


@pytest.mark.parametrize(
    ("column", "other"),
    [
        ("study", Cell("other", top1=30.0, recipe={"lr": 0.1}, dataset="theirs")),
        ("dataset", Cell(top1=30.0, dataset="mine")),
    ],
)
def test_what_was_measured_alike_in_another_study_or_on_as_many_other_videos_stands_apart(
    tmp_path: Path, column: str, other: Cell
) -> None:
    rows = groups(catalog_of(tmp_path, [Cell(top1=10.0, dataset="theirs"), other]), "module")
    assert sorted(row["top1"] for row in rows) == [10.0, 30.0]
    assert len({row[column] for row in rows}) == 2 and "measured" not in rows[0]


def test_a_cell_of_two_studies_counts_once(tmp_path: Path) -> None:
    cells = [Cell("a", top1=10.0), Cell("b", top1=10.0), Cell("b", top1=20.0, seed=1)]
    catalog = catalog_of(tmp_path, cells)
    assert parallel_data(catalog).num_rows == 2
    assert numbers(groups(catalog, "module"), "module", "what") == [("TAM", "one experiment", 15.0, 2)]


def test_of_many_cells_some_are_drawn_and_all_are_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog_of(tmp_path, [Cell(seed=seed, top1=50.0 + seed) for seed in range(4)])
    for module in ("dashboards.figures.parallel_coordinates", "dashboards.pages.explore"):
        monkeypatch.setattr(f"{module}.MOST_LINES", 3)
    cells = page(tmp_path, "")["cells"]
    assert cells.rows is not None and cells.rows.num_rows == 4
    assert "3 of 4 lines, as if drawn by lot: each is a finished cell" in str(cells.caption)  # type: ignore[union-attr]
    assert len({key for _, key in cells.drawing.data[0].customdata if key}) == 3  # type: ignore[union-attr]


def test_the_same_study_measured_in_two_ways_stands_apart(tmp_path: Path) -> None:
    cells = [Cell(top1=10.0), Cell(module="tsn", top1=20.0, evaluation={"clips": 10})]
    rows = groups(catalog_of(tmp_path, cells), "frames")
    assert sorted(row["top1"] for row in rows) == [10.0, 20.0]
    assert {row["measured"].split(" at ")[0] for row in rows} == {"uniform 1 × 1", "uniform 10 × 1"}


def test_seeds_can_be_a_groups_axis_and_results_that_are_superseded_or_no_number_do_not_count(
    tmp_path: Path,
) -> None:
    cells = [
        Cell(seed=seed, module=module, top1=10.0 * (seed + 1)) for module in ("tam", "tsn") for seed in (0, 1)
    ]
    cells += [Cell(module="i3d", top1=float("nan"))]
    catalog = catalog_of(tmp_path, cells)
    assert numbers(groups(catalog, "seed"), "seed") == [("0", 10.0, 2), ("1", 20.0, 2)]
    i3d = [row for row in groups(catalog, "module") if row["module"] == "I3D"]
    assert i3d == [] and parallel_data(catalog).num_rows == 4
    assert [row["planned"] for row in groups(catalog, "seed")] == [3, 2]


def test_tags_and_filters_choose_the_cells(tmp_path: Path) -> None:
    cells = [Cell(top1=10.0), Cell(module="tsn", top1=20.0), Cell("other", module="i3d", top1=30.0)]
    tags = [
        TagSet("cell", cells[0].id, "odd", True, "me", time=1.0),
        TagSet("study", "other", "spring", True, "me", time=1.0),
    ]
    catalog = catalog_of(tmp_path, cells, *tags)
    found = {
        tag: parallel_data(catalog, Filters(tag=(tag,))).column("top1").to_pylist()
        for tag in ("odd", "spring", "no")
    }
    assert found == {"odd": [10.0], "spring": [30.0], "no": []}
    both = Filters(tag=("odd", "spring"))
    assert sorted(numbers(groups(catalog, "module", filters=both), "module")) == [
        ("I3D", 30.0, 1),
        ("TAM", 10.0, 1),
    ]
    assert parallel_data(catalog, Filters(state=("failed",))).num_rows == 0
    assert parallel_data(catalog, Filters(module=("tsn",))).column("top1").to_pylist() == [20.0]
    (row,) = parallel_data(catalog, Filters(tag=("odd",))).to_pylist()
    assert row["tags"] == "odd"


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_every_cell_is_a_line_through_its_places_on_the_axes(tmp_path: Path, theme: Any) -> None:
    cells = [Cell(module=module, frames=frames, top1=top1) for module, frames, top1 in (
        ("tsn", 8, 20.0), ("tsn", 16, 30.0), ("tam", 8, 40.0), ("tam", 16, 60.0)
    )]  # fmt: skip
    table = parallel_data(catalog_of(tmp_path, cells))
    assert usual_axes(table.to_pylist()) == ["module", "frames", "top1", "macs"]
    figure = draw_parallel(table, theme, ["frames", "top1", "macs"])
    assert list(figure.layout.xaxis.ticktext) == ["frames", "top-1 (%)", "MACs (10⁹)"]
    lines = {}
    for trace in figure.data:
        about = trace.customdata or []
        for start in range(0, len(about), 4):
            key = about[start][1]
            lines[key] = (
                trace.legendgroup,
                list(trace.x[start : start + 4]),
                list(trace.y[start : start + 4]),
            )
    assert lines.keys() == {cell.id for cell in cells}
    for cell in cells:
        module, x, y = lines[cell.id]
        assert (module, x) == (cell.module, [0, 1, 2, None])
        assert y[0] == pytest.approx(0.0 if cell.frames == 8 else 1.0, abs=0.031)
        assert y[1] == pytest.approx((cell.top1 - 20.0) / 40.0)
    ends = [y[0] for _, _, y in lines.values()]
    assert len(set(ends)) == len(ends), "none hides another"
    texts = [one.text for one in figure.layout.annotations]
    assert {"f8", "f16", "20", "60"} <= set(texts)
    assert all(one.font.color == theme.text for one in figure.layout.annotations)


def test_what_a_cell_lacks_is_a_gap_and_one_value_lies_in_the_middle(tmp_path: Path) -> None:
    table = parallel_data(catalog_of(tmp_path, [Cell(top1=50.0)]))
    row = {**table.to_pylist()[0], "hours": None}
    import pyarrow as pa

    figure = draw_parallel(pa.Table.from_pylist([row], schema=table.schema), LIGHT, ["top1", "hours", "seed"])
    assert list(figure.data[0].y) == [0.5, None, 0.5, None]


def page(folder: Path, search: str, *, acts: bool = False) -> dict[str, Block]:
    live = LiveCatalog(FolderStorage(folder), acts=acts)
    live.refresh()
    return {block.name: block for block in page_blocks(live, read_address("explore", search), "light")}


def test_the_address_says_what_is_shown(tmp_path: Path) -> None:
    cells = [Cell(frames=frames, seed=seed, top1=50.0) for frames in (8, 16) for seed in (0, 1)]
    catalog_of(tmp_path, cells)
    blocks = page(tmp_path, "by=frames,seed&axes=seed,top1,nonsense&tag=")
    rows = blocks["groups"].rows
    assert rows is not None and rows.column_names[:2] == ["frames", "seed"] and rows.num_rows == 4
    assert list(blocks["cells"].drawing.layout.xaxis.ticktext) == ["seed", "top-1 (%)"]  # type: ignore[union-attr]
    choices = str(blocks["choices"].component("").to_plotly_json())
    assert "/explore?axes=seed&by=frames,seed" in choices, "what is chosen can be taken away"
    assert "by=frames,seed,module" in choices, "and what is not, added"
    usual = page(tmp_path, "")["groups"].rows
    assert usual is not None and usual.column("module").to_pylist() == ["TAM"]
    lr = Cell(top1=50.0, seed=2, recipe={"lr": 0.1}, axes={"recipe.lr": "0.1"})
    catalog_of(tmp_path / "other", [lr])
    table = page(tmp_path / "other", "")["cells"].rows
    assert table is not None and to_csv(table).decode().splitlines()[1].count(",recipe.lr=0.1,") == 1
    nothing = page(tmp_path, "module=i3d")
    assert nothing["groups"].rows.num_rows == 0  # type: ignore[union-attr]
    assert "none passes the filters" in str(nothing["cells"].parts[0].value)


def test_nothing_is_written_from_a_dashboard_that_only_reads(tmp_path: Path) -> None:
    catalog_of(tmp_path, [Cell(top1=50.0)])
    shown = {
        acts: str([one.parts for one in page(tmp_path, "study=own", acts=acts).values()])
        for acts in (True, False)
    }
    assert "data-annotate" in shown[True] and "data-annotate" not in shown[False]


def test_superseded_cells_are_left_out(tmp_path: Path) -> None:
    storage = make_storage(tmp_path)
    old = key("tam", 16)
    with Catalog.open(storage) as catalog:
        assert old in parallel_data(catalog).column("key").to_pylist()
    change_study(storage, ["TAM-Tiny-f16"])
    with Catalog.open(storage) as catalog:
        keys = parallel_data(catalog).column("key").to_pylist()
    assert old not in keys and new_key(old) in keys
