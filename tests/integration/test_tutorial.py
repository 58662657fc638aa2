"""docs/tutorial.md from end to end: every command of the page, as it stands there, on a folder of videos."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.paths import ROOT
from trainables.data.datasets.synthetic import SyntheticMotion
from trainables.data.ingest.synthetic_videos import class_names, items, render, write_h264

CLASSES = ("flip", "hop", "walk-down")
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+\S*")


@dataclass(frozen=True)
class Step:
    """A command of the page, and the lines that it shows of what is printed."""

    command: tuple[str, ...]
    shown: tuple[str, ...]


def steps(page: str) -> list[Step]:
    """The commands of the console blocks, in their order."""
    found = []
    for block in _BLOCK.findall(page):
        command, *shown = block.splitlines()
        assert command.startswith("$ ") and not any(line.startswith("$ ") for line in shown)
        found.append(Step(tuple(shlex.split(command[2:])), tuple(shown)))
    return found


def missing(shown: tuple[str, ...], printed: str) -> list[str]:
    """The lines of the page that were not printed in this order; … and spaces stand for any text."""
    rest, left_out = printed.splitlines(), []
    for line in shown:
        wanted = re.compile(".*".join(re.escape(part) for part in re.split(r"\s*…\s*|\s{2,}", line)))
        at = next((number for number, one in enumerate(rest) if wanted.search(one)), None)
        if at is None:
            left_out.append(line)
        else:
            rest = rest[at + 1 :]
    return left_out


PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
STEPS = steps(PAGE)


def test_the_page_goes_from_videos_to_a_figure() -> None:
    verbs = [step.command[1] for step in STEPS]
    wanted = ["init", "plan", "run", "run", "status", "explain", "results", "dashboard", "report", "results"]
    assert verbs == [*wanted, "predict"]
    assert {step.command[0] for step in STEPS} == {"actiongrid"}
    assert PAGE.count("$ actiongrid") == len(STEPS), "every command is in a block that is run"


def test_a_line_that_is_not_printed_would_be_seen() -> None:
    assert missing(("a … c", "d"), "x\na b c\nd") == []
    assert missing(("d", "a … c"), "a b c\nd") == ["a … c"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the page's videos: 16 of a class, of two seconds."""
    config = SyntheticMotion(train_per_class=16, val_per_class=1, size=64)
    for item in items(config):
        name = class_names(config)[item.label]
        if item.split == "train" and name in CLASSES:
            path = tmp_path / "gestures" / name / f"{item.number:03d}.mp4"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_h264(render(config, item), config.fps, config.frames_per_segment, path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(900)
def test_every_command_of_the_page_does_what_it_shows(folder: Path) -> None:
    for step in STEPS:
        printed = served(step, folder) if step.command[1] == "dashboard" else ran(step, folder)
        assert missing(step.shown, printed) == [], f"{step.command}\n{printed}"
    assert (folder / "accuracy.pdf").read_bytes().startswith(b"%PDF-")
    assert r"\toprule" in (folder / "accuracy.tex").read_text()


def ran(step: Step, folder: Path) -> str:
    """What a command prints that has to succeed."""
    done = subprocess.run(
        _command(step),
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{step.command}\n{done.stdout}"
    return done.stdout


def served(step: Step, folder: Path) -> str:
    """What the dashboard prints; its page is opened, and Ctrl-C ends it."""
    server = subprocess.Popen(
        _command(step), cwd=folder, env=_environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        printed = server.stdout.readline()
        address = _ADDRESS.search(printed)
        assert address, printed
        with urlopen(address[0], timeout=60) as page:
            assert "ActionGrid" in page.read().decode()
        server.send_signal(signal.SIGINT)
        assert server.wait(60) in (0, 130)
    finally:
        server.kill()
    return printed


def _command(step: Step) -> list[str]:
    return [sys.executable, "-m", "orchestrator.cli", *step.command[1:]]


def _environment() -> dict[str, str]:
    """This checkout's code, no storage or token of the machine's, and no GPU, as the page was written."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ACTIONGRID_")}
    return plain | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
