"""Dashboards that are killed while a driver writes its journal: no line is lost, and none is there twice."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.dashboard_window import Dashboard, Window, watched
from catalog import Catalog, Tail
from catalog.events import EpochFinished
from catalog.journal import Journal
from tests.support.grid_events import DEMO, grid_events, write_quickly


@pytest.mark.long
def test_killed_dashboards_cost_the_driver_no_line(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(DEMO))
    key = next(event.key for event in Tail(tmp_path).poll() if isinstance(event, EpochFinished))
    acknowledged: list[int] = []
    ended = threading.Event()

    def drive() -> None:
        with Journal.open(tmp_path, "driver-2") as journal:
            while not ended.is_set():
                epoch = 1000 + len(acknowledged)
                journal.append(EpochFinished(key, epoch, 2, 1.0, 50.0, 0.1, 1.0, 50.0, 90.0, 10.0, 1.0))
                acknowledged.append(epoch)
                time.sleep(0.001)

    with ExitStack() as stack:
        dashboards = [Dashboard(tmp_path) for _ in range(3)]
        for one in dashboards:
            stack.callback(one.kill)
        windows = [Window(one.url(), "/cell?key=" + key) for one in dashboards]
        driver = threading.Thread(target=drive)
        with watched(windows, interval=0.05):
            driver.start()
            stack.callback(driver.join)
            stack.callback(ended.set)
            for one in dashboards:
                # Each is killed in the middle of looking at what is being written.
                deadline = time.monotonic() + 30
                asked = windows[dashboards.index(one)].refreshes
                while windows[dashboards.index(one)].refreshes < asked + 2 and time.monotonic() < deadline:
                    time.sleep(0.01)
                assert windows[dashboards.index(one)].refreshes >= asked + 2
                one.kill()
    assert len(acknowledged) > 20
    tail = Tail(tmp_path)
    lines = [line.event for line in tail.lines() if line.writer == "driver-2"]
    assert [event.epoch for event in lines if isinstance(event, EpochFinished)] == acknowledged
    assert not tail.faults and len(list((tmp_path / "journal").iterdir())) == 2
    with Catalog.open(tmp_path) as catalog:
        rows = catalog.query("SELECT epoch FROM recorded.epochs WHERE epoch >= 1000 ORDER BY epoch")
        assert rows.column("epoch").to_pylist() == acknowledged
