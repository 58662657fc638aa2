from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainables.data.frames.manifest import (
    Manifest,
    ManifestError,
    Quarantined,
    Video,
    read_manifest,
    write_manifest,
)


def example(folder: Path) -> Manifest:
    inside = Video(str(folder / "videos/a b.mp4"), "train", 0, 30, 29.97, 340, 256, "aa", "pyav")
    outside = Video("/elsewhere/ü.mkv", "val", 1, 9, 10.0, 20, 10, "bb")
    bad = Quarantined(str(folder / "videos/bad.mp4"), "damaged: 3 decoder errors")
    unknown = Quarantined("12345", "no label: in no annotation file")
    return Manifest("toy", ("wave", "jump, high"), (inside, outside), (bad, unknown))


def test_a_manifest_comes_back_as_it_was_and_may_be_moved(tmp_path: Path) -> None:
    write_manifest(example(tmp_path / "one"), tmp_path / "one" / "manifest.parquet")
    assert read_manifest(tmp_path / "one" / "manifest.parquet") == example(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "two")
    assert read_manifest(tmp_path / "two" / "manifest.parquet") == example(tmp_path / "two")
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == ["manifest.parquet"]


def test_an_empty_manifest_comes_back(tmp_path: Path) -> None:
    write_manifest(Manifest("none", (), ()), tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet") == Manifest("none", (), ())


def test_the_hash_is_of_content_labels_and_order(tmp_path: Path) -> None:
    one = example(tmp_path)
    first = one.videos[0]
    second = replace(first, sha256="cc")
    base = replace(one, videos=(first, second))
    assert base.hash("train") == replace(base, name="other").hash("train")
    assert base.hash("train") == replace(base, videos=(replace(first, path="/x/y.mp4"), second)).hash("train")
    assert base.hash("train") == replace(base, videos=(first, second, one.videos[1])).hash("train")
    changed = [
        (second, first),
        (first,),
        (replace(first, sha256="dd"), second),
        (replace(first, label=1), second),
        (replace(first, decoder="decord"), second),
    ]
    hashes = {replace(base, videos=videos).hash("train") for videos in changed}
    assert len(hashes | {base.hash("train")}) == 6
    assert base.hash("val") != base.hash("train")


def test_what_is_no_manifest_is_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    with pytest.raises(ManifestError, match=r"no manifest; .*; build the dataset first"):
        read_manifest(path)
    path.write_text("not parquet")
    with pytest.raises(ManifestError, match="not a readable manifest"):
        read_manifest(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(ManifestError, match="not a manifest of format"):
        read_manifest(path)


def test_a_failed_write_leaves_the_old_manifest(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    write_manifest(example(tmp_path), path)
    broken = replace(example(tmp_path), videos=(replace(example(tmp_path).videos[0], frames="many"),))  # type: ignore[arg-type]
    with pytest.raises(pa.ArrowInvalid):
        write_manifest(broken, path)
    assert read_manifest(path) == example(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.parquet"]
