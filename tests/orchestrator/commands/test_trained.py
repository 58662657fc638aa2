"""`actiongrid predict` and `actiongrid export` on a cell that was really trained."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator import load_cell, load_exported
from orchestrator.commands import evaluate
from tests.orchestrator.commands.test_cli import run
from tests.support.finished_cell import CELL, KEY
from tests.support.paths import SHARED
from trainables.data.frames.manifest import read_manifest
from trainables.inference import export
from trainables.inference.classifier import VideoClassifier
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


def test_a_network_keeps_to_the_cores_that_it_is_given(
    monkeypatch: pytest.MonkeyPatch, storage: Path, video: str
) -> None:
    before = torch.get_num_threads()
    try:
        for cores in (3, 1):
            words = ("predict", CELL, video, "--cpus", str(cores), "--storage", str(storage))
            assert run(monkeypatch, *words) == 0
            assert torch.get_num_threads() == cores
    finally:
        torch.set_num_threads(before)


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


FORMS = ("state-dict", "torchscript", "onnx", "huggingface")


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_an_export_gives_the_cells_logits_in_any_batch(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    storage: Path,
    tmp_path: Path,
    form: str,
) -> None:
    for name in {"onnx": ("onnx", "onnxruntime", "onnxscript"), "huggingface": ("safetensors",)}.get(
        form, ()
    ):
        pytest.importorskip(name)
    videos = (
        2 if form == "onnx" else 0
    )  # the others are compared on random clips alone: a decoder takes its time
    monkeypatch.setattr(evaluate, "_CHECK_VIDEOS", videos)
    target = tmp_path / "made" / "tam"
    words = ("export", CELL, "--to", form, "-o", str(target), "--storage", str(storage))
    assert run(monkeypatch, *words) == 0
    said = capsys.readouterr().out
    assert float(re.search(rf"on {3 + videos} clips .* by (\S+) at most$", said.strip())[1]) <= 1e-4  # type: ignore[index]
    cell = load_cell(CELL, storage, device="cpu")
    clips = torch.randn((3, 3, 8, 32, 32), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(opened(form, target)(clips), cell.model(clips), atol=1e-5)
    card = (target / "README.md" if form == "huggingface" else target.with_name("tam.md")).read_text()
    for part in (KEY, "(N, 3, 8, 32, 32)", *cell.classes, '"optimiser": "sgd"', "[0.485, 0.456, 0.406]"):
        assert part in card
    assert f"trained with python {platform.python_version()}, " in card
    assert re.search(r"\| \d+\.\d\d % \(\d+\.\d to \d+\.\d\) \|", card)
    assert str(storage) not in card + "".join(
        path.read_bytes().decode(errors="ignore") for path in target.parent.rglob("*") if path.is_file()
    )
    assert run(monkeypatch, *words) == 2
    assert "it exists" in capsys.readouterr().err
    if form == "huggingface":
        assert run(monkeypatch, *words, "--force") == 0
    assert len(list(target.parent.iterdir())) == (1 if form == "huggingface" else 2)


def opened(form: str, target: Path) -> Callable[[torch.Tensor], torch.Tensor]:
    """The export as somebody else opens it."""
    if form == "torchscript":
        return torch.jit.load(str(target))  # type: ignore[no-any-return]
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(target))
        return lambda clips: torch.from_numpy(session.run(None, {"clip": clips.numpy()})[0])
    return load_exported(target, "cpu").model


@pytest.mark.parametrize("place", ["folder", "link", "other"])
def test_what_is_no_plain_file_is_never_replaced(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    storage: Path,
    tmp_path: Path,
    place: str,
) -> None:
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    form = "huggingface" if place == "other" else "state-dict"
    words = ("export", CELL, "--to", form, "-o", str(tmp_path / place), "--force")
    assert run(monkeypatch, *words, "--storage", str(storage)) == 2
    assert "never replaced" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == (tmp_path / "other" / "notes.txt").read_text() == "mine"


def test_an_export_that_differs_is_not_announced_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], storage: Path, tmp_path: Path
) -> None:
    def spoiled(network: VideoClassifier, clips: torch.Tensor, path: Path) -> None:
        write(network, clips, path)
        state = torch.load(path, weights_only=True)
        state["model"]["fc.bias"] += 0.001
        config = json.loads(state["config"])
        config["actiongrid"]["weights_sha256"] = export._digest(state["model"])
        torch.save(state | {"config": json.dumps(config)}, path)

    write = export._write_state
    ways = {**export._ATTEMPTS, "state-dict": (export._Attempt(spoiled),)}
    monkeypatch.setattr(export, "_ATTEMPTS", ways)
    words = ("export", CELL, "--to", "state-dict", "-o", str(tmp_path / "a.pt"), "--storage", str(storage))
    assert run(monkeypatch, *words) == 1
    said = capsys.readouterr()
    assert "logits differ by 1.0e-03" in said.err and said.out == ""
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], storage: Path, tmp_path: Path
) -> None:
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    words = ("export", CELL, "--to", "onnx", "-o", str(tmp_path / "a.onnx"), "--storage", str(storage))
    assert run(monkeypatch, *words) == 2
    assert (
        "onnx, onnxruntime, onnxscript; --to onnx; pip install 'actiongrid[export]'"
        in capsys.readouterr().err
    )


def test_a_damaged_export_is_refused(storage: Path, tmp_path: Path) -> None:
    cell = load_cell(CELL, storage, device="cpu")
    target = tmp_path / "a.pt"
    export.export_network(cell, "state-dict", target, lambda found: "card")
    loaded = load_exported(target)
    assert (loaded.classes, loaded.protocol, loaded.frame_format) == (
        cell.classes,
        cell.protocol,
        cell.frame_format,
    )
    state = torch.load(target, weights_only=True)
    state["model"]["fc.bias"] += 0.001
    torch.save(state, target)
    with pytest.raises(export.ExportTargetError, match="checksum"):
        load_exported(target)
    target.write_bytes(target.read_bytes()[:-100])
    with pytest.raises(export.ExportTargetError, match="not a whole export"):
        load_exported(target)
    with pytest.raises(export.ExportTargetError, match="not a whole export"):
        load_exported(tmp_path / "none")
