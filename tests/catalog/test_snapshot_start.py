"""A catalog that begins with a snapshot is the one that reads all journals, whatever happened in between."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import Catalog, snapshots
from catalog import catalog as catalog_module
from catalog.catalog import RECORDED
from catalog.codec import encode
from catalog.definitions import MATERIALISED, version
from catalog.events import CellFinished, EpochFinished, Event
from catalog.maintenance import check, rebuild
from tests.support.grid_events import DEMO, Grid, grid_events, quarantine_event, write_quickly

GRID = Grid(
    study="cut",
    modules=("tsn", "tam"),
    backbones=("resnet18",),
    datasets=("mini-ssv2",),
    frames=(8, 16),
    seeds=(0, 1),
    epochs=2,
    failing=frozenset({"TAM-ResNet18-f8@mini-ssv2"}),
)
TABLES = (
    *(f"recorded.{table}" for table in RECORDED),
    *(f"materialised.{table}" for table in (*MATERIALISED, "attempt_epochs")),
    *("cells", "results_all", "attempts", "epochs", "failures", "grid_cells", "cell_accuracies"),
)
BROKEN = b'{"v":1,"event":"EpochFinished","id":"torn\n'


def content(catalog: Catalog) -> dict[str, list[str]]:
    return {table: sorted(map(repr, catalog.query(f"FROM {table}").to_pylist())) for table in TABLES}


def both_ways(storage: Path) -> bool:
    """Whether the catalog equals the one from the journals alone; says whether it began with a snapshot."""
    with Catalog.open(storage) as found, Catalog.open(storage, from_snapshot=False) as wanted:
        assert content(found) == content(wanted)
        assert sorted(map(repr, found.faults)) == sorted(map(repr, wanted.faults))
    return begins_with_snapshot(storage)


def begins_with_snapshot(storage: Path) -> bool:
    return snapshots.copy_newest(storage, version(), storage / "copy.duckdb") is not None


def some_lines() -> list[bytes]:
    events: list[Event] = [*grid_events(GRID), *grid_events(dataclasses.replace(DEMO, start=1.8e9))][:120]
    # The same facts again, earlier, later and of another attempt: what holds must not depend on cuts.
    again = [
        dataclasses.replace(event, time=float(event.time or 0) + shift, attempt=attempt)
        for event in events[::7]
        if isinstance(event, EpochFinished | CellFinished)
        for shift, attempt in ((-50.0, 1), (50.0, 1), (-20.0, 2))
    ]
    return [encode(event) for event in [*events, *again, quarantine_event()]]


@settings(max_examples=1, deadline=None)
@given(data=st.data())
def test_snapshot_and_rest_are_the_whole(data: st.DataObject, tmp_path_factory: Any) -> None:
    storage: Path = tmp_path_factory.mktemp("storage")
    (storage / "journal").mkdir()
    lines = data.draw(st.permutations(some_lines()))
    lines.insert(data.draw(st.integers(0, len(lines))), BROKEN)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), min_size=1, max_size=3)))
    for start, end in zip([0, *cuts], [*cuts, len(lines)], strict=True):
        for line in lines[start:end]:
            writer = data.draw(st.sampled_from(("a", "b", "c")))
            with (storage / "journal" / f"{writer}.jsonl").open("ab") as file:
                file.write(line)
        with Catalog.open(storage) as catalog:
            if data.draw(st.booleans()):
                content(catalog)
            catalog.snapshot()
        assert both_ways(storage)


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    write_quickly(tmp_path, grid_events(GRID), "first")
    rebuild(tmp_path)
    assert begins_with_snapshot(tmp_path)
    return tmp_path


def flip(path: Path, place: int) -> None:
    """Change one byte where it stands, size and time as they were."""
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    text = bytearray(path.read_bytes())
    text[place] ^= 1
    with path.open("r+b") as file:
        file.write(text)
    os.utime(path, ns=times)


def described(storage: Path, change: Callable[[dict[str, Any]], None]) -> None:
    (path,) = (storage / "snapshots").glob("*.json")
    text = json.loads(path.read_text())
    change(text)
    path.write_text(json.dumps(text))


def database(storage: Path) -> Path:
    return (storage / "catalog.duckdb").resolve()


DAMAGES: dict[str, Callable[[Path], None]] = {
    "snapshot flipped": lambda storage: flip(database(storage), database(storage).stat().st_size // 2),
    "snapshot cut": lambda storage: os.truncate(database(storage), 1 << 20),
    "snapshot gone": lambda storage: database(storage).unlink(),
    "snapshot is a folder": lambda storage: (database(storage).unlink(), database(storage).mkdir())[1],
    "description gone": lambda storage: database(storage).with_suffix(".json").unlink(),
    "description empty": lambda storage: database(storage).with_suffix(".json").write_text("") and None,
    "description a list": lambda storage: database(storage).with_suffix(".json").write_text("[]") and None,
    "another version": lambda storage: described(storage, lambda text: text.update(version="0")),
    "no journals named": lambda storage: described(storage, lambda text: text.pop("journals")),
    "journal's line flipped": lambda storage: flip(storage / "journal/first.jsonl", 900),
    "journal gone": lambda storage: (
        (storage / "journal/first.jsonl").rename(storage / "journal/other.jsonl") and None
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_snapshot_that_does_not_hold_is_ignored(storage: Path, damage: str) -> None:
    DAMAGES[damage](storage)
    assert not both_ways(storage)


def test_journal_that_became_shorter_is_read_anew(storage: Path) -> None:
    journal = storage / "journal" / "first.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-3]))
    assert not both_ways(storage)


def test_many_events_leave_a_snapshot_and_few_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = write_quickly(tmp_path, grid_events(GRID))
    monkeypatch.setattr(catalog_module, "SNAPSHOT_EVENTS", count + 1)
    Catalog.open(tmp_path).close()
    assert not (tmp_path / "snapshots").exists()
    monkeypatch.setattr(catalog_module, "SNAPSHOT_EVENTS", count)
    Catalog.open(tmp_path).close()
    assert both_ways(tmp_path) and check(tmp_path).ok


def test_reader_waits_for_no_publisher_and_needs_no_snapshot(
    storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog_module, "SNAPSHOT_EVENTS", 1)
    write_quickly(storage, grid_events(DEMO), "second")
    before = database(storage)
    with snapshots._turn(storage / "snapshots"), Catalog.open(storage) as catalog:
        assert catalog.query("FROM recorded.studies").num_rows == 2
    assert database(storage) == before


def test_views_of_a_start_are_those_of_a_new_catalog(storage: Path) -> None:
    with Catalog.open(storage) as found, Catalog.open(storage, from_snapshot=False) as wanted:
        sql = "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
        assert sorted(map(str, found.query(sql).to_pylist())) == sorted(
            map(str, wanted.query(sql).to_pylist())
        )
