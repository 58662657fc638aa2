from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from catalog import Catalog, QueryError
from tests.support.grid_events import DEMO, grid_events, write_quickly
from tests.support.slowness import slowness

ENDLESS = "SELECT sum(a.i * b.i) FROM range(10000000) a(i), range(10000000) b(i)"


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    write_quickly(tmp_path, grid_events(DEMO))
    return Catalog.open(tmp_path)


def test_a_query_that_takes_too_long_is_stopped_and_named(catalog: Catalog) -> None:
    with pytest.raises(QueryError, match=r"longer than 0.3 s .*sum\(a.i \* b.i\).*narrow it down"):
        catalog.query(ENDLESS, timeout_seconds=0.3)
    assert catalog.query("SELECT count(*) AS n FROM cells").column("n")[0].as_py() == 32


def test_no_more_rows_are_made_than_wanted(catalog: Catalog) -> None:
    # All of them would take hours and terabytes.
    table = catalog.query("SELECT i FROM range(100000000000) t(i)", max_rows=7, timeout_seconds=60)
    assert table.column("i").to_pylist() == list(range(7))
    wanted = "SELECT cell FROM cells WHERE module = $module ORDER BY cell"
    assert catalog.query(wanted, {"module": "tam"}, max_rows=3).num_rows == 3
    assert catalog.query("DESCRIBE results", max_rows=2).num_rows == 2


def test_a_slow_query_does_not_hold_up_reading_the_journals(tmp_path: Path, catalog: Catalog) -> None:
    stopped: list[str] = []
    seconds = 3.0 * slowness()

    def slow() -> None:
        with pytest.raises(QueryError) as caught:
            catalog.query(ENDLESS, timeout_seconds=seconds)
        stopped.append(str(caught.value))

    thread = threading.Thread(target=slow)
    thread.start()
    time.sleep(0.3)
    before = catalog.query("SELECT count(*) AS n FROM cells").column("n")[0].as_py()
    other = list(grid_events(DEMO))
    write_quickly(tmp_path, iter([*other]), "driver-2")
    assert catalog.refresh() == len(other)
    assert not stopped, "the refresh waited for the slow query"
    assert catalog.query("SELECT count(*) AS n FROM cells").column("n")[0].as_py() == before
    thread.join()
    assert len(stopped) == 1


def test_a_slow_pivot_holds_up_no_other_question(catalog: Catalog) -> None:
    """Its columns are asked for before it is planned."""
    stopped: list[str] = []
    pivot = f"PIVOT ({ENDLESS}) AS one ON one.s USING count(*)".replace(
        "sum(a.i * b.i)", "sum(a.i * b.i) AS s"
    )

    def slow() -> None:
        with pytest.raises(QueryError) as caught:
            catalog.query(pivot, timeout_seconds=3.0 * slowness())
        stopped.append(str(caught.value))

    thread = threading.Thread(target=slow)
    thread.start()
    time.sleep(0.3)
    assert catalog.query("SELECT count(*) AS n FROM cells").column("n")[0].as_py() == 32
    assert not stopped, "the other question waited for the slow pivot"
    thread.join()
    assert "longer than" in stopped[0]


def test_readers_see_whole_refreshes_while_others_write(tmp_path: Path) -> None:
    """Queries run beside refreshes; each sees the state before or after one, never the middle."""
    events = list(grid_events(DEMO))
    catalog = Catalog(tmp_path)
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def read() -> None:
        sql = "SELECT (SELECT count(*) FROM recorded.cells) AS a, (SELECT count(*) FROM study_cells) AS b"
        while not done.is_set():
            row = catalog.query(sql).to_pylist()[0]
            seen.append((row["a"], row["b"]))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for place in range(10):
        write_quickly(tmp_path, iter(events[place::10]), f"driver-{place}")
        catalog.refresh()
        looks = len(seen)
        while len(seen) < looks + 3:
            time.sleep(0.001)
    done.set()
    for reader in readers:
        reader.join()
    assert all(one == other for one, other in seen)
    assert catalog.query("SELECT count(*) AS n FROM cells").column("n")[0].as_py() == 32


def test_what_does_not_fit_into_memory_is_not_left_where_one_happens_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Catalog(tmp_path / "storage") as catalog:
        (row,) = catalog.query("SELECT current_setting('temp_directory') AS folder").to_pylist()
        with pytest.raises(QueryError, match="refused"):
            catalog.query("SELECT * FROM read_text('/etc/hostname')")
    assert not Path(row["folder"]).is_relative_to(tmp_path)
    assert Path(row["folder"]).is_absolute() and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sql", "hint"),
    [
        ("SELECT top9 FROM epochs", "DESCRIBE epochs"),
        ("SELECT nothing from Evaluations e JOIN results USING (key)", "DESCRIBE evaluations"),
        ("SELECT value9 FROM published", "DESCRIBE published"),
        ("SELECT * FROM resluts", "SHOW TABLES"),
        ("SELECT one + 'x'", "SHOW TABLES"),
    ],
)
def test_a_refused_statement_is_told_what_the_views_that_it_reads_have(
    sql: str, hint: str, tmp_path: Path
) -> None:
    with Catalog.open(tmp_path / "nowhere", must_exist=False) as catalog:
        with pytest.raises(QueryError) as refused:
            catalog.query(sql)
        assert f"see `{hint}`" in str(refused.value)
        assert catalog.query(hint).num_rows > 3, "the hint itself works"
