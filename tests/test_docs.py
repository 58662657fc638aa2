"""What the documentation names is there: files, sections, and other pages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
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
