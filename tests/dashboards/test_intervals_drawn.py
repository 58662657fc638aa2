"""Bars of error in figures: inside the axes, none over another; few videos and two seeds make them long."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from catalog import Catalog
from dashboards.figures.axes import accuracy_range, interval_ends, kept_apart, side_by_side
from dashboards.figures.figure import Scope
from dashboards.figures.registry import exports, figures
from dashboards.render.plain_figure import scatter
from dashboards.report.paper import FigureError, Plain, paper_figure
from tests.support.measured_cells import Cell, catalog_of

VIDEOS = 31
MODELS = {"tsn": 20.0, "tam": 62.0, "i3d": 55.0}


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """Two seeds that differ by 26 points on 31 videos, of a set of the paper's and one of one's own."""
    cells = [
        Cell(
            **{"study": study, "module": module, "backbone": "resnet50", "temporal_pooling": pooled},
            **{"dataset": dataset, "frames": frames, "seed": seed, "top1": top1 - 13 + 26 * seed},
            finished={"eval_videos": VIDEOS},
        )
        for study, dataset in (("one", "mini-ssv2"), ("two", "mini-ssv2"), ("one", "my-videos"))
        for module, top1 in MODELS.items()
        for pooled in (False, True)
        for frames in (8, 32)
        for seed in (0, 1)
    ]
    more = [
        cell.evaluated(cell.top1 + 3, clips=clips, crops=3, videos=VIDEOS, sampling=sampling)
        for cell in cells
        for clips in (1, 5, 10)
        for sampling in ("uniform", "dense")
    ]
    with catalog_of(tmp_path_factory.mktemp("few"), cells, *more) as catalog:
        yield catalog


@cache
def drawn(catalog: Catalog, name: str) -> list[Plain]:
    found = []
    for source in ("own", "both", "published"):
        # Some are of one's own results alone, or there are none of these.
        with suppress(FigureError):
            found.append(paper_figure(catalog, name, source))
    return found


def with_bars(figure: Plain, letter: str) -> list[Any]:
    return [trace for trace in figure["data"] if (trace.get(f"error_{letter}") or {}).get("array")]


@pytest.mark.parametrize("name", sorted(exports()))
def test_every_interval_is_drawn_whole(few: Catalog, name: str) -> None:
    for figure in drawn(few, name):
        for trace in with_bars(figure, "y"):
            axis = figure["layout"][trace.get("yaxis", "y").replace("y", "yaxis")]
            ends = interval_ends([trace])
            if "range" in axis and ends:
                low, high = axis["range"]
                assert low <= min(ends) and max(ends) <= high, f"{name}: {axis['range']} cuts {ends}"
            if (figure["layout"]["yaxis"].get("title") or {}).get("text") == "top-1 (%)" and "range" in axis:
                assert axis["range"][0] >= -2, "room for a symbol at 0, no more"


@pytest.mark.parametrize("name", sorted(exports()))
def test_no_interval_lies_over_another(few: Catalog, name: str) -> None:
    for figure in drawn(few, name):
        for letter, across in (("y", "x"), ("x", "y")):
            places = Counter(
                place for trace in with_bars(figure, letter) for place in _places(trace, letter, across)
            )
            twice = {place: count for place, count in places.items() if count > 1}
            assert not twice, f"{name}: {twice}"


def _places(trace: Any, letter: str, across: str) -> Iterator[tuple[Any, ...]]:
    """Where the bars of error of a trace stand: panel, position, and place within a group of bars."""
    spans = trace[f"error_{letter}"]["array"]
    names = [*zip(*trace[across], strict=True)] if isinstance(trace[across][0], list) else trace[across]
    for name, span in zip(names, spans, strict=True):
        if span is not None:
            yield trace.get("xaxis", "x"), name, trace.get("offsetgroup"), trace.get("offset")


def test_the_chance_level_is_written_where_no_interval_can_cross_it(few: Catalog) -> None:
    layout = paper_figure(few, "fig4", "own")["layout"]
    titles = [note for note in layout["annotations"] if "chance" in note["text"]]
    assert titles and layout["shapes"], "a text, and the line"
    inside = [note for note in layout["annotations"] if note["yref"] != "paper" or note["y"] < 1]
    assert not inside


@pytest.mark.parametrize("name", ["fig1", "fig4", "fig5", "fig6", "fig8", "front", "against"])
def test_no_label_stands_among_the_intervals(few: Catalog, name: str) -> None:
    for figure in drawn(few, name):
        notes = figure["layout"].get("annotations", ())
        tops = {axis["domain"][1] for key, axis in figure["layout"].items() if key.startswith("yaxis")}
        assert all(note["yref"] == "paper" and note["y"] in tops for note in notes), name


def test_means_say_what_their_intervals_count(few: Catalog, tmp_path: Path) -> None:
    for name in ("fig1", "fig4", "fig5", "fig8", "front"):
        assert "95 % interval (n = 31 videos, 2 seeds)" in legend(paper_figure(few, name, "own")), name
    assert "95 % interval (videos, seeds)" in legend(paper_figure(few, "fig4", "both"))
    assert "n = 31 videos, 2 seeds" in str(paper_figure(few, "seeds", "own")["layout"]["annotations"])
    with catalog_of(tmp_path, [Cell()]) as catalog:
        single = legend(paper_figure(catalog, "fig4", "own"))
        assert "95 % interval (n = " in single and "seed" not in single


def legend(figure: Plain) -> str:
    return " ".join(trace.get("name", "") for trace in figure["data"] if trace.get("showlegend"))


def test_words_beside_lines_stand_beyond_all_intervals(tmp_path: Path) -> None:
    cells = [
        Cell(
            **{"module": module, "frames": frames, "top1": top1, "axes": {"recipe.lr": rate}},
            recipe={"lr": float(rate)},
            finished={"eval_videos": VIDEOS},
        )
        for module, top1 in MODELS.items()
        for rate in ("0.01", "0.1")
        for frames in (8, 16)
    ]
    with catalog_of(tmp_path, cells) as catalog:
        figure = paper_figure(catalog, "fig4", "own")
    (words,) = [trace for trace in figure["data"] if trace.get("mode") == "text"]
    assert sorted(words["text"]) == ["lr 0.01"] * 3 + ["lr 0.1"] * 3
    assert min(words["x"]) > max(x for trace in with_bars(figure, "y") for x in trace["x"] if x)
    assert max(words["x"]) < 10 ** figure["layout"]["xaxis"]["range"][1]
    low, high = figure["layout"]["yaxis"]["range"]
    heights = sorted(words["y"])
    assert all(above - below >= 0.05 * (high - low) for below, above in pairwise(heights))


def test_values_are_moved_no_more_than_needed() -> None:
    assert kept_apart([], 1.0) == [] and kept_apart([5.0, 1.0], 2.0) == [5.0, 1.0]
    assert kept_apart([3.0, 3.0], 2.0) == pytest.approx([2.0, 4.0])


def test_a_menu_keeps_clear_of_the_titles_however_low_panels_are(few: Catalog) -> None:
    known = figures()["accuracy-by-frames"]
    (menu,) = known.draw(known.data(few, Scope())).layout.updatemenus
    # A share of the height would shrink with the panels; two lines of a title are 40 pixels.
    assert menu.y == 1 and menu.yanchor == "bottom" and menu.pad.b >= 40


def test_points_of_one_place_stand_side_by_side() -> None:
    assert side_by_side([8, 16, 32]) == [8, 16, 32] and side_by_side([]) == []
    assert side_by_side([0, 10, 10, 10]) == pytest.approx([0, 9.85, 10, 10.15])
    assert side_by_side([5.0, 5.0], span=100) == pytest.approx([4.25, 5.75])
    eight, other, sixteen = side_by_side([8, 8, 16], log=True)
    assert sixteen == 16 and eight < 8 < other and eight * other == pytest.approx(64)
    # However many: never as far as the next length.
    crowd = side_by_side([8.0] * 40 + [16.0] * 40, log=True)
    assert len(set(crowd)) == 80 and max(crowd[:40]) / 8 < 1.06 and min(crowd[40:]) / 16 > 0.94


def test_an_axis_of_accuracies_ends_where_accuracies_do() -> None:
    bars = {"array": [40.0, None], "arrayminus": [18.0, None]}
    trace = scatter(x=[8, 16], y=[20.0, 62.0], error_y=bars)
    assert accuracy_range([trace]) == pytest.approx([-2, 62 + 0.08 * 60])
    assert accuracy_range([scatter(x=[8], y=[99.0])], 100.0) == pytest.approx([98.6, 100.4])
