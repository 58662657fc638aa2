"""From a publisher's files to a manifest: listing and building together."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.dataset_files import (
    FRAMES,
    JESTER_CLASSES,
    DatasetFiles,
    write_clip,
    write_jester,
)
from trainables.data.datasets import DatasetError, OfficialDataset
from trainables.data.ingest.build import build_dataset


def test_an_official_dataset_is_built_as_it_is_listed(tmp_path: Path) -> None:
    files = DatasetFiles(tmp_path, write_clip(tmp_path / "clip.webm"))
    write_jester(files)
    gone = Path(files.remove("20bn-jester-v1/205.webm")).name
    config = OfficialDataset(name="jester")
    with pytest.raises(
        DatasetError, match=rf"1 of 54 videos cannot be used[\s\S]*{gone}: missing: no such file"
    ):
        build_dataset(config, "jester", tmp_path / "built", sources=files.sources)
    manifest = build_dataset(config, "jester", tmp_path / "built", sources=files.sources, allow_missing=0.05)
    assert manifest.classes == JESTER_CLASSES
    assert [(video.label, Path(video.path).name) for video in manifest.split("train")] == [
        (label, f"{100 + label}.webm") for label in range(27)
    ]
    assert [video.label for video in manifest.split("val")] == [n for n in range(27) if n != 5]
    assert {(video.frames, video.width, video.height) for video in manifest.videos} == {(FRAMES, 48, 32)}
    assert [(Path(one.path).name, one.reason) for one in manifest.quarantined] == [
        (gone, "missing: no such file")
    ]
    assert manifest.allow_missing == 0.05
