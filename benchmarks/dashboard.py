"""How long the dashboard's pages take: queries, whole callbacks, the same questions to SQLite, first paint.

    python -m benchmarks.dashboard [--cells 288 10000] [--million] [--epochs 60] [--repeat 5] [--paint]

A catalog of the paper's 288 positions × seeds is made inside DuckDB, in the tables that journals are
projected into, with `--epochs` epochs a finished cell. Times are medians in milliseconds on a warm process.
Before each look at a page a cell starts, reports an epoch and finishes, in a journal: `refresh` is the time
to take that in, `query` the page's own inside the catalog, `callback` all that the page costs the server:
queries, drawing and JSON. `first_query` is `query` where nobody has looked yet. `--million` adds 1,000,000
cells (they need 10 GB of memory and more at 60 epochs; SQLite is left out).

`--paint` opens pages in fresh windows of Chromium, nothing cached, the page not made before: `words_paint` is
the page's frame, the first that is painted; `content_paint` what the catalog says, `drawing_paint` the first
drawing. Kept tables are there, as in the snapshot that a dashboard begins with; in `unasked` rows not.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.dashboard_paint import first_paint
from catalog import Journal
from catalog.events import AttemptEnded, AttemptStarted, CellFinished, EpochFinished
from catalog.storage.folder_storage import FolderStorage
from dashboards.app.live import LiveCatalog, page_blocks
from dashboards.pages.request import read_address

Span = tuple[tuple[float, float], tuple[float, float]]

POSITIONS = 288
AT_ONCE = 50_000
MOST_IN_SQLITE = 100_000

CELLS = """
    CREATE TEMP TABLE bench AS
    WITH axes AS (
        SELECT
            unnest(['tsn', 'tam', 's3d', 'i3d']) AS module, backbone, temporal_pooling, frames, dataset, seed
        FROM (SELECT unnest(['inception_v1', 'resnet18', 'resnet50']) AS backbone)
        CROSS JOIN (SELECT unnest([false, true]) AS temporal_pooling)
        CROSS JOIN (SELECT unnest(['mini-ssv2', 'mini-kinetics', 'mini-mit']) AS dataset)
        CROSS JOIN range($seeds) AS seeds(seed)
        CROSS JOIN (SELECT unnest([8, 16, 32, 64]) AS frames)
    ),
    named AS (
        SELECT
            *, concat_ws('-', module, backbone, temporal_pooling, dataset, seed) AS chain,
            upper(module) || '-' || backbone || CASE WHEN temporal_pooling THEN '-tp' ELSE '' END || '-f'
                || frames || '@' || dataset || '#' || seed AS cell
        FROM axes
    )
    SELECT
        md5(chain || frames) AS key, cell,
        CASE WHEN frames > 8 THEN md5(chain || frames // 2) END AS parent_key,
        'study-' || seed % 4 AS study, module, backbone, temporal_pooling, frames, dataset, seed,
        1500000000::BIGINT * frames AS macs,
        -- A tenth is still to do; of that, starters of one module run and those of another one have failed.
        CASE WHEN $seeds < 10 THEN module NOT IN ('i3d', 's3d') ELSE seed % 10 < 9 END AS done,
        hash(chain || frames) % 10000 / 200.0 + 25 AS top1,
        1.79e9 + 60.0 * row_number() OVER (ORDER BY seed, chain, frames) AS time
    FROM named
"""
ROWS = (
    """
    INSERT INTO recorded.studies BY NAME
    SELECT DISTINCT study, 's1' AS submission, 72 AS cells, study || '.yaml' AS file, '{}' AS config,
        1.79e9 AS time, 'bench' AS writer, 0 AS position FROM bench
    """,
    """
    INSERT INTO recorded.cells BY NAME
    SELECT key, cell, parent_key, study, module, backbone, temporal_pooling, frames, dataset, seed,
        20000000 AS params, macs, '{"data": {"train": "abc"}}' AS key_parts,
        '{"recipe": {"epochs": 60, "init": "imagenet"}, "evaluation": {"sampling": "uniform", "clips": 1,
          "crops": 1}, "resources": {"workers": 1, "gpus_per_worker": 1}}' AS config,
        's1' AS submission, 174 AS num_classes, 1.79e9 AS time, 'bench' AS writer, 0 AS position
    FROM bench
    """,
    """
    INSERT INTO recorded.attempts_started BY NAME
    SELECT key, 1 AS attempt, 'driver' AS driver, 'host' AS host, 'runs/' || key AS run_dir, time,
        'bench' AS writer, 0 AS position
    FROM bench WHERE done OR frames = 8 AND module IN ('tam', 's3d', 'i3d')
    """,
    """
    INSERT INTO recorded.attempts_ended BY NAME
    SELECT key, 1 AS attempt, CASE WHEN done THEN 'done' ELSE 'failed' END AS state,
        CASE WHEN NOT done THEN 'OutOfMemoryError: no memory left' END AS error, time + 3600 AS time,
        'bench' AS writer, 0 AS position
    FROM bench WHERE done OR frames = 8 AND module = 's3d'
    """,
    """
    INSERT INTO recorded.failed BY NAME
    SELECT key, 1 AS attempt, 'OutOfMemoryError: no memory left' AS error, time + 3600 AS time,
        'bench' AS writer, 0 AS position
    FROM bench WHERE NOT done AND frames = 8 AND module = 's3d'
    """,
    """
    INSERT INTO recorded.epochs BY NAME
    SELECT key, epoch, 1 AS attempt, 3.0 / epoch AS train_loss, top1 AS train_top1, 0.01 AS lr,
        3.0 / epoch AS val_loss, top1 * epoch / $epochs AS top1, 90.0 AS top5, 100.0 AS clips_per_second,
        50.0 AS seconds, time + epoch * 50 AS time, 'bench' AS writer, 0 AS position
    FROM bench CROSS JOIN range(1, $epochs + 1) AS epochs(epoch)
    WHERE (done OR frames = 8 AND module IN ('tam', 'i3d') AND epoch <= $epochs // 2)
        AND time BETWEEN 1.79e9 + 60.0 * $first AND 1.79e9 + 60.0 * ($first + $cells - 1)
    """,
    """
    INSERT INTO recorded.finished BY NAME
    SELECT key, 1 AS attempt, $epochs AS epochs, $epochs AS best_epoch, top1, least(100, top1 + 20) AS top5,
        1.0 AS loss, top1 AS best_top1, least(100, top1 + 20) AS best_top5, 1.0 AS best_loss,
        11799 AS eval_videos, 80000 AS train_videos, 3600.0 AS train_seconds, 60.0 AS eval_seconds,
        20000000 AS params, macs, 'best' AS inherit, parent_key, 'c' AS checkpoint, 's' AS checkpoint_sha256,
        '{}' AS versions, '{}' AS hardware, time + 3600 AS time, 'bench' AS writer, 0 AS position
    FROM bench WHERE done
    """,
)
SETTLED = """
    INSERT INTO materialised.attempt_epochs
    SELECT key, attempt, min(epoch), max(epoch), min(time), max(time)
    FROM recorded.epochs GROUP BY key, attempt
"""
QUESTIONS = {
    "cells by position": """
        SELECT module, backbone, temporal_pooling, dataset, frames, count(*) AS n, count(f.key) AS done,
            avg(f.top1) AS top1
        FROM {cells} AS c LEFT JOIN {finished} AS f ON f.key = c.key GROUP BY 1, 2, 3, 4, 5
    """,
    "hours by module": """
        SELECT c.module, sum(e.time - s.time) / 3600 AS hours
        FROM {attempts_started} AS s JOIN {attempts_ended} AS e ON e.key = s.key AND e.attempt = s.attempt
        JOIN {cells} AS c ON c.key = s.key GROUP BY 1
    """,
    "mean top-1 by epoch": "SELECT epoch, avg(top1) AS top1 FROM {epochs} GROUP BY 1",
    "one cell's epochs": "SELECT epoch, top1 FROM {epochs} WHERE key = (SELECT min(key) FROM {finished})",
}
"""What pages ask, in words that both databases know."""

TABLES = ("cells", "finished", "attempts_started", "attempts_ended", "epochs")


def pages(live: LiveCatalog) -> dict[str, str]:
    """The addresses that are measured."""
    sql = "SELECT key FROM recorded.finished ORDER BY key LIMIT 2"
    first, second = live.catalog.query(sql).column("key").to_pylist()
    questions = (
        "frames",
        "macs",
        "pooling",
        "contributions",
        "sampling",
        "clips",
        "i3d",
        "published",
        "tables",
    )
    return {
        "Overview": "/",
        "Grid": "/grid",
        "Grid, one module": "/grid?module=tam&frames=8",
        "Cell": f"/cell?key={first}",
        "Compare": f"/compare?cells={first},{second}",
        **{f"Findings: {name}": f"/findings?show={name}" for name in questions},
        "Explore": "/explore",
        "Cost": "/cost",
        "SQL": "/sql?q=SELECT%20module%2C%20avg(top1)%20FROM%20results%20GROUP%20BY%20ALL",
    }


def fill(live: LiveCatalog, cells: int, epochs: int) -> None:
    """Put about `cells` cells into the catalog's own tables."""
    connection = live.catalog._connection
    connection.execute(CELLS, {"seeds": max(1, round(cells / POSITIONS))})
    for statement in ROWS:
        # One transaction has to fit into memory; what is committed can be put off to the disk.
        for first in range(1, cells + POSITIONS, AT_ONCE) if "$cells" in statement else (None,):
            values = {"epochs": epochs, "first": first, "cells": AT_ONCE}
            used = {name: value for name, value in values.items() if f"${name}" in statement}
            connection.execute(statement, used or None)
    connection.execute("DROP TABLE bench")
    settle(live)


def settle(live: LiveCatalog) -> None:
    """Let what follows from the epochs follow, as it does when journals are read."""
    live.catalog._connection.execute(SETTLED)


def forget_pages(live: LiveCatalog) -> None:
    """Forget the pages that were made, as after a start from a snapshot."""
    live._answers.clear()


def forget(live: LiveCatalog) -> None:
    """Forget what is remembered between two questions, as if nobody had looked yet."""
    forget_pages(live)
    live.catalog._fresh = frozenset()


def happen(live: LiveCatalog) -> None:
    """Let a cell of the grid start, report an epoch and finish."""
    sql = "SELECT key, macs FROM recorded.cells ANTI JOIN recorded.attempts_started USING (key) LIMIT 1"
    ((key, macs),) = live.catalog._connection.execute(sql).fetchall()
    with Journal.open(live.storage.root, "bench") as journal:
        journal.append(AttemptStarted(key, 1, "driver", "host", "runs"))
        journal.append(EpochFinished(key, 1, 1, 3.0, 30.0, 0.01, 3.0, 30.0, 60.0, 100.0, 50.0))
        journal.append(AttemptEnded(key, 1, "done"))
        journal.append(finished(key, macs))


def finished(key: str, macs: int) -> CellFinished:
    return CellFinished(
        key=key,
        attempt=1,
        epochs=1,
        best_epoch=1,
        **dict.fromkeys(("top1", "top5", "loss", "best_top1", "best_top5", "best_loss"), 30.0),
        eval_videos=11799,
        train_videos=80000,
        train_seconds=50.0,
        eval_seconds=60.0,
        train_clips_per_second=100.0,
        eval_clips_per_second=None,
        peak_memory_bytes=None,
        params=20_000_000,
        macs=macs,
        inherit="last",
        parent_key=None,
        parent_top1_rechecked=None,
        checkpoint="c",
        checkpoint_sha256="s",
        predictions=None,
        versions={},
        hardware={},
    )


def measure(live: LiveCatalog, address: str, repeat: int) -> dict[str, float]:
    """Milliseconds until news are taken in, of a page's queries and of its whole callback; bytes it sends.

    `cpu` is the processor time of all threads: it tells more than the clock where others work too.
    """
    path, _, search = address.partition("?")
    forget(live)
    with counted(live) as spent:
        page_blocks(live, read_address(path, search), "light")
        first = 1000 * together(spent)[0]
        looks = [look(live, path, search, spent) for _ in range(repeat)]
    middle = {name: round(statistics.median(one[name] for one in looks), 1) for name in looks[0]}
    return {**middle, "first_query_ms": round(first, 1)}


def look(live: LiveCatalog, path: str, search: str, spent: list[Span]) -> dict[str, float]:
    """Take in what has happened, then make the page."""
    happen(live)
    begun = now()
    live.refresh()
    refresh = since(begun)
    spent.clear()
    begun = now()
    blocks = page_blocks(live, read_address(path, search), "light")
    size = sum(len(str(part.value)) for block in blocks for part in block.parts)
    callback = since(begun)
    query = together(spent)
    times = {"refresh": refresh, "query": query, "callback": callback}
    return {
        **{f"{name}_ms": 1000 * clock for name, (clock, _) in times.items()},
        **{f"{name}_cpu_ms": 1000 * cpu for name, (_, cpu) in times.items()},
        "kilobytes": size / 1000,
    }


@contextmanager
def counted(live: LiveCatalog) -> Iterator[list[Span]]:
    """When each query of the catalog began and ended."""
    spent: list[Span] = []
    ask = live.catalog.query

    def query(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  (stands in for another)
        begun = now()
        try:
            return ask(*arguments, **options)
        finally:
            spent.append((begun, now()))

    live.catalog.query = query  # type: ignore[method-assign]
    try:
        yield spent
    finally:
        del live.catalog.query


def together(spans: list[Span]) -> list[float]:
    """The seconds in which at least one query ran, by the clock and of the processor (some run at once)."""
    ended = (0.0, 0.0)
    found = [0.0, 0.0]
    for begun, end in sorted(spans):
        if end > ended:
            pieces = zip(found, max(begun, ended), end, strict=True)
            found = [one + last - first for one, first, last in pieces]
            ended = end
    return found


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def since(begun: tuple[float, float]) -> list[float]:
    return [one - other for one, other in zip(now(), begun, strict=True)]


def against_sqlite(live: LiveCatalog, repeat: int) -> list[dict[str, Any]]:
    """Milliseconds of plain questions in the catalog and in SQLite with the same rows and keys."""
    lite = sqlite3.connect(":memory:")
    keys = {"cells": "study, key", "finished": "key", "epochs": "key, epoch"}
    for table in TABLES:
        rows = live.catalog.query(f"FROM recorded.{table}")
        key = keys.get(table, "key, attempt")
        names = ", ".join(rows.column_names)
        lite.execute(f"CREATE TABLE {table} ({names}, PRIMARY KEY ({key})) WITHOUT ROWID")
        places = ", ".join("?" for _ in rows.column_names)
        for batch in rows.to_batches(100_000):
            values = zip(*(column.to_pylist() for column in batch.columns), strict=True)
            lite.executemany(f"INSERT INTO {table} VALUES ({places})", values)
    lite.execute("ANALYZE")
    found = []
    for name, question in QUESTIONS.items():
        ours = question.format(**{table: f"recorded.{table}" for table in TABLES})
        theirs = question.format(**{table: table for table in TABLES})
        duck = median_ms(lambda ours=ours: live.catalog.query(ours), repeat)
        other = median_ms(lambda theirs=theirs: lite.execute(theirs).fetchall(), repeat)
        found.append({"question": name, "duckdb_ms": duck, "sqlite_ms": other})
    return found


def median_ms(ask: Callable[[], object], repeat: int) -> float:
    times = []
    for _ in range(repeat):
        begun = time.perf_counter()
        ask()
        times.append(time.perf_counter() - begun)
    return round(1000 * statistics.median(times), 2)


def painted_pages(live: LiveCatalog) -> dict[str, str]:
    """The addresses that are opened in a browser: one of each page."""
    first = {address.partition("?")[0]: name for name, address in reversed(pages(live).items())}
    return {name: address for name, address in pages(live).items() if name in first.values()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, nargs="+", default=[288, 10_000])
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--paint", action="store_true", help="also measure the first paint in Chromium")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for cells in [*options.cells, *([1_000_000] if options.million else [])]:
        for row in measured(cells, options):
            made = {"cells": cells, **row}
            line = "  ".join(f"{name} {value}" for name, value in made.items())
            print(json.dumps(made) if options.json else line, flush=True)


def measured(cells: int, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All that is asked for, of a catalog with so many cells, a row as soon as it is there."""
    with tempfile.TemporaryDirectory() as folder:
        live = LiveCatalog(FolderStorage(Path(folder)), pause=0)
        fill(live, cells, options.epochs)
        for name, address in pages(live).items():
            yield {"page": name, **measure(live, address, options.repeat)}
        if cells <= MOST_IN_SQLITE:
            yield from against_sqlite(live, options.repeat)
        if options.paint:
            yield from first_paint(live, painted_pages(live), partial(forget_pages, live), options.repeat)
            for row in first_paint(live, painted_pages(live), partial(forget, live), options.repeat):
                yield {"unasked": True, **row}
        live.close()


if __name__ == "__main__":
    main()
