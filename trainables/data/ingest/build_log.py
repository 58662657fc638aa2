"""What a build has already done, so that one that was stopped goes on: an append-only file of JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from catalog.storage.atomic import writing


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
