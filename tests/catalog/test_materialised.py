"""What is materialised is never older than what the journals said when they were read last."""

from __future__ import annotations

import dataclasses
import random
import threading
from pathlib import Path

import duckdb
import pytest

from catalog import Catalog
from catalog.catalog import RECORDED
from catalog.definitions import (
    ATTEMPT_EPOCHS,
    MATERIALISED,
    catalog_reads,
    materialised_behind,
    outdated,
    tables_read,
)
from catalog.events import AttemptStarted, CellFailed, CellPlanned, EpochFinished, Event, StudySubmitted
from tests.support.grid_events import DEMO, Grid, grid_events, write_quickly

FAILING = "TAM-Tiny-f8@synthetic-motion"
GRID = dataclasses.replace(
    DEMO, failing=frozenset({FAILING}), unfinished=frozenset({"I3D-Tiny-tp-f16@synthetic-appearance"})
)
OTHER = dataclasses.replace(GRID, study="other", failing=frozenset())
VIEWS = ("cells", "grid_cells", "running_cells", "lineage", "accuracies", "results", "attempt_spans")
ASKED = (*(f"materialised.{name}" for name in MATERIALISED), *VIEWS)


def answers(catalog: Catalog) -> dict[str, list[str]]:
    return {view: sorted(map(repr, catalog.query(f"FROM {view}").to_pylist())) for view in ASKED}


def events() -> list[Event]:
    """Two studies of their own, and a third one with the cells of the first."""
    own = [*grid_events(GRID)]
    again = [dataclasses.replace(one, study="zz-again") for one in own if isinstance(one, CellPlanned)]
    return [*own, *again, *grid_events(OTHER)]


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_answers_are_those_of_a_fresh_catalog_after_every_reading(tmp_path: Path, seed: int) -> None:
    """Events come in any order and in any pieces, and somebody asks after each."""
    mixed = events()
    random.Random(seed).shuffle(mixed)
    catalog = Catalog(tmp_path)
    size = len(mixed) // 5 + 1
    for place in range(0, len(mixed), size):
        write_quickly(tmp_path, iter(mixed[place : place + size]), f"driver-{place}")
        catalog.refresh()
        with Catalog.open(tmp_path) as fresh:
            assert answers(catalog) == answers(fresh)


@pytest.mark.parametrize("kind", [EpochFinished, CellFailed, AttemptStarted, StudySubmitted])
def test_one_event_alone_is_seen(tmp_path: Path, kind: type[Event]) -> None:
    """Each kind in turn is the last to come; the state that it makes shows at the next question."""
    last = [event for event in events() if isinstance(event, kind)][-1]
    before = [event for event in events() if event != last]
    write_quickly(tmp_path, iter(before))
    catalog = Catalog.open(tmp_path)
    answers(catalog)
    changed = dataclasses.replace(last, time=last.time + 1000)
    write_quickly(tmp_path, iter([changed]), "later")
    assert catalog.refresh() == 1
    with Catalog.open(tmp_path) as fresh:
        assert answers(catalog) == answers(fresh)


def test_attempts_are_followed_as_their_epochs_come(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(GRID))
    catalog = Catalog.open(tmp_path)
    expected = """
        SELECT key, attempt, min(epoch) AS first_epoch, max(epoch) AS last_epoch, min(time) AS first_time,
            max(time) AS last_time
        FROM recorded.epochs GROUP BY key, attempt ORDER BY ALL
    """
    found = catalog.query(f"FROM materialised.{ATTEMPT_EPOCHS} ORDER BY ALL")
    assert found.num_rows > 20 and found.to_pylist() == catalog.query(expected).to_pylist()


def test_an_attempt_keeps_the_epochs_that_a_later_one_repeats(tmp_path: Path) -> None:
    """The first attempt was killed in its third epoch, the second began again after the first one."""
    epoch = next(event for event in grid_events(DEMO) if isinstance(event, EpochFinished))
    start = AttemptStarted(epoch.key, 1, "d", "h", "r", time=1000.0)
    again = dataclasses.replace(start, attempt=2, time=1500.0)
    first = [dataclasses.replace(epoch, attempt=1, epoch=n, time=1000.0 + 100 * n) for n in (1, 2, 3)]
    second = [dataclasses.replace(epoch, attempt=2, epoch=n, time=1400.0 + 100 * n) for n in (2, 3)]
    write_quickly(tmp_path, iter([start, *first, again, *second]))
    spans = Catalog.open(tmp_path).query("FROM attempt_spans ORDER BY attempt").to_pylist()
    assert [(row["started"], row["ended"]) for row in spans] == [(1000.0, 1300.0), (1500.0, 1700.0)]


def test_only_what_is_asked_and_has_changed_is_filled_again(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(GRID))
    catalog = Catalog.open(tmp_path)
    catalog.query("FROM recorded.cells")
    assert catalog._fresh == frozenset()
    catalog.query("FROM cell_costs")
    assert catalog._fresh == {"planned_keys", "open_cells", "cell_costs"}
    catalog.query("FROM contributions")
    kept = {"cell_accuracies", "variants", "comparisons"} & catalog._fresh
    catalog._asked = frozenset()
    last = [event for event in grid_events(GRID) if isinstance(event, EpochFinished)][-1]
    write_quickly(tmp_path, iter([dataclasses.replace(last, time=last.time + 5)]), "later")
    catalog.refresh()
    assert catalog._fresh == {*kept, "planned_keys", "experiments", "open_cells"}


def test_what_was_looked_at_since_the_last_change_is_filled_again_at_once(tmp_path: Path) -> None:
    write_quickly(tmp_path, grid_events(GRID))
    catalog = Catalog.open(tmp_path)
    catalog.query("FROM cell_costs")
    last = [event for event in grid_events(GRID) if isinstance(event, EpochFinished)][-1]
    before = {"planned_keys", "open_cells"}
    for place, fresh in enumerate(({*before, "cell_costs"}, before)):
        event = dataclasses.replace(last, time=last.time + 5 + place)
        write_quickly(tmp_path, iter([event]), f"later-{place}")
        catalog.refresh()
        assert catalog._fresh == fresh, "nobody looked in between" if place else "somebody looked"


def test_a_snapshot_answers_by_itself(tmp_path: Path) -> None:
    write_quickly(tmp_path, iter(events()))
    catalog = Catalog.open(tmp_path)
    path = catalog.snapshot()
    with duckdb.connect(str(path), read_only=True) as snapshot:
        found = {
            view: sorted(map(repr, snapshot.sql(f"FROM {view}").to_arrow_table().to_pylist()))
            for view in ASKED
        }
    assert found == answers(catalog) and found["materialised.open_cells"]


def test_a_cell_of_several_studies_counts_in_the_first(tmp_path: Path) -> None:
    write_quickly(tmp_path, iter(events()))
    rows = Catalog.open(tmp_path).query("SELECT key, study, first_study FROM grid_cells").to_pylist()
    firsts = {row["key"]: row["study"] for row in rows if row["first_study"]}
    assert len(rows) == 96 and len(firsts) == 64 == sum(row["first_study"] for row in rows)
    assert set(firsts.values()) == {GRID.study, "other"}


def test_readers_never_see_something_materialised_beside_newer_rows(tmp_path: Path) -> None:
    whole = [*grid_events(Grid(datasets=("mini-ssv2",)))]
    catalog = Catalog(tmp_path)
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def read() -> None:
        sql = "SELECT (SELECT count(*) FROM recorded.cells) AS a, (SELECT count(*) FROM cell_costs) AS b"
        while not done.is_set():
            row = catalog.query(sql).to_pylist()[0]
            seen.append((row["a"], row["b"]))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for place in range(6):
        write_quickly(tmp_path, iter(whole[place::6]), f"driver-{place}")
        catalog.refresh()
    done.set()
    for reader in readers:
        reader.join(timeout=60)
    assert len(seen) > 4 and all(one == other for one, other in seen)


def test_sources_are_found_through_views_and_macros() -> None:
    texts = [
        "CREATE VIEW computed.open_cells AS FROM recorded.cells;",
        "CREATE VIEW open_cells AS FROM materialised.open_cells;",
        "-- FROM open_cells\nCREATE VIEW plain AS SELECT 'open_cells there' AS cells FROM recorded.finished;",
        "CREATE MACRO over(x) AS TABLE FROM query_table(x) JOIN open_cells USING (key);",
        "CREATE VIEW last AS FROM over('plain') JOIN materialised.attempt_epochs USING (key);",
    ]
    found = tables_read(texts)
    assert found["open_cells"] == {"materialised.open_cells", "recorded.cells"}
    assert found["plain"] == {"recorded.finished"}
    assert found["last"] == {
        "materialised.open_cells",
        "recorded.cells",
        "recorded.finished",
        "recorded.epochs",
    }
    assert materialised_behind({"recorded.cells", "materialised.open_cells"}, found) == ("open_cells",)
    assert materialised_behind({"recorded.cells", "recorded.open_cells"}, found) == ()


def test_tables_are_filled_from_others_first() -> None:
    needed = materialised_behind({"materialised.cell_costs"}, catalog_reads())
    assert needed == ("planned_keys", "open_cells", "cell_costs")


@pytest.mark.parametrize(
    "sql",
    [
        "FROM Cells",
        'FROM memory.main."CELLS"',
        "FROM query('FROM cells')",
        "SELECT column_name, count FROM (SUMMARIZE CELLS)",
    ],
)
def test_every_spelling_of_a_view_is_answered(tmp_path: Path, sql: str) -> None:
    write_quickly(tmp_path, grid_events(GRID))
    expected = Catalog.open(tmp_path).query(sql.replace("CELLS", "cells").replace("Cells", "cells"))
    found = Catalog.open(tmp_path).query(sql)
    assert found.num_rows > 0 and sorted(map(repr, found.to_pylist())) == sorted(
        map(repr, expected.to_pylist())
    )


def test_every_change_of_a_source_outdates() -> None:
    known = catalog_reads()
    assert outdated(RECORDED, known) == set(MATERIALISED)
    assert outdated(["epochs"], known) == {"cell_costs"}
    assert outdated(["evaluations"], known) == frozenset()
    assert "cell_accuracies" in outdated(["datasets_built"], known)
