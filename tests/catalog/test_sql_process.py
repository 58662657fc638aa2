"""SQL in processes of their own: the same answers as the catalog's, and no statement goes beyond a limit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from catalog import Catalog, QueryError
from catalog.queries.sql_process import BusyError, Limits, SqlProcess, _address_space
from tests.support.grid_events import DEMO, grid_events, write_quickly
from tests.support.paths import ROOT
from tests.support.slowness import slowness

LIMITS = Limits(seconds=2.0, rows=1000, memory_bytes=512 << 20, answer_bytes=1 << 20)


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("storage")
    write_quickly(folder, grid_events(DEMO))
    return folder


@pytest.fixture(scope="module")
def process(storage: Path) -> Iterator[SqlProcess]:
    process = SqlProcess(storage, LIMITS, at_once=2)
    process.start()
    yield process
    process.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT cell, top1, params FROM results ORDER BY cell",
        "SELECT count(*) AS n FROM predictions",
        "PIVOT results ON module USING avg(top1) ORDER BY key",
        "SELECT * FROM grid_cells ORDER BY ALL",
        "DESCRIBE results",
        "SHOW TABLES",
        "SELECT [1, 2] AS a, {'b': 3} AS c, NULL AS d, interval 1 day AS e",
    ],
)
def test_the_answers_are_those_of_the_catalog(process: SqlProcess, storage: Path, sql: str) -> None:
    with Catalog.open(storage) as catalog:
        assert process.query(sql).to_pylist() == catalog.query(sql, max_rows=LIMITS.rows).to_pylist()


def test_news_of_the_journals_are_in_the_next_answer(tmp_path: Path) -> None:
    process = SqlProcess(tmp_path)
    try:
        assert process.query("SELECT count(*) AS n FROM cells").to_pylist() == [{"n": 0}]
        write_quickly(tmp_path, grid_events(DEMO))
        assert process.query("SELECT count(*) AS n FROM cells").to_pylist() == [{"n": 32}]
    finally:
        process.close()


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT repeat('x', 2000000000)", "memory"),
        ("SELECT length(repeat('x', 2000000000))", "memory"),
        ("SELECT range(100000000)", "memory|took longer"),
        ("SELECT list_sort(range(1000000000))[1]", "memory"),
        ("SELECT string_agg(repeat('y', 1000), '') FROM range(10000000)", "memory|took longer"),
        ("SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b", "took longer"),
        ("SELECT repeat('x', 100000) FROM range(1000)", "the answer is larger than 1 MB"),
        (f"SELECT {'[' * 40}1{']' * 40}", "nests deeper"),
        (f"SELECT {{'flat': 1, 'deep': {'[' * 40}1{']' * 40}}}", "nests deeper"),
        (f"SELECT {'(' * 5000}1{')' * 5000}", "query refused"),
        ("SELECT '" + "x" * 200_000 + "'", "too long"),
        ("SELECT error('no')", "query refused"),
        ("COPY (SELECT 1) TO '/tmp/never.csv'", "not one single read"),
        ("FROM read_csv('/etc/passwd')", "query refused"),
        ("SET threads = 8", "not one single read"),
        ("\x00", "query refused|not one single read"),
    ],
)
def test_no_statement_goes_beyond_its_limits(process: SqlProcess, sql: str, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(QueryError, match=said):
        process.query(sql)
    assert time.monotonic() - began < (LIMITS.seconds + 1.5) * slowness()
    assert process.query("SELECT 42 AS n").to_pylist() == [{"n": 42}]


def test_some_run_at_a_time_and_others_are_told_to_try_again(process: SqlProcess) -> None:
    long = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"
    ended: list[type[Exception]] = []

    def ask() -> None:
        try:
            process.query(long)
        except QueryError as error:
            ended.append(type(error))

    threads = [threading.Thread(target=ask) for _ in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(ended) == 7 and set(ended) == {QueryError, BusyError}


def test_it_is_started_again_when_it_was_killed(process: SqlProcess) -> None:
    process.query("SELECT 1")
    assert process._process is not None
    process._process.kill()
    process._process.wait()
    assert process.query("SELECT 42 AS n").to_pylist() == [{"n": 42}]


ENDLESS = """
import sys, threading
from pathlib import Path
from catalog.queries.sql_process import Limits, SqlProcess
process = SqlProcess(Path(sys.argv[1]), Limits(seconds=60.0))
process.query("SELECT 1")
print(process._process.pid, flush=True)
process.query("SELECT sum(a.range * b.range) FROM range(100000000) a, range(100000000) b")
"""


def test_nothing_outlives_who_asked_even_if_that_is_killed(storage: Path) -> None:
    command = [sys.executable, "-c", ENDLESS, str(storage)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as asker:
        assert asker.stdout is not None
        keeper = psutil.Process(int(asker.stdout.readline()))
        deadline = time.monotonic() + 30
        while not keeper.children() and time.monotonic() < deadline:
            time.sleep(0.05)
        running = [keeper, *keeper.children()]
        assert len(running) == 2
        asker.kill()
    _, alive = psutil.wait_procs(running, timeout=10 * slowness())
    assert alive == []


def test_a_catalog_that_changes_with_every_look_is_asked_four_times(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[frozenset[str]] = []
    process = SqlProcess(storage, LIMITS, prepare=prepared.append)
    monkeypatch.setattr(process, "_ask", lambda *_: (b"U", b'["loaded.predictions", "recorded.cells"]'))
    with pytest.raises(BusyError, match="the catalog changes too fast"):
        process.query("SELECT 1")
    assert prepared == [frozenset({"loaded.predictions"})] * 4


def test_where_nobody_says_how_large_a_process_is_it_may_have_a_gibibyte_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _address_space() > 1 << 20

    def without_proc(path: Path, **_: object) -> str:
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", without_proc)
    assert _address_space() == 1 << 30
