"""Per-video predictions from Parquet files, as Arrow tables for the catalog's schema `loaded`."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.journal import Fault

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

FILES = """
    SELECT key, 'training:' || inherit AS evaluation, predictions, time, writer, position
    FROM recorded.finished WHERE predictions IS NOT NULL
    UNION ALL SELECT key, evaluation, predictions, time, writer, position FROM recorded.evaluations
"""
"""The files that the journals speak of, as rows of `PredictionFile`."""

_CREATE = re.compile(r"CREATE (?:VIEW|MACRO) (\w+)")
_READS = re.compile(r"\b(?:FROM|JOIN)\s+(loaded\.\w+|\w+)")


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
    """What `number` stands for, and its rows for `loaded.predictions` and `loaded.view_predictions`."""

    number: int
    source: PredictionFile
    videos: pa.Table
    views: pa.Table | None


class PredictionReader:
    """Reads each file once, and again where a later event speaks of it; an unreadable one is a fault."""

    def __init__(self, storage: Path) -> None:
        self._storage = storage
        self._known: dict[tuple[str, str], tuple[int, PredictionFile]] = {}
        self._faults: dict[str, Fault] = {}

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The files that could not be read the last time they were asked for."""
        return tuple(self._faults.values())

    def new(self, files: Iterable[PredictionFile]) -> Iterator[LoadedFile]:
        """Read the files that are not loaded yet, or that a later event speaks of; number by number."""
        for file in files:
            number, known = self._known.get((file.key, file.evaluation), (len(self._known), None))
            if known == file:
                continue
            tables = self._read(file, number)
            if tables is not None:
                yield LoadedFile(number, file, *tables)
                self._known[file.key, file.evaluation] = (number, file)

    def _read(self, file: PredictionFile, number: int) -> tuple[pa.Table, pa.Table | None] | None:
        import pyarrow as pa

        path = self._place(file.path)
        try:
            tables = read_tables(path, number)
        except (OSError, KeyError, pa.ArrowException) as error:
            reason = (
                f"predictions cannot be read ({type(error).__name__}); {path}; restore it or evaluate again"
            )
            if str(path) not in self._faults:
                logger.warning("%s", reason)
            self._faults[str(path)] = Fault(file.writer, file.position, "missing", reason)
            return None
        self._faults.pop(str(path), None)
        return tables

    def _place(self, text: str) -> Path:
        """The file, also where the storage was moved since: below `runs` it keeps its place."""
        path = Path(text)
        if not path.is_absolute():
            return self._storage / path
        if not path.exists() and "runs" in path.parts:
            last = len(path.parts) - 1 - path.parts[::-1].index("runs")
            return self._storage.joinpath(*path.parts[last:])
        return path


def read_tables(path: Path, number: int) -> tuple[pa.Table, pa.Table | None]:
    """A file's videos and, where it has them, its views, as the columns of the `loaded` tables.

    Raises:
        OSError: no such file.
        pyarrow.ArrowException: not a Parquet file of this form.
        KeyError: a column is missing.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(path, partitioning=None)
    rows = table.num_rows

    def column(name: str, kind: pa.DataType) -> pa.ChunkedArray:
        return table[name].cast(kind)

    def optional(name: str, kind: pa.DataType) -> pa.ChunkedArray | pa.Array:
        return column(name, kind) if name in table.column_names else pa.nulls(rows, kind)

    one, many, scores = pa.int32(), pa.list_(pa.int32()), pa.list_(pa.float32())
    place = {"file": pa.repeat(pa.scalar(number, one), rows), "index": column("index", one)}
    top = column("top", many)
    videos = {
        "video": optional("video", pa.string()),
        "label": column("label", one),
        "predicted": pc.list_element(top, 0),
        "top": top,
        "scores": optional("scores", scores),
        "loss": column("loss", pa.float64()),
    }
    if "view_top" not in table.column_names:
        return pa.table(place | videos), None
    views = {"view_top": column("view_top", many), "view_scores": column("view_scores", scores)}
    return pa.table(place | videos), pa.table(place | views)


def views_on_predictions(texts: Sequence[str]) -> frozenset[str]:
    """The views that read the schema `loaded`, directly or through others, from the SQL that creates them."""
    found: set[str] = set()
    for text in texts:
        code = re.sub(r"--.*", "", text)
        starts = [match.start() for match in _CREATE.finditer(code)]
        for start, end in zip(starts, [*starts[1:], len(code)], strict=True):
            name = _CREATE.match(code, start)
            reads = set(_READS.findall(code[start:end]))
            if name and (reads & found or any(one.startswith("loaded.") for one in reads)):
                found.add(name.group(1))
    return frozenset(found)
