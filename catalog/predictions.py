"""Per-video predictions from Parquet files, as Arrow tables for the catalog's schema `loaded`."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from catalog.journal import Fault
from catalog.storage.layout import RUNS

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

FILES = """
    SELECT key, 'training:' || inherit AS evaluation, predictions, time, writer, position
    FROM recorded.finished WHERE predictions IS NOT NULL
    UNION ALL SELECT key, evaluation, predictions, time, writer, position FROM recorded.evaluations
"""
"""The files that the journals speak of, as rows of `PredictionFile`."""

Table = Literal["predictions", "view_predictions"]
TABLES: tuple[Table, ...] = ("predictions", "view_predictions")
"""The tables of the schema `loaded` that are filled from files, each when it is first needed."""


@dataclass(frozen=True)
class PredictionFile:
    """A file of predictions and the event that speaks of it (its time, writer and position)."""

    key: str
    evaluation: str
    path: str
    time: float
    writer: str
    position: int


@dataclass(frozen=True)
class LoadedFile:
    """What `number` stands for, and its rows for a table of the schema `loaded`; None where it has none."""

    number: int
    source: PredictionFile
    rows: pa.Table | None


Fetch = Callable[[Path], None]
"""Brings a file of the storage to this machine, if it can."""


class PredictionReader:
    """Reads each file once, and again where a later event speaks of it; an unreadable one is a fault."""

    def __init__(self, storage: Path, fetch: Fetch | None = None) -> None:
        """`fetch` is asked for a file that is not here."""
        self._storage = storage
        self._fetch = fetch
        self._numbers: dict[tuple[str, str], int] = {}
        self._loaded: dict[tuple[Table, str, str], PredictionFile] = {}
        self._faults: dict[str, Fault] = {}

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The files that could not be read the last time they were asked for."""
        return tuple(self._faults.values())

    def new(self, files: Iterable[PredictionFile], table: Table) -> Iterator[LoadedFile]:
        """Read, for one table, the files that are not loaded yet or that a later event speaks of."""
        for file in files:
            name = (file.key, file.evaluation)
            if self._loaded.get((table, *name)) == file:
                continue
            number = self._numbers.setdefault(name, len(self._numbers))
            try:
                path = self._locate(file.path)
                if self._fetch is not None and not path.exists():
                    self._fetch(path)
                rows = read_rows(path, number, table)
            except (OSError, KeyError, ValueError, TypeError, NotImplementedError) as error:
                self._is_faulty(file, error)
                continue
            self._faults.pop(file.path, None)
            yield LoadedFile(number, file, rows)
            self._loaded[table, *name] = file

    def _is_faulty(self, file: PredictionFile, error: Exception) -> None:
        what = f"predictions cannot be read ({type(error).__name__})"
        reason = f"{what}; {file.path}; restore the file or evaluate again"
        if file.path not in self._faults:
            logger.warning("%s", reason)
        self._faults[file.path] = Fault(file.writer, file.position, "missing", reason)

    def _locate(self, text: str) -> Path:
        """The file, where the storage was moved, or is a bucket: below `runs` it keeps its place."""
        path = Path(text)
        if not path.is_absolute() and "://" not in text:
            return self._storage / path
        if not path.exists() and RUNS in path.parts:
            last = len(path.parts) - 1 - path.parts[::-1].index(RUNS)
            return self._storage.joinpath(*path.parts[last:])
        return path


def read_rows(path: Path, number: int, table: Table) -> pa.Table | None:
    """A file's rows for one table of the schema `loaded`; None where it keeps no views.

    Raises:
        OSError: no such file.
        ValueError, TypeError, NotImplementedError: not a Parquet file of this form (as pyarrow says it).
        KeyError: a column is missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    columns = _COLUMNS[table]
    with pq.ParquetFile(path) as file:
        there = [name for name in columns if name in file.schema_arrow.names]
        content = file.read(there)
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
