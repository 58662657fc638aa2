"""The figures' numbers, computed again from the CSV in plain Python, so that SQL is not its own judge."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catalog import Catalog
from catalog.events import CellEvaluated, Event
from catalog.names import label
from catalog.queries.accuracies import (
    accuracies_by_clips,
    accuracies_by_frames,
    accuracies_by_macs,
    accuracies_of_models,
    contribution_pairs,
    contributions,
)
from catalog.queries.filters import ALL, Filters
from catalog.queries.published import (
    TABLES,
    printed_contributions,
    printed_sampling_gains,
    printed_table,
    printed_tables,
)
from dashboards.figures.accuracy_by_clips import draw_accuracy_by_clips
from dashboards.figures.accuracy_by_frames import draw_accuracy_by_frames
from dashboards.figures.accuracy_by_macs import LARGEST, draw_accuracy_by_macs
from dashboards.figures.contributions import contributions_data, draw_contributions, footnote
from dashboards.figures.figure import Scope
from dashboards.figures.i3d_steps import draw_i3d_steps, i3d_steps_data
from dashboards.figures.registry import figures
from dashboards.figures.sampling import draw_sampling, sampling_data
from dashboards.figures.temporal_pooling_gain import draw_temporal_pooling_gain, temporal_pooling_gain_data
from dashboards.render.theme import BACKBONE_SYMBOLS, MODULE_COLOURS
from dashboards.statistics import accuracy_interval, holm, unpaired_difference
from dashboards.statistics.same_videos import PairedCounts, paired_difference
from tests.support.drawn_lines import drawn_lines, is_bar
from tests.support.figure_list import write_predictions
from tests.support.grid_events import DEMO, Grid, grid_events, write_quickly
from tests.support.measured_cells import Cell, catalog_of

Model = tuple[str, str, str, bool, int]


def published() -> dict[Model, dict[str, float]]:
    text = (resources.files("catalog") / "published" / "mini_results.csv").read_text()
    return {
        (
            row["dataset"],
            row["module"],
            row["backbone"],
            row["temporal_pooling"] == "True",
            int(row["frames"]),
        ): {name: float(row[name]) for name in ("top1", "macs", "params")}
        for row in csv.DictReader(text.splitlines())
    }


RESULTS = published()


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    return Catalog.open(tmp_path_factory.mktemp("storage"))


def named(trace: Any) -> list[str]:
    return [hover.split("</b>")[0].removeprefix("<b>") for hover in trace.customdata]


def name_of(model: Model) -> str:
    dataset, module, backbone, pooled, frames = model
    return f"{label(module)}-{label(backbone)}{'-tp' if pooled else ''}-f{frames}@{dataset}"


def test_figure_4s_points_are_the_published_accuracies(empty: Catalog) -> None:
    figure = draw_accuracy_by_frames(accuracies_by_frames(empty, source="published"))
    lines = drawn_lines(figure)
    points = {point.name: (point.x, point.y) for line in lines for point in line.points}
    assert {name: y for name, (_, y) in points.items()} == {
        name_of(model): values["top1"] for model, values in RESULTS.items()
    }
    # Side by side where several models have one length, and closer to it than to any other.
    assert all(points[name_of(model)][0] == pytest.approx(model[4], rel=0.2) for model in RESULTS)
    titles = [note.text.partition("<br>")[0] for note in figure.layout.annotations]
    assert titles[:3] == ["Mini-Kinetics", "Mini-MiT", "Mini-SSV2"]
    for line in lines:
        models = [next(model for model in RESULTS if name_of(model) == point.name) for point in line.points]
        assert len({model[:4] for model in models}) == 1 and len(models) == 4
        _, module, backbone, pooled, _ = models[0]
        assert line.trace.line.color == MODULE_COLOURS[module]
        assert {point.symbol for point in line.points} == {f"{BACKBONE_SYMBOLS[backbone]}-open"}
        assert line.trace.line.dash == ("dash" if pooled else "solid")
    assert len(lines) == 72 and list(figure.layout.xaxis3.tickvals) == [8, 16, 32, 64]


def test_figure_6s_bars_are_the_published_gains(empty: Catalog) -> None:
    figure = draw_temporal_pooling_gain(temporal_pooling_gain_data(empty, source="published"))
    bars = {
        name: gain
        for trace in figure.data
        if is_bar(trace)
        for name, gain in zip(named(trace), trace.y, strict=True)
    }
    assert len(bars) == 144
    for model, values in RESULTS.items():
        if not model[3]:
            pooled = RESULTS[(*model[:3], True, model[4])]["top1"]
            assert bars[name_of(model)] == pytest.approx(pooled - values["top1"], abs=1e-9)


def test_table_7s_bars_are_equation_1(empty: Catalog) -> None:
    figure = draw_contributions(contributions_data(empty, Scope(source="published")))
    bars = {named(trace)[0]: list(trace.y) for trace in figure.data if is_bar(trace)}
    assert len(bars) == 9
    for dataset in ("mini-ssv2", "mini-kinetics", "mini-mit"):
        for module in ("i3d", "s3d", "tam"):
            phi, psi = [], {False: [], True: []}  # type: ignore[var-annotated]
            for (d, m, backbone, pooled, frames), values in RESULTS.items():
                if (d, m) == (dataset, module):
                    tsn, own = RESULTS[d, "tsn", backbone, False, frames]["top1"], values["top1"]
                    psi[pooled].append((own - tsn) / (100 - tsn))
                    phi += [] if pooled else [tsn / max(own, tsn)]
            means = [math.fsum(part) / 12 for part in (phi, psi[False], psi[True])]
            assert bars[f"{label(module)}@{dataset}"] == pytest.approx(means, abs=1e-12)


def test_the_footnote_counts_what_differs(empty: Catalog) -> None:
    printed = printed_contributions(empty)
    rows = printed.to_pylist()
    assert len(rows) == 27 and sum(not row["agrees"] for row in rows) == 8
    assert {row["module"] for row in rows if not row["agrees"]} == {"i3d", "s3d"}
    assert {row["metric"] for row in rows if not row["agrees"]} == {"phi", "psi_ta"}
    assert all(row["agrees_exchanged"] for row in rows)
    assert "19 of the 27" in footnote(printed) and "8 differ" in footnote(printed)


def test_the_cells_behind_an_average(tmp_path: Path) -> None:
    grid = Grid(datasets=("mini-ssv2",), unfinished=frozenset({"TAM-ResNet50-f64@mini-ssv2"}))
    write_quickly(tmp_path, grid_events(grid))
    catalog = Catalog.open(tmp_path)
    filters = Filters(module=("tam",))
    pairs = contribution_pairs(catalog, filters, "own").to_pylist()
    (mean,) = contributions(catalog, filters, "own").to_pylist()
    plain = [row for row in pairs if not row["temporal_pooling"]]
    assert len(pairs) == 24 and (mean["n"], mean["missing"]) == (11, 1)
    (missing,) = [row for row in plain if row["psi"] is None]
    assert (missing["backbone"], missing["frames"], missing["top1"]) == ("resnet50", 64, None)
    known = [row["psi"] for row in plain if row["psi"] is not None]
    assert mean["psi_ta"] == pytest.approx(sum(known) / 11)


def test_figure_1_places_models_by_the_cost_of_all_views(empty: Catalog) -> None:
    table = accuracies_by_macs(empty, Filters(dataset=("mini-mit",)), "published")
    for circle in ("macs", "params"):
        figure = draw_accuracy_by_macs(table, circle=circle)  # type: ignore[arg-type]
        largest = max(values[circle] for model, values in RESULTS.items() if model[0] == "mini-mit")
        drawn = {}
        for trace in figure.data:
            if trace.customdata is not None:
                for name, x, y, size in zip(named(trace), trace.x, trace.y, trace.marker.size, strict=True):
                    drawn[name] = (x, y, size)
        for model, values in RESULTS.items():
            if model[0] == "mini-mit":
                x, y, size = drawn[name_of(model)]
                assert (x, y) == (values["macs"], values["top1"])
                assert size == pytest.approx(max(6, LARGEST * math.sqrt(values[circle] / largest)))
        assert len(drawn) == 96
    kinetics = accuracies_by_macs(empty, Filters(dataset=("kinetics",)), "published").to_pylist()
    places = {(row["cell"], row["sampling"]): row["total_macs"] for row in kinetics}
    assert places["I3D-ResNet50@kinetics (ImageNet)", "dense"] == 30 * 335_300_000_000
    assert places["I3D-ResNet50@kinetics (ImageNet)", "uniform"] == 6 * 335_300_000_000


def test_figure_6_has_the_intervals_of_published_gains(empty: Catalog) -> None:
    """Of two trainings on the official validation videos; Holm over the published gains alone."""
    rows = temporal_pooling_gain_data(empty, source="published").to_pylist()
    spans = [
        unpaired_difference(
            accuracy_interval(row["top1_with"], row["videos_with"]),
            accuracy_interval(row["top1_without"], row["videos_without"]),
        )
        for row in rows
    ]
    assert [(row["gain_low"], row["gain_high"]) for row in rows] == [
        (pytest.approx(span.low, abs=1e-9), pytest.approx(span.high, abs=1e-9)) for span in spans
    ]
    assert {row["gain_paired"] for row in rows} == {False} and len(rows) == 144
    corrected = holm([row["gain_p"] for row in rows])
    assert [row["gain_holm"] for row in rows] == pytest.approx(corrected)
    assert {row["gain_verdict"] for row in rows if row["gain_holm"] >= 0.05} == {"cannot be told"}
    figure = draw_temporal_pooling_gain(temporal_pooling_gain_data(empty))
    assert "95 % interval (videos)" in [trace.name for trace in figure.data if trace.showlegend]


def test_figure_7_walks_along_the_printed_changes(empty: Catalog) -> None:
    rows = i3d_steps_data(empty, source="published").to_pylist()
    kinetics = {row["step"]: row for row in rows if row["dataset"] == "kinetics"}
    values = {name: round(row["top1"], 2) for name, row in kinetics.items()}
    assert values == {
        "I3D-InceptionV1-tp": 71.51,
        "I3D-ResNet50-tp": 75.51,
        "I3D-ResNet50": 76.61,
        "I3D-SE-ResNet50": 77.2,
    }
    assert [name for name, row in kinetics.items() if row["printed"]] == ["I3D-ResNet50"]
    assert kinetics["I3D-ResNet50-tp"]["change"] == 4.0 and kinetics["I3D-ResNet50"]["change"] == 1.1
    ssv2 = {row["step"]: row["top1"] for row in rows if row["dataset"] == "ssv2"}
    assert ssv2 == {"I3D-ResNet50-tp": pytest.approx(56.84), "I3D-ResNet50": 62.84}
    mini = [row for row in rows if row["dataset"] == "mini-ssv2"]
    steps = [("inception_v1", True), ("resnet50", True), ("resnet50", False)]
    expected = [RESULTS["mini-ssv2", "i3d", backbone, pooled, 32]["top1"] for backbone, pooled in steps]
    assert [row["top1"] for row in mini] == expected
    assert mini[2]["change"] == pytest.approx(expected[2] - expected[1])
    bars = [trace for trace in draw_i3d_steps(i3d_steps_data(empty)).data if is_bar(trace)]
    assert [list(trace.y) for trace in bars if len(trace.y) == 4] == [
        [kinetics[name]["top1"] for name in values]
    ]


def test_figure_7_has_the_intervals_of_its_bars_and_changes(empty: Catalog) -> None:
    """Also of bars that follow from printed changes: they were measured on the same official videos."""
    rows = figures()["i3d-steps"].data(empty, Scope(source="published")).to_pylist()
    before: dict[str, Any] = {}
    for row in rows:
        videos = row["eval_videos"]
        assert videos == {"kinetics": 19_796, "ssv2": 24_777}.get(row["dataset"], videos)
        span = accuracy_interval(row["top1"], videos)
        assert (row["top1_low"], row["top1_high"]) == pytest.approx((span.low, span.high), abs=1e-9)
        if row["change"] is None:
            assert row["change_low"] is None
        else:
            change = unpaired_difference(span, before["span"])
            assert (row["change_low"], row["change_high"]) == pytest.approx((change.low, change.high))
            assert row["change"] == pytest.approx(row["top1"] - before["top1"])
            assert row["change_paired"] is False
        before = {"span": span, "top1": row["top1"]}
    bold = {(row["dataset"], row["step"]) for row in rows if row["change_verdict"] in ("more", "less")}
    assert ("kinetics", "I3D-ResNet50-tp") in bold and ("kinetics", "I3D-SE-ResNet50") not in bold
    texts = {
        text
        for bar in draw_i3d_steps(pa.Table.from_pylist(rows)).data
        if bar.text is not None
        for text in bar.text
    }
    assert {"<b>+4.0</b><br>75.5*", "+0.6<br>77.2*"} <= texts


def test_changes_of_figure_7_are_counted_by_video_where_that_is_known(tmp_path: Path) -> None:
    """Twelve videos; pooling away turns seven of them right and none wrong."""
    labels, cells = [0, 1, 2] * 4, []
    for pooled, right in ((True, 3), (False, 10)):
        path = f"runs/{pooled}/predictions.parquet"
        finished = {"predictions": path, "eval_videos": 12}
        cells.append(
            Cell(
                module="i3d",
                backbone="resnet50",
                frames=32,
                temporal_pooling=pooled,
                top1=100 * right / 12,
                finished=finished,
            )
        )
        predicted = [one if place < right else (one + 1) % 3 for place, one in enumerate(labels)]
        videos = [f"{place}.mp4" for place in range(12)]
        write_predictions(tmp_path, str(pooled), labels, predicted, videos)
    steps = i3d_steps_data(catalog_of(tmp_path, cells), source="own").to_pylist()
    span = paired_difference(PairedCounts(3, 7, 0, 2))
    assert steps[0]["change_low"] is None and steps[1]["change_paired"] is True
    found = (steps[1]["change_low"], steps[1]["change_high"])
    assert found == pytest.approx((span.low, span.high), abs=1e-9)
    assert steps[1]["change_holm"] == pytest.approx(2**-7)


def test_differences_between_evaluations_are_counted_by_video(tmp_path: Path) -> None:
    """Of twelve videos, one view gets 3 right with pooling and 4 without; ten views 3 and 10."""
    labels, cells, more = [0, 1, 2] * 4, [], list[Event]()
    for pooled, ends in ((True, (3, 3)), (False, (4, 10))):
        cell = Cell(module="i3d", backbone="resnet50", frames=32, temporal_pooling=pooled)
        cells.append(cell)
        for clips, right in zip((1, 10), ends, strict=True):
            name = f"{pooled}-{clips}"
            predicted = [one if place < right else (one + 1) % 3 for place, one in enumerate(labels)]
            write_predictions(tmp_path, name, labels, predicted, [f"{place}.mp4" for place in range(12)])
            event = cell.evaluated(100 * right / 12, clips=clips, videos=12)
            more.append(dataclasses.replace(event, predictions=f"runs/{name}/predictions.parquet"))
    catalog = catalog_of(tmp_path, cells, *more)
    (first, second) = i3d_steps_data(catalog, source="own").to_pylist()
    span = paired_difference(PairedCounts(3, 7, 0, 2))
    assert first["change_low"] is None and second["change_paired"] is True and second["clips"] == 10
    found = (second["change_low"], second["change_high"])
    assert found == pytest.approx((span.low, span.high), abs=1e-9)
    gains = {row["temporal_pooling"]: row for row in sampling_data(catalog, source="own").to_pylist()}
    none, six = paired_difference(PairedCounts(3, 0, 0, 9)), paired_difference(PairedCounts(4, 6, 0, 2))
    for pooled, span in ((True, none), (False, six)):
        row = gains[pooled]
        assert row["gain"] == pytest.approx(span.estimate) and row["gain_paired"] is True
        assert (row["gain_low"], row["gain_high"]) == pytest.approx((span.low, span.high), abs=1e-9)
    assert gains[False]["gain_holm"] == pytest.approx(2 * 2**-6) and gains[False]["gain_verdict"] == "more"


def test_tables_2_to_6_are_as_printed(empty: Catalog) -> None:
    counts = {name: printed_table(empty, name).num_rows for name in TABLES}
    assert counts == {"Table 2": 26, "Table 3": 6, "Table 4": 12, "Table 5": 39, "Table 6": 8}
    rows = [
        row for row in printed_table(empty, "Table 4").to_pylist() if row["source_row"] == "1: I3D-ResNet50"
    ]
    assert {row["pretrain"] for row in rows} == {"Kinetics"}
    assert [row["published"] for row in rows] == [72.32, 96.39, 65.86, 97.12]
    with pytest.raises(KeyError, match="no such table; Table 9; use one of Table 2"):
        printed_table(empty, "Table 9")
    for name in TABLES:
        assert printed_table(empty, name, source="published").equals(printed_table(empty, name))
    together = printed_tables(empty, [*TABLES]).to_pylist()
    assert together == [row for name in TABLES for row in printed_table(empty, name).to_pylist()]


def evaluated(events: Iterator[Event]) -> Iterator[Event]:
    """The grid, with two cells measured by dense and uniform sampling, 1, 5 and 10 clips, 3 crops."""
    for event in events:
        yield event
        if type(event).__name__ == "CellFinished" and event.key in KEYS:  # type: ignore[attr-defined]
            for sampling in ("uniform", "dense"):
                for clips in (1, 5, 10):
                    yield evaluation(event, sampling, clips)


KEYS: set[str] = set()


def evaluation(event: Any, sampling: str, clips: int) -> CellEvaluated:
    top1 = event.top1 + (0.5 if sampling == "uniform" else -8 + clips)
    return CellEvaluated(
        key=event.key,
        evaluation=f"{sampling}-{clips}",
        checkpoint="last",
        epoch=3,
        checkpoint_sha256="0" * 64,
        sampling=sampling,
        sampling_rate=2,
        clips=clips,
        crops=3,
        crop_size=256,
        short_side=256,
        average="logits",
        split="val",
        videos_hash="v",
        top1=top1,
        top5=90.0,
        loss=1.0,
        videos=101,
        views=3 * clips,
        seconds=1.0,
        predictions="none.parquet",
        versions={},
        hardware={},
        time=event.time + 1,
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    storage = tmp_path_factory.mktemp("storage")
    grid = Grid(datasets=("mini-ssv2",))
    planned = [event for event in grid_events(grid) if type(event).__name__ == "CellPlanned"]
    wanted = {"TAM-ResNet50-f8@mini-ssv2", "I3D-ResNet50-f8@mini-ssv2"}
    KEYS.update(event.key for event in planned if event.cell in wanted)  # type: ignore[attr-defined]
    write_quickly(storage, evaluated(grid_events(grid)))
    return Catalog.open(storage)


def test_figure_5_stacks_what_several_views_add(measured: Catalog) -> None:
    table = sampling_data(measured, source="own")
    clip = {row["cell"]: row["top1"] for row in measured.query("FROM results").to_pylist()}
    rows = {(row["cell"], row["evaluated_sampling"]): row for row in table.to_pylist()}
    assert len(rows) == 4
    # All were trained with uniform sampling; in training other crops were measured than later.
    assert {(row["sampling"], row["crop_size"]) for row in rows.values()} == {("uniform", 256)}
    for (cell, sampling), row in rows.items():
        dense = sampling == "dense"
        assert row["clip_top1"] == pytest.approx(clip[cell] + (-7 if dense else 0.5))
        assert row["video_top1"] == pytest.approx(clip[cell] + (2 if dense else 0.5))
        assert (row["clip_views"], row["video_views"]) == (3, 30)
    figure = draw_sampling(table, printed=printed_sampling_gains(measured))
    bars = {trace.name + str(trace.marker.color): list(trace.y) for trace in figure.data if is_bar(trace)}
    assert bars["video-level#0072B2"] == [row["video_top1"] for row in table.to_pylist()]
    notes = [note.text for note in figure.layout.annotations]
    assert any("Mini-SSV2 +5 to +20" in text and "Kinetics" not in text for text in notes)


def test_figure_8_has_a_point_a_number_of_clips(measured: Catalog) -> None:
    table = accuracies_by_clips(measured, Filters(module=("tam",)), "own")
    lines = [trace for trace in draw_accuracy_by_clips(table).data if trace.customdata is not None]
    both = [trace for trace in lines if max(trace.x) < 100]
    assert [[round(x) for x in trace.x] for trace in both] == [[1, 5, 10], [1, 5, 10]]
    sql = "SELECT macs FROM cells WHERE cell = 'TAM-ResNet50-f8@mini-ssv2'"
    macs = measured.query(sql).column(0)[0].as_py() * (256 / 224) ** 2
    (by_macs, _) = [trace for trace in lines if min(trace.x) > 100]
    assert list(by_macs.x) == pytest.approx([3 * macs, 15 * macs, 30 * macs], rel=0.05)
    assert lines[0].line.dash == "dash" and lines[-1].line.dash == "solid"


def test_error_bars_are_intervals_and_say_so(measured: Catalog) -> None:
    figures = (
        draw_accuracy_by_frames(accuracies_by_frames(measured, source="own")),
        draw_accuracy_by_macs(accuracies_by_macs(measured, source="own")),
        draw_accuracy_by_clips(accuracies_by_clips(measured, source="own")),
        draw_sampling(sampling_data(measured, source="own")),
        draw_i3d_steps(i3d_steps_data(measured, source="own")),
    )
    for figure in figures:
        names = [trace.name for trace in figure.data if trace.showlegend]
        assert any(name.startswith("95 % interval (") for name in names)
        points = sum(len(trace.y) for trace in figure.data if trace.customdata is not None)
        drawn = [trace for trace in figure.data if trace.error_y and trace.error_y.array is not None]
        assert sum(len(trace.y) for trace in drawn) == points > 0
        for trace in drawn:
            bars = zip(trace.y, trace.error_y.array, trace.error_y.arrayminus, strict=True)
            known = [(y, up, down) for y, up, down in bars if y is not None]
            assert all(0 <= y - down < y < y + up <= 100 for y, up, down in known)


def test_numbers_stand_beyond_the_error_bars_and_inside_the_axes(empty: Catalog) -> None:
    for name in ("i3d-steps", "contributions", "temporal-aggregation"):
        found = figures()[name]
        figure = found.draw(found.data(empty, Scope(source="published")))
        bars = [trace for trace in figure.data if trace.type == "bar"]
        assert len(bars) >= 4
        for drawn, numbers in zip(bars[::2], bars[1::2], strict=True):
            assert is_bar(drawn) and numbers.text and drawn.offsetgroup == numbers.offsetgroup
            spans = zip(drawn.y, drawn.error_y.array, drawn.error_y.arrayminus, strict=True)
            beyond = [y + up if y >= 0 else y - down for y, up, down in spans]
            assert list(numbers.y) == pytest.approx(beyond)
            low, high = figure.layout[drawn.yaxis.replace("y", "yaxis")].range
            assert all(low <= min(0, y) <= high if y < 0 else y < high for y in beyond)


def test_own_results_stand_beside_table_5(measured: Catalog) -> None:
    rows = printed_table(measured, "Table 5", source="own").to_pylist()
    own = {row["cell"]: row["top1"] for row in measured.query("FROM results").to_pylist()}
    assert len(rows) == 12 and {row["dataset"] for row in rows} == {"mini-ssv2"}
    assert all(row["own"] == pytest.approx(own[row["cell"]]) for row in rows)
    # Three epochs on 101 videos are nothing that the paper's numbers can be subtracted from.
    assert all(row["difference"] is None and "3 epochs" in row["differs"] for row in rows)
    assert {row["note"] for row in rows} == {None}


def test_toy_studies_have_no_place_in_figure_7(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    figure = draw_i3d_steps(i3d_steps_data(Catalog.open(tmp_path), ALL, "own"))
    assert "No I3D model with 32 frames" in figure.layout.annotations[0].text


def test_no_cell_of_one_dataset_counts_as_transfer(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    with Catalog.open(tmp_path) as catalog:
        begun = accuracies_of_models(catalog).to_pylist()
        assert {row["begun_on"] for row in begun if row["frames"] == 8} == {None}
        assert all(row["begun_on"] == row["dataset"] for row in begun if row["frames"] == 16)
        assert figures()["transfer"].data(catalog, Scope(source="own")).num_rows == 0
