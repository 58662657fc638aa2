"""A snapshot that a full disk does not take: it is said, and the one before stays, whole and alone."""

from __future__ import annotations

from pathlib import Path

from catalog import Catalog
from catalog.maintenance import leave_snapshot
from tests.support.small_disk import fill_up, small_disk


def test_a_full_disk_keeps_the_snapshot_before(tmp_path: Path) -> None:
    said: list[str] = []
    with small_disk(tmp_path / "disk", 24 << 10) as disk, Catalog.open(disk) as catalog:
        leave_snapshot(catalog, said.append)
        before = (disk / "catalog.duckdb").resolve()
        assert not said and before.is_file()
        fill_up(disk / "other")
        leave_snapshot(catalog, said.append)
        assert "No space left on device" in said[0] and "actiongrid catalog rebuild" in said[0]
        assert (disk / "catalog.duckdb").resolve() == before
        assert [path.name for path in (disk / "snapshots").glob("*.duckdb*")] == [before.name]
        (disk / "other").unlink()
        leave_snapshot(catalog, said.append)
        assert len(said) == 1 and (disk / "catalog.duckdb").resolve() != before
