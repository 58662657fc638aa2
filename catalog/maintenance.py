"""Rebuild the published catalog from the journals, and compare the two."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from catalog import snapshots
from catalog.catalog import Catalog, CatalogError
from catalog.definitions import version
from catalog.journal import Fault, journal_dir


@dataclass(frozen=True)
class CheckReport:
    """What `check` found. `snapshot` is None where none has been published yet.

    `unchecked` counts the journal lines that count and have no checksum. `older`: another version of this
    program made the snapshot, so that nothing was compared.
    """

    snapshot: Path | None
    tables: dict[str, snapshots.Differences]
    faults: tuple[Fault, ...]
    unchecked: int = 0
    older: bool = False

    @property
    def ok(self) -> bool:
        """Tell whether all journals could be read and agree with the snapshot row for row.

        Torn lines were never acknowledged. A snapshot of another version is no damage: nobody begins with it.
        """
        agree = all(not (table.only_in_journal or table.only_in_snapshot) for table in self.tables.values())
        readable = all(fault.kind != "unreadable" for fault in self.faults)
        return self.snapshot is not None and agree and readable


def rebuild(storage: Path | str) -> Path:
    """Build the catalog from the journals alone, publish it, remove all older snapshots; return its file.

    Raises:
        CatalogError: the storage has no journal.
    """
    root = _with_journals(Path(storage))
    with Catalog.open(root, from_snapshot=False) as catalog:
        current = catalog.snapshot()
    snapshots.keep_only(root, current)
    return current


def check(storage: Path | str) -> CheckReport:
    """Compare the published snapshot with the journals, contents included, and list lines left out.

    Raises:
        CatalogError: the storage has no journal, or the snapshot is damaged.
    """
    root = _with_journals(Path(storage))
    link = snapshots.snapshot_link(root)
    with Catalog.open(root, from_snapshot=False) as catalog:
        if not link.exists():
            return CheckReport(None, {}, catalog.faults, catalog.unchecked)
        snapshot = link.resolve()
        if snapshots.is_damaged(snapshot):
            raise CatalogError("snapshot is damaged", snapshot, snapshots.rebuild_it(root))
        tables = _compared(catalog, snapshot)
        older = tables is None
        return CheckReport(snapshot, tables or {}, catalog.faults, catalog.unchecked, older)


def _compared(catalog: Catalog, snapshot: Path) -> dict[str, snapshots.Differences] | None:
    """What differs, by table; None where another version made the snapshot."""
    if snapshots.version_of(snapshot) not in (None, version()):
        return None
    try:
        return catalog.compare(snapshot)
    except snapshots.OtherVersionError:
        return None


def _with_journals(storage: Path) -> Path:
    if not any(journal_dir(storage).glob("*.jsonl")):
        raise CatalogError("no journal", journal_dir(storage), "run a study there first, or name its storage")
    return storage


def leave_snapshot(catalog: Catalog, say: Callable[[str], None]) -> None:
    """Publish a snapshot; where the storage does not take it, say so: that makes no result fail."""
    try:
        catalog.snapshot()
    except OSError as error:
        say(f"warning: readers of the snapshot do not see the latest results: {error}")
