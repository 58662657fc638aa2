"""Which shards of a store still stand: those of their size that no check has found damaged."""

from __future__ import annotations

from pathlib import Path

from trainables.data.frames.manifest import SHARDS
from trainables.data.frames.shard import Shard
from trainables.data.ingest.batch import file_stamp
from trainables.data.ingest.build_log import BuildLog

_NAME = "damage.jsonl"


class Damage:
    """What checks found of the shards of the dataset in `directory`; a build mends what is noted here."""

    def __init__(self, directory: Path) -> None:
        self._shards = directory / SHARDS
        self._log = BuildLog(directory / _NAME)

    def stands(self, shard: Shard) -> bool:
        """Whether the shard has its size and is not known to be damaged; reads nothing of it."""
        return file_stamp(self._shards / shard.name)[0] == shard.bytes and not self._noted(shard.name)

    def note(self, shard: str, damaged: bool) -> None:
        """Note whether the shard is damaged.

        Raises:
            StoreWriteError: the storage is full or broken.
        """
        if self._noted(shard) != damaged:
            self._log.put(shard, {"damaged": damaged})

    def _noted(self, shard: str) -> bool:
        return bool((self._log.get(shard) or {}).get("damaged"))
