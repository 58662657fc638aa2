"""The dashboard's pages over the storage of `grid_storage`, by a name each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.grid_storage import FAILING, key

if TYPE_CHECKING:
    from playwright.sync_api import Page

TAM, TSN = key("tam", "resnet18", False, "mini-ssv2", 8), key("tsn", "resnet18", False, "mini-ssv2", 8)
QUESTIONS = (
    "frames", "macs", "pooling", "contributions", "sampling", "clips", "i3d", "seeds", "published", "tables",
    "claims",
)  # fmt: skip
PAGES = {
    "overview": "/",
    "grid": "/grid",
    "grid-accuracy": "/grid?show=accuracy&source=both",
    "grid-difference": "/grid?show=difference",
    "grid-drawing": "/grid?as=drawing",
    "cells": "/cell",
    "cell": f"/cell?key={TAM}",
    "cell-failed": f"/cell?name={FAILING}",
    "compare-empty": "/compare",
    "compare": f"/compare?cells={TAM},{TSN}",
    **{f"findings-{one}": f"/findings?show={one}" for one in QUESTIONS},
    "findings-table-7": "/findings?show=tables&table=Table%207",
    "findings-claim": "/findings?show=claims&source=published&claim=tsn-pooling-mini-ssv2",
    "explore": "/explore",
    "explore-groups": "/explore?axes=module,frames,top1&by=module,frames&dataset=mini-ssv2",
    "cost": "/cost",
    "sql": "/sql",
    "sql-answer": "/sql?q=SELECT%20cell%2C%20top1%20FROM%20results%20ORDER%20BY%20cell",
}
ONE_OF_A_KIND = (
    "overview",
    "grid",
    "grid-difference",
    "cell",
    "compare",
    "explore",
    "findings-frames",
    "cost",
    "sql-answer",
)
"""Pages that share no figure and no kind of table."""


def drawn(page: Page) -> int:
    """How many figures stand on the page; waits for all of them."""
    page.wait_for_function(
        "() => [...document.querySelectorAll('.js-plotly-plot, .dash-graph')].length === 0"
        " || document.querySelectorAll('.js-plotly-plot .main-svg').length > 0",
    )
    # Overview fits the model of the grid beside what it shows.
    page.wait_for_function("() => !document.body.innerText.includes('being fitted')", timeout=60_000)
    return page.locator(".js-plotly-plot").count()
