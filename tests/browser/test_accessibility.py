"""What axe-core finds on a page (`test_pages` looks at all of them with it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.accessibility import violations
from tests.support.windows import Dashboard, look_at

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.slow


def test_what_breaks_a_rule_is_found(browser: Browser, dashboard: Dashboard) -> None:
    with look_at(browser, dashboard.url) as look:
        page = look.open("/sql")
        page.evaluate(
            "document.querySelector('#page').insertAdjacentHTML('beforeend',"
            ' \'<p style="color: #ccc; background: #fff">pale</p><img src="data:,">\')'
        )
        assert {"color-contrast", "image-alt"} <= {rule for rule, *_ in violations(page)}
