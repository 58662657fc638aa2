"""Per-video predictions from Parquet files, as Arrow tables for the catalog's schema `loaded`."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from catalog.journal import Fault
from catalog.storage.checksums import ChecksumError
from catalog.storage.layout import found_in
from catalog.storage.parquet_files import read_parquet

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.bound_tables import Connection

logger = logging.getLogger(__name__)

FILES = """
    SELECT key, evaluations, checkpoints, path, split, time, writer, position, manifests
    FROM computed.prediction_sources
    WHERE (current OR $everything) AND ($keys IS NULL OR list_contains($keys::VARCHAR[], key))
"""
"""The files that the journals speak of, as rows of `PredictionFile`: the current ones, or `everything`.

Where there are `$keys`, those of these cells.
"""

_CURRENT_FILES = "loaded.current_prediction_files"
_MARK_CURRENT = """
    DELETE FROM loaded.current_prediction_files;
    INSERT INTO loaded.current_prediction_files BY NAME
    SELECT file, key, evaluation, files.checkpoint, split
    FROM loaded.prediction_files AS files SEMI JOIN computed.current_evaluations USING (key, evaluation)
"""
"""Fills it: those of the files loaded so far that count today."""

INTERVALS = "loaded.class_intervals"
"""The table that is reckoned from what is loaded, when a question by class is asked."""
_NEW_COUNTS = """
    SELECT DISTINCT videos, correct FROM (
        SELECT count(*) AS videos, count(*) FILTER (predicted = label) AS correct
        FROM loaded.predictions GROUP BY file, label
    ) ANTI JOIN loaded.class_intervals USING (videos, correct)
"""

_REFUSED = (
    "a snapshot holds no predictions; ask the storage itself: actiongrid results --sql, or catalog.Catalog"
)

_MOST_NAMED = 5  # files in warnings: a storage may have been copied without any

Table = Literal["predictions", "view_predictions"]
TABLES: tuple[Table, ...] = ("predictions", "view_predictions")
"""The tables of the schema `loaded` that are filled from files, each when it is first needed."""
FILLED = (INTERVALS, *(f"loaded.{name}" for name in TABLES))
"""The tables of the schema `loaded` that are filled when somebody reads them."""


@dataclass(frozen=True)
class PredictionFile:
    """A file of predictions and the event that speaks of it (its time, writer and position).

    It is of `evaluations` of the checkpoints beside them, on the videos of `split`. `manifests` may be those
    of its videos.
    """

    key: str
    evaluations: tuple[str, ...]
    checkpoints: tuple[str, ...]
    path: str
    split: str
    time: float
    writer: str
    position: int
    manifests: tuple[str, ...]

    @classmethod
    def of(cls, row: Sequence[Any]) -> PredictionFile:
        """A row of `FILES`."""
        values: list[Any] = [tuple(value) if isinstance(value, list) else value for value in row]
        return cls(*values)


@dataclass(frozen=True)
class LoadedFile:
    """What `number` stands for, and its rows for a table of the schema `loaded`; None where it has none."""

    number: int
    source: PredictionFile
    rows: pa.Table | None


Fetch = Callable[[Path], None]
"""Brings a file of the storage to this machine, if it can."""
Videos = Callable[["pa.Table"], Sequence[str] | None]
"""Knows the paths of the videos of some rows, or not."""


class PredictionTables:
    """Fills the tables of the schema `loaded` with what a statement reads and is not there yet."""

    def __init__(self, storage: Path, fetch: Fetch | None = None) -> None:
        """`fetch` is asked for a file that is not here."""
        self._reader = PredictionReader(storage, fetch)
        self._loaded: frozenset[tuple[Table, bool]] = frozenset()
        self._loaded_of: frozenset[tuple[Table, bool, str]] = frozenset()
        self._counted = True

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The files that could not be read the last time they were asked for."""
        return self._reader.faults

    def forget(self) -> None:
        """The journals have grown: look at the next question whether there are new files."""
        self._loaded, self._loaded_of = frozenset(), frozenset()

    def load(
        self, connection: Connection, tables: Collection[str], keys: Collection[str] | None = None
    ) -> None:
        """Fill those that are among `tables` (with their schemas); `materialised.planned_keys` is filled.

        What reads `loaded.current_prediction_files` alone needs the current files only; with `keys` those
        of these cells are filled in.
        """
        if wanted := self._unloaded(tables, keys):
            files = _files(connection, tables, keys)
            for table, _ in wanted:
                for file in self._reader.new(files, table):
                    _store(connection, table, file)
                    self._counted = False
            connection.execute(_MARK_CURRENT)
            self._loaded |= wanted if keys is None else frozenset()
            self._loaded_of |= {(*one, key) for one in wanted for key in keys or ()}
        if INTERVALS in tables and not self._counted:
            _store_intervals(connection)
            self._counted = True

    def _unloaded(
        self, tables: Collection[str], keys: Collection[str] | None
    ) -> frozenset[tuple[Table, bool]]:
        """What is to be filled; none where all is. A file that could not be read is looked for again."""
        everything = _needs_everything(tables)
        wanted = frozenset((table, everything) for table in TABLES if f"loaded.{table}" in tables)
        whole = wanted <= self._loaded
        of_these = keys is not None and {(*one, key) for one in wanted for key in keys} <= self._loaded_of
        return wanted if self.faults or not (whole or of_these) else frozenset()

    def missing(
        self, connection: Connection, tables: Collection[str], keys: Collection[str] | None = None
    ) -> tuple[Path, ...]:
        """The files that `load` would read and `fetch` could bring."""
        return self._reader.missing(_files(connection, tables, keys)) if self._unloaded(tables, keys) else ()

    def fetch(self, paths: Iterable[Path]) -> None:
        """Bring files to this machine. It may wait for a bucket: never call it with a lock in hand."""
        self._reader.fetch(paths)


def _needs_everything(tables: Collection[str]) -> bool:
    return "loaded.prediction_files" in tables or _CURRENT_FILES not in tables


def _files(
    connection: Connection, tables: Collection[str], keys: Collection[str] | None
) -> list[PredictionFile]:
    wanted = {"everything": _needs_everything(tables), "keys": None if keys is None else list(keys)}
    rows = connection.execute(FILES, wanted).fetchall()
    return [PredictionFile.of(row) for row in rows]


def _store(connection: Connection, table: Table, file: LoadedFile) -> None:
    for pair in zip(file.source.evaluations, file.source.checkpoints, strict=True):
        row = [file.number, file.source.key, *pair, file.source.split]
        connection.execute("INSERT OR REPLACE INTO loaded.prediction_files VALUES (?, ?, ?, ?, ?)", row)
    connection.execute(f"DELETE FROM loaded.{table} WHERE file = ?", [file.number])
    if file.rows is not None:
        connection.register("batch", file.rows)
        connection.execute(f"INSERT INTO loaded.{table} BY NAME FROM batch")
        connection.unregister("batch")


def _store_intervals(connection: Connection) -> None:
    """Fill in the interval of every count of correct videos that is new, by the function that pages use."""
    import numpy as np

    from dashboards.statistics.columns import accuracy_intervals

    counts = connection.execute(_NEW_COUNTS).fetchall()
    if not counts:
        return
    videos, correct = np.array(counts, dtype=float).T
    low, high = accuracy_intervals(100 * correct / videos, videos)
    rows = [(*pair, *ends) for pair, *ends in zip(counts, low.tolist(), high.tolist(), strict=True)]
    connection.executemany(f"INSERT INTO {INTERVALS} VALUES (?, ?, ?, ?)", rows)


def refuse_predictions(connection: Connection) -> None:
    """Let every question about predictions to this database, a snapshot, end with an error."""
    columns = "SELECT table_name, column_name, data_type FROM information_schema.columns"
    rows = connection.execute(f"{columns} WHERE table_schema = 'loaded' ORDER BY ordinal_position").fetchall()
    for table in dict.fromkeys(name for name, _, _ in rows):
        empty = ", ".join(f"NULL::{kind} AS {column}" for name, column, kind in rows if name == table)
        connection.execute(f"DROP TABLE loaded.{table}")
        connection.execute(f"CREATE VIEW loaded.{table} AS SELECT {empty} WHERE error('{_REFUSED}')::BOOLEAN")


def accept_predictions(connection: Connection, tables: Mapping[str, str]) -> None:
    """Undo `refuse_predictions`: the tables are there, and empty. `tables` are statements that make them."""
    for table, statement in tables.items():
        connection.execute(f"DROP VIEW IF EXISTS {table}")
        connection.execute(statement)


class PredictionReader:
    """Reads each file once, and again where a later event speaks of it; an unreadable one is a fault."""

    def __init__(self, storage: Path, fetch: Fetch | None = None) -> None:
        """`fetch` is asked for a file that is not here."""
        self._storage = storage
        self._fetch = fetch
        self._numbers: dict[tuple[str, str], int] = {}
        self._loaded: dict[tuple[Table, str, str], PredictionFile] = {}
        self._refused: dict[Path, OSError] = {}
        self._faults: dict[str, Fault] = {}
        self._manifests: dict[Path, Sequence[tuple[str, int]]] = {}

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The files that could not be read the last time they were asked for."""
        return tuple(self._faults.values())

    def missing(self, files: Iterable[PredictionFile]) -> tuple[Path, ...]:
        """The files that are not here, where somebody could bring them."""
        paths = (found_in(self._storage, file.path) for file in files if self._fetch is not None)
        return tuple(path for path in paths if not path.exists())

    def fetch(self, paths: Iterable[Path]) -> None:
        """Bring files here; one that is refused is a fault when it is read."""
        if self._fetch is None:
            return
        for path in paths:
            try:
                self._fetch(path)
            except OSError as error:
                self._refused[path] = error

    def new(self, files: Iterable[PredictionFile], table: Table) -> Iterator[LoadedFile]:
        """Read, for one table, the files that are not loaded yet or that a later event speaks of."""
        for file in files:
            name = (file.key, file.evaluations[0])
            if self._loaded.get((table, *name)) == file:
                continue
            number = self._numbers.setdefault(name, len(self._numbers))
            try:
                path = found_in(self._storage, file.path)
                if path in self._refused:
                    raise self._refused.pop(path)
                rows = read_rows(path, number, table, partial(self._videos, file), file.key)
            except (OSError, KeyError, ValueError, TypeError, NotImplementedError) as error:
                self._is_faulty(file, error)
                continue
            self._faults.pop(file.path, None)
            yield LoadedFile(number, file, rows)
            self._loaded[table, *name] = file

    def _is_faulty(self, file: PredictionFile, error: Exception) -> None:
        why = str(error) if isinstance(error, ChecksumError) else type(error).__name__
        what = f"predictions cannot be read ({why})"
        reason = f"{what}; {found_in(self._storage, file.path)}; restore the file or evaluate again"
        if file.path not in self._faults and len(self._faults) <= _MOST_NAMED:
            more = "more predictions cannot be read; `actiongrid catalog check --files` names them"
            logger.warning("%s", reason if len(self._faults) < _MOST_NAMED else more)
        self._faults[file.path] = Fault(file.writer, file.position, "missing", reason)

    def _videos(self, file: PredictionFile, rows: pa.Table) -> Sequence[str] | None:
        """The paths of the videos of `rows`, from the one manifest whose evaluation videos they can be."""
        found = {tuple(paths) for text in file.manifests if (paths := self._paths_in(text, rows)) is not None}
        return found.pop() if len(found) == 1 else None

    def _paths_in(self, manifest: str, rows: pa.Table) -> Sequence[str] | None:
        path = found_in(self._storage, manifest)
        try:
            if path not in self._manifests:
                self._manifests[path] = evaluation_videos(path)
        except (OSError, KeyError, ValueError, TypeError, NotImplementedError):
            return None
        return paths_of(self._manifests[path], rows)


def evaluation_videos(manifest: Path) -> Sequence[tuple[str, int]]:
    """Path and label of every evaluation video of a manifest, in their order.

    Raises:
        OSError, KeyError, ValueError, TypeError, NotImplementedError: as `read_rows`.
    """
    columns = read_parquet(manifest, ["path", "label", "split"]).to_pydict()
    base = manifest.absolute().parent
    rows = zip(columns["path"], columns["label"], columns["split"], strict=True)
    return [(str(base / path), label) for path, label, split in rows if split == "val"]


def paths_of(videos: Sequence[tuple[str, int]], rows: pa.Table) -> Sequence[str] | None:
    """The path of each row's video; None where places or labels tell that it is not these."""
    places, labels = rows["index"].to_pylist(), rows["label"].to_pylist()
    if sorted(places) != list(range(len(videos))):
        return None
    same = all(videos[place][1] == label for place, label in zip(places, labels, strict=True))
    return [videos[place][0] for place in places] if same else None


def read_rows(
    path: Path, number: int, table: Table, videos: Videos = lambda _: None, key: str = ""
) -> pa.Table | None:
    """The rows of a file of the cell `key` for a table of the schema `loaded`; None where it keeps no views.

    `videos` is asked for the paths of the videos of a file that does not tell them.

    Raises:
        OSError: no such file.
        ValueError, TypeError, NotImplementedError: not a Parquet file of this form, or not what was written.
        KeyError: a column is missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = _COLUMNS[table]
    content = read_parquet(path, [*columns], key)
    there = content.column_names
    if table == "view_predictions" and "view_top" not in there:
        return None
    rows = content.num_rows

    def column(name: str) -> pa.ChunkedArray | pa.Array:
        kind = _arrow_type(columns[name])
        if name in there or name not in _OPTIONAL:
            return content[name].cast(kind)
        return pa.nulls(rows, kind)

    values = {name: column(name) for name in columns}
    if table == "predictions":
        values["predicted"] = pc.list_element(values["top"], 0)
        if "video" not in there and (paths := videos(content)) is not None:
            values["video"] = pa.array(paths, pa.string())
    return pa.table({"file": pa.repeat(pa.scalar(number, pa.int32()), rows)} | values)


_COLUMNS: dict[Table, dict[str, str]] = {
    "predictions": {
        "index": "int32",
        "video": "string",
        "label": "int32",
        "top": "list<int32>",
        "scores": "list<float>",
        "loss": "double",
    },
    "view_predictions": {"index": "int32", "view_top": "list<int32>", "view_scores": "list<float>"},
}
_OPTIONAL = frozenset({"video", "scores"})


def _arrow_type(name: str) -> pa.DataType:
    import pyarrow as pa

    inner = re.fullmatch(r"list<(\w+)>", name)
    return pa.list_(pa.type_for_alias(inner.group(1))) if inner else pa.type_for_alias(name)
