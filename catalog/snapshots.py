"""Immutable snapshot files and the symlink that names the current one: files only, no database.

A file is never replaced in place, because a reader that is just opening it could break. The last two files
are kept, so that a reader which resolved the symlink before a switch still finds its file.

Beside a snapshot stands a description (`.json`): its own checksum, the version of the code that made it, and
which beginnings of which journals it covers, by their checksums. A catalog begins with a copy of the newest
snapshot for which all of that holds; any other is left alone, and can be removed at any time.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.journal import Fault
from catalog.storage.atomic import replaced_atomically, sha256_of, sync, write_atomically
from catalog.storage.checksums import load_checked, with_checksum
from catalog.storage.errors import ActionGridError
from catalog.storage.layout import Layout, command_on
from catalog.storage.working_folder import cache_folder

if TYPE_CHECKING:
    import pyarrow as pa

    from catalog.bound_tables import Connection

FILES_AT_ONCE = 2
"""The current file and the one before it."""

_NUMBER = re.compile(r"catalog-(\d+)\.duckdb")
_PIECE = 1 << 20
_TICK_NS = 2_000_000_000
"""Within so long of a change another one can leave a file's time of change as it is."""


@dataclasses.dataclass(frozen=True)
class Beginning:
    """The first `size` bytes of a journal. A file with this inode and time of change need not be read."""

    size: int
    sha256: str
    inode: int
    changed_ns: int


@dataclasses.dataclass(frozen=True)
class Coverage:
    """What a snapshot holds: beginnings of journals by writer, and their lines that were left out."""

    version: str
    journals: Mapping[str, Beginning]
    faults: tuple[Fault, ...]

    @property
    def offsets(self) -> dict[str, int]:
        """Where what it does not cover begins, by writer."""
        return {writer: one.size for writer, one in self.journals.items()}


@dataclasses.dataclass(frozen=True)
class Differences:
    """Rows of one table in the journals and in a snapshot, and how many only one side has."""

    journal_rows: int
    snapshot_rows: int
    only_in_journal: int
    only_in_snapshot: int


def differences(scratch: Connection, mine: pa.Table, theirs: pa.Table) -> Differences:
    """Compare the journals' rows of a table with a snapshot's, in an empty database."""
    scratch.register("mine", mine)
    scratch.register("theirs", theirs)
    missing, extra = (
        int(scratch.execute(f"SELECT count(*) FROM (FROM {one} EXCEPT ALL FROM {other})").fetchall()[0][0])
        for one, other in (("mine", "theirs"), ("theirs", "mine"))
    )
    return Differences(mine.num_rows, theirs.num_rows, missing, extra)


def coverage(storage: Path, version: str, offsets: Mapping[str, int], faults: Iterable[Fault]) -> Coverage:
    """What has been read of a storage's journals, up to these offsets."""
    layout = Layout(storage)
    journals = {writer: _beginning(layout.journal(writer), size) for writer, size in offsets.items()}
    return Coverage(version, journals, tuple(faults))


def copy_newest(storage: Path, version: str, target: Path) -> Coverage | None:
    """Copy the newest snapshot of this version that still holds to `target`; None where there is none."""
    folder = Layout(storage).snapshots
    for path in _newest_first(folder):
        if (found := copy_described(path, target)) and found.version == version and _holds(storage, found):
            return found
    return None


def copy_or_make(version: str, target: Path, make: Callable[[Path], None]) -> None:
    """Let `make` make a catalog without events as `target`, or copy what it made for this version before.

    Binding all views takes half a second.
    """
    kept = cache_folder(os.environ) / f"empty-catalog-{version[:16]}.duckdb"
    if copy_described(kept, target) is not None:
        return
    target.unlink(missing_ok=True)
    make(target)
    with suppress(OSError):
        with replaced_atomically(kept) as temporary:
            shutil.copyfile(target, temporary)
        describe(kept, Coverage(version, {}, ()))


def copy_described(path: Path, target: Path) -> Coverage | None:
    """Copy a file that has a description; None where it has none or is damaged."""
    try:
        text = _description(path)
        if _copied(path, target) != text["sha256"]:
            return None
        journals = {writer: Beginning(**fields) for writer, fields in text["journals"].items()}
        return Coverage(text["version"], journals, tuple(Fault(**fields) for fields in text["faults"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def version_of(path: Path) -> str | None:
    """The version of the code that made a snapshot; None where nobody knows."""
    try:
        return str(_description(path)["version"])
    except (OSError, ValueError, KeyError):
        return None


def is_damaged(path: Path) -> bool:
    """Whether a snapshot is not what its description says; one without a description may be sound."""
    try:
        return sha256_of(path) != str(_description(path)["sha256"])
    except FileNotFoundError:
        return not path.is_file()
    except (ValueError, KeyError):
        return True


def describe(path: Path, content: Coverage) -> None:
    """Write a file's description beside it.

    Raises:
        OSError: the storage does not take it.
    """
    text = {"sha256": sha256_of(path), **dataclasses.asdict(content)}
    write_atomically(_described(path), with_checksum(json.dumps(text).encode()))


def snapshot_link(storage: Path) -> Path:
    """Return the symlink that readers open."""
    return Layout(storage).snapshot_link


class OtherVersionError(ActionGridError):
    """A snapshot with other tables than this version's."""


def rebuild_it(storage: Path) -> str:
    """What to do about a snapshot that is no good."""
    return f"run `{command_on(storage, 'catalog', 'rebuild')}`"


class SnapshotError(ActionGridError, OSError):
    """A snapshot cannot be written; the one before it stays."""


def publish(storage: Path, write: Callable[[Path], Coverage], *, wait: bool = True) -> Path:
    """Let `write` make a new file, describe it, and switch the symlink to it; return the file.

    Publishers take turns, so that numbers never clash and the symlink never points to a removed file.

    Raises:
        OSError: the storage does not take it; nothing is left of it. Without `wait` also where another
            process publishes just now.
    """
    folder = Layout(storage).snapshots
    folder.mkdir(parents=True, exist_ok=True)
    with _turn(folder, wait=wait):
        _remove(folder.glob("tmp-*"))
        temporary = folder / f"tmp-{os.getpid()}.duckdb"
        try:
            content = write(temporary)
            sync(temporary)
            final = folder / f"catalog-{max([0, *_numbered(folder)]) + 1}.duckdb"
            # A description without its file is nothing; a file without its description still serves readers.
            describe(temporary, content)
            _described(temporary).replace(_described(final))
            temporary.rename(final)
        finally:
            _remove(folder.glob(f"{temporary.stem}.*"))
        sync(folder)
        _switch(storage, final)
        _remove_snapshots(_newest_first(folder)[FILES_AT_ONCE:])
    return final


def keep_only(storage: Path, current: Path) -> None:
    """Remove all snapshot files but one."""
    folder = Layout(storage).snapshots
    with _turn(folder):
        _remove_snapshots(path for path in _newest_first(folder) if path.name != current.name)


def _numbered(folder: Path) -> dict[int, Path]:
    found = ((_NUMBER.fullmatch(path.name), path) for path in folder.iterdir())
    return {int(match.group(1)): path for match, path in found if match}


def _newest_first(folder: Path) -> list[Path]:
    try:
        return [path for _, path in sorted(_numbered(folder).items(), reverse=True)]
    except OSError:
        return []


def _described(path: Path) -> Path:
    return path.with_suffix(".json")


def _description(path: Path) -> dict[str, Any]:
    return load_checked(_described(path).read_bytes(), ("sha256",))


def _holds(storage: Path, content: Coverage) -> bool:
    layout = Layout(storage)
    return all(_begins_with(layout.journal(writer), known) for writer, known in content.journals.items())


def _begins_with(path: Path, known: Beginning) -> bool:
    try:
        now = path.stat()
        if (now.st_ino, now.st_ctime_ns) == (known.inode, known.changed_ns) and now.st_size >= known.size:
            return True
        return now.st_size >= known.size and _sha256(path, known.size) == known.sha256
    except OSError:
        return False


def lines_after(storage: Path, snapshot: Path) -> int:
    """How many lines the journals have after those that a snapshot covers; 0 where nobody can tell."""
    try:
        covered = _description(snapshot)["journals"]
        journals = sorted(Layout(storage).journals.glob("*.jsonl"))
        return sum(_lines_from(path, covered.get(path.stem, {"size": 0})["size"]) for path in journals)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return 0


def _lines_from(path: Path, offset: int) -> int:
    with path.open("rb") as file:
        file.seek(offset)
        return sum(1 for _ in file)


def _beginning(path: Path, size: int) -> Beginning:
    try:
        before = path.stat()
        settled = time.time_ns() - before.st_ctime_ns > _TICK_NS
        return Beginning(size, _sha256(path, size), before.st_ino if settled else 0, before.st_ctime_ns)
    except OSError:
        # No journal begins so: nobody begins with this snapshot, which serves its readers all the same.
        return Beginning(size, "", 0, 0)


def _sha256(path: Path, size: int) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while size > 0 and (piece := file.read(min(size, _PIECE))):
            found.update(piece)
            size -= len(piece)
    return found.hexdigest()


def _copied(path: Path, target: Path) -> str:
    """The checksum of a file, which is copied meanwhile."""
    found = hashlib.sha256()
    with path.open("rb") as file, target.open("wb") as copy:
        while piece := file.read(_PIECE):
            found.update(piece)
            copy.write(piece)
    return found.hexdigest()


def _switch(storage: Path, target: Path) -> None:
    temporary = storage / f".catalog-link-{os.getpid()}"
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target.relative_to(storage))
    temporary.replace(snapshot_link(storage))
    sync(storage)


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        path.unlink(missing_ok=True)


def _remove_snapshots(paths: Iterable[Path]) -> None:
    for path in list(paths):
        _remove((path, _described(path)))


@contextmanager
def _turn(folder: Path, *, wait: bool = True) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
