"""Every page by axe-core: the rules of WCAG 2.2, levels A and AA, that a machine can check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.pages import ONE_OF_A_KIND, PAGES, drawn
from tests.support.windows import Dashboard, look_at

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
# Dash's own: it hands the focus on to the list that it stands before, as soon as it has it.
EXCLUDED = [".dash-dropdown-focus-target"]


def violations(page: Page) -> list[tuple[str, str, str]]:
    """The rules that a page breaks: the rule, the first element that does, and what is wrong with it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    options: dict[str, Any] = {"runOnly": RULES, "resultTypes": ["violations"]}
    context = {"include": [["body"]], "exclude": [[one] for one in EXCLUDED]}
    found = axe.run(page, context=context, options=options).response["violations"]
    return [(one["id"], one["nodes"][0]["html"], one["nodes"][0]["failureSummary"]) for one in found]


@pytest.mark.parametrize(
    ("scheme", "width", "names"),
    [
        ("light", 1280, ONE_OF_A_KIND),
        ("dark", 390, ONE_OF_A_KIND[::3]),
        *(
            pytest.param(scheme, width, list(PAGES), marks=pytest.mark.long)
            for scheme in ("light", "dark")
            for width in (1280, 390)
        ),
    ],
)
def test_pages_break_no_rule(
    browser: Browser, dashboard: Dashboard, scheme: str, width: int, names: list[str]
) -> None:
    broken = {}
    with look_at(browser, dashboard.url, width, scheme) as look:
        for name in names:
            page = look.open(PAGES[name])
            drawn(page)
            broken[name] = violations(page)
    assert {name: found for name, found in broken.items() if found} == {}


def test_what_breaks_a_rule_is_found(browser: Browser, dashboard: Dashboard) -> None:
    with look_at(browser, dashboard.url) as look:
        page = look.open("/sql")
        page.evaluate(
            "document.querySelector('#page').insertAdjacentHTML('beforeend',"
            ' \'<p style="color: #ccc; background: #fff">pale</p><img src="data:,">\')'
        )
        assert {"color-contrast", "image-alt"} <= {rule for rule, *_ in violations(page)}
