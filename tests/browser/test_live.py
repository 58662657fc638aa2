"""The pages while a driver writes its journal: news arrive, zooms stay, nobody is disturbed."""

from __future__ import annotations

import dataclasses
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from catalog import Catalog, read_events
from catalog.journal import Journal
from tests.support.grid_events import DEMO, grid_events, write_quickly
from tests.support.grid_storage import GRID, RUNNING, finish, key, make_storage, report_epoch
from tests.support.slowness import news_seconds
from tests.support.windows import Dashboard, Look, look_at, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow

CELL = key("tsn", "resnet18", True, "mini-ssv2", 32)
SCROLLED = "() => document.querySelector('.grid').closest('.scroll').scrollLeft"
RANGES = """() => {
    const layout = document.querySelector('.js-plotly-plot')._fullLayout;
    const rounded = (range) => range.map((value) => Math.round(value * 1e6));
    return [layout.xaxis.range, layout.yaxis.range].map(rounded);
}"""


@dataclasses.dataclass
class Scene:
    """A grid that is being written, its dashboard, and a window on it."""

    storage: Path
    dashboard: Dashboard
    look: Look


@pytest.fixture
def scene(browser: Browser, tmp_path: Path) -> Iterator[Scene]:
    storage = make_storage(tmp_path, GRID)
    with running(storage) as dashboard, look_at(browser, dashboard.url) as look:
        yield Scene(storage, dashboard, look)


def test_a_finished_cell_shows_within_three_seconds(scene: Scene) -> None:
    page = scene.look.open("/grid")
    field = page.locator(f'.grid a[title^="{RUNNING}"]')
    page.set_viewport_size({"width": 390, "height": 900})
    field.focus()
    page.evaluate("() => { document.querySelector('.grid').closest('.scroll').scrollLeft = 77; }")
    left = page.evaluate(SCROLLED)
    assert left == 77
    assert "1 running" in str(field.get_attribute("title"))
    finish(scene.storage, CELL)
    written, limit = time.monotonic(), news_seconds()
    page.wait_for_selector(f'.grid a[title^="{RUNNING}"][title*="2 done"]', timeout=limit * 1000)
    assert time.monotonic() - written < limit
    # What somebody had chosen with the keyboard is still chosen.
    assert str(page.evaluate("document.activeElement.title")).startswith(RUNNING)
    assert page.evaluate(SCROLLED) == left
    assert "running" not in page.locator(".counts").inner_text()


def test_news_keep_the_zoom_and_what_was_hidden_in_the_legend(scene: Scene) -> None:
    page = scene.look.open("/findings?show=frames&source=own&dataset=mini-ssv2")
    page.wait_for_selector(".js-plotly-plot .nsewdrag")
    page.wait_for_timeout(500)
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    before = page.evaluate(RANGES)
    for news in (1, 2):
        top1 = 60.0 + news
        finish(scene.storage, CELL, top1)
        page.wait_for_function(
            "(top1) => document.querySelector('.js-plotly-plot').data.some((t) => (t.customdata || []).some("
            "(text) => String(text).includes('2 of 2 seeds') && String(text).includes(top1)))",
            arg=mean_text(scene.storage),
            timeout=news_seconds() * 1000,
        )
        page.wait_for_timeout(300)
        assert page.evaluate(RANGES) == before, f"zoom lost by news {news}"
    # A double click shows everything again, and later news do not bring the zoom back.
    page.mouse.dblclick(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_timeout(800)
    assert page.evaluate(RANGES) != before


def test_a_zoom_outlives_a_drag_the_theme_and_the_end_of_the_cell(scene: Scene) -> None:
    page = scene.look.open(f"/cell?key={CELL}")
    page.wait_for_selector(".js-plotly-plot .nsewdrag")
    page.wait_for_timeout(500)
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert box is not None
    shown = "document.querySelector('.js-plotly-plot').data[0].x.length"
    everything = page.evaluate(RANGES)
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"], steps=5)
    with Journal.open(scene.storage, "driver-2") as journal:
        report_epoch(journal, CELL, 7)
        # Nothing is drawn under the hand that drags.
        page.wait_for_timeout(2500)
        assert page.evaluate(shown) == 6
        page.mouse.up()
        page.wait_for_function(f"() => {shown} === 7", timeout=20_000)
        zoomed = page.evaluate(RANGES)
        assert zoomed != everything
        report_epoch(journal, CELL, 8)
    page.wait_for_function(f"() => {shown} === 8", timeout=20_000)
    assert page.evaluate(RANGES) == zoomed
    # The page is made anew for another theme, and when a cell that has finished has more to show.
    page.locator("#theme-switch").click()
    page.wait_for_function(
        "() => document.querySelector('.js-plotly-plot')?.layout?.paper_bgcolor === '#14181d'", timeout=15_000
    )
    page.wait_for_timeout(500)
    assert page.evaluate(RANGES) == zoomed
    finish(scene.storage, CELL)
    page.wait_for_selector("#page .state.done", timeout=20_000)
    page.wait_for_timeout(1000)
    assert page.evaluate(RANGES) == zoomed
    page.mouse.dblclick(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    page.wait_for_timeout(800)
    assert page.evaluate(RANGES) != zoomed


def mean_text(storage: Path) -> str:
    """The accuracy that the figure's text gives for the cell's model."""
    with Catalog.open(storage) as catalog:
        sql = """
            SELECT avg(top1) AS top1 FROM results WHERE module = 'tsn' AND backbone = 'resnet18'
                AND temporal_pooling AND dataset = 'mini-ssv2' AND frames = 32
        """
        return f"{catalog.query(sql).to_pylist()[0]['top1']:.2f} %"


def test_curves_grow_while_a_cell_trains(scene: Scene) -> None:
    page = scene.look.open(f"/cell?key={CELL}")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    longest = (
        "() => Math.max(...document.querySelector('.js-plotly-plot').data.map((trace) => trace.x.length))"
    )
    assert page.evaluate(longest) == 6
    data = page.locator("section", has=page.get_by_role("heading", name="Curves"))
    assert data.locator("tbody tr").count() == 0, "what is folded is not made"
    data.locator("summary").click()
    with Journal.open(scene.storage, "driver-2") as journal:
        for epoch in (7, 8):
            report_epoch(journal, CELL, epoch)
            page.wait_for_function(f"() => ({longest})() === {epoch}", timeout=news_seconds() * 1000)
            data.locator(f"tbody tr:nth-child({epoch})").wait_for(timeout=news_seconds() * 1000)


def test_nothing_is_sent_while_nothing_happens(scene: Scene) -> None:
    page = scene.look.open("/findings?show=frames")
    page.wait_for_selector(".js-plotly-plot .main-svg")
    page.wait_for_timeout(1500)
    sizes: list[int] = []
    page.on("response", lambda answer: sizes.append(int(answer.headers.get("content-length", "0"))))
    page.wait_for_timeout(3000)
    assert 3 <= len(sizes) <= 8 and max(sizes) < 50


def test_a_killed_dashboard_harms_nothing(browser: Browser, scene: Scene) -> None:
    page = scene.look.open("/grid")
    files = {path: path.read_bytes() for path in (scene.storage / "journal").iterdir()}
    everything = sorted(scene.storage.rglob("*"))
    with Journal.open(scene.storage, "driver-2") as journal:
        report_epoch(journal, CELL, 7)
        scene.dashboard.process.send_signal(signal.SIGKILL)
        scene.dashboard.process.wait(timeout=10)
        report_epoch(journal, CELL, 8)
    page.wait_for_timeout(1500)
    assert all(path.read_bytes() == content for path, content in files.items())
    assert {path.name for path in set(scene.storage.rglob("*")) - set(everything)} == {"driver-2.jsonl"}
    with running(scene.storage) as dashboard, look_at(browser, dashboard.url) as look:
        again = look.open(f"/cell?key={CELL}")
        again.wait_for_function(
            "() => { const plot = document.querySelector('.js-plotly-plot');"
            " return plot && plot.data && Math.max(...plot.data.map((trace) => trace.x.length)) === 8; }"
        )
    # The window of the killed one may complain, but not of our code.
    assert all("ERR_" in said or "Failed to fetch" in said or "server" in said for said in scene.look.wrong)
    page.close()
    scene.look.wrong.clear()


@pytest.mark.long
def test_ten_windows_read_the_journals_once_a_second_and_lose_no_line(
    browser: Browser, tmp_path: Path
) -> None:
    storage = make_storage(tmp_path, GRID)
    before = sum(1 for _ in read_events(storage))
    with running(storage) as dashboard:
        context = browser.new_context()
        pages = [context.new_page() for _ in range(10)]
        for page in pages:
            page.goto(dashboard.url + "/grid")
        with Journal.open(storage, "driver-2") as journal:
            for epoch in range(7, 107):
                report_epoch(journal, CELL, epoch)
        assert sum(1 for _ in read_events(storage)) == before + 100
        for page in pages:
            page.wait_for_selector('.grid a[title*="epoch 106"]', timeout=30_000)
        context.close()
        assert dashboard.stop() == 0


def test_an_empty_storage_says_what_to_do_and_fills_up(browser: Browser, tmp_path: Path) -> None:
    storage = tmp_path / "not there yet"
    with running(storage, "--wait") as dashboard, look_at(browser, dashboard.url) as look:
        for address in ("/", "/grid", "/cell", "/compare", "/cost", "/sql", "/findings?source=own"):
            page = look.open(address)
            assert page.locator("#page .problem").count() == 0
            assert len(page.locator("#page").inner_text()) > 40, address
        page = look.open("/grid")
        assert "actiongrid run demo" in page.locator("#page").inner_text()
        write_quickly(storage, grid_events(DEMO))
        page.wait_for_selector(
            '.grid a[title^="TAM-Tiny-f8@synthetic-motion"]', timeout=news_seconds() * 1000
        )
