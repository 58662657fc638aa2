"""A snapshot that a file system takes only in part: a clear error, and the one before stays."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from catalog import Catalog, Journal
from catalog.snapshots import SnapshotError
from tests.support.grid_events import Grid, grid_events


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing past `size` bytes fails with EFBIG, wherever in a file that is: a disk that gets full there."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("kilobytes", [20, 100, 250, 500, 1000, 2000])
def test_no_snapshot_is_published_that_was_cut_short(tmp_path: Path, kilobytes: int) -> None:
    with Journal.open(tmp_path, "driver") as journal:
        for event in grid_events(Grid(datasets=("mini-ssv2",))):
            journal.append(event)
    with Catalog.open(tmp_path) as catalog:
        before = catalog.snapshot()
        whole = before.stat().st_size
        assert whole > kilobytes << 10
        for _ in range(3):
            with files_of_at_most(kilobytes << 10), pytest.raises(SnapshotError, match="make room"):
                catalog.snapshot()
    assert [path.name for path in (tmp_path / "snapshots").glob("*.duckdb*")] == [before.name]
    with duckdb.connect(str(tmp_path / "catalog.duckdb"), read_only=True) as file:
        assert file.execute("SELECT count(*) > 0 FROM results").fetchall() == [(True,)]
