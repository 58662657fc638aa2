"""The page Cell: whose classes, confusion and mistakes it shows, and what is said of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from catalog import Catalog
from catalog.queries.predictions import class_accuracies
from catalog.storage.folder_storage import FolderStorage
from dashboards.app.access import Access
from dashboards.app.app import build_app
from dashboards.app.live import LiveCatalog, page_blocks
from dashboards.pages.blocks import Block
from dashboards.pages.request import read_address
from dashboards.report.page import report_html
from dashboards.statistics import accuracy_interval
from dashboards.statistics.same_videos import PairedCounts, mcnemar, paired_difference
from tests.support.grid_events import write_quickly
from tests.support.prediction_storage import (
    BEST_RIGHT,
    LAST_RIGHT,
    VIDEOS,
    evaluated,
    key,
    make_storage,
    write_predictions,
)

KEY = key("tam", 16)


def page(storage: Path, search: str, path: str = "/cell") -> dict[str, Block]:
    live = LiveCatalog(FolderStorage(storage))
    live.refresh()
    return {one.name: one for one in page_blocks(live, read_address(path, search), "light")}


def rows_of(block: Block) -> list[dict[str, Any]]:
    assert block.rows is not None
    return list(block.rows.to_pylist())


def text_of(block: Block) -> str:
    parts = [part.value for part in block.parts]
    return json.dumps(parts, default=lambda one: one.to_plotly_json(), ensure_ascii=False)


@pytest.mark.parametrize(("report", "right"), [("last", LAST_RIGHT), ("best", BEST_RIGHT)])
def test_classes_are_those_of_the_checkpoint_that_the_study_reports(
    tmp_path: Path, report: str, right: int
) -> None:
    blocks = page(make_storage(tmp_path, report), f"?key={KEY}")
    reported = f"training:{report}"
    classes = rows_of(blocks["classes"])
    assert {row["evaluation"] for row in classes} == {reported}
    assert sum(row["top1"] * row["videos"] for row in classes) / 100 == right
    confusion = rows_of(blocks["confusion"])
    assert {row["evaluation"] for row in confusion} == {reported}
    assert sum(row["videos"] for row in confusion if row["label"] == row["predicted"]) == right
    mistakes = rows_of(blocks["mistakes"])
    assert {row["evaluation"] for row in mistakes} == {reported} and len(mistakes) == VIDEOS - right
    words = f"validation videos, {report} checkpoint (reported)"
    assert words in text_of(blocks["evaluation-choice"])
    assert text_of(blocks["evaluation-choice"]).count("(reported)") == 1
    marked = [row["evaluation"] for row in rows_of(blocks["evaluations"]) if row["reported"]]
    assert marked == [reported] and text_of(blocks["evaluations"]).count("(reported)") == 1


def test_another_evaluation_is_chosen_by_the_address(tmp_path: Path) -> None:
    blocks = page(make_storage(tmp_path, "last"), f"?key={KEY}&evaluation=training:best")
    for name in ("classes", "confusion", "mistakes"):
        assert {row["evaluation"] for row in rows_of(blocks[name])} == {"training:best"}


def test_mistakes_say_the_truths_probability_and_how_many_there_are(tmp_path: Path) -> None:
    storage = make_storage(tmp_path, "last")
    labels = [0] * 14
    # Probabilities 0.5, 0.4, …: the loss is that of the true class, which stands second.
    logits = [math.log(0.5), math.log(0.4), math.log(0.06), math.log(0.04)]
    write_predictions(
        storage / "runs" / KEY[:12] / "epoch-0003.parquet",
        0,
        labels,
        top=pa.array([[1, 0, 2, 3]] * len(labels), pa.list_(pa.int32())),
        scores=pa.array([logits] * len(labels), pa.list_(pa.float32())),
        loss=[-math.log(0.4)] * len(labels),
    )
    block = page(storage, f"?key={KEY}")["mistakes"]
    text = text_of(block)
    assert "fall taken for hop (50.0 %, truth 40.0 %)" in text
    assert "12 of 14 videos" in text and "Page 1 of 2" in text
    assert len(rows_of(block)) == 14, "the CSV file has all"
    block = page(storage, f"?key={KEY}&videos=2")["mistakes"]
    assert "13 to 14 of 14 videos" in text_of(block) and text_of(block).count("taken for") == 2
    assert len(rows_of(block)) == 14


def test_right_answers_and_all_videos_can_be_looked_at_too(tmp_path: Path) -> None:
    storage = make_storage(tmp_path, "last")
    shown = {which: page(storage, f"?key={KEY}&show={which}")["mistakes"] for which in ("right", "all")}
    right, every = rows_of(shown["right"]), rows_of(shown["all"])
    assert len(right) == LAST_RIGHT and all(row["correct"] for row in right)
    assert len(every) == VIDEOS and sum(row["correct"] for row in every) == LAST_RIGHT
    assert "rightly" in text_of(shown["right"]) and "taken for" not in text_of(shown["right"])
    of_class = page(storage, f"?key={KEY}&show=all&class=hop")["mistakes"]
    assert [row["class"] for row in rows_of(of_class)] == ["hop", "hop"]
    assert "show=all" in text_of(of_class) and "class=hop" in text_of(of_class), "links keep both choices"


def test_training_videos_are_named_as_such(tmp_path: Path) -> None:
    storage = make_storage(tmp_path, "last")
    one = replace(evaluated(storage, KEY, "f" * 32, VIDEOS), split="train", checkpoint="last")
    other = replace(evaluated(storage, KEY, "a" * 32), clips=4)
    another = evaluated(storage, KEY, "b" * 32)
    write_quickly(storage, iter([one, other, another]), "evaluate-1")
    blocks = page(storage, f"?key={KEY}&evaluation={'f' * 32}")
    choice = text_of(blocks["evaluation-choice"])
    assert "training videos, last checkpoint" in choice and "f" * 12 not in choice.replace("f" * 32, "")
    assert "validation videos, best checkpoint, dense, 4 × 1 views, mean of logits" in choice
    confusion = blocks["confusion"]
    text = json.dumps(
        confusion.component("address").to_plotly_json(), default=lambda one: one.to_plotly_json()
    )
    assert "Confusion: training videos, last checkpoint" in text
    assert "TAM-Tiny-f16@synthetic-motion-training-videos-last-checkpoint-confusion" in text
    assert {row["split"] for row in rows_of(confusion)} == {"train"}
    assert len(rows_of(blocks["classes"])) == 4 and blocks["mistakes"].rows is None, "all are right"


def test_the_report_has_accuracies_by_class_of_the_best_cell(tmp_path: Path) -> None:
    with Catalog.open(make_storage(tmp_path, "last")) as catalog:
        part = report_html(catalog, datetime(2026, 1, 1, tzinfo=UTC)).partition("<h3>Accuracy by class</h3>")[
            2
        ]
        rows = class_accuracies(catalog, KEY).to_pylist()
    assert "the best cell on synthetic-motion: 4 classes" in part
    body = part.partition("<tbody>")[2].partition("</tbody>")[0]
    assert [line.count("<td") for line in body.strip().split("\n")] == [6] * len(rows)
    assert f"<td>{rows[0]['top1_low']:.1f} to {rows[0]['top1_high']:.1f}</td>" in body
    assert "<td>rise (1)</td>" in body, "what a class was most often taken for"


def test_compare_says_how_many_videos_decide(tmp_path: Path) -> None:
    storage = make_storage(tmp_path, "last")
    names = [f"{place}.mp4" for place in range(17)]
    for cell, right in ((KEY, 17), (key("tsn", 16), 3)):
        file = storage / "runs" / cell[:12] / "epoch-0003.parquet"
        write_predictions(file, right, [0] * 17, video=names)
    block = page(storage, f"?cells={KEY},{key('tsn', 16)}", "/compare")["decided"]
    text = text_of(block)
    assert len(rows_of(block)) == 14
    assert "TAM-Tiny-f16@synthetic-motion right, TSN-Tiny-f16@synthetic-motion wrong: 12 of 14 videos" in text
    assert "TSN-Tiny-f16@synthetic-motion right, TAM-Tiny-f16@synthetic-motion wrong: 0 videos" in text


def test_compare_has_accuracies_by_class_with_their_differences(tmp_path: Path) -> None:
    storage = make_storage(tmp_path, "last")
    labels = [0] * 8 + [1] * 4
    names = [f"{place}.mp4" for place in range(12)]
    for cell, right in ((KEY, 12), (key("tsn", 16), 2)):
        file = storage / "runs" / cell[:12] / "epoch-0003.parquet"
        write_predictions(file, right, labels, video=names)
    block = page(storage, f"?cells={KEY},{key('tsn', 16)}", "/compare")["classes"]
    rows = {row["class"]: row for row in rows_of(block)}
    found = {name: (one["videos"], one["first_top1"], one["second_top1"]) for name, one in rows.items()}
    assert found == {"fall": (8, 100.0, 25.0), "hop": (4, 100.0, 0.0)}
    for row, only_first in ((rows["fall"], 6), (rows["hop"], 4)):
        counts = PairedCounts(row["videos"] - only_first, only_first, 0, 0)
        interval = paired_difference(counts)
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
        assert row["mid_p"] == pytest.approx(mcnemar(counts).mid_p)
        assert row["first_top1_low"] == pytest.approx(accuracy_interval(100.0, row["videos"]).low)
    # Holm: the smaller of two p-values counts twice.
    assert rows["fall"]["holm"] == pytest.approx(2 * rows["fall"]["mid_p"])
    assert rows["hop"]["holm"] == pytest.approx(max(rows["hop"]["mid_p"], 2 * rows["fall"]["mid_p"]))
    assert "corrected for their number" in str(block.component("csv"))


def test_files_of_a_cells_figures_are_named_after_it(tmp_path: Path) -> None:
    blocks = page(make_storage(tmp_path, "last"), f"?key={KEY}")
    block = blocks["confusion"]
    text = json.dumps(block.component("address").to_plotly_json(), default=lambda one: one.to_plotly_json())
    name = "TAM-Tiny-f16@synthetic-motion-confusion"
    assert text.count(f'"data-name": "{name}"') == 2 and f'"download": "{name}.csv"' in text


def test_an_unknown_block_gets_the_names_of_those_that_exist(tmp_path: Path) -> None:
    live = LiveCatalog(FolderStorage(make_storage(tmp_path, "last")))
    live.refresh()
    client = build_app(live, Access("127.0.0.1", None), 1.0).server.test_client()
    answer = client.get(f"/csv/cell/matrix?key={KEY}")
    names = "curves, usage, lineage, attempts, evaluations, confusion, classes, mistakes"
    said = f"no data 'matrix' on the page 'cell'; with these choices it has {names}\n"
    assert (answer.status_code, answer.text) == (404, said)
    assert all(name in Path("docs/dashboard.md").read_text(encoding="utf-8") for name in names.split(", "))
    assert client.get("/csv/grdi/grid").text.startswith("no page 'grdi'; pages: overview, grid, cell,")
    found = client.get(f"/csv/cell/confusion?key={KEY}")
    assert found.status_code == 200 and b"training:last" in found.data
    wanted = 'filename="TAM-Tiny-f16@synthetic-motion-confusion.csv"'
    assert wanted in found.headers["Content-Disposition"]
