"""A dashboard beside a grid that really trains: `actiongrid run` in one process, the pages in a browser."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

from catalog import Tail
from catalog.events import AttemptStarted, CellFinished, CellPlanned, EpochFinished, Event
from tests.support.running import ray_processes, wait_until_gone
from tests.support.slowness import news_seconds
from tests.support.studies import command
from tests.support.windows import Dashboard, look_at, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.slow, pytest.mark.long]

STUDY = """
name: watched
axes: {module: [tsn], backbone: [tiny], frames: [8, 16], dataset: [synthetic-motion]}
datasets:
  synthetic-motion: {kind: synthetic-motion, train_per_class: 6, val_per_class: 3}
recipe:
  base: {init: random, batch_size: 8, lr: 0.05, crop_size: 32, crop_scales: [1.0, 0.875]}
  starter: {epochs: 40}
  finetune: {epochs: 3}
evaluation: {crop_size: 32, short_side: 36, batch_size: 8}
"""
STARTER, CHILD = "TSN-Tiny-f8@synthetic-motion", "TSN-Tiny-f16@synthetic-motion"
EPOCHS = 40
"""From the journal's line to the picture."""

LONGEST = "Math.max(0, ...document.querySelector('.js-plotly-plot').data.map((one) => (one.x || []).length))"
RANGES = """() => {
    const layout = document.querySelector('.js-plotly-plot')._fullLayout;
    return [layout.xaxis.range, layout.yaxis.range].map((range) => range.map((one) => Math.round(one * 1e6)));
}"""
# Seconds since 1970 at which a field of the grid first said so, whatever the test waits for meanwhile.
NOTE_WHEN_DONE = """(name) => {
    const look = () => {
        if (!window.doneAt && document.querySelector(`.grid a[title^="${name}: done"]`)) {
            window.doneAt = Date.now() / 1000;
        }
    };
    new MutationObserver(look).observe(document, { childList: true, subtree: true, attributes: true });
}"""
T = TypeVar("T", bound=Event)


class Driver:
    """`actiongrid run` in the background, and what it has written so far."""

    def __init__(self, study: Path, storage: Path) -> None:
        self.process = subprocess.Popen(
            command("run", study, "--storage", storage, "--cpus", "2"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._tail = Tail(storage)
        self.events: list[Event] = []

    def wait_for(self, kind: type[T], accept: Callable[[T], bool], page: Page, seconds: float) -> T:
        """Return the first event that is accepted; the browser lives on meanwhile."""
        deadline = time.monotonic() + seconds
        while True:
            self.events.extend(self._tail.poll())
            for event in self.events:
                if isinstance(event, kind) and accept(event):
                    return event
            assert time.monotonic() < deadline, f"no {kind.__name__} after {seconds} s"
            assert self.process.poll() in (None, 0), self.process.communicate()[0]
            page.wait_for_timeout(50)


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    study = tmp_path / "watched.yaml"
    study.write_text(STUDY)
    driver = Driver(study, tmp_path / "storage")
    try:
        yield driver
    finally:
        if driver.process.poll() is None:
            driver.process.send_signal(signal.SIGINT)
        try:
            driver.process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            driver.process.kill()
            driver.process.communicate()
        wait_until_gone(driver.process.pid)


@pytest.fixture
def beside(driver: Driver, tmp_path: Path) -> Iterator[Dashboard]:
    """Opened before there is a storage, as somebody does who starts both at once."""
    with running(tmp_path / "storage", "--wait") as dashboard:
        yield dashboard


def test_a_grid_can_be_watched_while_it_trains(browser: Browser, driver: Driver, beside: Dashboard) -> None:
    with look_at(browser, beside.url) as grid, look_at(browser, beside.url) as cell:
        page = grid.open("/grid")
        planned = driver.wait_for(CellPlanned, lambda one: one.cell == STARTER, page, 90)
        page.wait_for_selector(f'.grid a[title^="{STARTER}: "]')
        page.evaluate(NOTE_WHEN_DONE, STARTER)
        assert "planned" in str(page.get_attribute(f'.grid a[title^="{CHILD}: "]', "title"))

        # Its epoch, while it trains.
        key = planned.key
        second = driver.wait_for(EpochFinished, lambda one: one.key == key and one.epoch >= 2, page, 90)
        shown = page.wait_for_selector(f'.grid a[title^="{STARTER}: running; epoch "]')
        assert shown is not None
        words = str(shown.get_attribute("title")).removeprefix(f"{STARTER}: running; epoch ")
        epoch = int(words.split()[0])
        assert second.epoch <= epoch + 3 and words.split()[1:3] == ["of", f"{EPOCHS}" + "," * ("," in words)]

        # A zoom in its curves stays while they grow.
        curves = cell.open(f"/cell?key={key}")
        curves.wait_for_function(f"() => document.querySelector('.nsewdrag') && {LONGEST} >= 3")
        curves.wait_for_timeout(300)
        before = zoom(curves)
        known = int(curves.evaluate(LONGEST))
        assert not finished(driver, key), "the cell was done before its curves could be zoomed"
        curves.wait_for_function(f"() => {LONGEST} >= {known + 2}", timeout=20_000)
        curves.wait_for_timeout(200)
        assert curves.evaluate(RANGES) == before

        # Done: within seconds of the line in the journal, with the accuracy that stands there.
        page.wait_for_selector(f'.grid a[title^="{STARTER}: done; top-1 "]', timeout=60_000)
        done = driver.wait_for(CellFinished, lambda one: one.key == key, page, 1)
        assert done.time is not None
        assert 0 <= float(page.evaluate("window.doneAt")) - done.time < news_seconds()
        title = str(page.get_attribute(f'.grid a[title^="{STARTER}: "]', "title"))
        assert title.startswith(f"{STARTER}: done; top-1 {done.top1:.2f} % (")
        assert title.endswith(f"; {done.eval_videos} videos)")
        assert driver.process.poll() is None, "the grid ended before its first cell was shown"

        # The child begins from it and ends, and with it the command.
        page.wait_for_selector(f'.grid a[title^="{CHILD}: done"]', timeout=90_000)
        said = driver.process.communicate(timeout=60)[0]
        assert driver.process.returncode == 0 and "2 of 2 cells done, 2 of them trained by this run" in said
        begun = driver.wait_for(AttemptStarted, lambda one: one.key != key, page, 1)
        assert done.time < (begun.time or 0)
        page.wait_for_selector('.counts li:has-text("2 cells")')
        assert "running" not in page.locator(".counts").inner_text()
    assert beside.stop() == 0
    wait_until_gone(driver.process.pid)
    assert ray_processes(driver.process.pid) == []


def finished(driver: Driver, key: str) -> bool:
    return any(isinstance(event, CellFinished) and event.key == key for event in driver.events)


def zoom(page: Page) -> object:
    """Drag over a part of the first panel; returns the ranges that its axes show then."""
    everything = page.evaluate(RANGES)
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    page.mouse.up()
    page.wait_for_timeout(400)
    ranges = page.evaluate(RANGES)
    assert ranges != everything
    return ranges
