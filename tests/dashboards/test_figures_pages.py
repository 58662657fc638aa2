"""The figures of the pages Grid, Cell, Compare and Cost: their numbers, from grids that are known."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catalog import Catalog
from catalog.events import AttemptEnded, AttemptStarted, CellPlanned, DatasetBuilt, Event
from catalog.queries.cells import best_cells
from catalog.queries.filters import Filters
from catalog.queries.predictions import confusion, outcomes_by_video
from catalog.queries.training import (
    configuration_differences,
    costs_by_axis,
    differences,
    failures_by_kind,
    utilisation,
)
from dashboards.figures.against_published import against_published_data, draw_against_published, summary
from dashboards.figures.class_accuracy import SHOWN, TOP1, class_accuracy_data, draw_class_accuracy
from dashboards.figures.confusion import draw_confusion
from dashboards.figures.cost_by_axis import costs_of_all, draw_cost_by_axis
from dashboards.figures.cost_front import cost_front_data, draw_cost_front, front
from dashboards.figures.curves import cell_colours, curves_data, draw_curves
from dashboards.figures.failures import draw_failures
from dashboards.figures.figure import Scope
from dashboards.figures.grid import draw_grid, duration, grid_data
from dashboards.figures.lineage import draw_lineage, lineage_data
from dashboards.figures.paired import draw_paired, paired_data
from dashboards.figures.seeds import draw_seeds, seeds_data
from dashboards.figures.utilisation import draw_utilisation
from dashboards.pages import overview
from dashboards.pages.request import PageRequest, read_address
from dashboards.render.plain_figure import PlainFigure
from dashboards.render.theme import LIGHT, MODULE_COLOURS, STATE_COLOURS, epoch_axes
from dashboards.render.uncertainty import with_intervals
from dashboards.statistics import mean_over_seeds
from tests.support.figure_list import build, write_predictions
from tests.support.grid_events import DEMO, Grid, grid_events
from tests.support.measured_cells import Cell, as_published, catalog_of

GRID = Grid(
    datasets=("mini-ssv2",),
    failing=frozenset({"TSN-ResNet18-f8@mini-ssv2"}),
    unfinished=frozenset({"I3D-ResNet50-f8@mini-ssv2"}),
)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return build(tmp_path_factory.mktemp("storage"), grid_events(GRID))


@pytest.fixture(scope="module")
def comparable(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The same grid, trained and measured as the published results were."""
    return build(tmp_path_factory.mktemp("storage"), as_published(grid_events(GRID)))


def key_of(catalog: Catalog, cell: str) -> str:
    return str(catalog.query("SELECT key FROM cells WHERE cell = $c", {"c": cell}).column("key")[0].as_py())


def fields(figure: Any, part: str) -> dict[str, Any]:
    """What a grid shows, by the name in its hover."""
    trace = figure.data[0]
    shown = getattr(trace, part)
    return {
        custom[0].split("</b>")[0].removeprefix("<b>"): value
        for line, customs in zip(shown, trace.customdata, strict=True)
        for value, custom in zip(line, customs, strict=True)
        if custom[0]
    }


def test_the_grid_has_the_states_of_its_cells(catalog: Catalog) -> None:
    figure = draw_grid(grid_data(catalog))
    states = {row["cell"]: row["state"] for row in catalog.query("FROM cells").to_pylist()}
    texts = fields(figure, "text")
    assert set(texts) == set(states) and len(states) == 96
    assert {name: text for name, text in texts.items() if states[name] != "running"} == {
        name: state for name, state in states.items() if state != "running"
    }
    # The generator reports three epochs of 0.25 s each, and no more.
    assert texts["I3D-ResNet50-f8@mini-ssv2"].startswith("3/3")
    order = ("planned", "running", "done", "failed", "blocked")
    assert fields(figure, "z") == {name: order.index(state) for name, state in states.items()}
    colours = [colour for _, colour in figure.data[0].colorscale[::2]]
    assert colours == [STATE_COLOURS[state] for state in order]


def test_a_blocked_cell_says_by_whom_and_a_click_finds_the_cell(catalog: Catalog) -> None:
    customs = [custom for line in draw_grid(grid_data(catalog)).data[0].customdata for custom in line]
    (blocked,) = [custom for custom in customs if custom[2] == "TSN-ResNet18-f64@mini-ssv2"]
    assert "blocked by TSN-ResNet18-f8@mini-ssv2" in blocked[0]
    assert blocked[1] == key_of(catalog, "TSN-ResNet18-f64@mini-ssv2")


def test_the_grid_shows_accuracies_and_differences(catalog: Catalog, comparable: Catalog) -> None:
    rows = {row["cell"]: row for row in comparable.query("FROM results").to_pylist()}
    accuracy = fields(draw_grid(grid_data(comparable), value="accuracy"), "z")
    assert {name: value for name, value in accuracy.items() if value is not None} == {
        name: row["top1"] for name, row in rows.items()
    }
    nothing = draw_grid(grid_data(catalog), value="difference")
    assert not nothing.data, "three epochs are not compared with 75"
    figure = draw_grid(grid_data(comparable), value="difference")
    difference = fields(figure, "z")
    for name, row in rows.items():
        assert difference[name] == pytest.approx(row["difference"])
    assert figure.data[0].zmin == -figure.data[0].zmax


def test_seeds_share_a_field_that_counts_them(tmp_path: Path) -> None:
    grid = dataclasses.replace(DEMO, seeds=(0, 1, 2), failing=frozenset({"TAM-Tiny-f8@synthetic-motion#2"}))
    texts = fields(draw_grid(grid_data(build(tmp_path, grid_events(grid)))), "text")
    assert texts["TAM-Tiny-f8@synthetic-motion#2"] == "2/3, failed"
    assert texts["TAM-Tiny-f16@synthetic-motion#2"] == "2/3, blocked"
    assert texts["TSN-Tiny-f8@synthetic-motion"] == "3/3 done"


def test_a_running_cell_says_how_long_it_takes(tmp_path: Path) -> None:
    """Two of ten epochs in 2 × 600 s: eight more take 4800 s."""
    planned = next(event for event in grid_events(DEMO) if isinstance(event, CellPlanned))
    planned = dataclasses.replace(planned, config={"recipe": {"epochs": 10}})
    epochs = [event for event in grid_events(DEMO) if type(event).__name__ == "EpochFinished"][:2]
    start = 1_790_000_000.0
    events = [
        dataclasses.replace(planned, time=start),
        AttemptStarted(planned.key, 1, "driver", "host", "runs/x", time=start),
        *(
            dataclasses.replace(event, key=planned.key, epoch=number, time=start + 600 * number)
            for number, event in enumerate(epochs, start=1)
        ),
    ]
    (row,) = grid_data(build(tmp_path, iter(events))).to_pylist()
    assert (row["running"], row["epoch"], row["epochs"], row["eta_seconds"]) == (1, 2, 10, 4800.0)
    assert [text for line in draw_grid(grid_data(Catalog.open(tmp_path))).data[0].text for text in line] == [
        "2/10 1.3 h"
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(50, "50 s"), (720, "12 min"), (12_600, "3.5 h"), (181_440, "2.1 d")]
)
def test_durations_are_rough(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_curves_have_their_modules_colours_where_they_are_free() -> None:
    tam, tsn, i3d = (MODULE_COLOURS[module] for module in ("tam", "tsn", "i3d"))
    assert cell_colours(["TAM-ResNet50-f8@d", "TSN-ResNet50-f8@d"]) == [tam, tsn]
    again = cell_colours(["TAM-ResNet50-f8@d", "TAM-ResNet50-f16@d", "I3D-Tiny-f8@d", "TAM-Tiny-f8@d"])
    assert again[::2] == [tam, i3d] and len(set(again)) == 4
    # Nobody has seven modules' cells beside each other, but then everything must still be drawn.
    assert len(cell_colours([f"{module}-Tiny-f8@d" for module in MODULE_COLOURS] + ["odd"])) == 8


def test_curves_are_the_epochs(catalog: Catalog) -> None:
    keys = [key_of(catalog, f"TAM-ResNet50-f{frames}@mini-ssv2") for frames in (16, 8)]
    table = curves_data(catalog, keys)
    assert table.column("key").to_pylist() == [keys[0]] * 3 + [keys[1]] * 3
    drawn = [trace for trace in draw_curves(table).data if trace.customdata is not None]
    rows = table.to_pylist()[:3]
    assert [list(trace.y) for trace in drawn[:6]] == [
        [row[name] for row in rows]
        for name in ("train_loss", "val_loss", "train_top1", "top1", "lr", "clips_per_second")
    ]
    assert [trace.line.dash for trace in drawn[:2]] == ["dot", "solid"] and len(drawn) == 12
    assert drawn[0].line.color != drawn[6].line.color


def test_a_chain_is_drawn_from_its_first_weights_to_the_cell(catalog: Catalog) -> None:
    table = lineage_data(catalog, key_of(catalog, "TAM-ResNet50-f32@mini-ssv2"))
    rows = table.to_pylist()
    top1 = {row["cell"]: row["top1"] for row in catalog.query("FROM results").to_pylist()}
    assert [row["frames"] for row in rows] == [8, 16, 32] and [row["step"] for row in rows] == [2, 1, 0]
    assert [row["top1"] for row in rows] == [top1[row["cell"]] for row in rows]
    figure = draw_lineage(table)
    assert len(figure.data[0].x) == 4 and f"{rows[-1]['top1']:.2f} %" in figure.data[0].text[-1]
    checked = [note.text for note in figure.layout.annotations if note.text]
    assert checked == [f"rechecked {row['rechecked_top1']:.2f} %,<br>on a part" for row in rows[1:]]
    counted = [{**row, "rechecked_top1": 200 / 3, "rechecked_videos": 3} for row in rows]
    notes = draw_lineage(pa.Table.from_pylist(counted)).layout.annotations
    assert [note.text for note in notes if note.text] == ["rechecked: 2 of<br>3 videos"] * 3
    blocked = draw_lineage(lineage_data(catalog, key_of(catalog, "TSN-ResNet18-f16@mini-ssv2")))
    assert [text.split("<br>")[1] for text in blocked.data[0].text[1:]] == ["failed", "blocked"]


LABELS = [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
FIRST = [0, 0, 1, 2, 1, 1, 1, 2, 0, 2]
SECOND = [0, 0, 0, 0, 0, 1, 1, 2, 2, 1]
VIDEOS = [f"{place}.mp4" for place in range(10)]


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Catalog, list[str]]:
    storage = tmp_path_factory.mktemp("storage")
    keys = sorted(event.key for event in grid_events(DEMO) if isinstance(event, CellPlanned))[:3]
    write_predictions(storage, keys[0], LABELS, FIRST, VIDEOS)
    write_predictions(storage, keys[1], LABELS, SECOND, VIDEOS)
    write_predictions(storage, keys[2], LABELS[:-1], SECOND[:-1], VIDEOS[:-1])
    return build(storage, grid_events(DEMO)), keys


def test_the_confusion_matrix_counts_by_class(predicted: tuple[Catalog, list[str]]) -> None:
    catalog, keys = predicted
    figure = draw_confusion(confusion(catalog, keys[0]))
    shares = [
        [pytest.approx(value) for value in line]
        for line in ([50, 25, 25], [0, 100, 0], [100 / 3, 0, 200 / 3])
    ]
    assert [list(line) for line in figure.data[0].z] == shares
    assert "1 of 4 videos" in figure.data[0].customdata[0][1]
    assert [list(line) for line in figure.data[0].text] == [
        ["2/4", "1/4", "1/4"],
        ["", "3/3", ""],
        ["1/3", "", "2/3"],
    ]
    (title,) = figure.layout.annotations
    cell = catalog.query("SELECT cell FROM cells WHERE key = ?", [keys[0]]).column("cell")[0].as_py()
    assert title.text == f"{cell}, validation videos, last checkpoint, n = 10 videos"
    assert figure.layout.yaxis.scaleanchor == "x", "square fields"
    assert list(figure.layout.xaxis.ticktext) == ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize(("classes", "diagonal"), [(8, "5/5"), (9, "5"), (20, "5"), (21, None)])
def test_numbers_stand_in_the_fields_of_matrices_that_have_room(classes: int, diagonal: str | None) -> None:
    rows = [
        {
            "cell": "c",
            "evaluation": "e" * 32,
            "checkpoint": "last",
            "split": "val",
            "label": n,
            "class": f"c{n}",
            "predicted": n,
            "predicted_class": f"c{n}",
        }
        for n in range(classes)
    ]
    figure = draw_confusion(pa.Table.from_pylist([{**row, "videos": 5} for row in rows]))
    text = figure.data[0].text
    assert (text and text[0][0]) == diagonal and (diagonal is None or text[0][1] == "")
    said = f"validation videos, last checkpoint (evaluation {'e' * 12})"
    assert figure.layout.annotations[0].text == f"c, {said}, n = {5 * classes} videos"


@pytest.mark.parametrize(("last", "dtick"), [(1, 1), (4, 1), (10, 1), (11, None)])
def test_ticks_of_epochs_are_whole(last: int, dtick: int | None) -> None:
    figure = PlainFigure(cols=2)
    epoch_axes(figure, range(1, last + 1), bottom=1)
    for axis in (figure.drawn().layout.xaxis, figure.drawn().layout.xaxis2):
        assert (axis.dtick, axis.tickformat, axis.title.text) == (dtick, None, "epoch")


def test_classes_are_sorted_with_their_intervals(predicted: tuple[Catalog, list[str]]) -> None:
    catalog, keys = predicted
    table = class_accuracy_data(catalog, keys[0])
    figure = draw_class_accuracy(table)
    assert list(figure.layout.yaxis.ticktext) == ["class 1", "class 2", "class 0"]
    assert list(figure.data[0].x) == pytest.approx([100, 200 / 3, 50])
    (row,) = [row for row in table.to_pylist() if row["label"] == 0]
    assert row["videos"] == 4 and row["top1_low"] < 50 < row["top1_high"]
    # Four classes: five guesses are never wrong.
    assert "top5" not in row and "top-5" not in figure.data[0].customdata[0]


def test_of_many_classes_the_best_and_worst_are_drawn() -> None:
    rows = [{"label": n, "class": f"c{n}", "videos": 50, "top1": 100.0 - n, "top5": 100.0} for n in range(87)]
    figure = draw_class_accuracy(with_intervals(pa.Table.from_pylist(rows), TOP1))
    names = list(figure.layout.yaxis.ticktext)
    assert len(names) == SHOWN and names[0] == "c0" and names[-1] == "c86" and "c40" not in names
    assert "the 20 best and the 20 worst of 87" in figure.layout.annotations[0].text


def test_pairs_are_tested_on_the_same_videos(predicted: tuple[Catalog, list[str]]) -> None:
    catalog, keys = predicted
    rows = paired_data(catalog, keys).to_pylist()
    first = [one == other for one, other in zip(FIRST, LABELS, strict=True)]
    second = [one == other for one, other in zip(SECOND, LABELS, strict=True)]
    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    pair = rows[0]
    assert (pair["first_key"], pair["second_key"], pair["videos"]) == (*keys[:2], 10)
    assert (pair["only_first"], pair["only_second"]) == (only_first, only_second) == (2, 3)
    assert pair["difference"] == pytest.approx(-10) and pair["low"] < -10 < pair["high"]
    # 2 (1 + 5 + 10) / 2⁵ = 1, less 10 / 32 for the mid-p.
    assert (pair["exact"], pair["mid_p"]) == pytest.approx((1.0, 22 / 32))
    assert pair["holm"] == pytest.approx(22 / 32)
    assert [row["problem"] for row in rows[1:]] == ["These cells were not measured on the same videos."] * 2
    assert len(draw_paired(paired_data(catalog, keys)).data[0].x) == 1


@pytest.mark.parametrize("videos", [[f"folder/other-{name}" for name in VIDEOS], None])
def test_equal_labels_do_not_make_videos_the_same(tmp_path: Path, videos: list[str] | None) -> None:
    keys = sorted(event.key for event in grid_events(DEMO) if isinstance(event, CellPlanned))[:2]
    write_predictions(tmp_path, keys[0], LABELS, FIRST, VIDEOS)
    write_predictions(tmp_path, keys[1], LABELS, SECOND, videos)
    catalog = build(tmp_path, grid_events(DEMO))
    (row,) = paired_data(catalog, keys).to_pylist()
    assert row["problem"] == "These cells were not measured on the same videos." and row["holm"] is None
    named = {row["videos"] for row in outcomes_by_video(catalog, keys).to_pylist()}
    assert len(named) == 2


@pytest.mark.parametrize(
    ("second", "names", "same"), [("a", None, True), ("b", VIDEOS, False)], ids=["one list", "two lists"]
)
def test_the_hash_of_their_list_says_which_videos_were_measured(
    tmp_path: Path, second: str, names: list[str] | None, same: bool
) -> None:
    """Whatever their files are called: other videos may have the same names, and old files have none."""
    keys = sorted(event.key for event in grid_events(DEMO) if isinstance(event, CellPlanned))[:2]
    lists = dict(zip(keys, ("a", second), strict=True))
    for key, predicted in zip(keys, (FIRST, SECOND), strict=True):
        write_predictions(tmp_path, key, LABELS, predicted, names)
    events: list[Event] = [
        dataclasses.replace(event, key_parts={"data": {"train": f"train {lists[event.key]} of {event.key}"}})
        if isinstance(event, CellPlanned) and event.key in lists
        else event
        for event in grid_events(DEMO)
    ]
    built: dict[str, Any] = {"manifest": "none", "classes": [], "videos": {}, "frames": 0}
    built |= {"frame_format": "", "quarantined": 0, "time": 1.0}
    events += [
        DatasetBuilt("d", train_hash=f"train {videos} of {key}", val_hash=videos, **built)
        for key, videos in lists.items()
    ]
    catalog = build(tmp_path, iter(events))
    (row,) = paired_data(catalog, keys).to_pylist()
    assert (row["problem"] is None, row["videos"] == 10) == (same, same)
    assert (len({one["videos"] for one in outcomes_by_video(catalog, keys).to_pylist()}) == 1) == same


def test_cells_without_predictions_say_so(catalog: Catalog) -> None:
    keys = [key_of(catalog, f"TAM-ResNet50-f{frames}@mini-ssv2") for frames in (8, 16)]
    (row,) = paired_data(catalog, keys).to_pylist()
    assert row["problem"] == "No common predictions of these cells are known." and row["holm"] is None
    assert "No common predictions" in draw_paired(paired_data(catalog, keys)).layout.annotations[0].text


def test_differing_settings_go_first() -> None:
    table = differences(
        {
            "a": {"frames": 8, "recipe": {"lr": 0.1, "milestones": [1, 2], "extra": {}}},
            "b": {"frames": 8, "recipe": {"lr": 0.2, "milestones": [1, 2]}},
        }
    )
    rows = {row["setting"]: (row["differs"], row["a"], row["b"]) for row in table.to_pylist()}
    assert rows == {
        "recipe.lr": (True, "0.1", "0.2"),
        "recipe.extra": (True, "{}", "–"),
        "frames": (False, "8", "8"),
        "recipe.milestones": (False, "[1, 2]", "[1, 2]"),
    }
    assert table.column("differs").to_pylist() == [True, True, False, False]


def test_cells_differ_in_their_axes(catalog: Catalog) -> None:
    keys = [key_of(catalog, f"{name}-f8@mini-ssv2") for name in ("TAM-ResNet50", "S3D-ResNet50-tp")]
    rows = [row for row in configuration_differences(catalog, keys).to_pylist() if row["differs"]]
    assert [row["setting"] for row in rows] == ["module", "temporal_pooling"]


def test_seeds_have_a_mean_and_an_interval(tmp_path: Path) -> None:
    grid = dataclasses.replace(DEMO, modules=("tam",), seeds=(0, 1, 2))
    catalog = build(tmp_path, grid_events(grid))
    rows = {row["cell"]: row for row in seeds_data(catalog).to_pylist()}
    values = catalog.query("SELECT top1 FROM results WHERE cell LIKE 'TAM-Tiny-f8@synthetic-motion%'")
    row = rows["TAM-Tiny-f8@synthetic-motion"]
    three = values.column("top1").to_pylist()
    span = mean_over_seeds(three, row["eval_videos"])
    assert row["mean"] == pytest.approx(sum(three) / 3) and len(rows) == 8
    assert (row["low"], row["high"]) == (span.low, span.high) and 0 < span.low < span.high < 100
    assert len(draw_seeds(seeds_data(catalog)).data) == 16


def costly(tmp_path: Path, gpus: int) -> Catalog:
    """Two chains of two lengths; an attempt lasts 1800 s × length / 8; the last cell is open."""
    start, events = 1_790_000_000.0, []
    grid = Grid(modules=("tsn", "tam"), backbones=("resnet50",), poolings=(False,), frames=(8, 16), epochs=2)
    grid = dataclasses.replace(grid, datasets=("mini-ssv2",))
    resources = {"workers": 1, "gpus_per_worker": gpus, "cpus_per_worker": 4}
    keys: list[str] = []
    for event in grid_events(grid):
        if isinstance(event, CellPlanned):
            config = {"recipe": {"epochs": 2}, "resources": resources}
            events.append(dataclasses.replace(event, config=config))
            keys.append(event.key)
            continue
        place = keys.index(event.key) if hasattr(event, "key") else 0
        if place == 3:
            continue
        begin = start + 10_000 * place
        end = begin + 1800 * (1 + place % 2)
        when = begin if isinstance(event, AttemptStarted) else end
        events.append(dataclasses.replace(event, time=when))
    return build(tmp_path, iter(events))


def test_hours_are_counted_and_expected_by_axis(tmp_path: Path) -> None:
    catalog = costly(tmp_path, gpus=2)
    rows = {(row["axis"], row["value"]): row for row in costs_by_axis(catalog).to_pylist()}
    # f8: 2 × 0.5 h × 2 GPUs; f16: 1 h × 2 GPUs done, and the open one at the pace of the other three.
    assert rows["frames", "f8"]["gpu_hours_spent"] == pytest.approx(2.0)
    assert rows["frames", "f16"]["gpu_hours_spent"] == pytest.approx(2.0)
    assert rows["frames", "f16"]["gpu_hours_expected"] == pytest.approx(4.0)
    assert rows["module", "tam"]["cpu_hours_spent"] == pytest.approx(0.5 * 4)
    figure = draw_cost_by_axis(costs_by_axis(catalog))
    assert figure.layout.yaxis.title.text == "GPU-hours"
    spent = [trace for trace in figure.data if trace.name == "spent"]
    assert [list(trace.x) for trace in spent] == [["TAM", "TSN"], ["f8", "f16"]]


def test_totals_count_every_cell_once_and_what_is_left(tmp_path: Path) -> None:
    catalog = costly(tmp_path, gpus=2)
    totals = costs_of_all(costs_by_axis(catalog))
    assert totals is not None
    assert (totals["cells"], totals["done"], totals["unknown"]) == (4, 3, 0)
    assert totals["gpu_hours_spent"] == pytest.approx(4.0)
    assert totals["gpu_hours_left"] == pytest.approx(2.0)
    assert costs_of_all(costs_by_axis(catalog, Filters(module=("i3d",)))) is None


def test_before_a_cell_has_finished_nothing_is_said_of_what_is_left(tmp_path: Path) -> None:
    catalog = build(tmp_path, (event for event in grid_events(GRID) if isinstance(event, CellPlanned)))
    totals = costs_of_all(costs_by_axis(catalog))
    assert totals is not None
    assert totals["unknown"] == totals["cells"] > 0
    assert totals["gpu_hours_left"] is None
    assert totals["cpu_hours_left"] is None


def test_without_gpus_cores_are_counted(tmp_path: Path) -> None:
    catalog = costly(tmp_path, gpus=0)
    assert draw_cost_by_axis(costs_by_axis(catalog)).layout.yaxis.title.text == "CPU-core-hours"
    assert "CPU" in draw_cost_front(cost_front_data(catalog)).layout.xaxis.title.text
    assert draw_utilisation(utilisation(catalog)).layout.yaxis.title.text == "reserved CPU cores"


def test_a_longer_clip_costs_its_whole_chain(tmp_path: Path) -> None:
    rows = {row["cell"]: row for row in cost_front_data(costly(tmp_path, gpus=1)).to_pylist()}
    hours = {name: row["gpu_hours"] for name, row in rows.items()}
    assert hours == {
        "TSN-ResNet50-f8@mini-ssv2": pytest.approx(0.5),
        "TSN-ResNet50-f16@mini-ssv2": pytest.approx(1.5),
        "TAM-ResNet50-f8@mini-ssv2": pytest.approx(0.5),
    }
    assert [name for name, row in rows.items() if row["on_front"]] == ["TAM-ResNet50-f8@mini-ssv2"]
    long = cost_front_data(Catalog.open(tmp_path), Scope(Filters(frames=(16,)))).to_pylist()
    assert [(row["frames"], row["gpu_hours"]) for row in long] == [(16, pytest.approx(1.5))]


def test_the_front_has_no_model_that_a_cheaper_one_beats() -> None:
    points = [(1, 50), (2, 50), (2, 60), (3, 55), (4, 61), (1, 49)]
    rows = [{"dataset": "d", "hours": hours, "top1": top1} for hours, top1 in points]
    found = {points[place] for place in front(rows, "hours")}
    slow = {
        (hours, top1)
        for hours, top1 in points
        if not any((h <= hours and t > top1) or (h < hours and t >= top1) for h, t in points)
    }
    assert found == slow == {(1, 50), (2, 60), (4, 61)}


def test_utilisation_adds_up_to_the_hours_spent(tmp_path: Path) -> None:
    rows = utilisation(costly(tmp_path, gpus=2)).to_pylist()
    assert len(rows) == 200
    assert sum(row["gpus"] * row["seconds"] for row in rows) / 3600 == pytest.approx(4.0, rel=1e-6)
    assert max(row["gpus"] for row in rows) == pytest.approx(2.0)
    # From the first end (0.5 h) to the second start (10,000 s) nothing runs.
    idle = [row for row in rows if row["gpus"] < 1e-9]
    assert sum(row["seconds"] for row in idle) == pytest.approx(2 * 10_000 - 1800 - 3600, rel=0.02)


def test_failures_are_counted_by_kind(tmp_path: Path) -> None:
    events = (
        dataclasses.replace(event, state="interrupted", error=None)
        if isinstance(event, AttemptEnded) and (event.attempt, event.state) == (1, "failed")
        else event
        for event in grid_events(GRID)
    )
    catalog = build(tmp_path, events)
    rows = failures_by_kind(catalog).to_pylist()
    assert [(row["kind"], row["attempts"], row["cells"], row["cells_failed"]) for row in rows] == [
        ("ReadError", 1, 1, 1),
        ("interrupted", 1, 1, 1),
    ]
    assert rows[0]["example"] == "TSN-ResNet18-f8@mini-ssv2"
    bars = draw_failures(failures_by_kind(catalog)).data
    assert [list(bar.x) for bar in bars] == [[1, 1], [1, 1]] and "&lt;clip" in bars[0].customdata[0]


def test_cells_outside_their_interval_are_listed_first(comparable: Catalog) -> None:
    table = against_published_data(comparable)
    rows = table.to_pylist()
    flags = [row["outside"] for row in rows]
    assert flags == sorted(flags, reverse=True) and 0 < sum(flags) < len(flags)
    assert summary(table).startswith(f"{sum(flags)} of {len(flags)} comparable models lie outside")
    figure = draw_against_published(table)
    filled = [
        symbol
        for trace in figure.data
        if trace.customdata is not None
        for symbol in trace.marker.symbol
        if not symbol.endswith("-open")
    ]
    assert len(filled) == sum(flags)


def test_the_best_cell_and_a_mean_say_what_the_seeds_were(tmp_path: Path) -> None:
    cells = [Cell(seed=0, top1=45.2), Cell(seed=1, top1=74.2), Cell(module="tsn", top1=60.0)]
    catalog = catalog_of(tmp_path, cells)
    (best,) = best_cells(catalog, None).to_pylist()
    assert (best["top1"], best["of_seeds"], best["ties"]) == (74.2, [45.2, 74.2], 0)
    shown = overview.blocks(PageRequest(catalog, read_address("/", ""), LIGHT, "storage"))
    assert "(seeds 45.2, 74.2)" in str([part.value for block in shown for part in block.parts])
    figure = draw_seeds(seeds_data(catalog))
    name = best["cell"].removesuffix("#1")
    assert list(figure.layout.yaxis.ticktext) == [f"{name} (2 seeds)"]
    assert [one.split("<br>") for one in figure.data[0].customdata] == [
        [f"<b>{name}</b>", "seed 0"],
        [f"<b>{name}</b>", "seed 1"],
    ]
