"""`actiongrid predict` and `actiongrid export` on a cell that was really trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.orchestrator.commands.test_cli import run
from tests.support.finished_cell import CELL, KEY
from tests.support.paths import SHARED
from trainables.data.frames.manifest import read_manifest
from trainables.recipe.cell_spec import CellSpec

VIDEOS = SHARED / "videos"


@pytest.fixture
def storage(trained_cell: CellSpec) -> Path:
    return Path(trained_cell.run_dir).parent.parent


@pytest.fixture
def video(trained_cell: CellSpec) -> str:
    return read_manifest(Path(trained_cell.manifest)).split("val")[0].path


def test_a_missing_file_is_named_and_the_others_are_answered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], storage: Path, video: str
) -> None:
    missing = str(storage / "none.mp4")
    assert run(monkeypatch, "predict", CELL, missing, video, "--storage", str(storage)) == 1
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        f"{CELL} of study toy, key {KEY[:12]}, last checkpoint, epoch 1",
        f"error: missing: no such file; {missing}; give another file",
    ]
    path, *classes = said.out.splitlines()
    assert path == video and len(classes) == 4
    shares = [float(line.split("%")[0]) for line in classes]
    assert shares == sorted(shares, reverse=True) and sum(shares) == pytest.approx(100, abs=0.3)


def test_all_of_it_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], storage: Path, video: str
) -> None:
    words = ("predict", KEY[:6], video, "--clips", "2", "--crops", "3", "--top", "2", "--json")
    assert run(monkeypatch, *words, "--storage", str(storage)) == 0
    said: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (said["cell"], said["key"], said["checkpoint"], said["epoch"]) == (CELL, KEY, "last", 1)
    assert (said["protocol"]["clips"], said["protocol"]["crops"], said["protocol"]["average"]) == (
        2,
        3,
        "logits",
    )
    (one,) = said["videos"]
    assert one["video"] == video and one["views"] == 6 and len(one["top"]) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("TAM-Tiny-f8@toi", "a.mp4"), "no such cell"),
        ((CELL, "a.mp4", "--crops", "4"), "--crops should be 1, 3, 5 or 10"),
        ((CELL,), "VIDEO"),
    ],
)
def test_bad_input_ends_with_two(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    storage: Path,
    words: tuple[str, ...],
    says: str,
) -> None:
    assert run(monkeypatch, "predict", *words, "--storage", str(storage)) == 2
    assert says in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(not VIDEOS.is_dir(), reason="needs ../shared/videos")
def test_every_real_video_is_answered_or_its_damage_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], storage: Path
) -> None:
    files = sorted(str(path) for path in VIDEOS.iterdir() if path.suffix != ".md")
    assert run(monkeypatch, "predict", CELL, *files, "--json", "--storage", str(storage)) == 1
    rows = json.loads(capsys.readouterr().out)["videos"]
    assert [row["video"] for row in rows] == files
    damaged = {Path(row["video"]).name: row["error"] for row in rows if "error" in row}
    assert list(damaged) == ["decord__corrupted.mp4"]
    assert damaged["decord__corrupted.mp4"].startswith("damaged: ")
