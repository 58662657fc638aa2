"""A dashboard in a process of its own, and windows of a browser on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SCREENSHOTS = ROOT / "tests" / "browser" / "screenshots"


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


@contextmanager
def running(storage: Path, *options: str) -> Iterator[Dashboard]:
    """A dashboard on a free port, from when it has said its address; it is ended whatever happens."""
    dashboard = _start(storage, *options)
    try:
        yield dashboard
    finally:
        dashboard.stop()


def _start(storage: Path, *options: str) -> Dashboard:
    command = [sys.executable, "-m", "orchestrator.cli", "dashboard", "--port", "0", "--refresh", "0.5"]
    process = subprocess.Popen(
        [*command, "--storage", str(storage), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    assert "http://" in said, f"the dashboard did not start: {said}"
    return Dashboard(said.split()[-1].rstrip("/"), storage, process)


@contextmanager
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
    try:
        yield look
    finally:
        context.close()
    assert look.wrong == [], "\n".join(look.wrong)
