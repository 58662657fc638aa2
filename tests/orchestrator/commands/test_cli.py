"""The command line: what programs read, exit codes, and errors as one line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from catalog import Catalog
from catalog.storage.atomic import MissingStorageError, StoreWriteError
from catalog.storage.locks import LockHeldError
from orchestrator.cli import main
from tests.support.paths import ROOT

TOY = """
name: toy
axes: {module: [tam], backbone: [resnet18], frames: [8, 16], dataset: [synthetic-motion]}
datasets: {synthetic-motion: {kind: synthetic-motion}}
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["actiongrid", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_plan_json_lists_the_papers_288_cells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    storage = tmp_path / "none"
    assert run(monkeypatch, "plan", "deep-analysis", "--json", "--storage", storage) == 0
    plan: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert len(plan["cells"]) == 288
    assert plan["totals"]["chains"] == 72
    assert len({cell["key"] for cell in plan["cells"]}) == 288
    asked = "cell key parent module backbone temporal_pooling frames dataset seed state reason params macs"
    assert set(asked.split()) <= set(plan["cells"][0])
    assert {one["name"] for one in plan["totals"]["missing_datasets"]} == {
        "mini-ssv2",
        "mini-kinetics",
        "mini-mit",
    }
    assert not storage.exists(), "a plan writes nothing"


def test_a_missing_weight_file_is_one_that_a_run_downloads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    study = tmp_path / "toy.yaml"
    study.write_text(TOY)
    assert run(monkeypatch, "plan", study, "--json", "--storage", tmp_path) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [cell["state"] for cell in plan["cells"]] == ["to run", "to run"]
    assert plan["downloads"] == {"resnet18": "resnet18-f37072fd.pth"}
    assert run(monkeypatch, "plan", study, "--storage", tmp_path) == 0
    assert "resnet18-f37072fd.pth is not here and will be downloaded" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("plan", "demmo"), "demmo: no such file, and no shipped study"),
        (("plann",), "No such command 'plann'"),
        (("plan",), "Missing argument"),
        (("report", "--where", "a=b"), "no option --where; actiongrid report; did you mean --filter?"),
        (("results", "--outptu", "b.md"), "no option --outptu; actiongrid results; did you mean --output?"),
        (
            ("status", "--where", "a=b"),
            "no option --where; actiongrid status; all of them: actiongrid",
        ),
        (("results", "--sql", "DROP TABLE results"), "not one single read"),
        (("results", "--storage", "ftp://bucket"), "not an address of a storage"),
        (("explain", "TAM-Nothing-f8@toy"), "no such cell"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    says: str,
) -> None:
    (tmp_path / "storage" / "journal").mkdir(parents=True)
    monkeypatch.setenv("ACTIONGRID_STORAGE", str(tmp_path / "storage"))
    assert run(monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert says in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (
            PermissionError(13, "Permission denied", "/root/grid"),
            2,
            "error: Permission denied; /root/grid; change its permissions or choose another path\n",
        ),
        (
            OSError(28, "No space left on device", "/grid/journal"),
            1,
            "error: No space left on device; /grid/journal; make room, then give the same command again\n",
        ),
        (StoreWriteError("cannot write", "/grid", "make room"), 1, "error: cannot write; /grid; make room\n"),
        (
            LockHeldError("dataset toy is in use", "/grid", "wait"),
            2,
            "error: dataset toy is in use; /grid; wait\n",
        ),
        (KeyboardInterrupt(), 130, "interrupted; run the same command again to go on\n"),
    ],
)
def test_whatever_ends_a_command_is_one_line_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    error: BaseException,
    code: int,
    says: str,
) -> None:
    def end(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("orchestrator.commands.status.existing_storage", end)
    assert run(monkeypatch, "status", "--storage", tmp_path) == code
    assert capsys.readouterr().err == says


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: object, **__: object) -> None:
        raise KeyError("no such thing")

    monkeypatch.setattr("orchestrator.commands.status.existing_storage", end)
    monkeypatch.setattr("sys.argv", ["actiongrid", "status"])
    with pytest.raises(KeyError, match="no such thing"):
        main()


def test_status_of_an_empty_storage_says_how_to_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty" / "datasets").mkdir(parents=True)
    assert run(monkeypatch, "status", "--storage", tmp_path / "empty") == 0
    assert "actiongrid run demo" in capsys.readouterr().out


READING = (
    ("results",),
    ("results", "--sql", "SELECT 1"),
    ("status",),
    ("status", "small", "--json"),
    ("report", "-o", "report.html"),
    ("report", "--figure", "grid", "-o", "grid.pdf"),
    ("dashboard",),
    ("explain", "TSN-Tiny-f8@toy"),
    ("evaluate", "TSN-Tiny-f8@toy"),
    ("pause", "small"),
    ("data", "list"),
    ("data", "verify"),
    ("catalog", "check"),
    ("catalog", "rebuild"),
)


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
@pytest.mark.parametrize("there", [False, True], ids=["nothing", "another folder"])
def test_what_only_reads_needs_a_storage_and_makes_none(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    there: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    storage = tmp_path / "typo"
    if there:
        (storage / "src").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    assert run(monkeypatch, *arguments, "--storage", storage) == 2
    assert capsys.readouterr().err == (
        f"error: no storage; {storage}; name one by --storage or ACTIONGRID_STORAGE; `run` makes it\n"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_catalog_is_opened_on_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(MissingStorageError, match=r"no storage; .*typo"):
        Catalog.open(tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


def test_status_names_a_study_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "journal").mkdir()
    for options in ((), ("--json",)):
        assert run(monkeypatch, "status", "smal", *options, "--storage", tmp_path) == 2
        assert capsys.readouterr().err.startswith("error: no such study; smal; ")


def test_a_datasets_bad_videos_are_named_when_it_is_built(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from trainables.data.datasets import SyntheticMotion
    from trainables.data.ingest.build import build_dataset

    config = SyntheticMotion(kind="synthetic-motion", train_per_class=1, val_per_class=1)
    source = build_dataset(config, "source", tmp_path / "source")
    for number, video in enumerate(source.videos):
        target = tmp_path / "videos" / source.classes[video.label] / f"{number}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(Path(video.path).read_bytes())
    (tmp_path / "videos" / "hop" / "text.mp4").write_text("no video")
    study = tmp_path / "folder.yaml"
    study.write_text(TOY.replace("{kind: synthetic-motion}", "{kind: folder, path: videos}"))
    assert run(monkeypatch, "data", "build", study, "--storage", tmp_path / "storage") == 0
    out = capsys.readouterr().out
    assert "1 quarantined" in out
    assert "text.mp4" in out


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (
            RuntimeError("Symlink loop from '/lab/a'"),
            2,
            "error: Too many levels of symbolic links; '/lab/a'; ",
        ),
        (MemoryError(), 1, "error: not enough memory; free some, or ask for less"),
        (duckdb.IOException("IO Error: Could not write file:\nNo space left"), 1, "error: IO Error: Could "),
        (pa.ArrowInvalid("Not a Parquet file"), 1, "error: Not a Parquet file; mend it"),
    ],
)
def test_a_librarys_word_about_files_or_memory_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    error: Exception,
    code: int,
    told: str,
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Catalog, "open", fails)
    (tmp_path / "journal").mkdir()
    assert run(monkeypatch, "results", "--storage", tmp_path) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(told)


@pytest.mark.parametrize(
    ("words", "ordered"),
    [
        (["plan", "study.yaml", "--import", "mine"], ["--import", "mine", "plan", "study.yaml"]),
        (["plan", "--import=mine", "s.yaml", "--json"], ["--import=mine", "plan", "s.yaml", "--json"]),
        (["--import", "a", "plan", "s", "--import", "b"], ["--import", "a", "--import", "b", "plan", "s"]),
        (["plan", "s", "--import"], ["plan", "s", "--import"]),
        (["results", "--", "--import", "x"], ["results", "--", "--import", "x"]),
    ],
)
def test_packages_to_import_may_be_named_anywhere(words: list[str], ordered: list[str]) -> None:
    from orchestrator.cli import _imports_first

    assert _imports_first(words) == ordered


ABORTING = """
import ctypes, sys
from orchestrator import cli

libc = ctypes.CDLL(None)
libc.on_exit(ctypes.cast(libc.abort, ctypes.c_void_p), None)  # what a destructor of a library does
sys.argv = ["actiongrid", *sys.argv[2:]]
getattr(cli, {entry!r})()
"""


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["nonsense"], 2)])
def test_no_library_has_the_last_word_on_how_a_command_ended(words: list[str], code: int) -> None:
    ended = {}
    for entry in ("program", "main"):
        command = [sys.executable, "-c", ABORTING.format(entry=entry), "--", *words]
        ended[entry] = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended["main"].returncode == -signal.SIGABRT, "else this shows nothing"
    assert ended["program"].returncode == code
    said = ended["program"].stdout + ended["program"].stderr
    assert said.startswith("actiongrid 0" if code == 0 else "error: No such command 'nonsense'")
