"""When a dashboard's pages are painted in a browser that has seen none of them."""

from __future__ import annotations

import logging
import shutil
import statistics
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from dashboards.app.access import Access
from dashboards.app.app import build_app
from dashboards.app.live import LiveCatalog

if TYPE_CHECKING:
    from playwright.sync_api import Browser

WITHOUT_DRAWINGS = ("/", "/grid", "/sql")
WATCH = """
    window.seen = {};
    new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
        if (!seen.content && entry.element?.closest("main") && !/^Reading/.test(entry.element.textContent)) {
            seen.content = entry.startTime;
        }
    })).observe({ type: "largest-contentful-paint", buffered: true });
    new MutationObserver(() => {
        if (!seen.drawing && document.querySelector(".js-plotly-plot .main-svg")) {
            seen.drawing = performance.now();
        }
    }).observe(document, { childList: true, subtree: true });
"""


def first_paint(
    live: LiveCatalog, pages: Mapping[str, str], forget: Callable[[], None], repeat: int
) -> list[dict[str, Any]]:
    """What a fresh Chromium window shows when, in milliseconds from opening an address; empty without one.

    `first`: anything; `content`: what the catalog says; `drawing`: Plotly's first.
    """
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        return []
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    from playwright.sync_api import sync_playwright
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, build_app(live, Access("127.0.0.1"), 5.0).server, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rows = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, address in pages.items():
            times = []
            for _ in range(repeat):
                forget()
                times.append(opened(browser, f"http://127.0.0.1:{server.port}", address))
            middle = {part: median_of(times, part) for part in ("first", "content", "drawing")}
            rows.append({"page": name, **{f"{part}_paint_ms": value for part, value in middle.items()}})
        browser.close()
    server.shutdown()
    return rows


def opened(browser: Browser, server: str, address: str) -> dict[str, float]:
    """The moments at which a new window's parts were painted."""
    page = browser.new_context().new_page()
    page.add_init_script(WATCH)
    page.goto(server + address, wait_until="commit")
    drawn = address.partition("?")[0] not in WITHOUT_DRAWINGS
    page.wait_for_selector(".js-plotly-plot .main-svg" if drawn else "main a, main textarea", timeout=60_000)
    while "content" not in page.evaluate("seen"):
        page.wait_for_timeout(20)
    first = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    seen: dict[str, float] = page.evaluate("seen") | {"first": page.evaluate(first)}
    page.context.close()
    return seen


def median_of(times: list[dict[str, float]], name: str) -> int | None:
    found = [one[name] for one in times if name in one]
    return round(statistics.median(found)) if found else None
