"""The pages by name, and what each shows, remembered as long as nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dashboards.app.live import LiveCatalog
from dashboards.pages import cell, compare, cost, findings, grid, sql
from dashboards.pages.address import Address
from dashboards.pages.blocks import Block, Text, message
from dashboards.pages.view import View
from dashboards.render.theme import LIGHT, THEMES


@dataclass(frozen=True)
class Page:
    """A page: its name in the navigation; a `live` one changes while a grid runs."""

    title: str
    blocks: Callable[[View], list[Block]]
    live: bool = True


PAGES = {
    "grid": Page(grid.TITLE, grid.blocks),
    "cell": Page(cell.TITLE, cell.blocks),
    "compare": Page(compare.TITLE, compare.blocks),
    "findings": Page(findings.TITLE, findings.blocks),
    "cost": Page(cost.TITLE, cost.blocks),
    "sql": Page(sql.TITLE, sql.blocks, live=False),
}


def page_blocks(live: LiveCatalog, address: Address, theme: str) -> tuple[Block, ...]:
    """Return what a page shows; made once a revision, address and theme, for however many browsers.

    Raises:
        QueryError: the catalog refuses what the page asks.
        ValueError: a part of the address means nothing.
    """

    def make() -> tuple[Block, ...]:
        if address.page not in PAGES:
            return (Text("missing", message(f"There is no page “{address.page}”.", "problem")),)
        view = View(live.catalog, address, THEMES.get(theme, LIGHT), live.storage)
        return tuple(PAGES[address.page].blocks(view))

    return live.remembered(("page", address, theme), make)
