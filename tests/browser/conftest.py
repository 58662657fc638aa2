"""A dashboard of its own process over a storage with a grid in it, and a Chromium to look at it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "catalog"))
sys.path.insert(0, str(Path(__file__).parent))

from grid_storage import GRID, make_storage

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENSHOTS = Path(__file__).parent / "screenshots"


@dataclass
class Dashboard:
    """A running dashboard."""

    url: str
    storage: Path
    process: subprocess.Popen[str]

    def stop(self) -> int:
        """End it as Ctrl-C does and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)


@dataclass
class Look:
    """A page of the browser, and what went wrong on it."""

    page: Page
    url: str
    wrong: list[str] = field(default_factory=list)

    def open(self, address: str) -> Page:
        """Open an address and wait until the page is made."""
        self.page.goto(self.url + address)
        self.page.wait_for_selector("#navigation a", timeout=30_000)
        self.page.wait_for_selector("#page section, #page table, #page .problem, #page .soft", timeout=30_000)
        return self.page


def start(storage: Path, *options: str) -> Dashboard:
    """Start a dashboard on a free port and wait until it says its address."""
    command = [sys.executable, "-m", "orchestrator.cli", "dashboard", "--port", "0", "--refresh", "0.5"]
    process = subprocess.Popen(
        [*command, "--storage", str(storage), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**__import__("os").environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert "http://" in said, f"the dashboard did not start: {said}"
    return Dashboard(said.split()[-1].rstrip("/"), storage, process)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by many tests, written by none."""
    return make_storage(tmp_path_factory.mktemp("grid"), GRID)


@pytest.fixture(scope="session")
def dashboard(storage: Path) -> Iterator[Dashboard]:
    running = start(storage)
    yield running
    assert running.stop() == 0


@pytest.fixture
def look(browser: Browser, dashboard: Dashboard) -> Iterator[Look]:
    yield from look_at(browser, dashboard.url)


def look_at(browser: Browser, url: str, width: int = 1280, scheme: str = "light") -> Iterator[Look]:
    """Open a window; the test fails if anything was written to the console as an error."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=scheme,  # type: ignore[arg-type]
        accept_downloads=True,
    )
    look = Look(context.new_page(), url)
    look.page.on(
        "console", lambda said: look.wrong.append(said.text) if said.type in ("error", "warning") else None
    )
    look.page.on("pageerror", lambda error: look.wrong.append(str(error)))
    look.page.on(
        "request",
        lambda sent: None if sent.url.startswith((url, "data:", "blob:")) else look.wrong.append(sent.url),
    )
    yield look
    context.close()
    assert look.wrong == []
