"""What a build has done, so that one that was stopped goes on, and what it was told; JSON lines in a file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.storage.atomic import writing
from trainables.data.datasets import DatasetConfig, DatasetFolders


class BuildLog:
    """Facts by key; the last line of a key counts, a torn line counts as absent."""

    def __init__(self, path: Path) -> None:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._facts = _read(path)

    def get(self, key: str) -> dict[str, Any] | None:
        """The newest fact under `key`."""
        return self._facts.get(key)

    def put(self, key: str, fact: dict[str, Any]) -> None:
        """Record a fact. It is only a shortcut for work that can be repeated: not flushed to disk.

        Raises:
            StoreWriteError: the storage is full or broken.
        """
        self._facts[key] = fact
        line = "\n" + json.dumps({"key": key, "fact": fact})  # a line end first seals a torn line before it
        # unbuffered and at once: what another process appends meanwhile stays whole
        with writing(self._path), self._path.open("ab", buffering=0) as file:
            data = line.encode()
            while data:
                data = data[file.write(data) :]


def _read(path: Path) -> dict[str, dict[str, Any]]:
    facts: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return facts
    for line in path.read_text(errors="replace").splitlines():
        try:
            record = json.loads(line)
            facts[record["key"]] = dict(record["fact"])
        except (ValueError, KeyError, TypeError):
            continue
    return facts


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


def _text(path: Path | None) -> str | None:
    return str(path.absolute()) if path is not None else None


def file_stamp(path: Path) -> tuple[int, int]:
    """Size and modification time (ns): another content under the same name shows in one of them."""
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return status.st_size, status.st_mtime_ns
