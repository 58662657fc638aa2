"""The rows of docs/study-map.md."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "study-map.md"


@dataclass(frozen=True)
class MapRow:
    """One figure or table of the paper; what it does not need is empty."""

    paper: str
    studies: tuple[str, ...]
    commands: tuple[tuple[str, ...], ...]
    figure: str
    page: str


def map_rows() -> list[MapRow]:
    """All rows, in the order of the page."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    rows = [[part.strip() for part in line.strip("|").split("|")] for line in lines]
    return [_row(*row) for row in rows if row[0] != "paper"]


def _row(paper: str, _shows: str, studies: str, commands: str, figure: str, page: str) -> MapRow:
    return MapRow(
        paper,
        tuple(name.strip() for name in studies.split(",") if name.strip()),
        tuple(tuple(one.split()) for one in re.findall(r"`([^`]+)`", commands)),
        figure.strip("`"),
        page.strip("`"),
    )
