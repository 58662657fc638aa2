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
    hold_out,
    read_manifest,
    same_content,
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


def test_a_manifest_of_another_declaration_is_refused(tmp_path: Path) -> None:
    """The directory's name ends with the declaration's digest; one that has none says nothing."""
    folders = [tmp_path / name for name in ("toy-0123abcd", "toy-ffff0000", "moved")]
    write_manifest(example(folders[0]), folders[0] / "m.parquet")
    write_manifest(example(folders[2]), folders[2] / "plain.parquet")
    assert read_manifest(folders[0] / "m.parquet") == example(folders[0])
    for folder in folders[1:]:
        folder.mkdir(exist_ok=True)
        (folder / "m.parquet").write_bytes((folders[0] / "m.parquet").read_bytes())
    assert read_manifest(folders[2] / "m.parquet") == example(folders[2])
    with pytest.raises(ManifestError, match="another dataset"):
        read_manifest(folders[1] / "m.parquet")
    (folders[1] / "plain.parquet").write_bytes((folders[2] / "plain.parquet").read_bytes())
    assert read_manifest(folders[1] / "plain.parquet") == example(folders[1])


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


def test_a_hash_is_the_one_of_before() -> None:
    """Keys hold it: with another one every cell that was ever trained would be trained again."""
    videos = (
        Video("/x/a.mp4", "train", 0, 30, 29.97, 340, 256, "aa", "pyav"),
        Video("/x/b.mp4", "val", 1, 9, 10.0, 20, 10, "bb"),
    )
    manifest = Manifest("toy", ("wave", "jump"), videos)
    assert manifest.hash("train") == "150d06c46428f04e4a1cb74eba921a6dac0e78f694c3961d6ff7ae6cb768ec9f"
    assert manifest.hash("val") == "ee04d9b2c062f2ab6dfcb1b03eb6932793331a7193ea48952daf3fc3b381b5b0"
    assert (manifest.allow_missing, manifest.quarantined, manifest.notes) == (0.0, (), ())


def test_identical_videos_in_both_splits_or_under_several_labels_are_found() -> None:
    first = Video("/x/a.mp4", "train", 0, 30, 25.0, 340, 256, "aa")
    other = replace(first, path="/x/b.mp4", sha256="bb")
    unhashed = replace(first, path="/x/c.mp4", sha256="")
    leaked, renamed = replace(first, split="val"), replace(other, label=1)
    again = replace(first, path="/x/d.mp4", sha256="dd")
    videos = (first, other, unhashed, leaked, renamed, replace(unhashed, split="val"), again, again)
    assert same_content(Manifest("toy", ("a", "b"), videos)) == ([[first, leaked]], [[other, renamed]])


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


def training_videos(*per_class: int) -> list[Video]:
    return [
        Video(f"/{label}/{place}.mp4", "train", label, 30, 25.0, 340, 256, f"content {label} {place}")
        for label, count in enumerate(per_class)
        for place in range(count)
    ]


def contents(videos: tuple[Video, ...]) -> set[str]:
    return {video.sha256 for video in videos}


def test_each_class_holds_out_its_share_and_no_video_is_in_both_parts() -> None:
    videos = training_videos(40, 14, 6, 2, 1)
    kept, held = hold_out(videos, 0.1)
    counts = [sum(video.label == label for video in held) for label in range(5)]
    # Rounded, but at least one, and never a class's only video.
    assert counts == [4, 1, 1, 1, 0]
    assert sorted(kept + held, key=videos.index) == videos
    assert [videos.index(one) for one in kept] == sorted(videos.index(one) for one in kept)


def test_what_is_held_out_follows_from_the_contents_alone() -> None:
    """Not from names, order, or how frames are kept; a larger share holds out the same videos and more."""
    videos = training_videos(30, 30)
    _, held = hold_out(videos, 0.2)
    moved = [
        replace(video, path=f"/other/{video.sha256}", width=10, decoder="pyav") for video in videos[::-1]
    ]
    assert contents(hold_out(moved, 0.2)[1]) == contents(held)
    assert contents(held) < contents(hold_out(videos, 0.4)[1])
    # Nor are they the first ones by hash, name or place, which other things are ordered by.
    assert contents(held) != {video.sha256 for video in videos if video.path.endswith(("/0.mp4", "/1.mp4"))}


def test_copies_of_one_content_are_never_trained_on_and_chosen_on() -> None:
    videos = training_videos(10, 10)
    copies = [replace(video, path=f"{video.path}.copy", label=1 - video.label) for video in videos]
    kept, held = hold_out([*videos, *copies], 0.3)
    assert held and not contents(kept) & contents(held)


def test_the_videos_held_out_are_those_of_before() -> None:
    """Other ones are another experiment: `HOLD_OUT` of trainables/recipe/versions.py has to be raised."""
    _, held = hold_out(training_videos(10, 10), 0.2)
    assert sorted(contents(held)) == ["content 0 2", "content 0 9", "content 1 1", "content 1 7"]
