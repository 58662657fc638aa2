"""Which tables a statement reads, as DuckDB's own binder says it: names are never looked for in the text."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from queue import LifoQueue
from typing import Any, Protocol, Self

_REMEMBERED = 500
_AT_ONCE = 4
_HIDING = frozenset({"JSON_EXECUTE_SERIALIZED_SQL", "PRAGMA_STORAGE_INFO", "DUCKDB_TABLE_SAMPLE"})
"""Functions of DuckDB whose plan does not say which tables they read."""


class Connection(Protocol):
    """What is used here of a connection to DuckDB, which `catalog.catalog` opens."""

    def cursor(self) -> Self:
        """Another connection to the same database."""

    def execute(self, query: str, parameters: Any = None, /) -> Any:  # noqa: ANN401  (DuckDB's own types)
        """Run statements."""

    def executemany(self, query: str, parameters: Any, /) -> Any:  # noqa: ANN401  (DuckDB's own types)
        """Run a statement with every row of parameters."""

    def register(self, view_name: str, python_object: object, /) -> Any:  # noqa: ANN401  (DuckDB's own types)
        """Give rows a name."""

    def unregister(self, view_name: str, /) -> Any:  # noqa: ANN401  (DuckDB's own types)
        """Take the name away."""

    def interrupt(self) -> None:
        """Stop what runs."""

    def close(self) -> None:
        """Give it back."""


class BoundTables:
    """Asks DuckDB how it plans a statement, before any optimiser can leave a table out. Threads may share it.

    It is made before the connection's settings are locked. A plan knows what aliases, CTEs, macros, quoted
    names and views stand for.
    """

    def __init__(self, connection: Connection) -> None:
        # Several, because a PIVOT asks for its columns: a slow one must hold up no other question.
        self._idle: LifoQueue[Connection] = LifoQueue()
        for _ in range(_AT_ONCE):
            self._idle.put(_planning(connection.cursor()))

    def of(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        timeout_seconds: float | None = None,
    ) -> frozenset[str] | None:
        """Return the tables that a read binds, as `schema.table`; None where its plan hides them.

        Raises:
            duckdb.InterruptException: it takes longer than `timeout_seconds`: a PIVOT asks for its columns.
            duckdb.Error: there is no plan: the statement is wrong, or an EXPLAIN.
        """
        if (known := _KNOWN.get(sql)) is not None:
            return known.tables
        cursor = self._idle.get()
        try:
            plan = _plan(cursor, sql, params, timeout_seconds)
        finally:
            self._idle.put(cursor)
        found = None if _hides(plan) else frozenset(_tables(plan))
        # What `query` and `query_table` read can depend on the values of parameters.
        if not params or "query" not in sql.lower():
            _KNOWN.put(sql, _Bound(found))
        return found

    def close(self) -> None:
        """Give the cursors back."""
        while not self._idle.empty():
            self._idle.get().close()


@dataclass(frozen=True)
class _Bound:
    """What a statement binds; None where its plan hides it."""

    tables: frozenset[str] | None


class _Memo:
    """The answers of a pure function, those asked for last."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, _Bound] = OrderedDict()

    def get(self, sql: str) -> _Bound | None:
        with self._lock:
            if sql in self._answers:
                self._answers.move_to_end(sql)
            return self._answers.get(sql)

    def put(self, sql: str, bound: _Bound) -> None:
        with self._lock:
            self._answers[sql] = bound
            if len(self._answers) > self._most:
                self._answers.popitem(last=False)


_KNOWN = _Memo(_REMEMBERED)
"""Every catalog has the same views, so that what a statement binds is the same in all of a process."""


def _planning(cursor: Connection) -> Connection:
    cursor.execute("PRAGMA disable_optimizer")
    cursor.execute("SET explain_output = 'all'")
    return cursor


def _plan(
    cursor: Connection,
    sql: str,
    params: Sequence[Any] | Mapping[str, Any] | None,
    timeout_seconds: float | None,
) -> Any:  # noqa: ANN401  (JSON)
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    try:
        with interrupted_after(cursor, timeout_seconds):
            plans = cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}", params or None).fetchall()
    finally:
        cursor.execute("ROLLBACK")
    return json.loads(dict(plans)["logical_plan"])


@contextmanager
def interrupted_after(cursor: Connection, seconds: float | None) -> Iterator[None]:
    """A context in which a cursor's statements are interrupted after so many seconds (None: never)."""
    timer = None if seconds is None else threading.Timer(seconds, cursor.interrupt)
    try:
        if timer is not None:
            timer.daemon = True
            timer.start()
        yield
    finally:
        if timer is not None:
            timer.cancel()


def begin_reading(cursor: Connection) -> None:
    """Begin to read; what others write from now on stays unseen."""
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    # A transaction sees the state of the moment in which it first reads.
    cursor.execute("FROM recorded.quarantined LIMIT 0")


def _tables(plan: Any) -> Iterator[str]:  # noqa: ANN401  (JSON)
    """Every table that a plan scans, without the name of the database."""
    if isinstance(plan, list):
        for part in plan:
            yield from _tables(part)
    elif isinstance(plan, dict):
        if isinstance(name := plan.get("Table"), str):
            yield name.partition(".")[2]
        for part in plan.values():
            yield from _tables(part)


def _hides(plan: Any) -> bool:  # noqa: ANN401  (JSON)
    """Whether any part of a plan is one of `_HIDING`."""
    if isinstance(plan, list):
        return any(map(_hides, plan))
    if not isinstance(plan, dict):
        return False
    return plan.get("name") in _HIDING or _hides(plan.get("children", []))
