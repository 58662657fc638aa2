"""A catalog of many cells: what commands take, beside SQLite on the same questions.

    python -m benchmarks.catalog_scale --cells 100000

It writes the journals of a grid into a temporary folder, rebuilds the catalog, runs commands as people do,
plans the shipped study with half as many cells on the same storage, exports all results, and asks DuckDB and
SQLite the same questions. SQLite has one flat table a kind of row, with the same primary keys. All times are
seconds of CPU, of user and system, the command's start included; memory is the greatest resident size.
"""

from __future__ import annotations

import argparse
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from catalog import Catalog, read_events
from catalog.events import CellFinished, CellPlanned, EpochFinished
from tests.support.grid_events import Grid, grid_events, write_quickly

T = TypeVar("T")

COMMANDS = (
    ("catalog", "rebuild"),
    ("status",),
    ("status", "--json"),
    ("results",),
    ("results", "--sql", "SELECT module, count(*), avg(top1) FROM results GROUP BY module"),
)
QUESTIONS = {
    "finished cells": "SELECT count(*) FROM {finished}",
    "mean by module and frames": (
        "SELECT module, frames, avg(top1) FROM {cells} JOIN {finished} USING (key) GROUP BY module, frames"
    ),
    "newest epoch of every cell": "SELECT key, max(epoch) FROM {epochs} GROUP BY key",
    "best epoch by dataset": (
        "SELECT dataset, max(epochs.top1) FROM {cells} AS cells JOIN {epochs} AS epochs USING (key)"
        " GROUP BY dataset"
    ),
    "one cell's epochs": (
        "SELECT * FROM {epochs} WHERE key = (SELECT min(key) FROM {finished}) ORDER BY epoch"
    ),
}
_PLAN = ("key", "cell", "study", "module", "backbone", "temporal_pooling", "frames", "dataset", "seed")
_EPOCH = ("key", "epoch", "attempt", "train_loss", "top1", "top5", "clips_per_second", "seconds")
_RESULT = ("key", "attempt", "epochs", "top1", "top5", "loss", "best_top1", "eval_videos", "train_seconds")


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, default=7)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage, study = Path(folder) / "storage", Path(folder) / "study.yaml"
        lines = write_grid(storage, chosen.cells, chosen.epochs)
        print(f"{lines:,} journal lines")
        write_study(study, chosen.cells // 2)
        files = (("plan", str(study)), ("results", "-o", str(Path(folder) / "results.csv")))
        for command in (*COMMANDS, *files):
            cpu, size = run([sys.executable, "-m", "orchestrator.cli", *command, "--storage", str(storage)])
            print(f"{' '.join(command).replace(folder, '')[:50]:50} {cpu:7.2f} s {size >> 10:6} MB")
        spent, flat = measured(lambda: in_sqlite(storage, Path(folder) / "flat.sqlite"))
        print(f"{'SQLite, filled from the same events':50} {spent:7.2f} s")
        spent, catalog = measured(lambda: Catalog.open(storage))
        print(f"{'Catalog.open':50} {spent:7.2f} s")
        with catalog, flat:
            for name, sql in QUESTIONS.items():
                compare(name, sql, catalog, flat)


def compare(name: str, sql: str, catalog: Catalog, flat: sqlite3.Connection) -> None:
    """Ask both twice and print what the second time took."""
    tables = ("cells", "epochs", "finished")
    ours = sql.format(**{one: f"recorded.{one}" for one in tables})
    theirs = sql.format(**{one: one for one in tables})
    for _ in range(2):
        duck, rows = measured(lambda: catalog.query(ours).num_rows)
        lite, others = measured(lambda: len(flat.execute(theirs).fetchall()))
    if rows != others:
        raise ValueError(f"{name}: {rows} rows and {others}")
    print(f"{name:34} DuckDB {duck * 1000:8.1f} ms  SQLite {lite * 1000:8.1f} ms")


def write_grid(storage: Path, cells: int, epochs: int) -> int:
    """Write ten studies with about so many cells; the number of lines."""
    seeds = max(1, round(cells / 10 / 288))
    grids = (Grid(study=f"study-{one}", seeds=range(seeds), epochs=epochs) for one in range(10))
    return sum(write_quickly(storage, grid_events(grid), grid.study) for grid in grids)


def write_study(path: Path, cells: int) -> None:
    """Write the shipped study of 288 cells a seed with so many seeds that it has about so many cells."""
    text = resources.files("orchestrator.studies").joinpath("deep-analysis.yaml").read_text(encoding="utf-8")
    seeds = list(range(max(1, round(cells / 288))))
    path.write_text(text.replace("seed: [0]", f"seed: {seeds}"), encoding="utf-8")


def in_sqlite(storage: Path, path: Path) -> sqlite3.Connection:
    """A SQLite database with the plans, epochs and results of a storage."""
    flat = sqlite3.connect(path)
    tables: dict[type, tuple[str, tuple[str, ...], str]] = {
        CellPlanned: ("cells", _PLAN, "study, key"),
        EpochFinished: ("epochs", _EPOCH, "key, epoch"),
        CellFinished: ("finished", _RESULT, "key"),
    }
    for name, columns, key in tables.values():
        flat.execute(f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({key}))")
    for kind, (name, columns, _) in tables.items():
        marks = ", ".join("?" * len(columns))
        flat.executemany(f"INSERT OR REPLACE INTO {name} VALUES ({marks})", rows_of(storage, kind, columns))
    flat.commit()
    return flat


def rows_of(storage: Path, kind: type, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """The events of one type as rows."""
    for event in read_events(storage):
        if type(event) is kind:
            yield tuple(getattr(event, name) for name in columns)


def measured(make: Callable[[], T]) -> tuple[float, T]:
    """Seconds of this process's CPU, and what was made."""
    before = time.process_time()
    made = make()
    return time.process_time() - before, made


def run(command: list[str]) -> tuple[float, int]:
    """Seconds of CPU and the greatest resident size (kB) of a command."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=dict(os.environ))
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    usage: resource.struct_rusage = used
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss


if __name__ == "__main__":
    main()
