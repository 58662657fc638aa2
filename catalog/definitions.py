"""What every catalog is made of: tables, views, results from the literature; and which tables views read.

Some views are materialised: their rows are computed when a query first needs them, and again only after a
table that they read has changed, so that what nobody asks about costs nothing.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    import pyarrow as pa

    from catalog.bound_tables import Connection

VIEWS = (
    "open_cells",
    "cells",
    "experiments",
    "attempts",
    "epochs",
    "result_caveats",
    "accuracies",
    "contributions",
    "temporal_pooling_gain",
    "datasets",
    "failures",
    "quarantined",
    "classes",
    "evaluations",
    "predictions",
    "per_class_accuracy",
    "confusion",
    "running_cells",
    "lineage",
    "published_counterparts",
    "results",
    "grid_cells",
    "against_published",
    "measured_accuracies",
    "cell_costs",
    "controls",
    "notes",
    "tags",
    "saved_views",
)
"""The files of catalog/views, in the order in which they build on each other."""

PUBLISHED = {
    "published": ("mini_results.csv",),
    "published_contributions": ("table7.csv",),
    "published_datasets": ("datasets.csv",),
    "dataset_identities": ("dataset_identities.csv",),
    "comparison_tolerances": ("tolerances.csv",),
    "published_numbers": (
        "table2.csv",
        "table3.csv",
        "table4.csv",
        "table5.csv",
        "table6.csv",
        "figures.csv",
    ),
}
"""Tables of literature results and their files in catalog/published."""

MATERIALISED = (
    "planned_keys",
    "experiments",
    "open_cells",
    "cell_accuracies",
    "variants",
    "comparisons",
    "against_published",
    "cell_costs",
)
"""Tables of the schema `materialised`, each filled from the view of its name; they build on each other."""

ATTEMPT_EPOCHS = "attempt_epochs"
"""The table of the schema `materialised` that grows with every reading of the journals."""

_NO_OFFICIAL_DATASET = "SELECT 1 WHERE NOT EXISTS (FROM own_datasets WHERE identity IS NOT NULL)"
_DECIDING = (".py", ".sql", ".csv")
_LOADED = re.compile(r"CREATE TABLE (loaded\.\w+) \(.*?\);", re.DOTALL)
_CREATE = re.compile(r"CREATE (?:VIEW|MACRO) ([\w.]+)")
_RELATION = re.compile(r"\b(?:FROM|JOIN)\s+([\w.]+)(?:\(\s*'(\w+)'\s*\))?")
_COMMENT = re.compile(r"--.*")
# What a statement of people's own reads; a macro, with its bracket, has no columns to describe.
_READ = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)\b(?!\s*[.(])", re.IGNORECASE)


def schema_text() -> str:
    """Return the statements that create the tables."""
    return (_root() / "schema.sql").read_text(encoding="utf-8")


def create_tables(connection: Connection) -> None:
    """Make the tables, the rows from the literature and the views of a new database."""
    connection.execute(schema_text())
    for table, rows in published_tables():
        insert(connection, table, rows)
    for text in view_texts():
        connection.execute(text)


def make_empty(path: Path, connect: Callable[[Path], Connection]) -> None:
    """Make a catalog without events in a file."""
    connection = connect(path)
    create_tables(connection)
    connection.execute("CHECKPOINT")
    connection.close()


def insert(connection: Connection, table: str, rows: pa.Table) -> None:
    """Put rows into a table, by the names of their columns."""
    connection.register("batch", rows)
    connection.execute(f"INSERT INTO {table} BY NAME FROM batch")
    connection.unregister("batch")


def materialise(connection: Connection, table: str) -> None:
    """Fill one of `MATERIALISED` anew from the view of its name."""
    if table == "comparisons" and connection.execute(_NO_OFFICIAL_DATASET).fetchone():
        # To plan this view takes DuckDB longer than all others together, and most studies are of own videos.
        connection.execute("DELETE FROM materialised.comparisons")
        return
    if table != "against_published":
        connection.execute(f"CREATE OR REPLACE TABLE materialised.{table} AS FROM computed.{table}")
        return
    rows = _with_differences(connection.execute(f"FROM computed.{table}").to_arrow_table())
    connection.register("batch", rows)
    connection.execute(f"CREATE OR REPLACE TABLE materialised.{table} AS FROM batch")
    connection.unregister("batch")


def _with_differences(rows: pa.Table) -> pa.Table:
    """The rows of `computed.against_published` with the interval of each difference (points)."""
    if not rows.num_rows:
        return rows

    import pyarrow as pa

    from dashboards.statistics.columns import differences_to_published

    def numbers(name: str) -> Any:  # noqa: ANN401  (a column of numpy)
        return rows.column(name).cast(pa.float64()).to_numpy()

    top1, videos, seeds, deviations = map(numbers, ("top1", "eval_videos", "seeds", "top1_std"))
    low, high = differences_to_published(
        (top1, videos, seeds, deviations), numbers("published_top1"), numbers("published_videos")
    )
    outside = (low > 0) | (high < 0)
    kinds = {"low": (low, pa.float64()), "high": (high, pa.float64()), "outside": (outside, pa.bool_())}
    for name, (values, kind) in kinds.items():
        filled = pa.array(values, kind, from_pandas=True)
        rows = rows.set_column(rows.column_names.index(name), name, filled)
    return rows


def own_settings(folder: Path, threads: int | None, forks: bool) -> dict[str, str]:
    """Return the settings of one process with a folder of its own, where rows go that memory does not hold.

    Its database need not outlive the machine. Its threads are as many as cores where they are None. What
    `forks` does not write its file anew: a copy of the process may do so at the same time.
    """
    settings = {"temp_directory": str(folder / "spilled"), "fsync_mode": "NONE"}
    settings["checkpoint_threshold"] = "1TB" if forks else "16MB"
    return settings if threads is None else settings | {"threads": str(threads)}


def view_texts() -> Sequence[str]:
    """Return the statements that create the views, in the order in which they build on each other."""
    return [(_root() / "views" / f"{view}.sql").read_text(encoding="utf-8") for view in VIEWS]


def loaded_tables() -> Mapping[str, str]:
    """Return the statements that create the tables of the schema `loaded`, by their names."""
    return {found[1]: found[0] for found in _LOADED.finditer(schema_text())}


@cache
def version() -> str:
    """Return what changes with anything that the rows of a catalog depend on beside the journals."""
    statistics = resources.files("dashboards") / "statistics"
    folders = (_root(), _root() / "storage", _root() / "views", _root() / "published", statistics)
    files = [file for folder in folders for file in folder.iterdir() if file.name.endswith(_DECIDING)]
    found = hashlib.sha256(metadata.version("duckdb").encode())
    for file in sorted(files, key=lambda file: file.name):
        found.update(file.name.encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


def published_tables() -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows from the literature, each with the name of the table that they belong to."""
    from pyarrow import csv

    empty = csv.ConvertOptions(strings_can_be_null=True, null_values=[""])
    for table, files in PUBLISHED.items():
        for file in files:
            data = (_root() / "published" / file).read_bytes()
            yield table, csv.read_csv(io.BytesIO(data), convert_options=empty)


@cache
def catalog_reads() -> Mapping[str, frozenset[str]]:
    """Return `tables_read` of the catalog's own views and macros."""
    return tables_read(view_texts())


def tables_read(texts: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """Return the tables, with their schemas, that every view and macro reads, directly or through others.

    `texts` are the statements that create them, in the order in which they build on each other. A relation
    stands behind FROM or JOIN, or as the text that a macro is given: lists with commas are not looked at.
    """
    reads: dict[str, frozenset[str]] = {}
    for text in texts:
        code = _COMMENT.sub("", text)
        starts = [*_CREATE.finditer(code)]
        for start, end in zip(starts, [*(one.start() for one in starts[1:]), len(code)], strict=True):
            relations = _RELATION.findall(code[start.end() : end])
            reads[start[1]] = _read_through({name for pair in relations for name in pair if name}, reads)
    return reads


def columns_hint(sql: str) -> str:
    """Return where somebody whose statement was refused sees what there is: the columns of what it reads."""
    known = {*catalog_reads(), *PUBLISHED}
    read = (one[1].lower() for one in _READ.finditer(_COMMENT.sub("", sql)))
    view = next((name for name in read if name in known), None)
    return f"see `DESCRIBE {view}`" if view else "see `SHOW TABLES` for what there is"


def materialised_behind(tables: Iterable[str], reads: Mapping[str, frozenset[str]]) -> tuple[str, ...]:
    """Return the materialised tables among `tables` (with their schemas) and what these are filled from.

    They come in the order in which they can be filled.
    """
    found = _read_through(tables, reads)
    return tuple(name for name in MATERIALISED if f"materialised.{name}" in found)


def outdated(changed: Collection[str], reads: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the materialised tables that read one of the tables of `recorded` that have changed."""
    recorded = {f"recorded.{table}" for table in changed}
    return frozenset(name for name in MATERIALISED if reads[f"computed.{name}"] & recorded)


def _read_through(names: Iterable[str], reads: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the tables behind names of tables, views and macros; other names are left out."""
    found: set[str] = set()
    for name in names:
        schema, _, table = name.rpartition(".")
        if name == f"materialised.{ATTEMPT_EPOCHS}":
            found.add("recorded.epochs")
        elif schema in ("recorded", "materialised", "loaded"):
            found.add(name)
        found |= reads.get(f"computed.{table}" if schema == "materialised" else name, frozenset())
    return frozenset(found)


def _root() -> Traversable:
    return resources.files("catalog")
