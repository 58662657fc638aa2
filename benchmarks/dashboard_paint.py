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
    const made = (main) => main.offsetParent && main.querySelector("h2, table, .problem");
    new MutationObserver(() => {
        if (!seen.begun && [...document.querySelectorAll("main")].some(made)) {
            seen.begun = true;
            // Once the next picture has been painted.
            requestAnimationFrame(() => setTimeout(() => { seen.content = performance.now(); }));
        }
        if (!seen.drawing && document.querySelector(".js-plotly-plot .main-svg")) {
            seen.drawing = performance.now();
        }
    }).observe(document, { childList: true, subtree: true });
"""


def first_paint(
    live: LiveCatalog, pages: Mapping[str, str], forget: Callable[[], None], repeat: int
) -> list[dict[str, Any]]:
    """What a fresh Chromium window shows when, in milliseconds from opening an address; empty without one.

    `words`: the page's frame, which is painted first; `content`: what the catalog says; `drawing`: Plotly's
    first one.
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
            middle = {part: median_of(times, part) for part in ("words", "content", "drawing")}
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
    page.wait_for_function("seen.content", timeout=60_000)
    words = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
    seen: dict[str, float] = page.evaluate("seen") | {"words": page.evaluate(words)}
    page.context.close()
    return seen


def median_of(times: list[dict[str, float]], name: str) -> int | None:
    found = [one[name] for one in times if name in one]
    return round(statistics.median(found)) if found else None
