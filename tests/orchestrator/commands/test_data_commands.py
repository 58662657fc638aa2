"""`actiongrid data`: what may be asked for, what it builds where, and what programs read of it."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from catalog.events import CellPlanned
from catalog.storage.layout import Layout
from orchestrator.cli import main
from orchestrator.datasets.build import Declared, Request, declared
from orchestrator.datasets.built import declared_path, manifest_path, quarantine_kind
from orchestrator.datasets.ingest_tasks import RAY_FROM_BYTES, RAY_FROM_VIDEOS, is_large
from orchestrator.study.load import parse_study
from orchestrator.terminal.text import BuildView, build_line
from tests.support.grid_events import grid_events, write_quickly
from tests.support.prediction_storage import GRID, built
from trainables.data.datasets import SyntheticMotion
from trainables.data.frames.frame_format import FrameFormat
from trainables.data.frames.manifest import read_manifest
from trainables.data.ingest.batch import BatchTask, Events
from trainables.data.ingest.build import build_dataset
from trainables.data.ingest.run import BuildProgress, LocalThreads

STUDY = """
name: toy
axes: {module: [tam], backbone: [resnet18], frames: [8], dataset: [DATASET]}
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["actiongrid", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of three videos each, one bad file, and a table that lists the same and a file too many."""
    folder = tmp_path_factory.mktemp("videos")
    source = build_dataset(SyntheticMotion(train_per_class=1, val_per_class=1), "source", folder / "source")
    rows = ["path,label,split"]
    for number, video in enumerate(source.videos[:6]):
        name = f"{'ab'[number % 2]}/{number}.mp4"
        (folder / "own" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video.path, folder / "own" / name)
        rows.append(f"{name},{'ab'[number % 2]},{'val' if number > 3 else 'train'}")
    (folder / "own" / "b" / "text.mp4").write_text("no video")
    (folder / "own.csv").write_text("\n".join([*rows, "b/text.mp4,b,train", "gone.mp4,a,train"]))
    return folder


def declared_as(said: Declared | None) -> Declared:
    assert said is not None
    return said


@pytest.mark.parametrize(
    ("request_", "yaml"),
    [
        (Request("ssv2", Path("/v"), Path("/a")), ""),
        (Request("ucf101", Path("/v"), split=2), "ucf101: {kind: official, name: ucf101, split: 2}"),
        (
            Request("mit", Path("/v"), frame_format={"quality": 90}),
            "mit: {kind: official, name: mit, frame_format: {quality: 90}}",
        ),
        (
            Request("own", Path("/v"), frame_format={"short_side": None, "mode": "direct"}),
            "own: {kind: folder, path: /v, frame_format: {short_side: null, mode: direct}}",
        ),
        (Request("own", Path("/v"), Path("/t.csv")), "own: {kind: csv, path: /t.csv, root: /v}"),
    ],
)
def test_the_printed_lines_declare_the_same_dataset(request_: Request, yaml: str, tmp_path: Path) -> None:
    """A study with these lines looks for the manifest exactly where the build puts it."""
    said = declared_as(declared(request_))
    assert said.yaml == (f"datasets:\n  {yaml}" if yaml else "")
    study = parse_study(STUDY.replace("DATASET", said.name) + said.yaml, "printed")
    layout = Layout(tmp_path)
    assert manifest_path(study, said.name, layout) == declared_path(said.config, said.name, layout)


def test_a_folder_is_built_listed_checked_and_mended(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], videos: Path, tmp_path: Path
) -> None:
    storage = ("--storage", tmp_path)
    own = ("own", "--videos", videos / "own")
    assert run(monkeypatch, "data", "build", *own, "--allow-missing", "5%", *storage) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "error: 1 of 7 videos cannot be used, more than allow_missing = 0.05; dataset own; "
    )
    assert "text.mp4: unreadable" in error
    assert run(monkeypatch, "data", "build", *own, "--allow-missing", "0.5", "--quality", 90, *storage) == 0
    out = capsys.readouterr().out
    assert "1 quarantined" in out
    assert f"own: {{kind: folder, path: {videos / 'own'}, frame_format: {{quality: 90}}}}" in out

    assert run(monkeypatch, "data", "list", "--json", "--quarantined", *storage) == 0
    (row,) = json.loads(capsys.readouterr().out)["datasets"]
    directory = Path(row.pop("directory"))
    (bad,) = row.pop("quarantined_videos")
    assert bad["path"] == str(videos / "own" / "b" / "text.mp4")
    assert row.pop("bytes") == sum(path.stat().st_size for path in (directory / "shards").iterdir())
    assert row == {
        "name": "own",
        "cells": 0,
        "studies": [],
        "built_again": None,
        "classes": 2,
        "train_videos": 4,
        "val_videos": 2,
        "frames": 192,
        "format": "jpeg-q90-420-s256-v1",
        "shards": 6,
        "quarantined": {"unreadable": 1},
        "allow_missing": 0.5,
        "ignored": {},
        "notes": [],
        "in_both_splits": [],
        "under_several_labels": [],
    }
    assert run(monkeypatch, "data", "verify", "own", *storage) == 0
    assert "all as built" in capsys.readouterr().out
    shard = sorted((directory / "shards").iterdir())[0]
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"x")
    assert run(monkeypatch, "data", "verify", "--json", *storage) == 1
    (checked,) = json.loads(capsys.readouterr().out)["datasets"]
    assert [one["path"] for one in checked["problems"]] == [str(shard)]
    assert run(monkeypatch, "data", "verify", *storage) == 1
    assert "mend with: actiongrid data build own" in capsys.readouterr().err
    # the name alone: what was said at first still holds
    assert run(monkeypatch, "data", "build", "own", *storage) == 0
    assert shard.read_bytes() == content
    assert run(monkeypatch, "data", "verify", *storage) == 0


def test_a_list_says_what_each_store_is_for_and_which_was_built_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], videos: Path, tmp_path: Path
) -> None:
    storage = ("--storage", tmp_path / "storage")
    for place in ("here", "there"):
        shutil.copytree(videos / "own", tmp_path / place)
        build = ("own", "--videos", tmp_path / place, "--allow-missing", "50%", "--direct")
        assert run(monkeypatch, "data", "build", *build, *storage) == 0
    capsys.readouterr()
    assert run(monkeypatch, "data", "list", *storage) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all("; for no cell of a study as it is now; " in line for line in lines)
    old, new = sorted((tmp_path / "storage" / "datasets").glob("*/manifest.parquet"))
    videos_hash = read_manifest(new).hash("train")
    events = [
        dataclasses.replace(event, key_parts={"data": {"train": videos_hash}})
        if isinstance(event, CellPlanned)
        else event
        for event in grid_events(GRID)
    ]
    write_quickly(
        tmp_path / "storage", [*events, dataclasses.replace(built(str(new)), train_hash=videos_hash)]
    )
    assert run(monkeypatch, "data", "list", *storage) == 0
    first, second = sorted(capsys.readouterr().out.splitlines(), key=len, reverse=True)
    assert first.endswith(f"; for 4 cells of small; {old.parent}; built again in {new.parent}")
    assert second.endswith(f"; for 4 cells of small; {new.parent}")


def test_a_table_is_built_and_its_missing_files_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], videos: Path, tmp_path: Path
) -> None:
    arguments = ("own", "--videos", videos / "own", "--annotations", videos / "own.csv", "--direct")
    share = ("--allow-missing", "30%", "--storage", tmp_path)
    assert run(monkeypatch, "data", "build", *arguments, *share) == 0
    assert run(monkeypatch, "data", "list", "--storage", tmp_path) == 0
    out = capsys.readouterr().out
    assert "4 train and 2 val videos, 2 classes, 192 frames, no frame store (direct-s256-v1)" in out
    assert "2 quarantined (1 missing, 1 unreadable)" in out


def test_a_study_builds_what_is_missing_and_mends_what_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], videos: Path, tmp_path: Path
) -> None:
    study = tmp_path / "study.yaml"
    lines = f"datasets: {{own: {{kind: folder, path: {videos / 'own'}}}}}"
    study.write_text(STUDY.replace("DATASET", "own") + lines)
    storage = ("--storage", tmp_path / "storage")
    assert run(monkeypatch, "data", "build", study, *storage) == 0
    (directory,) = (tmp_path / "storage" / "datasets").iterdir()
    shard = sorted((directory / "shards").iterdir())[0]
    stood = (directory / "manifest.parquet").stat().st_mtime_ns
    assert run(monkeypatch, "data", "build", study, *storage) == 0
    assert (directory / "manifest.parquet").stat().st_mtime_ns == stood
    shard.unlink()
    assert run(monkeypatch, "data", "build", study, *storage) == 0
    assert shard.is_file()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nothing",), "nothing: no such file, and no shipped study"),
        (("demo", "--quality", "90"), "a study declares its datasets' options itself; demo"),
        (("own", "--quality", "90"), "options without videos; dataset own"),
        (("own", "--videos", "VIDEOS", "--split", "1"), "--split is for official datasets"),
        (("own", "--videos", "VIDEOS", "--annotations", "VIDEOS"), "--annotations is a folder"),
        (
            ("own", "--videos", "VIDEOS", "--quality", "101"),
            "frame_format.quality: Input should be less than",
        ),
        (("own", "--videos", "VIDEOS", "--short-side", "big"), "'big' is no number of pixels"),
        (("own", "--videos", "VIDEOS", "--allow-missing", "101%"), "'101%' is no share"),
        (("own", "--videos", "VIDEOS/gone"), "dataset folder not found"),
        (("ssv2",), "ssv2"),
        (("ssv2", "--videos", "VIDEOS", "--split", "1"), "split is for"),
    ],
)
def test_what_cannot_be_built_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    videos: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    given = [argument.replace("VIDEOS", str(videos / "own")) for argument in arguments]
    assert run(monkeypatch, "data", "build", *given, "--storage", tmp_path) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert says in error
    assert error.count("\n") == 1


def test_no_more_threads_read_videos_than_cpus_are_given(
    monkeypatch: pytest.MonkeyPatch, videos: Path, tmp_path: Path
) -> None:
    seen: list[int] = []

    class Threads(LocalThreads):
        def run(self, tasks: Sequence[BatchTask]) -> Events:
            seen.append(self._workers)
            return super().run(tasks)

    monkeypatch.setattr("os.cpu_count", lambda: 3)
    monkeypatch.setattr("orchestrator.datasets.ingest_tasks.LocalThreads", Threads)
    arguments = ("own", "--videos", videos / "own", "--direct", "--allow-missing", "30%")
    for place, cpus in (("a", ()), ("b", ("--cpus", 2))):
        assert run(monkeypatch, "data", "build", *arguments, "--storage", tmp_path / place, *cpus) == 0
    assert seen == [3, 2]


def test_an_unknown_dataset_cannot_be_verified(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "datasets").mkdir()
    assert run(monkeypatch, "data", "verify", "nothing", "--storage", tmp_path) == 2
    assert "no dataset nothing is built" in capsys.readouterr().err
    assert run(monkeypatch, "data", "list", "--json", "--storage", tmp_path) == 0
    assert json.loads(capsys.readouterr().out) == {"datasets": []}


# --- what is seen meanwhile --------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(out: io.StringIO, seconds: float) -> str:
    """100 videos, one each `seconds`, the first 20 built before."""
    now = [0.0]
    view = BuildView(out, lambda: now[0])
    for done in range(20, 101):
        view("own", BuildProgress("reading", 100, done, 20, quarantined=done // 50, bytes=done << 20))
        now[0] += seconds
    return out.getvalue()


def test_a_terminal_has_one_line_that_is_wiped_at_the_end() -> None:
    text = shown(Terminal(), 1.0)
    assert "\n" not in text
    line = "reading 60 %, 60 of 100 videos, 1.0 videos/s, 0:40 to go, 60.0 MiB written, 1 quarantined"
    assert f"\rdataset own: {line}" in text
    assert text.split("\r")[-2].strip() == ""


def test_a_pipe_has_few_lines() -> None:
    assert shown(io.StringIO(), 0.01) == ""
    lines = shown(io.StringIO(), 1.0).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("dataset own: reading 50 %, 50 of 100 videos, 1.0 videos/s, 0:50 to go")


def test_nothing_done_yet_has_no_rate() -> None:
    line = build_line("x", BuildProgress("verifying", 4, 0), 0.0)
    assert line == "dataset x: verifying 0 %, 0 of 4 files, 0.0 files/s, ? to go"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("damaged: 3 decoder errors; the first: x: y", "damaged"),
        ("no video stream", "no video stream"),
        ("the decoder crashed (exit status -11)", "the decoder crashed"),
        ("unknown class: wave (1)", "unknown class"),
    ],
)
def test_reasons_fall_into_kinds(reason: str, kind: str) -> None:
    assert quarantine_kind(reason) == kind


def test_ray_is_started_for_much_work_alone() -> None:
    def task(mode: Any, videos: int, size: int) -> BatchTask:
        paths = tuple(Path(str(number)) for number in range(videos))
        return BatchTask(0, paths, Path(), Path(), FrameFormat(mode=mode), size)

    assert not is_large([task("store", 352, 20 << 20)])
    assert is_large([task("store", 1, RAY_FROM_BYTES - 1), task("store", 1, 1)])
    assert not is_large([task("direct", RAY_FROM_VIDEOS - 1, 0)])
    assert is_large([task("direct", RAY_FROM_VIDEOS, 0)])
