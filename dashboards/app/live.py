"""The catalog behind the pages, kept up to date, and what each page shows, cached until that changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from catalog import Catalog
from catalog.storage.storage import Storage
from dashboards.claims.load import claims_for
from dashboards.pages import cell, compare, cost, findings, grid, sql
from dashboards.pages.blocks import Block, Text, message
from dashboards.pages.request import Address, PageRequest
from dashboards.render.theme import LIGHT, THEMES

T = TypeVar("T")

PAUSE_SECONDS = 1.0
"""The journals are read at most once in this time, however many browsers ask."""

ANSWERS_AT_ONCE = 64
"""Answers that are cached at a time."""


class LiveCatalog:
    """A catalog that is kept up to date, with a number that grows with it. Threads may share it.

    It only reads: journals are opened for reading, and the database is in this process's own memory.
    """

    def __init__(self, storage: Storage, pause: float = PAUSE_SECONDS) -> None:
        self.storage = storage
        self.trouble: str | None = None
        self._pause = pause
        self._catalog = Catalog(storage.root, storage.fetch_missing)
        self._revision = 0
        self._read_at = float("-inf")
        self._reading = threading.Lock()
        self._answering = threading.Lock()
        self._answers: dict[tuple[int, Hashable], Future[Any]] = {}

    @property
    def catalog(self) -> Catalog:
        """The catalog, as far as it was read last."""
        return self._catalog

    @property
    def revision(self) -> int:
        """Grows whenever something new was read."""
        return self._revision

    def refresh(self) -> int:
        """Read what the journals gained, unless that was done a moment ago, and return the revision.

        A journal that cannot be read leaves the catalog as it was; `trouble` says so until it can be read.
        """
        with self._reading:
            if time.monotonic() - self._read_at >= self._pause:
                try:
                    self.storage.refresh_journals()
                    self._revision += self._catalog.refresh() > 0
                    self.trouble = None
                except Exception as error:
                    # Whatever it is, people should see the last good state and the reason beside it.
                    self.trouble = f"The journals cannot be read now: {error}"
                self._read_at = time.monotonic()
            return self._revision

    def cached(self, name: Hashable, make: Callable[[], T]) -> T:
        """Return what `make` gives; it is called once a name and revision, whoever asks first."""
        key = (self._revision, name)
        with self._answering:
            answer = self._answers.pop(key, None)
            found = answer is not None
            self._answers[key] = answer = answer or Future()
            self._forget()
        if not found:
            try:
                answer.set_result(make())
            except BaseException as error:
                with self._answering:
                    self._answers.pop(key, None)
                answer.set_exception(error)
        result: T = answer.result()
        return result

    def end(self) -> None:
        """Stop what still runs for somebody."""

    def close(self) -> None:
        """Free the memory."""
        self._catalog.close()

    def _forget(self) -> None:
        # Answered ones only: somebody waits for the others.
        old = [key for key, answer in self._answers.items() if answer.done() and key[0] != self._revision]
        spare = list(self._answers)[: max(0, len(self._answers) - len(old) - ANSWERS_AT_ONCE)]
        for key in (*old, *(key for key in spare if self._answers[key].done())):
            self._answers.pop(key, None)


@dataclass(frozen=True)
class Page:
    """A page: its name in the navigation; a `live` one changes while a grid runs."""

    title: str
    blocks: Callable[[PageRequest], list[Block]]
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
        colours, claims = THEMES.get(theme, LIGHT), partial(claims_for, live.storage)
        request = PageRequest(live.catalog, address, colours, live.storage.location, claims)
        return tuple(PAGES[address.page].blocks(request))

    return live.cached(("page", address, theme), make)
