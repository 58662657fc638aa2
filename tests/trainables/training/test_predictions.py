"""Predictions as files: what is written comes back, of any number of videos and views, and of older files."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from catalog.storage.parquet_files import write_parquet
from trainables.training.predictions import Predictions, join_shares, read_predictions, write_predictions

KEY = "k" * 32


def predictions(videos: int, views: int) -> Predictions:
    draw = np.random.default_rng(videos + 10 * views)
    return Predictions(
        index=np.arange(videos),
        label=draw.integers(0, 9, videos),
        top=draw.integers(0, 9, (videos, 5)),
        scores=draw.normal(size=(videos, 5)).astype(np.float32),
        loss=draw.normal(size=videos),
        view_top=draw.integers(0, 9, (videos, views)),
        view_score=draw.normal(size=(videos, views)).astype(np.float32),
    )


@pytest.mark.parametrize("views", [0, 1, 3])
@pytest.mark.parametrize("videos", [1, 2, 7])
def test_what_is_written_comes_back(tmp_path: Path, videos: int, views: int) -> None:
    path, written = tmp_path / "epoch-0001.parquet", predictions(videos, views)
    write_predictions(written, path, [f"{place}.mp4" for place in range(videos)], KEY)
    found = read_predictions(path, KEY)
    for field in fields(Predictions):
        one, other = getattr(found, field.name), getattr(written, field.name)
        assert one.shape == other.shape and one.dtype == other.dtype, field.name
        assert np.array_equal(one, other), field.name


def test_of_no_videos_there_are_no_views(tmp_path: Path) -> None:
    path, none = tmp_path / "epoch-0001.parquet", join_shares([])
    assert none.top.shape == none.scores.shape == (0, 5)
    assert none.view_top.shape == none.view_score.shape == (0, 0)
    write_predictions(none, path)
    assert pq.read_schema(path).names == ["index", "label", "top", "scores", "loss"]


def test_scores_that_an_older_file_lacks_are_no_numbers(tmp_path: Path) -> None:
    path = tmp_path / "epoch-0001.parquet"
    write_predictions(predictions(3, 0), path, key=KEY)
    write_parquet(pq.read_table(path).drop_columns(["scores"]), path, KEY)
    found = read_predictions(path, KEY)
    assert found.scores.shape == (3, 5) and np.isnan(found.scores).all()
    assert found.view_top.shape == found.view_score.shape == (3, 0)
