"""What the command line itself answers: help, version, completion, and formats that follow a file's name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pyarrow.parquet as pq
import pytest
import typer
from rich.markup import render

from orchestrator.cli import app
from orchestrator.commands.common import FormatError, format_of_file
from orchestrator.commands.run import next_line
from tests.orchestrator.commands.test_cli import TOY, run
from tests.support.finished_study import finish
from tests.support.paths import ROOT


@pytest.mark.parametrize("words", [(), ("data",), ("jobs",), ("catalog",)])
def test_a_command_without_words_shows_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *words) == 0
    shown = capsys.readouterr()
    assert "Usage:" in shown.out and "Commands" in shown.out
    assert shown.err == ""


def helps(command: click.Command, name: str) -> Iterator[tuple[str, str]]:
    """All texts that the help of a command and of those below it shows, with the command's name."""
    yield name, command.help or ""
    yield from ((name, getattr(one, "help", None) or "") for one in command.params)
    for below, other in getattr(command, "commands", {}).items():
        yield from helps(other, f"{name} {below}")


def test_no_help_has_brackets_that_a_terminal_takes_for_markup() -> None:
    """`[low, high]` in a docstring was left out of what `--help` shows."""
    texts = [*helps(typer.main.get_command(app), "actiongrid")]
    assert len(texts) > 100
    assert [(name, text) for name, text in texts if render(text).plain != text] == []


def test_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("actiongrid ")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("actiongrid expl", "explain"),
        ("actiongrid plan dem", "demo"),
        ("actiongrid results --form", "--format"),
    ],
)
def test_a_shell_completes_commands_options_and_studies(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, offered: str
) -> None:
    monkeypatch.setenv("_ACTIONGRID_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    run(monkeypatch)
    assert offered in capsys.readouterr().out.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    monkeypatch.setenv("_ACTIONGRID_COMPLETE", f"source_{shell}")
    assert run(monkeypatch) == 0
    assert "_ACTIONGRID_COMPLETE" in capsys.readouterr().out


def test_tables_for_people_need_no_pandas(tmp_path: Path) -> None:
    """To import it takes half a second; who asks for pandas in the same process later gets it."""
    finish(tmp_path)
    code = """
import sys
from orchestrator.cli import main
for words in (["status"], ["results"], ["plan", "demo"]):
    sys.argv = ["actiongrid", *words, "--storage", sys.argv[-1]]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (words, ended.code)
    assert "pyarrow" in sys.modules and "pandas" not in sys.modules, words
import pyarrow
assert len(pyarrow.table({"a": [1, 2]}).to_pandas()) == 2
"""
    words = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert done.stdout.count("TAM-Tiny-f16@toy") > 1 and "cells to run" in done.stdout


def test_results_are_written_as_the_files_name_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    storage = tmp_path / "storage"
    finish(storage)
    for ending in ("csv", "JSON", "parquet", "tex", "md"):
        assert run(monkeypatch, "results", "--storage", storage, "-o", tmp_path / f"all.{ending}") == 0
    written = {path.suffix: path for path in tmp_path.glob("all.*")}
    assert len(written[".csv"].read_text().splitlines()) == 5
    assert len(json.loads(written[".JSON"].read_text())) == 4
    assert pq.read_table(written[".parquet"]).num_rows == 4
    assert r"\begin{tabular}" in written[".tex"].read_text()
    assert written[".md"].read_text().startswith("|")
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("results", "-o", "x.bmp"),
            "no format .bmp; x.bmp; use one of .csv, .json, .parquet, .tex, .md, .txt",
        ),
        (
            ("results", "-o", "x.csv", "--format", "json"),
            "--format json and the file's name disagree; x.csv; leave one of them out",
        ),
        (("report", "--figure", "fig1", "-o", "x.bmp"), "no format .bmp; x.bmp; use one of .svg, .pdf, .png"),
        (
            ("report", "--figure", "fig1", "--format", "pdf", "-o", "x.svg"),
            "--format pdf and the file's name disagree; x.svg; leave one of them out",
        ),
        (("report", "-o", "x.pdf"), "the report is an HTML page; x.pdf; give --figure NAME for one figure"),
        (("report", "-o", "x.docx"), "the report is an HTML page; x.docx; name it .html"),
    ],
)
def test_a_name_that_means_another_format_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    words: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "storage" / "journal").mkdir(parents=True)
    assert run(monkeypatch, *words, "--storage", tmp_path / "storage") == 2
    assert capsys.readouterr().err == f"error: {says}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["storage"]


def test_devices_and_bare_names_take_what_was_asked_for() -> None:
    by_suffix = {"csv": "csv"}
    assert format_of_file(None, Path("/dev/stdout"), by_suffix, "table") == "table"
    assert format_of_file("json", Path("all.data"), by_suffix, "table") == "json"
    assert format_of_file(None, None, by_suffix, "table") == "table"
    with pytest.raises(FormatError):
        format_of_file(None, Path("all.data"), by_suffix, "table")


def test_a_name_and_a_query_that_are_wrong_are_one_plain_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "journal").mkdir()
    assert run(monkeypatch, "results", "--sql", "SELECT nope FROM results", "--storage", tmp_path) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    (tmp_path / "s.yaml").write_text(TOY.replace("name: toy", "name: my toy"))
    assert run(monkeypatch, "plan", tmp_path / "s.yaml", "--storage", tmp_path) == 2
    error = capsys.readouterr().err
    assert "should begin with a letter or digit and have letters, digits" in error and "^[" not in error


def test_a_run_ends_with_the_commands_that_show_its_results() -> None:
    assert next_line(None) == "next: actiongrid results; likewise status, dashboard and report"
    assert next_line("/data/my study").startswith("next: actiongrid results --storage '/data/my study'; ")
