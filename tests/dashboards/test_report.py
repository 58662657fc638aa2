from __future__ import annotations

import dataclasses
import datetime
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs

from catalog import Catalog
from catalog.events import CellFinished
from dashboards.report.page import report_html, write_report
from tests.support.grid_events import DEMO, Grid, grid_events, quarantine_event, write_quickly

NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
FAILING = "TAM-Tiny-f8@synthetic-motion"
GRID = dataclasses.replace(
    DEMO, failing=frozenset({FAILING}), unfinished=frozenset({"I3D-Tiny-tp-f16@synthetic-appearance"})
)


class Page(HTMLParser):
    """Collects the cells of tables, the text, and every address that a browser would load."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html.replace(get_plotlyjs(), ""))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.loads += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")
        ]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"script", "style"} & set(self.open):
            self.words.append(data)
            if {"td", "th"} & set(self.open):
                self.rows[-1][-1] += data

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    storage = tmp_path_factory.mktemp("storage")
    write_quickly(storage, iter([*grid_events(GRID), quarantine_event()]))
    with Catalog.open(storage) as catalog:
        yield catalog


@pytest.fixture(scope="module")
def written(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(catalog, tmp_path_factory.mktemp("written") / "out" / "report.html")


@pytest.fixture(scope="module")
def html(written: Path) -> str:
    return written.read_text()


def test_the_report_has_the_numbers_of_the_catalog(catalog: Catalog, html: str) -> None:
    page = Page(html)
    cells = {row[0]: row for row in page.rows if len(row) > 5}
    results = catalog.query("SELECT cell, top1 FROM results").to_pylist()
    assert len(results) == 29
    for result in results:
        state, top1, low, high = cells[result["cell"]][1:5]
        assert (state, top1) == ("done", f"{result['top1']:.2f}")
        assert float(low) < result["top1"] < float(high)
    # Four classes: top-5 would be 100 % whatever a model does.
    heads = next(row for row in page.rows if row[:2] == ["cell", "state"] and "top-1" in row)
    assert "top-5" not in heads and "validation loss" in heads
    assert cells["TAM-Tiny-f16@synthetic-motion"][1] == "blocked"
    assert "29 of 32 cells are done, 1 failed, 2 are missing" in page.text
    own = catalog.query("FROM contributions WHERE source = 'own' AND phi IS NOT NULL").to_pylist()
    shown = {tuple(row[:5]) for row in page.rows}
    assert len(own) == 5
    for row in own:
        assert (row["dataset"], row["module"].upper(), "own", "demo", f"{row['phi']:.3f}") in shown


def test_what_failed_is_named_with_its_reason(html: str) -> None:
    page = Page(html)
    assert [FAILING, "failed"] in [row[:2] for row in page.rows]
    assert f"waits for {FAILING}, which failed" in page.text
    assert "2 videos could not be read" in page.text and "no frame decodes" in page.text


def test_what_comes_from_data_is_escaped(html: str) -> None:
    ours = html.replace(get_plotlyjs(), "")
    assert "<b>broken</b>" not in ours and "val/&lt;b&gt;broken&lt;/b&gt;.mp4" in ours
    assert "&lt;clip &amp; co&gt;" in ours


def test_a_hostile_study_cannot_inject_markup(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    events = [
        dataclasses.replace(event, study=evil, cell=evil, dataset=evil)
        if hasattr(event, "parent_key") and hasattr(event, "cell")
        else event
        for event in grid_events(dataclasses.replace(DEMO, study=evil))
    ]
    write_quickly(tmp_path, iter(events))
    html = report_html(Catalog.open(tmp_path), NOW).replace(get_plotlyjs(), "")
    assert "alert(1)" in html and "<script>alert" not in html
    assert html.count("<script") == html.count("</script>")


def test_the_file_loads_nothing(written: Path) -> None:
    html = written.read_text()
    assert html.count(get_plotlyjs()) == 1
    page = Page(html)
    assert page.loads == []
    assert not re.findall(r"https?://|@import|url\(", html.replace(get_plotlyjs(), ""))
    assert "default-src 'none'" in html and "showSendToCloud: false" in html
    assert written.stat().st_size < 6_000_000
    assert [entry.name for entry in written.parent.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    "grid",
    [
        dataclasses.replace(
            DEMO, modules=("tam",), poolings=(False,), frames=(8,), datasets=("synthetic-motion",)
        ),
        pytest.param(
            dataclasses.replace(DEMO, modules=("tsn", "tam"), poolings=(True,)), marks=pytest.mark.long
        ),
        dataclasses.replace(DEMO, unfinished=frozenset({"TSN-Tiny-f8@synthetic-motion"}), seeds=(3,)),
        Grid(
            modules=("tsn", "tam"),
            datasets=("mini-ssv2",),
            failing=frozenset({"TSN-ResNet18-f8@mini-ssv2"}),
        ),
    ],
    ids=["one cell", "no baseline", "half", "failed"],
)
def test_partial_grids(tmp_path: Path, grid: Grid) -> None:
    write_quickly(tmp_path, grid_events(grid))
    page = Page(report_html(Catalog.open(tmp_path), NOW))
    assert "Accuracy by frames" in page.text and "All cells" in page.text


def test_an_empty_catalog_says_so_and_shows_the_published_results(tmp_path: Path) -> None:
    html = report_html(Catalog.open(tmp_path), NOW)
    page = Page(html)
    assert "No cell has been planned in this storage yet." in page.text and "Failed" not in page.text
    assert "19 of the 27 figures" in page.text and "27 of 27 agree" in page.text
    assert html.count('<div class="plot"') == 24 and len(html) < 6_000_000
    assert len(html) - len(get_plotlyjs()) < 1_000_000, "the bulk is Plotly's own code"
    assert "Of one seed alone the training's own variance is not known" in page.text


def test_nan_is_shown_and_does_not_break_the_page(tmp_path: Path) -> None:
    events = [
        dataclasses.replace(event, loss=float("nan"), top1=float("nan"))
        if isinstance(event, CellFinished)
        else event
        for event in grid_events(DEMO)
    ]
    write_quickly(tmp_path, iter(events))
    html = report_html(Catalog.open(tmp_path), NOW)
    assert any("nan" in row for row in Page(html).rows)
    for content in re.findall(r'<script type="application/json">(.*?)</script>', html):
        assert "NaN" not in content


def test_chromium_draws_every_figure(written: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += ["--virtual-time-budget=10000", "--dump-dom", f"file://{written}"]
    dom = subprocess.run(command, capture_output=True, check=True, text=True, timeout=120).stdout
    assert dom.count('class="plot js-plotly-plot"') == 10
    assert dom.count('<svg class="main-svg"') >= 6
