"""Every command on files that refuse: an error in one line, an exit code as documented, and no traceback."""

from __future__ import annotations

import errno
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import main
from tests.support import finished_study
from tests.support.faulty_files import READS, WRITES, FaultyFiles, installed
from tests.support.slowness import slowness

FAULTS = (
    errno.EIO,
    errno.EACCES,
    errno.ENOSPC,
    errno.EROFS,
    errno.ENOENT,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EMFILE,
    errno.ESTALE,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ETIMEDOUT,
)
pytestmark = pytest.mark.slow

KINDS = {"reads": READS, "writes": (*WRITES, "open", "fsync")}
CELL = "TAM-Tiny-f8@toy"

COMMANDS = {
    "plan": "plan STUDY",
    "power": "power STUDY",
    "run": "run STUDY",
    "status": "status lengths",
    "pause": "pause lengths",
    "resume": "resume lengths",
    "cancel": "cancel lengths",
    "explain": f"explain {CELL}",
    "evaluate": f"evaluate {CELL}",
    "results": "results",
    "results as csv": "results --format csv -o OUT",
    "results by sql": "results --sql SELECT+count(*)+FROM+cells",
    "claims": "claims",
    "report": "report -o OUT",
    "figure": "report --figure fig1 --format svg -o OUT",
    "dashboard": "dashboard --port 0",
    "submit": "submit STUDY --no-follow",
    "jobs list": "jobs list --cluster NOWHERE",
    "jobs attach": "jobs attach --cluster NOWHERE",
    "jobs logs": "jobs logs --cluster NOWHERE",
    "jobs stop": "jobs stop lengths --cluster NOWHERE",
    "data build": "data build STUDY",
    "data list": "data list",
    "data verify": "data verify toy",
    "catalog check": "catalog check",
    "catalog rebuild": "catalog rebuild",
}
SLOW = {"report": 2, "figure": 1, "claims": 3, "catalog rebuild": 3, "results as csv": 4, "run": 5}
"""In how many places these meet each kind of fault; the others in `_TIMES`."""
_TIMES = 8
_FEW = 2
"""The same where there is less time."""
LONGEST_SECONDS = 20.0


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    error: str
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    finished_study.build(folder / "storage")
    finished_study.finish(folder / "storage")
    (folder / "lengths.yaml").write_text(finished_study.STUDY)
    return folder


@pytest.fixture(scope="module")
def warm() -> set[str]:
    """The commands that have run in this process."""
    return set()


@dataclass
class Trial:
    """Runs one command on a fresh copy of a folder, with faults."""

    source: Path
    folder: Path
    words: str
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def __call__(self, faults: FaultyFiles) -> Ended:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.source, self.folder)
        temporary = self.folder / "tmp"
        temporary.mkdir()
        self.monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        places = {
            "STUDY": self.folder / "lengths.yaml",
            "OUT": self.folder / "out" / "file",
            "NOWHERE": self.folder / "cluster.yaml",
        }
        words = [str(places.get(word, word.replace("+", " "))) for word in self.words.split()]
        arguments = ["actiongrid", *words]
        if words[0] not in ("submit", "jobs"):
            arguments += ["--storage", str(self.folder / "storage")]
        self.monkeypatch.setattr("sys.argv", arguments)
        self.capsys.readouterr()
        began = time.monotonic()
        with installed(faults), pytest.raises(SystemExit) as ended:
            main()
        seconds = time.monotonic() - began
        said = self.capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err, seconds)


def spread(calls: int, times: int) -> Iterator[int]:
    """Numbers from 1 to `calls`: the first ones, for they are of the command itself, then ever fewer."""
    number = 1
    for _ in range(min(times, calls)):
        yield number
        number = max(number + 1, round(number * calls ** (1 / times)))
        if number > calls:
            return


@pytest.mark.parametrize("most", [_FEW, pytest.param(_TIMES, marks=pytest.mark.long)], ids=["few", "many"])
@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_whose_files_refuse_says_so_in_one_line(
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    warm: set[str],
    command: str,
    kinds: str,
    most: int,
) -> None:
    trial = Trial(undisturbed, tmp_path / "work", COMMANDS[command], monkeypatch, capsys)
    # A command's first run in a process also imports and fills caches, so a later one's calls are counted.
    for _ in range(1 if command in warm else 2):
        counting = FaultyFiles(trial.folder, errno.EIO, first=1 << 30, kinds=KINDS[kinds])
        trial(counting)
    warm.add(command)
    times = min(most, SLOW.get(command, _TIMES))
    for place, first in enumerate(spread(counting.calls, times)):
        numbers = FAULTS[place % len(FAULTS)], FAULTS[(place + 5) % len(FAULTS)]
        for number in numbers if most > _FEW else numbers[:1]:
            faults = FaultyFiles(trial.folder, number, first, kinds=KINDS[kinds])
            ended = trial(faults)
            assert faults.raised
            check(ended, f"{errno.errorcode[number]} at call {first}")


@pytest.fixture(autouse=True)
def other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no file of these commands': patience, a browser, a cluster, and whoever ends the dashboard."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("catalog.storage.outage.READ_PAUSES", ())
    monkeypatch.setattr("dashboards.render.image.image", lambda *_: b"<svg/>")
    monkeypatch.setattr("dashboards.app.app.serve_on", interrupted)
    monkeypatch.setattr("orchestrator.clusters.jobs._client", lambda _: Accepting())


class Accepting:
    """A cluster's job server that takes what it is sent."""

    def submit_job(self, **job: Any) -> str:
        return str(job["submission_id"])


def check(ended: Ended, case: str) -> None:
    if ended.seconds > LONGEST_SECONDS:
        assert ended.seconds < LONGEST_SECONDS * slowness(), f"{case}: silent for {ended.seconds:.0f} s"
    assert ended.code in (0, 1, 2), case
    assert "Traceback" not in ended.out + ended.error, f"{case}: {ended.error}"
    lines = [line for line in ended.error.splitlines() if line.startswith("error: ")]
    assert len(lines) <= 1, f"{case}: {ended.error}"
    if ended.code == 2:
        assert lines, f"{case}: silent"
    assert all(len(line) < 600 for line in lines), case
    if ended.code == 1:
        assert lines or ended.out, f"{case}: silent"
