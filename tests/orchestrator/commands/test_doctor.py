"""`actiongrid doctor`: what does not work is said with the way out, and decides the exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest

from orchestrator.commands import doctor as command
from orchestrator.commands.doctor import Finding, finding_lines
from tests.orchestrator.commands.test_cli import run


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Runs the command without a browser; returns its findings by what was looked at."""
    monkeypatch.setattr(command, "_figures", lambda: Finding("figures", "works", "not looked at"))

    def findings(code: int, *options: object) -> dict[str, Any]:
        assert run(monkeypatch, "doctor", "--json", *(options or ("--storage", tmp_path / "new"))) == code
        return {one["check"]: one for one in json.loads(capsys.readouterr().out)}

    return findings


def test_a_machine_that_is_well(found: Any, tmp_path: Path) -> None:
    one = found(0)
    assert set(one) == {
        *("cores", "memory", "GPUs", "storage", "/dev/shm", "open files", "Ray", "decoding", "figures")
    }
    assert one["decoding"]["found"] == "a made H.264 video, by decord and PyAV"
    assert one["Ray"]["found"].split(",")[1] in (" used in the fast way", " used in the public way")
    assert not (tmp_path / "new").exists(), "it makes nothing"


def test_what_does_not_work_is_named_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, found: Any
) -> None:
    class Full:
        total, available = 1 << 34, 1 << 20

    monkeypatch.setattr(psutil, "virtual_memory", Full)
    monkeypatch.setenv("ACTIONGRID_RAY", "quick")
    monkeypatch.setattr("trainables.data.ingest.decode._decord_pictures", lambda *_: iter(()))
    (tmp_path / "file").touch()
    one = found(1, "--storage", tmp_path / "file")
    assert {name for name, row in one.items() if row["verdict"] == "fails"} == {
        *("memory", "Ray", "decoding", "storage")
    }
    assert "neither public nor fast: 'quick'" in one["Ray"]["found"]
    assert one["Ray"]["what_to_do"] and one["memory"]["what_to_do"]
    assert "decord read 0 of 8 pictures" in one["decoding"]["found"]


def test_text_has_the_way_out_below() -> None:
    lines = finding_lines([Finding("Ray", "works", "2.60.0"), Finding("figures", "fails", "none", "install")])
    assert lines == [
        "works  Ray      2.60.0",
        "fails  figures  none",
        "                -> install",
        "does not work: figures",
    ]


@pytest.mark.slow
def test_figures_are_tried_for_real(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "none"))
    with pytest.raises(Exception, match="no Chrome or Chromium was found"):
        command._figures()
