"""Every command on files that refuse: an error in one line, an exit code as documented, and no traceback."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.cli import main
from tests.support import finished_study
from tests.support.faulty_files import READS, WRITES, FaultyFiles, installed

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
    "data build": "data build STUDY",
    "data list": "data list",
    "data verify": "data verify toy",
    "catalog check": "catalog check",
    "catalog rebuild": "catalog rebuild",
}
SLOW = {"report": 2, "claims": 3, "catalog rebuild": 3, "results as csv": 4, "run": 5}
"""How often these are run with each kind of fault; the others `_TIMES`."""
_TIMES = 8


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it said."""

    code: int
    out: str
    error: str


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    finished_study.build(folder / "storage")
    finished_study.finish(folder / "storage")
    (folder / "lengths.yaml").write_text(finished_study.STUDY)
    return folder


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
        places = {"STUDY": self.folder / "lengths.yaml", "OUT": self.folder / "out" / "file"}
        words = [str(places.get(word, word.replace("+", " "))) for word in self.words.split()]
        arguments = ["actiongrid", *words, "--storage", str(self.folder / "storage")]
        self.monkeypatch.setattr("sys.argv", arguments)
        self.capsys.readouterr()
        with installed(faults), pytest.raises(SystemExit) as ended:
            main()
        said = self.capsys.readouterr()
        return Ended(int(ended.value.code or 0), said.out, said.err)


def spread(calls: int, times: int) -> Iterator[int]:
    """Numbers from 1 to `calls`: the first ones, for they are of the command itself, then ever fewer."""
    number = 1
    for _ in range(min(times, calls)):
        yield number
        number = max(number + 1, round(number * calls ** (1 / times)))
        if number > calls:
            return


@pytest.mark.parametrize("kinds", KINDS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_whose_files_refuse_says_so_in_one_line(
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    kinds: str,
) -> None:
    # Patience is tested where it is; here it would only take time.
    monkeypatch.setattr("catalog.storage.outage.READ_PAUSES", ())
    trial = Trial(undisturbed, tmp_path / "work", COMMANDS[command], monkeypatch, capsys)
    counting = FaultyFiles(trial.folder, errno.EIO, first=1 << 30, kinds=KINDS[kinds])
    trial(counting)
    times = SLOW.get(command, _TIMES)
    for place, first in enumerate(spread(counting.calls, times)):
        for number in {FAULTS[place % len(FAULTS)], FAULTS[(place + 5) % len(FAULTS)]}:
            faults = FaultyFiles(trial.folder, number, first, kinds=KINDS[kinds])
            ended = trial(faults)
            assert faults.raised
            check(ended, f"{errno.errorcode[number]} at call {first}")


def check(ended: Ended, case: str) -> None:
    assert ended.code in (0, 1, 2), case
    assert "Traceback" not in ended.out + ended.error, f"{case}: {ended.error}"
    lines = [line for line in ended.error.splitlines() if line.startswith("error: ")]
    assert len(lines) <= 1, f"{case}: {ended.error}"
    if ended.code == 2:
        assert lines, f"{case}: silent"
    assert all(len(line) < 600 for line in lines), case
    if ended.code == 1:
        assert lines or ended.out, f"{case}: silent"
