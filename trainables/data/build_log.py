"""What a build has already done, so that one that was stopped goes on: an append-only file of JSON lines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


class BuildLog:
    """Facts by key; the last line of a key counts, a torn line counts as absent."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._facts = _read(path)

    def get(self, key: str) -> dict[str, Any] | None:
        """The newest fact under `key`."""
        return self._facts.get(key)

    def put(self, key: str, fact: dict[str, Any]) -> None:
        """Record a fact. It is only a shortcut for work that can be repeated: not flushed to disk."""
        self._facts[key] = fact
        line = "\n" + json.dumps({"key": key, "fact": fact})  # a line end first seals a torn line before it
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)


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
