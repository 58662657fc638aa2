"""The catalog: a DuckDB of each process, projected from the journals. The only module that opens DuckDB.

No process shares a live DuckDB file. Every reader begins with a copy of the newest snapshot that still holds
(`catalog.snapshots`), or with nothing, and reads what the journals have after it.
"""

from __future__ import annotations

import shutil
import threading
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import duckdb

from catalog import snapshots
from catalog.bound_tables import BoundTables, begin_reading, interrupted_after
from catalog.definitions import (
    MATERIALISED,
    catalog_reads,
    columns_hint,
    loaded_tables,
    make_empty,
    materialise,
    materialised_behind,
    outdated,
    own_settings,
    version,
)
from catalog.events import EVENT_TYPES, EpochFinished, Event
from catalog.export import in_seconds
from catalog.journal import Fault, Tail
from catalog.predictions import FILLED, Fetch, PredictionTables, accept_predictions, refuse_predictions
from catalog.projection import LINES_AT_ONCE, ROWS_AT_ONCE, attempt_epochs_sql, gathered, upsert_sql
from catalog.queries.accessors import Accessors
from catalog.snapshots import differences
from catalog.storage.atomic import MissingStorageError
from catalog.storage.errors import BAD_INPUT, ActionGridError
from catalog.storage.working_folder import WorkingFolder

if TYPE_CHECKING:
    import pyarrow as pa

RECORDED = tuple(event.table for event in EVENT_TYPES)
"""The tables of the schema `recorded`."""
_EVERYTHING = frozenset({*FILLED, *(f"materialised.{name}" for name in MATERIALISED)})
"""All tables that are filled when somebody reads them."""

_READS = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN, duckdb.StatementType.MULTI)

warnings.filterwarnings("ignore", "Arrow output on a DB-API result makes an extra copy", UserWarning)

SNAPSHOT_EVENTS = 50_000
"""Events behind the newest snapshot for which a new one is left."""

_SEALED = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
    "memory_limit": "4GB",
}


class CatalogError(ActionGridError):
    """A catalog that cannot be built or published."""


class QueryError(ActionGridError):
    """A query that is not one single read, or that DuckDB refuses."""

    exit_code = BAD_INPUT


class Catalog(Accessors):
    """A projection of a storage's journals. Threads may share it; each process opens its own."""

    def __init__(
        self,
        storage: Path,
        fetch: Fetch | None = None,
        threads: int | None = None,
        *,
        from_snapshot: bool = True,
        forks: bool = False,
    ) -> None:
        """`threads` is how many DuckDB uses (None: one a core); with one it starts none of its own.

        Without `from_snapshot` the journals are read from their beginnings. What `forks` leaves no snapshot.
        """
        self.storage = storage
        self._lock = threading.RLock()
        self._predictions = PredictionTables(storage, fetch)
        self._folder = WorkingFolder()
        self._keeps = from_snapshot and not forks
        start = snapshots.copy_newest(storage, version(), self._file) if from_snapshot else None
        self._tail = Tail(storage, start.offsets, start.faults) if start else Tail(storage)
        self._fresh = frozenset(MATERIALISED if start else ())
        self._asked: frozenset[str] = frozenset()
        if start is None:
            snapshots.copy_or_make(version(), self._file, partial(make_empty, connect=_connect))
        self._connection = _connect(self._file, _SEALED | own_settings(self._folder.path, threads, forks))
        self._connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        if start is not None:
            accept_predictions(self._connection, loaded_tables())
        self._bound = BoundTables(self._connection)
        self._connection.execute("SET lock_configuration = true")

    @classmethod
    def open(
        cls,
        storage: Path | str,
        fetch: Fetch | None = None,
        *,
        must_exist: bool = True,
        from_snapshot: bool = True,
    ) -> Catalog:
        """Build the catalog of a storage from its journals; without `must_exist` it may be still to be made.

        `fetch` is asked for files of predictions that are not here. With `from_snapshot` the newest snapshot
        is begun with, and a new one left where much came after it. DuckDB has one thread (docs/decisions.md).

        Raises:
            MissingStorageError: there is no such directory.
            JournalError: a journal cannot be read.
        """
        if must_exist and not Path(storage).is_dir():
            raise MissingStorageError.of(storage)
        catalog = cls(Path(storage), fetch, threads=1, from_snapshot=from_snapshot)
        catalog.refresh()
        return catalog

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The journal lines that were left out so far, and the files that cannot be read."""
        return (*self._tail.faults, *self._predictions.faults)

    @property
    def unchecked(self) -> int:
        """How many of the journal lines that were read carry no checksum: those of earlier versions."""
        return self._tail.unchecked

    def refresh(self) -> int:
        """Take in what was written since the last call and return how many events that were."""
        with self._lock:
            try:
                events = self._take_in()
            except Exception:
                # The projection is idempotent, so reading everything again is always right.
                self._tail = Tail(self.storage)
                raise
            if self._keeps and events >= SNAPSHOT_EVENTS:
                with suppress(OSError):  # it only saves time
                    snapshots.publish(self.storage, self._write, wait=False)
        return events

    def query(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        timeout_seconds: float | None = None,
        max_rows: int | None = None,
        keys: Collection[str] | None = None,
    ) -> pa.Table:
        """Run one read-only statement and return its rows, at most `max_rows` of them.

        It runs in a read-only transaction, without access to files, network, extensions or settings. One that
        reads predictions waits for their files (`catalog.predictions`), if it names `keys` for these cells'.

        Raises:
            QueryError: not one single read, refused by DuckDB, or it takes longer than `timeout_seconds`.
        """
        with _told(sql, timeout_seconds):
            needed = self._needed(sql, params, timeout_seconds, max_rows)
            with self._filled(needed, keys) as cursor:
                return _read(cursor, sql, params, timeout_seconds, max_rows)

    def needed(self, sql: str, timeout_seconds: float, max_rows: int) -> frozenset[str]:
        """Return the tables that one read needs and that `fill` fills; raises as `query`."""
        with _told(sql, timeout_seconds):
            tables = self._needed(sql, None, timeout_seconds, max_rows)
        return frozenset(one for one in tables if one.startswith(("loaded.", "materialised.")))

    def fill(self, tables: frozenset[str]) -> None:
        """Load what these tables stand for, unless that was done since the journals grew."""
        with self._filled(tables):
            pass

    def snapshot(self, storage: Path | None = None) -> Path:
        """Publish an immutable snapshot under `storage` (its own by default) and return the file's path.

        Raises:
            SnapshotError, OSError: it cannot be written, such as on a full disk.
        """
        return snapshots.publish(self.storage if storage is None else Path(storage), self._write)

    def compare(self, snapshot: Path) -> dict[str, snapshots.Differences]:
        """Compare the recorded rows with a snapshot's, table by table.

        Raises:
            snapshots.OtherVersionError: the snapshot has other tables than this version's.
            CatalogError: it cannot be read.
        """
        try:
            with (
                self._lock,
                _connect(snapshot, read_only=True) as theirs,
                _connect(":memory:") as scratch,
            ):
                mine = self._connection
                return {one: differences(scratch, _rows(mine, one), _rows(theirs, one)) for one in RECORDED}
        except (duckdb.BinderException, duckdb.CatalogException) as error:
            raise snapshots.OtherVersionError("snapshot of another version", snapshot) from error
        except duckdb.Error as error:
            raise CatalogError("snapshot unreadable", snapshot, snapshots.rebuild_it(self.storage)) from error

    def close(self) -> None:
        """Free the memory; the catalog cannot be used afterwards. What another thread still reads stays."""
        with self._lock, suppress(duckdb.ResourceInUseException):
            self._folder.close()
            self._bound.close()
            self._connection.close()

    @property
    def _file(self) -> Path:
        return self._folder.path / "memory.duckdb"  # named in SQL by its stem, as one in memory is

    def _needed(
        self,
        sql: str,
        params: Sequence[Any] | Mapping[str, Any] | None,
        timeout_seconds: float | None,
        max_rows: int | None,
    ) -> frozenset[str]:
        """The tables that a statement binds; all, where it is no mistake and yet nobody can tell."""
        _require_one_read(sql)
        tables = self._tables_of(sql, params, timeout_seconds)
        if tables is None:
            with self._filled(frozenset()) as cursor:
                _read(cursor, sql, params, timeout_seconds, max_rows)
        return _EVERYTHING if tables is None else tables

    def _tables_of(
        self, sql: str, params: Sequence[Any] | Mapping[str, Any] | None, timeout_seconds: float | None
    ) -> frozenset[str] | None:
        """The tables that a statement binds; None where DuckDB makes no plan of it, right or wrong."""
        try:
            return self._bound.of(sql, params, timeout_seconds)
        except duckdb.InterruptException:
            raise
        except duckdb.Error:
            return None

    @contextmanager
    def _filled(
        self, tables: frozenset[str], keys: Collection[str] | None = None
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor in a transaction that reads, once everything is there that these tables stand for."""
        # Only the loading waits for others: a slow query must not hold up the refresh, nor a bucket anybody.
        if predictions := any(table.startswith("loaded.") for table in tables):
            with self._lock:
                self._materialise(["planned_keys"])
                missing = self._predictions.missing(self._connection, tables, keys)
            self._predictions.fetch(missing)
        with self._lock:
            self._asked |= {*self._materialise(materialised_behind(tables, catalog_reads()))}
            if predictions:
                self._materialise(["planned_keys"])
                self._predictions.load(self._connection, tables, keys)
            cursor = self._connection.cursor()
            begin_reading(cursor)
        with cursor:
            yield cursor

    def _take_in(self) -> int:
        changed: Counter[type[Event]] = Counter()
        for tables in gathered(self._tail.columns(LINES_AT_ONCE), ROWS_AT_ONCE):
            self._merge(tables)
            changed.update({event_type: table.num_rows for event_type, table in tables.items()})
        if not changed:
            return 0
        self._predictions.forget()
        fresh = self._fresh
        self._fresh -= outdated({event_type.table for event_type in changed}, catalog_reads())
        # What somebody looked at since the last change is asked for again, and should not have to wait then.
        self._materialise([name for name in MATERIALISED if name in fresh & self._asked])
        self._asked = frozenset()
        return changed.total()

    def _merge(self, tables: Mapping[type[Event], pa.Table]) -> None:
        self._connection.execute("BEGIN")
        try:
            for event_type, table in tables.items():
                self._connection.register("batch", table)
                self._connection.execute(upsert_sql(event_type, "batch"))
                if event_type is EpochFinished:
                    self._connection.execute(attempt_epochs_sql("batch"))
                self._connection.unregister("batch")
            self._connection.execute("COMMIT")
        except Exception:
            self._connection.execute("ROLLBACK")
            raise

    def _materialise(self, tables: Sequence[str]) -> Sequence[str]:
        """Fill those of the materialised tables whose sources have changed since they were filled."""
        for table in tables:
            if table not in self._fresh:
                materialise(self._connection, table)
                self._fresh |= {table}
        return tables

    def _write(self, path: Path) -> snapshots.Coverage:
        """Write the rows of this moment as a file of their own, and return what they cover."""
        try:
            with self._lock:
                self._take_in()
                self._materialise(MATERIALISED)
                self._connection.execute("CHECKPOINT")
                shutil.copyfile(self._file, path)
                offsets, faults = dict(self._tail.offsets), self._tail.left_out
            with _connect(path) as file:
                refuse_predictions(file)
                # What a connection cannot write when it closes is not told, and stays in a file beside.
                file.execute("CHECKPOINT")
        except (duckdb.Error, OSError) as error:
            what = f"snapshot cannot be written ({str(error).splitlines()[0]})"
            mend = f"make room, then {snapshots.rebuild_it(self.storage)}"
            raise snapshots.SnapshotError(what, path, mend) from error
        return snapshots.coverage(self.storage, version(), offsets, faults)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def _told(sql: str, timeout_seconds: float | None) -> Iterator[None]:
    """A context in which DuckDB's errors become ours."""
    try:
        yield
    except duckdb.InterruptException as error:
        raise QueryError(
            f"query took longer than {timeout_seconds:g} s and was stopped",
            _shortened(sql),
            "narrow it down with WHERE or LIMIT",
        ) from error
    except duckdb.Error as error:
        told = " ".join(str(error).split())
        raise QueryError(f"query refused ({told})", _shortened(sql), columns_hint(sql)) from error


def _read(
    cursor: duckdb.DuckDBPyConnection,
    sql: str,
    params: Sequence[Any] | Mapping[str, Any] | None,
    timeout_seconds: float | None,
    max_rows: int | None,
) -> pa.Table:
    try:
        with interrupted_after(cursor, timeout_seconds):
            if not params and max_rows is None:
                # A relation is planned twice, once for its columns: that costs more than a copy of rows.
                return in_seconds(cursor.execute(sql).to_arrow_table())
            # Values of parameters help the planner only here.
            rows = cursor.sql(sql, params=params)
            return in_seconds((rows if max_rows is None else rows.limit(max_rows)).to_arrow_table())
    finally:
        cursor.execute("ROLLBACK")


def _connect(
    path: Path | str, config: Mapping[str, str] | None = None, *, read_only: bool = False
) -> duckdb.DuckDBPyConnection:
    return duckdb.connect(path, read_only=read_only, config=dict(config or {}))


def _rows(connection: duckdb.DuckDBPyConnection, table: str) -> pa.Table:
    return connection.sql(f"FROM recorded.{table}").to_arrow_table()


def _require_one_read(sql: str) -> None:
    statements = duckdb.extract_statements(sql)
    if len(statements) != 1 or statements[0].type not in _READS:
        way_out = "write one SELECT, DESCRIBE, SUMMARIZE or PIVOT"
        raise QueryError("not one single read", _shortened(sql), way_out)


def _shortened(sql: str) -> str:
    words = " ".join(sql.split())
    return words if len(words) <= 80 else words[:77] + "..."
