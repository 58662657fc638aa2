"""Pages by axe-core: the rules of WCAG 2.2, levels A and AA, that a machine can check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

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
