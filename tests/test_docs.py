"""What the documentation names is there: files, sections, pages, messages; and its pages can be built."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from catalog import Catalog
from dashboards.figures.registry import exports
from docs import hooks
from orchestrator.cli import app
from tests.support.grid_events import write_quickly
from tests.support.paths import ROOT
from tests.support.prediction_storage import VIDEOS, evaluated, key, make_storage

PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
_FILE = re.compile(r"`((?:[\w.*-]+/)+[\w.*-]*)`")
_OURS = {"orchestrator", "trainables", "catalog", "dashboards", "tests", "benchmarks", "docs", "clusters"}
_CITED = re.compile(r"docs/(\w[\w-]*\.md)(?:`?,? §(\d+))?")
# What a run makes, in folders that are named like a room.
_MADE = {"benchmarks/results/GPU.json"}


def named_files(text: str) -> set[str]:
    """Paths of the checkout in back-quotes."""
    found = {match.group(1) for match in _FILE.finditer(text)}
    return {path for path in found if path.split("/")[0] in _OURS and path not in _MADE}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_files_that_are_there(page: Path) -> None:
    assert [
        path for path in sorted(named_files(page.read_text())) if not list(ROOT.glob(path.rstrip("/")))
    ] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_pictures_of_a_page_are_there_and_say_what_they_show(page: Path) -> None:
    for words, path in re.findall(r"!\[([^]]*)\]\(([^)]+)\)", page.read_text()):
        assert words and (page.parent / path).is_file()
        assert (page.parent / path).stat().st_size < 150_000


def test_a_missing_file_would_be_seen() -> None:
    assert named_files("see `docs/no-such.md` and `orchestrator/`") == {"docs/no-such.md", "orchestrator/"}


def test_cited_pages_and_sections_are_there() -> None:
    sources = [path for room in sorted(_OURS - {"docs"}) for path in (ROOT / room).rglob("*.py")]
    missing = set()
    for path in [*sources, *PAGES]:
        for name, section in _CITED.findall(path.read_text()):
            page = ROOT / "docs" / name
            text = page.read_text() if page.is_file() else ""
            if not text or (section and not re.search(rf"^## {section}\. ", text, re.MULTILINE)):
                missing.add((path.relative_to(ROOT).as_posix(), name, section))
    assert missing == {("tests/test_docs.py", "no-such.md", "")}


@pytest.mark.parametrize("word", ["models-and-protocol", "DESIGN §", "DESIGN.md"])
def test_nothing_cites_what_is_not_in_the_repository(word: str) -> None:
    files = [path for room in sorted(_OURS) for path in (ROOT / room).rglob("*.py") if path != Path(__file__)]
    assert [path.relative_to(ROOT).as_posix() for path in files if word in path.read_text()] == []


_FROM_ELSEWHERE = re.compile(r"""(?:src=|<link[^>]* href=|url\(|@import )["']?((?:https?:)?//[^"')]+)""")


def build(folder: Path, source: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Build the pages of a checkout as `make docs` does, into another folder."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=source,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_pages_are_built_without_a_warning_and_load_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr
    pages = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.html"))
    written = [path.relative_to(ROOT / "docs") for path in PAGES if path.is_relative_to(ROOT / "docs")]
    assert {path.with_suffix(".html") for path in written} <= {*pages}
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.suffix in (".html", ".css")]
    assert {found for text in texts for found in _FROM_ELSEWHERE.findall(text)} == set()
    assert 'href="claims.html"' in (tmp_path / "dashboard.html").read_text()
    assert "draw_figure" in (tmp_path / "notebook.html").read_text()
    page = (tmp_path / "reference" / "commands.html").read_text()
    assert all(f"<code>actiongrid {verb}</code>" in page for verb in get_command(app).commands)  # type: ignore[attr-defined]


def test_what_is_loaded_from_elsewhere_would_be_seen() -> None:
    pages = ('<script src="https://a/b">', '<link rel="s" href="//a/b">', "x { y: url(http://a/b) }")
    assert all(_FROM_ELSEWHERE.search(page) for page in pages)
    assert not _FROM_ELSEWHERE.search('<a href="https://a/b">')


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("see `docs/claims.md`.", "see [Claims](claims.md)."),
        ("(docs/protocol.md §8)", None),
        ("docs/no-such.md", "[no-such.md](no-such.md)"),
        (
            "`docs/development.md` and `orchestrator/cli.py`",
            "[Development](development.md) and `orchestrator/cli.py`",
        ),
    ],
)
def test_names_of_pages_become_links(text: str, link: str | None) -> None:
    found = hooks.linked(text, "running.md")
    assert found == link if link else "§8](protocol.md#8-training)" in found
    assert "(../claims.md)" in hooks.linked("docs/claims.md", "reference/study.md")


MESSAGES = re.findall(r"^### (.+)$", (ROOT / "docs" / "troubleshooting.md").read_text(), re.MULTILINE)


@cache
def printed() -> str:
    """All texts of the product but docstrings, with … for what differs: one a line."""
    return "\n".join(text for room in product() for path in room.rglob("*.py") for text in texts_of(path))


def product() -> list[Path]:
    """The folders of the product."""
    return [ROOT / room for room in ("orchestrator", "trainables", "catalog", "dashboards")]


def texts_of(path: Path) -> list[str]:
    """The texts of a file, f-strings with … for their values."""
    tree = ast.parse(path.read_text())
    said = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [_text(node) for node in ast.walk(tree) if node not in said]


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) or "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_that_is_explained_is_one_of_the_product(message: str) -> None:
    assert re.search(".*".join(map(re.escape, message.split("…"))), printed()), message


def test_a_message_of_another_time_would_be_seen() -> None:
    assert "no such message was ever printed" not in printed()
    assert len(MESSAGES) == len(set(MESSAGES)) > 40


_SPAN = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(r"(?:^|[\s$(])actiongrid ([a-z][^#`&;]*)")
Options = dict[str, set[str]]


@cache
def options_of_commands() -> Options:
    """The long and short options of every command, by its words."""
    found: Options = {}

    def gather(words: str, command: Any) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            gather(f"{words} {name}".strip(), inner)
        options = {
            one for parameter in command.params for one in (*parameter.opts, *parameter.secondary_opts)
        }
        found[words] = options | {"--help", "--import"}

    gather("", get_command(app))
    return found


def named_options(text: str) -> list[tuple[str, str]]:
    """Each (command, option) that a page names, in code spans also without `actiongrid`."""
    spans = [span.removeprefix("actiongrid ") for span in _SPAN.findall(text)]
    lines = [match for line in text.splitlines() for match in _COMMAND.findall(line)]
    found = []
    for words in [*spans, *lines]:
        first, *rest = words.split()[:2] or [""]
        for verb in first.split("|"):
            known = [name for name in (f"{verb} {''.join(rest)}", verb) if name in options_of_commands()]
            if known and verb:
                found += [(known[0], one) for one in re.findall(r"(?<!\S)--[a-z][a-z-]*", words)]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_options_that_the_command_has(page: Path) -> None:
    named = named_options(page.read_text())
    assert [pair for pair in named if pair[1] not in options_of_commands()[pair[0]]] == []


def test_an_option_that_a_command_does_not_have_would_be_seen() -> None:
    text = "of `report --where`: …\n    actiongrid data build x --videos DIR   # --not-this\n"
    text += "`pause|retry --cells A`"
    assert named_options(text) == [
        ("report", "--where"),
        ("pause", "--cells"),
        ("retry", "--cells"),
        ("data build", "--videos"),
    ]
    assert "--where" not in options_of_commands()["report"]


def test_the_list_of_figures_is_the_products() -> None:
    page = (ROOT / "docs" / "dashboard.md").read_text().partition("## Figures for papers")[2]
    listed = re.findall(r"^\| `([\w-]+)` \| (.+) \|$", page, re.MULTILINE)
    known = [
        (name, one.title + ("" if one.published else " (yours only)")) for name, (_, one) in exports().items()
    ]
    assert listed == known


def test_the_questions_about_classes_are_answered(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "classes.md").read_text()
    questions = re.findall(r'actiongrid results --sql "(.*?)"', text, re.DOTALL)
    assert len(questions) == 5
    storage = make_storage(tmp_path)
    trained = replace(evaluated(storage, key("tam", 16)), split="train")
    write_quickly(storage, iter([trained]), "evaluate-1")
    with Catalog.open(storage) as catalog:
        answers = [catalog.query(question).to_pylist() for question in questions]
    assert all(answers)
    assert sum(row["videos"] for row in answers[0]) == VIDEOS
    assert {row["split"] for row in answers[2]} == {"train", "val"}


@pytest.mark.parametrize("page", ["tutorial.md", "troubleshooting.md"])
def test_what_draws_figures_is_named_before_one_is_drawn(page: str) -> None:
    before = (ROOT / "docs" / page).read_text().partition("$ actiongrid report --figure")[0]
    assert "Chromium" in before and "`apt install chromium`" in before
