"""Rebuild the published catalog from the journals, compare the two, and check the files of results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from catalog import snapshots
from catalog.catalog import Catalog, CatalogError
from catalog.definitions import version
from catalog.journal import Fault, journal_dir
from catalog.predictions import FILES, read_rows
from catalog.storage.atomic import sha256_of, system_reason
from catalog.storage.checksums import ChecksumError
from catalog.storage.layout import found_in

# `keep:` of a study lets checkpoints be removed; where best and last are one epoch they are one file.
_WEIGHTS = """
    WITH named AS (
        SELECT key, which, coalesce(checkpoints ->> ('$.' || which || '.path'), checkpoint) AS path,
            coalesce(checkpoints ->> ('$.' || which || '.sha256'), checkpoint_sha256) AS sha256,
            CASE which WHEN 'best' THEN best_epoch ELSE epochs END AS epoch
        FROM recorded.finished CROSS JOIN (VALUES ('last'), ('best')) AS kinds(which)
        WHERE checkpoints IS NOT NULL OR which = inherit
    )
    SELECT key, path, sha256, string_agg(which, ' and ' ORDER BY which) AS which
    FROM named ANTI JOIN recorded.checkpoints_removed USING (key, epoch)
    GROUP BY key, path, sha256 ORDER BY key, path
"""
_NAMES = "SELECT key, min(cell) AS cell FROM recorded.cells GROUP BY key"


@dataclass(frozen=True)
class CheckedFile:
    """A file of a result: of which cell, what it is, where, and what is wrong with it, or ""."""

    cell: str
    what: str
    path: Path
    fault: str


@dataclass(frozen=True)
class CheckReport:
    """What `check` found. `snapshot` is None where none has been published yet.

    `unchecked` counts the journal lines that count and have no checksum. `older`: another version of this
    program made the snapshot, so that nothing was compared. `behind` counts the journals' lines after it.
    """

    snapshot: Path | None
    tables: dict[str, snapshots.Differences]
    faults: tuple[Fault, ...]
    unchecked: int = 0
    older: bool = False
    behind: int = 0

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
        behind = snapshots.lines_after(root, snapshot)
        return CheckReport(snapshot, tables or {}, catalog.faults, catalog.unchecked, older, behind)


def check_files(storage: Path | str, fetch: Callable[[Path], None] | None = None) -> Iterator[CheckedFile]:
    """Read the kept weights and the predictions of all results: is each still what was written?

    Nothing is changed. `fetch` is asked for a file that is not on this machine.

    Raises:
        CatalogError: the storage has no journal.
    """
    root = _with_journals(Path(storage))
    with Catalog.open(root) as catalog:
        weights = catalog.query(_WEIGHTS).to_pylist()
        rows = catalog.query(FILES, {"everything": True, "keys": None}).to_pylist()
        names = {row["key"]: row["cell"] for row in catalog.query(_NAMES).to_pylist()}
    for row in weights:
        path = found_in(root, row["path"])
        fault = _fault(path, fetch, partial(_require_hash, path, row["sha256"]))
        yield CheckedFile(names.get(row["key"], row["key"]), f"{row['which']} checkpoint", path, fault)
    for row in rows:
        path = found_in(root, row["path"])
        fault = _fault(path, fetch, partial(read_rows, path, 0, "predictions", key=row["key"]))
        what = f"predictions of {' and '.join(row['evaluations'])}"
        yield CheckedFile(names.get(row["key"], row["key"]), what, path, fault)


def _require_hash(path: Path, sha256: str) -> None:
    if sha256_of(path) != sha256:
        raise ChecksumError("not what was written", path, "train the cell again")


def _fault(path: Path, fetch: Callable[[Path], None] | None, read: Callable[[], object]) -> str:
    """What keeps a file from being read as it was written, or ""."""
    try:
        if fetch is not None and not path.exists():
            fetch(path)
        read()
    except FileNotFoundError:
        return "gone"
    except OSError as error:
        return f"cannot be read ({system_reason(error)})"
    except (KeyError, ValueError, TypeError, NotImplementedError):
        return "damaged"
    return ""


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
