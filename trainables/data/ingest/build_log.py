"""What a build has done, so that one that was stopped goes on, and what it was told; JSON lines in a file.

Beside it what it was built from: the listing with each file's size and time. To look at that again is cheap:
the list, the annotation files, folders and files' sizes and times; no video is read but those whose time
alone has changed, where they are few.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.storage.atomic import sha256_of, writing
from catalog.storage.checksums import load_checked, with_checksum
from catalog.storage.layout import escaped, unescaped
from catalog.storage.parquet_files import read_parquet, write_parquet
from trainables.data.datasets import DatasetConfig, DatasetFolders, Entry, Listing


class BuildLog:
    """Facts by key; the last line of a key counts, a torn or damaged line counts as absent."""

    def __init__(self, path: Path) -> None:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._facts = _read(path)

    def get(self, key: str) -> dict[str, Any] | None:
        """The newest fact under `key`."""
        return self._facts.get(key)

    def beginning(self, prefix: str) -> Iterator[dict[str, Any]]:
        """The newest facts of all keys that begin so, the oldest key first."""
        return (fact for key, fact in self._facts.items() if key.startswith(prefix))

    def put(self, key: str, fact: dict[str, Any]) -> None:
        """Record a fact. It is only a shortcut for work that can be repeated: not flushed to disk.

        Raises:
            StoreWriteError: the storage is full or broken.
        """
        self._facts[key] = fact
        text = with_checksum(json.dumps({"key": key, "fact": fact}).encode())
        # unbuffered and at once: what another process appends meanwhile stays whole
        with writing(self._path), self._path.open("ab", buffering=0) as file:
            data = b"\n" + text  # a line end first seals a torn line before it
            while data:
                data = data[file.write(data) :]


def _read(path: Path) -> dict[str, dict[str, Any]]:
    facts: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return facts
    for line in path.read_bytes().split(b"\n"):
        try:
            record = load_checked(line, _NAMES, with_nan=True)
            facts[record["key"]] = dict(record["fact"])
        except (ValueError, KeyError, TypeError):
            continue
    return facts


_NAMES = frozenset({"key", "fact"})
_KEY = "given"


@dataclass(frozen=True)
class BuildInputs:
    """A dataset's declaration as plain fields, where an official one's files lie, and what may be missing.

    `allow_missing` is None where the declaration's own figure holds.
    """

    config: dict[str, Any]
    sources: DatasetFolders
    allow_missing: float | None


def last_inputs(log: BuildLog) -> BuildInputs | None:
    """What the last build that was completed was given; None where there was none."""
    fact = log.get(_KEY)
    if fact is None:
        return None
    sources = DatasetFolders(
        *(Path(text) if text else None for text in (fact["videos"], fact["annotations"]))
    )
    return BuildInputs(fact["config"], sources, fact["allow_missing"])


def effective_inputs(
    log: BuildLog, config: DatasetConfig, sources: DatasetFolders | None, allow_missing: float | None
) -> BuildInputs:
    """What holds for a build: what is not said now stays as it was said for the last one."""
    before = last_inputs(log)
    if before is not None:
        sources = before.sources if sources is None else sources
        allow_missing = before.allow_missing if allow_missing is None else allow_missing
    return BuildInputs(config.model_dump(mode="json"), sources or DatasetFolders(), allow_missing)


def note_inputs(log: BuildLog, now: BuildInputs) -> None:
    """Note what a build that is complete was given.

    Raises:
        StoreWriteError: the storage is full or broken.
    """
    if now != last_inputs(log):
        places = {"videos": _text(now.sources.videos), "annotations": _text(now.sources.annotations)}
        log.put(_KEY, {"config": now.config, **places, "allow_missing": now.allow_missing})


_SOURCE_KEY = "source"


def note_source(log: BuildLog) -> None:
    """Note that the source's note stands beside the log, so that one which is lost is missed.

    Raises:
        StoreWriteError: the storage is full or broken.
    """
    if log.get(_SOURCE_KEY) is None:
        log.put(_SOURCE_KEY, {"noted": True})


def source_was_noted(log: BuildLog) -> bool:
    """Whether a note of the source was ever written; a storage of an older version has none."""
    return log.get(_SOURCE_KEY) is not None


def _text(path: Path | None) -> str | None:
    return str(path.absolute()) if path is not None else None


def file_stamp(path: Path) -> tuple[int, int]:
    """Size and modification time (ns): another content under the same name shows in one of them."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return status.st_size, status.st_mtime_ns


_METADATA = b"actiongrid.source"
_FORMAT = 1
_THREADS = 16  # a file server answers several questions at once
READ_AGAIN = 256 << 20
"""Bytes of files with a new time that are compared by their content; beyond that they count as changed."""


@dataclass(frozen=True)
class SourceFile:
    """A listed video: its split and class by name, its size in bytes and modification time in ns."""

    split: str
    label: str
    size: int
    time: int

    @property
    def is_there(self) -> bool:
        """Whether there was a file."""
        return (self.size, self.time) != (0, 0)


Source = Mapping[str, SourceFile]
"""Videos by path, escaped (`catalog.storage.layout`)."""


def source_of(listing: Listing) -> dict[str, SourceFile]:
    """The listing as it is on disk now."""
    entries: tuple[Entry, ...] = listing.entries
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="stat") as pool:
        stamps = pool.map(lambda one: file_stamp(one.path), entries, chunksize=64)
        return {
            escaped(str(one.path)): SourceFile(one.split, listing.classes[one.label], *stamp)
            for one, stamp in zip(entries, stamps, strict=True)
        }


def is_as_noted(path: Path, source: Source) -> bool:
    """Whether a file has the size and time that it had when the source was noted."""
    then = source.get(escaped(str(path)))
    return then is not None and _stamp(then) == file_stamp(path)


def write_source(source: Source, path: Path) -> None:
    """Write it beside the manifest, so that a reader sees the old file or the whole new one."""
    columns = {
        "path": list(source),
        "split": [one.split for one in source.values()],
        "label": [one.label for one in source.values()],
        "size": [one.size for one in source.values()],
        "time": [one.time for one in source.values()],
    }
    table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps({"format": _FORMAT}).encode()})
    write_parquet(table, path, path.parent.name)


def source_built(
    built: Mapping[str, tuple[str, str]], left_out: Collection[str], now: Source
) -> dict[str, SourceFile]:
    """What a built dataset says of its source, where its own note is damaged.

    `built` has split and class of its videos by path. Sizes and times are taken as they are now; so is what
    was `left_out`, of which nobody knows the class.
    """
    found = {path: one for path, one in now.items() if path in left_out}
    for path, (split, label) in built.items():
        found[path] = SourceFile(split, label, *(_stamp(now[path]) if path in now else (0, 0)))
    return found


def read_source(path: Path) -> dict[str, SourceFile] | None:
    """What `write_source` wrote; None where nothing readable of this dataset stands."""
    try:
        rows = read_parquet(path, key=path.parent.name).to_pylist()
        return {row["path"]: SourceFile(row["split"], row["label"], row["size"], row["time"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def changes(before: Source, now: Source, content: Mapping[str, str]) -> str:
    """What has changed, such as `2 videos added, 1 label changed`; empty where nothing has.

    A file that is gone with its whole folder is no change: another machine's folder that is away looks so.
    `content` has the SHA-256 of built videos by path, by which a new time alone is told from new content.
    """
    both = [path for path in now if path in before]
    there = [path for path in both if now[path].is_there or not _is_away(path)]
    replaced = [path for path in there if _stamp(now[path]) != _stamp(before[path])]
    counts = {
        ("video", "added"): len(now.keys() - before.keys()),
        ("video", "removed"): len(before.keys() - now.keys()),
        ("video", "replaced"): len(_other_content(replaced, before, now, content)),
        ("label", "changed"): sum(now[path].label != before[path].label for path in both),
        ("split", "changed"): sum(now[path].split != before[path].split for path in both),
    }
    told = [f"{n} {what}{'s' if n > 1 else ''} {how}" for (what, how), n in counts.items() if n]
    return ", ".join(told)


def _stamp(one: SourceFile) -> tuple[int, int]:
    return one.size, one.time


def _is_away(path: str) -> bool:
    """Whether a file's folder is not there, or has nothing in it, as where a mount is away."""
    folder = Path(unescaped(path)).parent
    try:
        return next(folder.iterdir(), None) is None
    except OSError:
        return True


def _other_content(
    paths: Iterable[str], before: Source, now: Source, content: Mapping[str, str]
) -> list[str]:
    """Of files with another size or time those with other content; many are not read but taken as changed."""
    touched = [path for path in paths if now[path].size == before[path].size and path in content]
    few = sum(now[path].size for path in touched) <= READ_AGAIN
    same = {path for path in touched if few and _hash(path) == content[path]}
    return [path for path in paths if path not in same]


def _hash(path: str) -> str:
    try:
        return sha256_of(Path(unescaped(path)))
    except OSError:
        return ""
