"""Single figures for papers: what they show without a browser, and the files that a real one draws."""

from __future__ import annotations

import dataclasses
import io
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catalog import Catalog
from catalog.queries.filters import from_query_string
from dashboards.figures.registry import exports, figures
from dashboards.render.image import image, panels
from dashboards.report.paper import ON_PAGES, FigureError, Plain, Width, paper_figure
from tests.support.grid_events import DEMO, Grid, grid_events, write_quickly
from tests.support.measured_cells import as_published

OF_THE_PAPER = ("fig1", "fig2", "fig4", "fig5", "fig6", "fig7", "fig8", "contributions", "grid")
WITHOUT_OWN = ("fig2", "fig5", "fig8")
TABLES = tuple(f"table{number}" for number in range(2, 7))
MINI = Grid(study="mini", datasets=("mini-ssv2", "mini-kinetics"), seeds=(0, 1))

needs_browser = pytest.mark.skipif(
    shutil.which("chromium") is None and shutil.which("google-chrome") is None,
    reason="no Chromium on this machine",
)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("own")
    grid = dataclasses.replace(MINI, failing=frozenset({"TSN-ResNet18-f8@mini-ssv2"}))
    # Trained as the published models were, so that there is something to compare.
    write_quickly(storage, as_published(grid_events(grid)))
    return storage


def report(*options: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [sys.executable, "-m", "orchestrator.cli", "report", *map(str, options)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **environment}
    )


def made(storage: Path, name: str, *arguments: Any) -> Plain:
    with Catalog.open(storage) as catalog:
        return paper_figure(catalog, name, *arguments)


def points(figure: Plain) -> int:
    """Values that are drawn."""
    return sum(
        one is not None and other is not None
        for trace in figure["data"]
        for one, other in zip(trace.get("x") or (), trace.get("y") or (), strict=False)
    )


@pytest.mark.parametrize("width", ["column", "page"])
@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_the_papers_figures_can_be_drawn_from_the_published_results_alone(
    tmp_path: Path, name: str, width: Width
) -> None:
    on_paper_as_it_should_be(made(tmp_path, name, "both", width), width)


@pytest.mark.parametrize("name", sorted(exports()))
def test_every_figure_can_be_drawn_from_a_grid(own: Path, name: str) -> None:
    # The grid has been evaluated in one way only and has none of the tables' modules: nothing of its own.
    source = "published" if name in (*WITHOUT_OWN, *TABLES) else "own"
    for width in ("column", "page"):
        on_paper_as_it_should_be(made(own, name, source, width), width)


def on_paper_as_it_should_be(figure: Plain, width: str) -> None:
    layout = figure["layout"]
    assert layout["width"] == {"column": 408, "page": 840}[width] and layout["height"] > 150
    assert layout["paper_bgcolor"] == "#ffffff" and layout["font"]["color"] == "#000000"
    # What a click would show is shown, and there is nothing to click on.
    assert "updatemenus" not in layout and not any("visible" in trace for trace in figure["data"])
    places = panels(layout)
    for number, one in enumerate(places):
        assert 0 <= one.x[0] < one.x[1] <= 1 + 1e-9 and 0 <= one.y[0] < one.y[1] <= 1 + 1e-9
        for other in places[number + 1 :]:
            apart = one.x[1] <= other.x[0] or other.x[1] <= one.x[0] or one.y[0] >= other.y[1]
            assert apart, f"{one} and {other} overlap"
    if width == "column":
        assert len({one.x for one in places}) == 1
    titled = {(round(sum(one.x) / 2, 6), round(one.y[1], 6)) for one in places}
    titles = [note for note in layout.get("annotations", ()) if note.get("xanchor") == "center"]
    found = {(round(note["x"], 6), round(note["y"], 6)) for note in titles if note.get("yref") == "paper"}
    assert found <= titled and len(found) == len(titles)


def test_a_figure_shows_yours_or_published_or_both(own: Path) -> None:
    count = {source: points(made(own, "fig4", source)) for source in ("own", "published", "both")}
    with Catalog.open(own) as catalog:
        sql = "SELECT count(DISTINCT (module, backbone, temporal_pooling, frames, dataset)) AS n FROM results"
        models = catalog.query(sql).column("n")[0].as_py()
    assert count["own"] == models and count["published"] == 288
    assert count["own"] < count["both"] < count["own"] + 288
    small = made(own, "fig4", "published", "page", from_query_string("module=tam&dataset=mini-mit"))
    assert points(small) == 3 * 4 * 2 and len(panels(small["layout"])) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--figure", "fig44"), r"there is no figure 'fig44'; --figure; did you mean fig4\? Known: fig1, .*"),
        (("--figure", "tree"), r"there is no figure 'tree'; --figure; use one of fig1, .*, failures"),
        (("--figure", "cost", "--show", "published"), r"hours by axis has no published results; .*"),
        (
            ("--figure", "fig4", "--show", "yours"),
            r"nothing to draw: no cell has finished yet; --figure fig4; run cells first, or .*",
        ),
        (("--figure", "fig4", "--filter", "frames=x"), r"'x' is no number; filter frames; .*"),
        (("--format", "svg"), r"Invalid value: --format is for one figure; give --figure NAME too; .*"),
        (("--figure", "fig4", "--format", "eps"), r".*'eps' is not one of .*"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(
    tmp_path: Path, options: tuple[str, ...], says: str
) -> None:
    (tmp_path / "journal").mkdir()
    path = tmp_path / "out" / "figure.svg"
    done = report(*options, "-o", path, "--storage", tmp_path)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(f"error: {says}\n", done.stderr), done.stderr
    assert not path.parent.exists()


def test_without_a_browser_one_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    done = report(
        "--figure",
        "fig4",
        "-o",
        tmp_path / "a.svg",
        "--storage",
        tmp_path,
        BROWSER_PATH=str(tmp_path / "none"),
    )
    assert done.returncode == 2 and not (tmp_path / "a.svg").exists()
    assert re.fullmatch(r"error: no Chrome or Chromium was found; PATH; install one .*\n", done.stderr)


@needs_browser
def test_figure_4_as_svg_has_the_papers_288_points(tmp_path: Path) -> None:
    path = tmp_path / "figures" / "four.svg"
    done = report("--figure", "fig4", "--show", "published", "-o", path, "--storage", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"figure: {path}\n" and [one.name for one in path.parent.iterdir()] == ["four.svg"]
    svg = path.read_text()
    assert svg.startswith("<svg") and 'width="672"' in svg[:400] and "rgb(255, 255, 255)" in svg
    assert len(re.findall(r'class="point[ "]', svg)) == 288
    for words in (
        "top-1 (%)", "frames", "Mini-SSV2", "Mini-Kinetics", "Mini-MiT", "TSN", "TAM", "S3D", "I3D",
        "ResNet50", "temporal pooling",
    ):  # fmt: skip
        assert words in svg, words
    # The file shows itself: nothing is asked for elsewhere, and a second one is the same.
    assert not re.findall(r'(?:href|src)="(?!#|data:)', svg)
    with Catalog.open(tmp_path) as catalog:
        assert image(paper_figure(catalog, "fig4", "published"), "svg") == path.read_bytes()


def drawn_from(pdf: bytes) -> tuple[float, ...]:
    """The rectangle of a page's picture: left, top, width, height in Chromium's own unit."""
    streams = re.findall(rb"stream\r?\n(.*?)\s*endstream", pdf, re.DOTALL)
    clipped = re.compile(rb"([0-9.]+) ([0-9.]+) ([0-9.]+) ([0-9.]+) re\nW")
    found = next(filter(None, map(clipped.search, map(zlib.decompress, streams))))
    return tuple(map(float, found.groups()))


@needs_browser
def test_pdf_and_png_have_the_size_of_the_print(tmp_path: Path) -> None:
    done = report(
        "--figure",
        "fig6",
        "--show",
        "published",
        "--format",
        "pdf",
        "--width",
        "column",
        "-o",
        tmp_path / "six",
        "--storage",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    pdf = (tmp_path / "six").read_bytes()
    box = re.search(rb"/MediaBox \[0 0 ([0-9.]+) ([0-9.]+)\]", pdf)
    assert pdf.startswith(b"%PDF") and pdf.count(b"/Type /Page\n") == 1 and box is not None
    assert float(box.group(1)) / 72 == pytest.approx(3.4, abs=0.02)
    assert len(pdf) < 200_000, "striped bars are pictures, hundreds of them"
    assert b"/Title (Gain of temporal pooling)" in pdf
    assert drawn_from(pdf)[:2] == (0.0, 0.0), "margins make a figure smaller than its file says"
    with Catalog.open(tmp_path) as catalog:
        png = image(paper_figure(catalog, "fig1", "published"), "png")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">I", png[16:20])[0] == 7 * 300
    with Image.open(io.BytesIO(png)) as picture:
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1), "else programs take 72 or 96"


def test_a_name_is_needed_that_exists() -> None:
    assert {"fig1", "fig4", "fig5", "fig6", "fig7", "fig8"} <= set(exports())
    with (
        Catalog.open(Path("nowhere"), must_exist=False) as catalog,
        pytest.raises(FigureError, match="there is no figure"),
    ):
        paper_figure(catalog, "fig3")


def test_the_whole_page_is_still_the_default(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    done = report("--storage", tmp_path)
    assert done.returncode == 0 and done.stdout == f"report: {tmp_path / 'report.html'}\n"
    assert "Plotly.newPlot" in (tmp_path / "report.html").read_text()


def test_figures_of_single_cells_say_where_they_are(own: Path) -> None:
    elsewhere = {name for name, figure in figures().items() if not figure.exports}
    assert set(ON_PAGES) == elsewhere
    with pytest.raises(FigureError) as refused:
        made(own, "confusion")
    assert "it is on the dashboard's page Cell" in str(refused.value) and "mean" not in str(refused.value)
    with pytest.raises(FigureError, match="did you mean contributions"):
        made(own, "contribution")
