"""The videos that decide: confident mistakes, what of two cells one alone gets right, where they lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from catalog import Catalog
from catalog.queries.predictions import (
    classes_of_videos,
    confident_videos,
    decided_differently,
    leaders,
    video_places,
)
from tests.support.prediction_storage import key, make_storage, write_predictions

# Logits of six classes of which the files keep the first five, and the labels of four videos.
LOGITS = np.array(
    [
        [0.0, 5.0, 1.0, 0.0, 0.0, -1.0],  # taken for 1, is 0: in the five
        [0.0, 9.0, 1.0, 0.0, 0.5, -2.0],  # taken for 1, is 5: not in the five
        [2.0, 1.0, 0.0, 0.0, 0.0, -1.0],  # right
        [2.0, 1.0, 0.0, 0.0, 0.0, -1.0],  # taken for 0, is 1
    ]
)
TRUE = [0, 5, 0, 1]
NAMES = [f"folder/v{place}.mp4" for place in range(4)]
FIRST, SECOND = key("tam", 8), key("tsn", 8)


def softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.asarray(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))


def written(storage: Path, cell: str, logits: np.ndarray[Any, Any], **more: Any) -> None:
    order = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    loss = -np.log(softmax(logits)[np.arange(len(TRUE)), TRUE])
    columns = {
        "top": pa.array(order.tolist(), pa.list_(pa.int32())),
        "scores": pa.array(np.take_along_axis(logits, order, 1).tolist(), pa.list_(pa.float32())),
        "loss": loss.tolist(),
        "video": NAMES,
    }
    for epoch in ("epoch-0003.parquet", "epoch-0002.parquet"):
        write_predictions(storage / "runs" / cell[:12] / epoch, 0, TRUE, **columns | more)


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    storage = make_storage(tmp_path / "storage")
    written(storage, FIRST, LOGITS)
    written(storage, SECOND, LOGITS[::-1].copy())
    return Catalog.open(storage)


def test_the_most_probable_wrong_classes_come_first(catalog: Catalog) -> None:
    rows = confident_videos(catalog, FIRST).to_pylist()
    exact = softmax(LOGITS)
    assert [(row["index"], row["predicted"], row["exact"]) for row in rows] == [
        (1, 1, False),
        (0, 1, True),
        (3, 0, True),
    ]
    assert [row["probability"] for row in rows[1:]] == pytest.approx([exact[0, 1], exact[3, 0]], abs=1e-6)
    assert exact[1, 1] <= rows[0]["probability"] == pytest.approx(exact[1, 1], abs=1e-3)
    assert {row["video"] for row in rows} < set(NAMES) and {row["key"] for row in rows} == {FIRST}


def test_they_are_filtered_by_class_and_counted(catalog: Catalog) -> None:
    counted = classes_of_videos(catalog, FIRST).to_pylist()
    assert sum(row["mistakes"] for row in counted) == 3
    one = next(row for row in counted if row["class"])
    rows = confident_videos(catalog, FIRST, label=one["class"]).to_pylist()
    assert len(rows) == one["mistakes"] and {row["class"] for row in rows} == {one["class"]}
    assert confident_videos(catalog, FIRST, label="no such class").num_rows == 0
    assert confident_videos(catalog, FIRST, most=1).num_rows == 1


def test_files_without_scores_are_ordered_by_loss(catalog: Catalog) -> None:
    storage = Path(catalog.storage)
    for epoch in ("epoch-0003.parquet", "epoch-0002.parquet"):
        path = storage / "runs" / FIRST[:12] / epoch
        write_predictions(path, 0, [0, 1, 2, 3], loss=[1.0, 3.0, 2.0, 4.0])
    with Catalog.open(storage) as older:
        rows = confident_videos(older, FIRST).to_pylist()
    assert [row["index"] for row in rows] == [3, 1, 2, 0]
    assert {row["probability"] for row in rows} == {None}


def test_what_one_alone_gets_right(catalog: Catalog) -> None:
    exact = softmax(LOGITS)
    (row,) = decided_differently(catalog, (FIRST, SECOND), first_right=True).to_pylist()
    assert (row["index"], row["first_class"] != row["second_class"]) == (2, True)
    assert row["first_probability"] == pytest.approx(exact[2, 0])
    assert row["second_probability"] == pytest.approx(exact[1, 0])
    (other,) = decided_differently(catalog, (SECOND, FIRST), first_right=False).to_pylist()
    assert other["index"] == 2 and other["second_probability"] == pytest.approx(exact[2, 0])
    rows = decided_differently(catalog, (FIRST, SECOND), first_right=False).to_pylist()
    assert [row["index"] for row in rows] == [3, 0], "the largest difference first"


def test_where_a_video_lies(catalog: Catalog) -> None:
    evaluation = confident_videos(catalog, FIRST).to_pylist()[0]["evaluation"]
    places = video_places(catalog, FIRST, evaluation, [1, 99])
    assert list(places) == [1]
    place = places[1]
    assert (place.name, place.split, place.index, place.frames) == ("v1.mp4", "val", 1, 8)
    assert place.manifests and place.clips == 1
    for wrong in ((FIRST, "none"), ("none", evaluation)):
        assert video_places(catalog, *wrong, [1]) == {}


def test_the_two_best_cells_of_a_dataset(catalog: Catalog) -> None:
    rows = leaders(catalog, "small").to_pylist()
    assert len(rows) == 2 and rows[0]["top1"] >= rows[1]["top1"]
    assert leaders(catalog, "no such study").num_rows == 0
