"""The paper's figures as they looked before, and whether pictures are compared on this machine at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import kaleido
import pytest
from PIL import Image, ImageDraw

from catalog import Catalog
from dashboards.figures.registry import exports
from dashboards.render.image import image
from dashboards.report.paper import FigureError, paper_figure
from tests.support.pictures import compared, difference, same_fonts

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def drawing() -> Image.Image:
    picture = Image.new("RGB", (160, 100), "white")
    ImageDraw.Draw(picture).rectangle((20, 30, 60, 90), fill="#0072B2")
    return picture


def test_what_looks_otherwise_is_told() -> None:
    one, other = drawing(), drawing()
    assert compared(one, other) == ""
    other.putpixel((5, 5), (0, 0, 0))
    assert compared(one, other) == "", "a letter more"
    ImageDraw.Draw(other).rectangle((80, 30, 90, 90), fill="#0072B2")
    assert "by more than 40" in compared(one, other), "a bar more"
    assert "fields differ" in compared(one, Image.new("RGB", (160, 100), "white")), "nothing drawn"
    assert "160 × 100 fields, not 160 × 120" in compared(one, Image.new("RGB", (160, 120), "white"))


@pytest.fixture
def one_drawing_browser() -> Iterator[None]:
    """One browser that draws all figures, instead of one each, which takes five seconds to start."""
    kaleido.start_sync_server(mathjax=False)
    yield
    kaleido.stop_sync_server()


@pytest.mark.slow
@pytest.mark.usefixtures("one_drawing_browser")
@pytest.mark.filterwarnings("ignore:The kopts argument is ignored:UserWarning")
def test_the_papers_figures_look_as_they_did(browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    same = same_fonts(page)
    page.close()
    if not same:
        pytest.skip("this machine's fonts are not those of the reference pictures: none is compared here")
    different, looked_at = {}, 0
    with Catalog.open(tmp_path) as catalog:
        for name in sorted(exports()):
            try:
                figure = paper_figure(catalog, name, "published")
            except FigureError:
                continue  # of one's own results alone
            looked_at += 1
            if how := difference(image(figure, "png"), f"paper/{name}"):
                different[name] = how
    assert looked_at >= 12 and different == {}
