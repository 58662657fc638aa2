"""Take the pictures of README.md and docs/index.md anew, of a storage that `make demo` left.

python -m docs.pictures demo-storage
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.support.windows import running

ASSETS = Path(__file__).with_name("assets")
CELL = "TSN-Tiny-tp-f8@synthetic-motion"
_WAIT = 120_000  # milliseconds


def take(storage: Path) -> None:
    """Write overview.png, mistakes.png and frames.svg."""
    figure = ["report", "--storage", str(storage), "--figure", "fig4", "--show", "yours"]
    drawn = ["--filter", "dataset=synthetic-motion", "--output", str(ASSETS / "frames.svg")]
    subprocess.run([sys.executable, "-m", "orchestrator.cli", *figure, *drawn], check=True)
    with running(storage) as dashboard, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1100, "height": 820}, color_scheme="light")
        page.goto(f"{dashboard.url}/")
        page.get_by_text("Which axis matters").wait_for(timeout=_WAIT)
        page.get_by_text("The model of the grid is being fitted").wait_for(state="detached", timeout=_WAIT)
        page.wait_for_load_state("networkidle")
        _save(page, "overview.png")
        page.goto(f"{dashboard.url}/cell?name={CELL}")
        page.locator("img").first.wait_for(timeout=_WAIT)
        page.set_viewport_size({"width": 760, "height": 480})
        page.get_by_text("Most confident mistakes").evaluate("heading => heading.scrollIntoView()")
        page.wait_for_load_state("networkidle")
        _save(page, "mistakes.png")
        browser.close()


def _save(page: Page, name: str) -> None:
    """The window as a PNG of at most 256 colours, which is a third of the size."""
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        picture.convert("RGB").quantize(256).save(ASSETS / name, optimize=True)


if __name__ == "__main__":
    take(Path(sys.argv[1]))
