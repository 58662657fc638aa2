"""What a browser shows of a page while it still loads the scripts of the app."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.pages import PAGES, drawn
from tests.support.windows import Dashboard, Look, look_at

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

SCRIPTS = "**/_dash-component-suites/**"
AHEAD = "**/ahead/**"


def words(page: Page, place: str) -> list[str]:
    """The text of headings, captions and tables in a part of a page."""
    return page.locator(f"{place} :is(h2, h3, .caption, th, td, li)").all_inner_texts()


@pytest.mark.parametrize("name", ["grid", "compare", "sql-answer"])
def test_a_pages_words_stand_there_before_its_scripts(
    browser: Browser, dashboard: Dashboard, name: str
) -> None:
    with look_at(browser, dashboard.url) as look:
        page = look.page
        page.route(SCRIPTS, lambda route: None)  # they never come
        page.goto(look.url + PAGES[name], wait_until="commit")
        page.wait_for_selector("#preview main :is(h2, table)")
        before = words(page, "#preview main")
        assert page.locator("#preview nav a[aria-current]").inner_text().lower() in name
        assert page.evaluate("document.querySelectorAll('#preview [id]').length") == 0
        # Nothing in it can be used: what a button does, the scripts do.
        page.keyboard.press("Tab")
        assert page.evaluate("document.querySelector('#preview').contains(document.activeElement)") is False
        page.unroute_all()
        drawn(look.open(PAGES[name]))
        assert page.locator("#preview").count() == 0
        assert before == words(page, "#page")


def test_the_frame_stands_there_before_the_catalog_has_answered(look: Look) -> None:
    page = look.page
    page.route(SCRIPTS, lambda route: None)
    page.route(AHEAD, lambda route: None)
    page.goto(look.url + "/findings?show=macs&module=tam", wait_until="commit")
    page.wait_for_selector("#preview main")
    assert page.locator("#preview main").inner_text() == "Reading the catalog …"
    assert page.locator("#preview nav a").all_inner_texts() == [
        "Overview", "Grid", "Cell", "Compare", "Explore", "Findings", "Cost", "SQL",
    ]  # fmt: skip
    page.unroute_all()


def test_a_page_without_a_preview_is_made_all_the_same(look: Look) -> None:
    look.page.route(AHEAD, lambda route: route.fulfill(status=204))
    drawn(look.open(PAGES["findings-frames"]))
    assert look.page.locator("#preview").count() == 0
    look.page.unroute_all()


def test_an_address_is_text_in_the_preview(look: Look) -> None:
    page = look.page
    page.route(SCRIPTS, lambda route: None)
    page.goto(look.url + "/%3Cb%3E%7B%25config%25%7D?module=tam", wait_until="commit")
    page.wait_for_selector("#preview main .problem")
    assert page.locator("#preview b").count() == 0
    assert "<b>{%config%}" in page.locator("#preview main .problem").inner_text()
    page.unroute_all()
