from __future__ import annotations

import dataclasses
import json
import random
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
import typer
from typer.testing import CliRunner

from catalog import Catalog, CatalogError, QueryError
from catalog.catalog import RECORDED
from catalog.codec import FIELD_TYPES
from catalog.definitions import VIEWS
from catalog.events import (
    EVENT_TYPES,
    AttemptStarted,
    CellFailed,
    CellFinished,
    EpochFinished,
    Event,
    StudySubmitted,
)
from catalog.journal import Journal
from catalog.maintenance import check, rebuild
from catalog.projection import ORIGIN
from catalog.queries.planner import attempts_made, done_cells, failed_cells
from catalog.storage.checksums import load_checked
from orchestrator.cli import app
from orchestrator.commands.catalog import check as check_command
from tests.support.grid_events import (
    DEMO,
    Grid,
    grid_events,
    key_of,
    quarantine_event,
    write_events,
    write_quickly,
)
from tests.support.paths import ROOT

FAILING = "TAM-Tiny-f8@synthetic-motion"
GRID = dataclasses.replace(
    DEMO, failing=frozenset({FAILING}), unfinished=frozenset({"I3D-Tiny-tp-f16@synthetic-appearance"})
)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    write_quickly(tmp_path, iter([*grid_events(GRID), quarantine_event()]))
    return tmp_path


@pytest.fixture(scope="module")
def only_read(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """A catalog that nobody may change, for all tests."""
    folder = tmp_path_factory.mktemp("only-read")
    write_quickly(folder, iter([*grid_events(GRID), quarantine_event()]))
    with Catalog.open(folder) as catalog:
        yield catalog


def content(catalog: Catalog) -> dict[str, list[str]]:
    return {
        table: sorted(map(repr, catalog.query(f"FROM recorded.{table}").to_pylist())) for table in RECORDED
    }


def facts(catalog: Catalog) -> dict[str, list[str]]:
    tables = {}
    for table in RECORDED:
        rows = catalog.query(f"SELECT * EXCLUDE (writer, position) FROM recorded.{table}")
        tables[table] = sorted(map(repr, rows.to_pylist()))
    return tables


def test_the_schema_has_a_column_for_every_field(tmp_path: Path) -> None:
    catalog = Catalog.open(tmp_path)
    for event in EVENT_TYPES:
        columns = catalog.query(f"DESCRIBE recorded.{event.table}").column("column_name").to_pylist()
        assert columns == [*FIELD_TYPES[event], *ORIGIN]


def test_every_view_works_on_an_empty_catalog(tmp_path: Path) -> None:
    catalog = Catalog.open(tmp_path / "nowhere", must_exist=False)
    for view in VIEWS:
        catalog.query(f"FROM {view}")
    assert catalog.query("FROM results").num_rows == 0
    assert not (tmp_path / "nowhere").exists()


def test_states(storage: Path) -> None:
    catalog = Catalog.open(storage)
    states = dict(zip(*catalog.query("SELECT cell, state FROM cells").to_pydict().values(), strict=True))
    assert states.pop(FAILING) == "failed"
    assert states.pop("TAM-Tiny-f16@synthetic-motion") == "blocked"
    assert states.pop("I3D-Tiny-tp-f16@synthetic-appearance") == "running"
    assert set(states.values()) == {"done"} and len(states) == 29
    (blocked,) = catalog.query("SELECT reason FROM failures WHERE state = 'blocked'").to_pylist()
    assert blocked["reason"] == f"waits for {FAILING}, which failed"


def test_a_retried_cell_runs_and_frees_its_descendants(storage: Path) -> None:
    key = key_of("demo", "tam", "tiny", False, "synthetic-motion", 0, 8)
    catalog = Catalog.open(storage)
    assert failed_cells(catalog)[key].attempt == 2 and attempts_made(catalog)[key] == 2
    with Journal.open(storage, "driver-2") as journal:
        journal.append(AttemptStarted(key, 3, "driver-2", "h", "r"))
    catalog.refresh()
    states = catalog.query(
        "SELECT state FROM cells WHERE cell LIKE 'TAM-Tiny-f%@synthetic-motion' ORDER BY frames"
    )
    assert states.column("state").to_pylist() == ["running", "planned"]


def test_blocking_reaches_all_descendants(tmp_path: Path) -> None:
    grid = Grid(modules=("tam",), backbones=("resnet18",), poolings=(False,), datasets=("mini-ssv2",))
    grid = dataclasses.replace(grid, failing=frozenset({"TAM-ResNet18-f8@mini-ssv2"}))
    write_quickly(tmp_path, grid_events(grid))
    states = (
        Catalog.open(tmp_path).query("SELECT state FROM cells ORDER BY frames").column("state").to_pylist()
    )
    assert states == ["failed", "blocked", "blocked", "blocked"]


def test_replay_is_idempotent_and_independent_of_order(
    storage: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    events = [*grid_events(GRID), quarantine_event()]
    expected = facts(Catalog.open(storage))
    shuffled = tmp_path_factory.mktemp("shuffled")
    catalog = Catalog.open(shuffled)
    order = random.Random(0)
    for writer in ("a", "b", "c"):
        sample = [*events, *events]
        order.shuffle(sample)
        write_quickly(shuffled, iter(sample), writer)
        catalog.refresh()
    assert facts(catalog) == expected
    assert catalog.refresh() == 0


def test_the_later_fact_holds_in_whatever_order_it_arrives(tmp_path: Path) -> None:
    late = EpochFinished("k", 1, 2, *[2.0] * 8, time=20.0)
    early = EpochFinished("k", 1, 1, *[1.0] * 8, time=10.0)
    for folder, first, second in ((tmp_path / "x", late, early), (tmp_path / "y", early, late)):
        catalog = Catalog.open(folder, must_exist=False)
        for writer, event in (("a", first), ("b", second)):
            write_quickly(folder, iter([event]), writer)
            catalog.refresh()
        assert catalog.query("SELECT attempt, top1 FROM epochs").to_pylist() == [{"attempt": 2, "top1": 2.0}]


def test_tailing_equals_reading_at_once(tmp_path: Path) -> None:
    events: list[Event] = list(grid_events(GRID))
    catalog = Catalog.open(tmp_path)
    half = len(events) // 2
    with Journal.open(tmp_path, "a") as one, Journal.open(tmp_path, "b") as two:
        for number, event in enumerate(events):
            (one if number < half else two).append(event)
            if number % 40 == 0:
                catalog.refresh()
        catalog.refresh()
    assert content(catalog) == content(Catalog.open(tmp_path))


def test_a_snapshot_equals_the_rebuilt_catalog_row_for_row(storage: Path) -> None:
    published = Catalog.open(storage).snapshot()
    report = check(storage)
    assert report.ok and report.snapshot == published.resolve() and not report.faults
    assert report.tables["finished"].snapshot_rows == 29
    (storage / "catalog.duckdb").unlink()
    assert not check(storage).ok
    rebuilt = rebuild(storage)
    assert check(storage).ok and [path.name for path in (storage / "snapshots").glob("*.duckdb")] == [
        rebuilt.name
    ]


def test_any_duckdb_can_read_the_snapshot(storage: Path) -> None:
    Catalog.open(storage).snapshot()
    script = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True);"
        "print(c.sql('SELECT count(*) FROM results').fetchall()[0][0],"
        " c.sql(\"SELECT count(*) FROM contributions WHERE source = 'published'\").fetchall()[0][0])"
    )
    command = [sys.executable, "-c", script, str(storage / "catalog.duckdb")]
    assert subprocess.run(command, capture_output=True, check=True, text=True).stdout.split() == ["29", "9"]


def test_check_finds_what_differs(storage: Path) -> None:
    Catalog.open(storage).snapshot()
    with Journal.open(storage, "driver-2") as journal:
        journal.append(CellFailed("new", 1, "e"))
        journal.append(EpochFinished(key_of("x"), 1, 1, *[1.0] * 8))
    path = storage / "journal" / "driver-1.jsonl"
    path.write_bytes(path.read_bytes() + b'{"torn\n')
    report = check(storage)
    assert not report.ok
    assert report.tables["failed"].only_in_journal == 1 and report.tables["epochs"].only_in_journal == 1
    assert report.tables["finished"].only_in_journal == 0
    assert [fault.kind for fault in report.faults] == ["torn"]
    assert report.behind == 3, "two events and the torn line"
    rebuild(storage)
    assert check(storage).behind == 0


def test_check_says_that_a_catalog_behind_the_journals_is_no_damage(
    storage: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Catalog.open(storage).snapshot()
    with Journal.open(storage, "driver-2") as journal:
        journal.append(CellFailed("new", 1, "e"))
    with pytest.raises(typer.Exit):
        check_command(storage=str(storage))
    assert "lacks the journals' last 1 line, as after a kill: nothing is lost" in capsys.readouterr().out
    rebuild(storage)
    check_command(storage=str(storage))
    assert "lacks" not in capsys.readouterr().out


def test_a_damaged_snapshot_is_a_clear_error(storage: Path) -> None:
    path = Catalog.open(storage).snapshot()
    path.write_bytes(b"rubbish" * 10_000)
    with pytest.raises(CatalogError, match="catalog rebuild"):
        check(storage)
    rebuild(storage)
    assert check(storage).ok


@pytest.mark.parametrize("how", ["described", "other tables"])
def test_a_snapshot_of_another_version_is_no_damage(storage: Path, how: str) -> None:
    path = Catalog.open(storage).snapshot()
    note = path.with_suffix(".json")
    if how == "described":
        note.write_text(json.dumps(load_checked(note.read_bytes(), ()) | {"version": "0"}))
    else:
        note.unlink()
        with duckdb.connect(path) as file:
            file.execute("ALTER TABLE recorded.failed RENAME TO failures")
    result = CliRunner().invoke(app, ["catalog", "check", "--storage", str(storage)])
    assert result.exit_code == 0 and "made by another version of ActionGrid" in result.output
    (command,) = re.findall(r"actiongrid (catalog rebuild .*)", result.output)
    assert CliRunner().invoke(app, shlex.split(command)).exit_code == 0
    again = CliRunner().invoke(app, ["catalog", "check", "--storage", str(storage)])
    assert again.exit_code == 0 and "another version" not in again.output


def test_a_flipped_digit_in_a_description_is_found(storage: Path) -> None:
    path = Catalog.open(storage).snapshot()
    note = path.with_suffix(".json")
    note.write_bytes(re.sub(rb'"size": (\d)', rb'"size": 1\1', note.read_bytes()))
    with pytest.raises(CatalogError, match=r"snapshot is damaged; .*; run `actiongrid catalog rebuild"):
        check(storage)
    assert not Catalog.open(storage).faults


def test_rebuild_needs_a_journal(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no journal"):
        rebuild(tmp_path)


def test_the_last_two_snapshots_stay(storage: Path) -> None:
    catalog = Catalog.open(storage)
    for _ in range(4):
        last = catalog.snapshot()
    names = sorted(path.name for path in (storage / "snapshots").glob("*.duckdb*"))
    assert names == ["catalog-3.duckdb", "catalog-4.duckdb"]
    assert (storage / "catalog.duckdb").resolve() == last.resolve()


def test_publishers_take_turns(storage: Path) -> None:
    catalogs = [Catalog.open(storage) for _ in range(3)]
    threads = [threading.Thread(target=catalog.snapshot) for catalog in catalogs for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names = sorted(path.name for path in (storage / "snapshots").glob("*.duckdb*"))
    assert names == ["catalog-8.duckdb", "catalog-9.duckdb"] and check(storage).ok


def test_readers_follow_a_writer_that_writes(tmp_path: Path) -> None:
    stop = threading.Event()
    counts: list[list[int]] = [[], []]

    def follow(which: int) -> None:
        catalog = Catalog.open(tmp_path)
        while not stop.is_set():
            catalog.refresh()
            counts[which].append(catalog.query("SELECT count(*) AS n FROM epochs").column("n")[0].as_py())
        catalog.refresh()
        counts[which].append(catalog.query("SELECT count(*) AS n FROM epochs").column("n")[0].as_py())

    readers = [threading.Thread(target=follow, args=(which,)) for which in (0, 1)]
    for reader in readers:
        reader.start()
    write_events(tmp_path, grid_events(GRID))
    stop.set()
    for reader in readers:
        reader.join()
    expected = Catalog.open(tmp_path).query("FROM epochs").num_rows
    assert all(count == sorted(count) and count[-1] == expected for count in counts)


def test_nan_and_missing_values_are_kept(tmp_path: Path) -> None:
    finished = next(event for event in grid_events(DEMO) if isinstance(event, CellFinished))
    event = dataclasses.replace(finished, loss=float("nan"), best_loss=float("inf"), predictions=None)
    write_quickly(tmp_path, iter([event]))
    catalog = Catalog.open(tmp_path)
    (row,) = catalog.query("SELECT cell, loss, best_loss, predictions FROM results").to_pylist()
    assert row["cell"] == event.key and row["loss"] != row["loss"] and row["best_loss"] == float("inf")
    catalog.snapshot()
    assert check(tmp_path).ok


def test_done_cells_are_the_events_again(storage: Path) -> None:
    written = {event.key: event for event in grid_events(GRID) if isinstance(event, CellFinished)}
    assert done_cells(Catalog.open(storage)) == written


def test_a_key_in_two_studies_is_one_cell_of_the_first(storage: Path) -> None:
    other = [
        dataclasses.replace(event, study="later", time=(event.time or 0) + 1e6)
        for event in grid_events(GRID)
        if hasattr(event, "study")
    ]
    write_quickly(storage, iter(other), "driver-2")
    catalog = Catalog.open(storage)
    assert catalog.query("SELECT DISTINCT study, studies FROM cells").to_pylist() == [
        {"study": "demo", "studies": ["demo", "later"]}
    ]
    assert catalog.query("FROM results").num_rows == 29
    studies = catalog.query("SELECT DISTINCT study FROM accuracies WHERE source = 'own' ORDER BY study")
    assert studies.column("study").to_pylist() == ["demo", "later"]


def test_cells_of_an_older_submission_are_not_current(storage: Path) -> None:
    again = StudySubmitted("demo", "s2", 0, "demo.yaml", {}, time=2e9)
    write_quickly(storage, iter([again]), "driver-2")
    catalog = Catalog.open(storage)
    assert catalog.query("SELECT DISTINCT current FROM cells").to_pylist() == [{"current": False}]
    own = catalog.query("SELECT count(*) AS n, count(top1) AS done FROM accuracies WHERE source = 'own'")
    assert own.to_pylist() == [{"n": 0, "done": 0}]
    assert catalog.query("FROM results").num_rows == 0
    marks = catalog.query("SELECT DISTINCT superseded, superseded_by FROM results_all").to_pylist()
    assert marks == [{"superseded": True, "superseded_by": None}]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM recorded.finished",
        "INSERT INTO recorded.failed BY NAME SELECT 'k' AS key, 1 AS attempt",
        "WITH x AS (INSERT INTO recorded.failed BY NAME SELECT 'k' AS key, 1 AS attempt RETURNING *) FROM x",
        "EXPLAIN ANALYZE DELETE FROM recorded.finished",
        "DROP VIEW results",
        "CREATE TABLE t AS SELECT 1",
        "CREATE TEMP TABLE t AS SELECT 1",
        "COPY (SELECT 1) TO '{tmp}/out.csv'",
        "ATTACH '{tmp}/out.db'",
        "EXPORT DATABASE '{tmp}/out'",
        "INSTALL json",
        "LOAD json",
        "SET threads = 1",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "CHECKPOINT",
        "COMMIT",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW results",
        "COMMIT; DROP VIEW results",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM parquet_scan('{tmp}/x.parquet')",
        "SELECT * FROM read_json('http://127.0.0.1:9/x')",
        "SELECT * FROM sneaky",
        "SELEC 1",
        "SELECT nothing FROM results",
        "",
    ],
)
def test_only_one_single_read_is_allowed(only_read: Catalog, sql: str) -> None:
    sneaky = [{"a": 1}]
    before, files = content(only_read), sorted(only_read.storage.rglob("*"))
    with pytest.raises(QueryError):
        only_read.query(sql.replace("{tmp}", str(only_read.storage)))
    assert content(only_read) == before and sorted(only_read.storage.rglob("*")) == files and sneaky
    assert only_read.query("SELECT count(*) AS n FROM results").to_pylist() == [{"n": 29}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT cell, top1 FROM results",
        "FROM results;",
        "DESCRIBE results",
        "SUMMARIZE results",
        "SHOW TABLES",
        "EXPLAIN SELECT 1",
        "PIVOT results ON module USING avg(top1) GROUP BY dataset",
        "SELECT hardware ->> 'device' AS device FROM results",
        "VALUES (1)",
    ],
)
def test_reads_are_allowed(only_read: Catalog, sql: str) -> None:
    assert only_read.query(sql).num_rows > 0


def test_parameters_are_values(storage: Path) -> None:
    catalog = Catalog.open(storage)
    evil = "x' OR 1=1; DROP VIEW results; --"
    assert catalog.query("SELECT cell FROM results WHERE module = ?", [evil]).num_rows == 0
    assert catalog.query("SELECT cell FROM results WHERE module = $m", {"m": "tsn"}).num_rows == 8


def test_importing_the_catalog_loads_nothing_heavy() -> None:
    script = "import catalog, sys; print({'duckdb', 'pyarrow', 'torch', 'ray'} & set(sys.modules) or 'light')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        text=True,
        cwd=ROOT,
    )
    assert done.stdout.strip() == "light"
