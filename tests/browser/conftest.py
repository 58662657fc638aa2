"""A dashboard over a storage with a grid in it, and a Chromium to look at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.grid_storage import GRID, make_storage
from tests.support.windows import Dashboard, Look, look_at, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser


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
    with running(storage, "--commands") as dashboard:
        yield dashboard


@pytest.fixture
def look(browser: Browser, dashboard: Dashboard) -> Iterator[Look]:
    with look_at(browser, dashboard.url) as look:
        yield look
