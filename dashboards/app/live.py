"""The catalog behind the pages, kept up to date, and what each page shows, cached until that changes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from catalog import Catalog
from catalog.claims.load import claims_for
from catalog.queries.sql_process import BusyError, SqlProcess
from catalog.storage.storage import Storage
from dashboards.figures.deciding_videos import VideoFiles
from dashboards.pages import cell, compare, cost, explore, findings, grid, overview, sql
from dashboards.pages.blocks import Block, Text, message
from dashboards.pages.request import Address, PageRequest
from dashboards.render.theme import LIGHT, THEMES

if TYPE_CHECKING:
    import pyarrow as pa

T = TypeVar("T")

PAUSE_SECONDS = 1.0
"""The journals are read at most once in this time, however many browsers ask."""

ANSWERS_AT_ONCE = 64
"""Answers that are cached at a time."""

STATEMENTS_CACHED = 8
"""Of these, answers to statements: they can be large."""

SUMMARIES_KEPT = 16
"""Answers that take seconds: the newest of each name."""

STATEMENTS_AT_ONCE = 8
"""Requests that run a statement, or wait for its answer: half of those that are served at once."""


@dataclass(frozen=True)
class _Statement:
    """The name of a cached answer to a statement."""

    address: Address
    theme: str


@dataclass(frozen=True)
class _Summary:
    """An answer that takes seconds: what it was asked of, the answer, and the one before it."""

    version: Hashable
    made: Future[Any]
    before: Future[Any] | None


class LiveCatalog:
    """A catalog that is kept up to date, with a number that grows with it. Threads may share it.

    It only reads: journals are opened for reading, and the database is in this process's own memory.
    """

    def __init__(
        self,
        storage: Storage,
        pause: float = PAUSE_SECONDS,
        *,
        acts: bool = False,
        videos: VideoFiles | None = None,
    ) -> None:
        self.storage = storage
        self.acts = acts
        self.videos = videos
        self.trouble: str | None = None
        self._pause = pause
        self._catalog = Catalog(storage.root, storage.fetch_missing)
        self._revision = 0
        self._read_at = float("-inf")
        self._reading = threading.Lock()
        self._answering = threading.Lock()
        self._answers: dict[tuple[int, Hashable], Future[Any]] = {}
        self._sql = SqlProcess(storage.root, prepare=self._fetch_predictions)
        self._statements = threading.BoundedSemaphore(STATEMENTS_AT_ONCE)
        self._summarising = threading.Lock()
        self._summaries: dict[Hashable, _Summary] = {}

    @property
    def catalog(self) -> Catalog:
        """The catalog, as far as it was read last."""
        return self._catalog

    @property
    def revision(self) -> int:
        """Grows whenever something new was read."""
        return self._revision

    def refresh(self, patience: float = 0.0) -> int:
        """Read what the journals gained, unless that was done a moment ago, and return the revision.

        A journal that cannot be read leaves the catalog as it was; `trouble` says so until it can be read.
        Nobody waits longer than `patience` seconds for somebody else's reading: a storage may not answer.
        """
        if self._reading.acquire(timeout=patience):
            try:
                if time.monotonic() - self._read_at >= self._pause:
                    self._read()
            finally:
                self._reading.release()
        return self._revision

    def _read(self) -> None:
        try:
            self.storage.refresh_journals()
            self._revision += self._catalog.refresh() > 0
            self.trouble = None
        except Exception as error:
            # Whatever it is, people should see the last good state and the reason beside it.
            self.trouble = f"The journals cannot be read now: {error}"
        self._read_at = time.monotonic()

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

    def summary(self, name: Hashable, version: Hashable, make: Callable[[], T]) -> T | None:
        """Return the newest that `make` gave under a name; for what takes seconds, so that no page waits.

        Of another `version` it is made anew beside that; when it is there, the revision grows. None: there is
        none yet.

        Raises:
            Exception: what `make` raised.
        """
        with self._summarising:
            before = self._summaries.pop(name, None)
            is_old = before is None or (before.made.done() and before.version != version)
            if before is None or is_old:
                made = _Summary(version, Future(), before.made if before else None)
            else:
                made = before
            self._summaries[name] = made
            for old in list(self._summaries)[:-SUMMARIES_KEPT]:
                del self._summaries[old]
        if is_old:
            threading.Thread(target=self._summarise, args=(made.made, make), daemon=True).start()
        newest = made.made if made.made.done() else made.before
        result: T | None = newest.result() if newest else None
        return result

    def _summarise(self, made: Future[Any], make: Callable[[], Any]) -> None:
        try:
            made.set_result(make())
        except Exception as error:
            made.set_exception(error)
        with self._reading:
            self._revision += 1

    def ask(self, statement: str) -> pa.Table:
        """Return the answer to somebody's own statement, which runs in a process of its own with limits.

        Raises:
            QueryError: it is refused, exceeds a limit, or there are too many at the moment.
        """
        return self._sql.query(statement)

    @contextmanager
    def room_for_statement(self) -> Iterator[None]:
        """A context in which a statement may be asked: requests of other pages never wait for those.

        Raises:
            BusyError: too many are asked at the moment.
        """
        if not self._statements.acquire(blocking=False):
            raise BusyError("too many statements run at the moment", "", "try again")
        try:
            yield
        finally:
            self._statements.release()

    def expect_statements(self) -> None:
        """Somebody looks at the page SQL: start what runs statements, beside that."""
        threading.Thread(target=self._sql.start, daemon=True).start()

    def end(self) -> None:
        """Stop the statements that run."""
        self._sql.close()

    def close(self) -> None:
        """End the process of statements and free the memory."""
        self._sql.close()
        self._catalog.close()

    def _fetch_predictions(self, tables: frozenset[str]) -> None:
        # Of a bucket, this catalog brings the files; that of the other process then finds them here.
        if tables and self.storage.mirrored:
            self._catalog.fill(tables)

    def _forget(self) -> None:
        # Answered ones only: somebody waits for the others.
        old = [key for key, answer in self._answers.items() if answer.done() and key[0] != self._revision]
        spare = list(self._answers)[: max(0, len(self._answers) - len(old) - ANSWERS_AT_ONCE)]
        statements = [key for key in self._answers if isinstance(key[1], _Statement)]
        spare += statements[: max(0, len(statements) - STATEMENTS_CACHED)]
        for key in (*old, *(key for key in spare if self._answers[key].done())):
            self._answers.pop(key, None)


@dataclass(frozen=True)
class Page:
    """A page: its name in the navigation; a `live` one changes while a grid runs."""

    title: str
    blocks: Callable[[PageRequest], list[Block]]
    live: bool = True


PAGES = {
    "overview": Page(overview.TITLE, overview.blocks),
    "grid": Page(grid.TITLE, grid.blocks),
    "cell": Page(cell.TITLE, cell.blocks),
    "compare": Page(compare.TITLE, compare.blocks),
    "explore": Page(explore.TITLE, explore.blocks),
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
    if address.page == "sql":
        if address.text("q"):
            with live.room_for_statement():
                return live.cached(_Statement(address, theme), partial(_made, live, address, theme))
        live.expect_statements()
    return live.cached(("page", address, theme), partial(_made, live, address, theme))


def _made(live: LiveCatalog, address: Address, theme: str) -> tuple[Block, ...]:
    if address.page not in PAGES:
        return (Text("missing", message(f"There is no page “{address.page}”.", "problem")),)
    colours, claims = THEMES.get(theme, LIGHT), partial(claims_for, live.storage)
    request = PageRequest(
        live.catalog,
        address,
        colours,
        live.storage.location,
        claims,
        live.ask,
        live.summary,
        live.acts,
        live.videos,
    )
    return tuple(PAGES[address.page].blocks(request))
